"""Off-policy estimates of a policy that is given as a table of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from features.arrays import FrameLike
from features.errors import ConfigError, SchemaError
from ranker.evaluation.frames import collect
from ranker.evaluation.off_policy import doubly_robust, ips, snips

PROBABILITY, EXPECTED = "probability", "expected_reward"


def off_policy_table(
    impressions: FrameLike,
    target: FrameLike,
    *,
    reward: str = "click",
    propensity: str = "propensity",
    on: Sequence[str] = ("item_id", "position"),
    expected: FrameLike | None = None,
    cluster: str | None = None,
    largest_weight: float | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> pl.DataFrame:
    """The estimates of a policy that is given as a table of probabilities.

    Parameters
    ----------
    impressions : DataFrame or LazyFrame
        One row per item shown: the columns ``on``, reward and propensity.
    target : DataFrame or LazyFrame
        ``on`` and ``probability``, each combination once; one that is missing has the probability
        0. Over the items of a position (and context) probabilities add up to 1.
    reward, propensity : str
        Columns of ``impressions``.
    on : sequence of str
        ``item_id``, and what a probability depends on besides: position, context.
    expected : DataFrame or LazyFrame, optional
        ``on`` and ``expected_reward`` of every combination that is logged or has a probability:
        adds the doubly robust estimate.
    cluster : str, optional
        Column of ``impressions``: rows with equal values are resampled together.
    largest_weight, confidence, n_resamples, random_state
        As for :func:`ranker.evaluation.off_policy.ips`.

    Returns
    -------
    DataFrame
        One row per estimator: estimator (``logged``: the mean reward of the log itself, ``ips``,
        ``snips``, ``dr``), value, ci_low, ci_high, effective_n, largest_weight (Float64).

    Raises
    ------
    SchemaError
        Missing or null columns, repeated combinations, probabilities that do not add up to 1, or
        combinations without an expected reward.
    ConfigError
        As :func:`ranker.evaluation.off_policy.ips`.
    """
    if "item_id" not in on:
        raise ConfigError(f"on is {list(on)}; expected item_id among the columns")
    needed = [*on, reward, propensity, *([cluster] if cluster else [])]
    log = _table(impressions, "impressions", needed)
    policy = _table(target, "target", [*on, PROBABILITY], unique=on, like=log)
    context = [name for name in on if name != "item_id"]
    _check_sums(policy, context)
    shown = log.join(policy, on=list(on), how="left", maintain_order="left")
    arrays = [log[reward], log[propensity], shown[PROBABILITY].fill_null(0.0)]
    groups = None if cluster is None else log[cluster].rank("dense").to_numpy()
    bootstrap: dict[str, Any] = {
        "cluster": groups,
        "confidence": confidence,
        "n_resamples": n_resamples,
        "random_state": random_state,
    }
    ones = np.ones(log.height)
    values = {"logged": ips(arrays[0], ones, ones, **bootstrap)}
    options = bootstrap | {"largest_weight": largest_weight}
    values |= {"ips": ips(*arrays, **options), "snips": snips(*arrays, **options)}
    if expected is not None:
        q = _table(expected, "expected", [*on, EXPECTED], unique=on, like=log)
        q_logged = log.join(q, on=list(on), how="left", maintain_order="left")[EXPECTED]
        chosen = policy.filter(pl.col(PROBABILITY) > 0).join(q, on=list(on), how="left")
        n_without = q_logged.null_count() + chosen[EXPECTED].null_count()
        if n_without:
            raise SchemaError("expected", [f"{n_without} combinations of {list(on)} are missing"])
        gain = (pl.col(PROBABILITY) * pl.col(EXPECTED)).sum().alias("gain")
        if context:
            per_context = chosen.group_by(context).agg(gain)
            q_target = log.join(per_context, on=context, how="left", maintain_order="left")["gain"]
            if q_target.null_count():
                problem = f"{q_target.null_count()} impressions have {context} without a row here"
                raise SchemaError("target", [problem])
        else:
            q_target = pl.repeat(chosen.select(gain).item(), log.height, eager=True)
        values["dr"] = doubly_robust(
            *arrays, expected_logged=q_logged, expected_target=q_target, **options
        )
    return pl.DataFrame(
        [
            (name, e.value, e.low, e.high, e.effective_n, e.largest_weight)
            for name, e in values.items()
        ],
        schema=["estimator", "value", "ci_low", "ci_high", "effective_n", "largest_weight"],
        orient="row",
    )


def _table(
    frame: FrameLike,
    table: str,
    columns: Sequence[str],
    *,
    unique: Sequence[str] = (),
    like: pl.DataFrame | None = None,
) -> pl.DataFrame:
    found = collect(frame, table=table, columns=columns)
    problems = [f"column {name!r} is missing" for name in columns if name not in found.columns]
    problems += [
        f"{name} is null in {found[name].null_count()} of {found.height} rows; drop them"
        for name in found.columns
        if found[name].null_count()
    ]
    if not found.height:
        problems.append("has no rows")
    if unique and not problems and found.select(unique).is_duplicated().any():
        problems.append(f"some combinations of {list(unique)} occur twice; expected each once")
    if problems:
        raise SchemaError(table, problems)
    if like is None:
        return found
    return found.with_columns(pl.col(name).cast(like.schema[name]) for name in unique)


def _check_sums(policy: pl.DataFrame, context: list[str]) -> None:
    total = pl.col(PROBABILITY).sum().alias("total")
    sums = policy.group_by(context).agg(total) if context else policy.select(total)
    odd = sums.filter((pl.col("total") - 1.0).abs() > 1e-6)
    if odd.height:
        raise SchemaError(
            "target",
            [
                (
                    f"probabilities add up to {odd['total'][0]:.6g}, not to 1, in {odd.height} of "
                    f"{sums.height} combinations of {context or 'nothing'}"
                )
            ],
        )
