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
_TOLERANCE = 1e-6


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
        0. Over the items of a position (and context) probabilities, from 0 to 1, add up to 1, for
        every position (and context) of the log.
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
        Missing or null columns, text where numbers belong, repeated combinations, probabilities
        that are none or do not add up to 1, a position (and context) of the log without them, or
        combinations without an expected reward.
    ConfigError
        As :func:`ranker.evaluation.off_policy.ips`.
    """
    if "item_id" not in on:
        raise ConfigError(f"on is {list(on)}; expected item_id among the columns")
    needed = dict.fromkeys([*on, reward, propensity, *([cluster] if cluster else [])])
    log = _table(impressions, "impressions", list(needed), numbers=(reward, propensity))
    # Other columns of the log may be called like those of the tables that are joined to it.
    shown = log.select(on)
    policy = _table(
        target, "target", [*on, PROBABILITY], numbers=(PROBABILITY,), unique=on, like=shown
    )
    context = [name for name in on if name != "item_id"]
    _check_policy(policy, context, shown)
    chances = shown.join(policy, on=list(on), how="left", maintain_order="left")[PROBABILITY]
    arrays = [log[reward], log[propensity], chances.fill_null(0.0).clip(0.0, 1.0)]
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
        q = _table(
            expected, "expected", [*on, EXPECTED], numbers=(EXPECTED,), unique=on, like=shown
        )
        q_logged = shown.join(q, on=list(on), how="left", maintain_order="left")[EXPECTED]
        chosen = policy.filter(pl.col(PROBABILITY) > 0).join(q, on=list(on), how="left")
        n_without = q_logged.null_count() + chosen[EXPECTED].null_count()
        if n_without:
            raise SchemaError("expected", [f"{n_without} combinations of {list(on)} are missing"])
        gain = (pl.col(PROBABILITY) * pl.col(EXPECTED)).sum().alias("gain")
        if context:
            per_context = chosen.group_by(context).agg(gain)
            q_target = shown.join(per_context, on=context, how="left", maintain_order="left")[
                "gain"
            ]
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
    numbers: Sequence[str],
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
    problems += [
        f"{name} has dtype {found.schema[name]}; expected numbers"
        for name in numbers
        if name in found.columns
        and not (found[name].dtype.is_numeric() or found[name].dtype == pl.Boolean)
    ]
    if not found.height:
        problems.append("has no rows")
    if unique and not problems and found.select(unique).is_duplicated().any():
        problems.append(f"some combinations of {list(unique)} occur twice; expected each once")
    if problems:
        raise SchemaError(table, problems)
    if like is None:
        return found
    cast = found.with_columns(pl.col(name).cast(like.schema[name], strict=False) for name in unique)
    problems = [
        f"{name} {found[name].filter(cast[name].is_null())[0]!r} is no {like.schema[name]}, which "
        f"{name} is in impressions: cast one of them"
        for name in unique
        if cast[name].null_count()
    ]
    if problems:
        raise SchemaError(table, problems)
    return cast


def _check_policy(policy: pl.DataFrame, context: list[str], shown: pl.DataFrame) -> None:
    odd = policy.filter(~pl.col(PROBABILITY).is_between(-_TOLERANCE, 1.0 + _TOLERANCE))
    if odd.height:
        problem = (
            f"{PROBABILITY} is {odd[PROBABILITY][0]} in one of {odd.height} rows that are not "
        )
        raise SchemaError("target", [problem + "from 0 to 1"])
    total = pl.col(PROBABILITY).sum().alias("total")
    sums = policy.group_by(context).agg(total) if context else policy.select(total)
    odd = sums.filter((pl.col("total") - 1.0).abs() > _TOLERANCE)
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
    without = shown.join(policy, on=context, how="anti") if context else shown.clear()
    if without.height:
        problem = f"{without.height} impressions have {context} without a row here, such as "
        raise SchemaError("target", [problem + f"{without.select(context).row(0)}"])
