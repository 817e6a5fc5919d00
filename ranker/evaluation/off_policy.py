"""What another policy would have earned, from what a logged one showed.

Each logged impression has a reward and the propensity: the probability with which the logging
policy showed that item at that position, given the context. The policy to judge says with which
probability it would have shown it. ``w = target / propensity`` weighs the reward.

=====  =================================================================================
ips    ``mean(w r)``: unbiased where the propensities are right and nowhere 0, and noisy
       (Horvitz, Thompson, JASA 1952; Li et al., WSDM 2011)
snips  ``sum(w r) / sum(w)``: slightly biased, far less noisy, within the range of the rewards
       (Swaminathan, Joachims, "The Self-Normalized Estimator for Counterfactual
       Learning", NeurIPS 2015)
dr     ``mean(q_target + w (r - q_logged))``: unbiased where either the propensities or the
       predicted rewards q are right (Dudík, Langford, Li, "Doubly Robust Policy Evaluation
       and Learning", ICML 2011)
=====  =================================================================================

Each position of a page counts as an impression of its own with its own propensity (the
item-position model of Li et al., "Offline Evaluation of Ranking Policies with Click Models", KDD
2018): the reward of one place is taken not to depend on what stands at the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from features.arrays import Float64Array, Int64Array
from features.errors import ConfigError, SchemaError
from ranker.arguments import check_count
from ranker.evaluation.frames import FrameLike, collect

_BLOCK_CELLS = 4_000_000
PROBABILITY, EXPECTED = "probability", "expected_reward"


@dataclass(frozen=True)
class OffPolicyEstimate:
    """Estimated mean reward of an impression under the target policy.

    Attributes
    ----------
    value, low, high : float
        The estimate and its percentile bootstrap interval.
    effective_n : float
        ``(sum w)^2 / sum w^2``: how many equally weighted impressions carry as much (Kong 1992).
    largest_weight : float
    """

    value: float
    low: float
    high: float
    effective_n: float
    largest_weight: float


def ips(
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    largest_weight: float | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> OffPolicyEstimate:
    """Inverse propensity estimate: ``mean(w r)``.

    Parameters
    ----------
    reward : array of float, shape (n,)
        What each logged impression earned, such as 0 or 1 for a click.
    propensity : array of float in (0, 1], shape (n,)
        Probability of the logged item at its position under the logging policy.
    target : array of float in [0, 1], shape (n,)
        The same under the policy to judge.
    cluster : array of whole numbers, shape (n,), optional
        Impressions with the same number (a page, a session, a user) are resampled together, since
        they are not independent. Left out, each is resampled alone.
    largest_weight : float, optional
        Weights above are cut to it: less noise, at the price of a bias towards 0.
    confidence, n_resamples, random_state
        Of the bootstrap.

    Returns
    -------
    OffPolicyEstimate

    Raises
    ------
    ConfigError
        Arrays of different lengths, values out of range or not finite.

    Examples
    --------
    >>> ips([1, 0, 1, 0], [0.5] * 4, [1, 0, 1, 0]).value
    1.0
    """
    log = _Log.of(reward, propensity, target, cluster, largest_weight)
    ones = np.ones(len(log.weight))
    return log.estimate(log.weight * log.reward, ones, confidence, n_resamples, random_state)


def snips(
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    largest_weight: float | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> OffPolicyEstimate:
    """Self-normalised estimate: ``sum(w r) / sum(w)``.

    Parameters and errors as for :func:`ips`; ConfigError also where every weight is 0.

    Examples
    --------
    >>> snips([1, 0, 1], [0.5, 0.25, 0.5], [0.5, 0.5, 0.0]).value
    0.3333333333333333
    """
    log = _Log.of(reward, propensity, target, cluster, largest_weight)
    if not log.weight.any():
        raise ConfigError(
            "target is 0 for every logged impression, so that nothing of the log is about it"
        )
    weighted = log.weight * log.reward
    return log.estimate(weighted, log.weight, confidence, n_resamples, random_state)


def doubly_robust(
    reward: ArrayLike,
    propensity: ArrayLike,
    target: ArrayLike,
    *,
    expected_logged: ArrayLike,
    expected_target: ArrayLike,
    cluster: ArrayLike | None = None,
    largest_weight: float | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> OffPolicyEstimate:
    """Doubly robust estimate: ``mean(q_target + w (r - q_logged))``.

    Parameters
    ----------
    reward, propensity, target
        As for :func:`ips`.
    expected_logged : array of float, shape (n,)
        Predicted reward of the logged item at its position, by a model that was not fitted on this
        impression (cross-fitted), else the interval is too narrow.
    expected_target : array of float, shape (n,)
        Predicted reward of the target policy there: the sum over items of its probability times
        the predicted reward.
    cluster, largest_weight, confidence, n_resamples, random_state
        As for :func:`ips`.

    Returns
    -------
    OffPolicyEstimate

    Raises
    ------
    ConfigError
        As :func:`ips`.
    """
    log = _Log.of(reward, propensity, target, cluster, largest_weight)
    q_logged = _column(expected_logged, "expected_logged", len(log.reward))
    q_target = _column(expected_target, "expected_target", len(log.reward))
    corrected = q_target + log.weight * (log.reward - q_logged)
    return log.estimate(corrected, np.ones(len(corrected)), confidence, n_resamples, random_state)


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
        As for :func:`ips`.

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
        As :func:`ips`.
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


@dataclass(frozen=True)
class _Log:
    reward: Float64Array
    weight: Float64Array
    cluster: Int64Array

    @classmethod
    def of(
        cls,
        reward: ArrayLike,
        propensity: ArrayLike,
        target: ArrayLike,
        cluster: ArrayLike | None,
        largest_weight: float | None,
    ) -> _Log:
        rewards = _column(reward, "reward", None)
        logged = _column(propensity, "propensity", len(rewards))
        wanted = _column(target, "target", len(rewards))
        n_bad = np.count_nonzero((logged <= 0) | (logged > 1))
        if n_bad:
            raise ConfigError(
                f"propensity has {n_bad} values outside (0, 1], such as "
                f"{logged[(logged <= 0) | (logged > 1)][0]}; what was shown had a probability"
            )
        n_bad = np.count_nonzero((wanted < 0) | (wanted > 1))
        if n_bad:
            raise ConfigError(
                f"target has {n_bad} values outside [0, 1], such as "
                f"{wanted[(wanted < 0) | (wanted > 1)][0]}; expected probabilities"
            )
        weight = wanted / logged
        if largest_weight is not None:
            if not largest_weight > 0:
                raise ConfigError(f"largest_weight={largest_weight!r}; expected a number above 0")
            weight = np.minimum(weight, largest_weight)
        if cluster is None:
            groups = np.arange(len(rewards))
        else:
            values = np.asarray(cluster)
            if values.shape != rewards.shape or not np.issubdtype(values.dtype, np.integer):
                raise ConfigError(
                    f"cluster has shape {values.shape} and dtype {values.dtype}; expected a whole "
                    f"number for each of {len(rewards)} impressions"
                )
            groups = np.unique(values, return_inverse=True)[1]
        return cls(rewards, weight, groups.astype(np.int64))

    def estimate(
        self,
        above: Float64Array,
        below: Float64Array,
        confidence: float,
        n_resamples: int,
        random_state: int,
    ) -> OffPolicyEstimate:
        """``sum(above) / sum(below)``, with clusters resampled with replacement."""
        check_count(n_resamples=n_resamples)
        if not 0.0 < confidence < 1.0:
            raise ConfigError(f"confidence is {confidence}; expected a number between 0 and 1")
        sums = np.stack([np.bincount(self.cluster, part) for part in (above, below)], axis=1)
        sums = sums[np.lexsort(sums.T)]  # the order of the rows decides nothing
        rng = np.random.default_rng(random_state)
        n = len(sums)
        resampled = np.empty((n_resamples, 2))
        for row in resampled:
            row[:] = np.bincount(rng.integers(n, size=n), minlength=n) @ sums
        # A resample in which the target never acts says nothing; it is left out.
        resampled = resampled[resampled[:, 1] > 0]
        tail = (1.0 - confidence) / 2.0
        low, high = np.quantile(resampled[:, 0] / resampled[:, 1], [tail, 1.0 - tail])
        squares = float(self.weight @ self.weight)
        return OffPolicyEstimate(
            float(above.sum() / below.sum()),
            float(low),
            float(high),
            float(self.weight.sum() ** 2 / squares) if squares else 0.0,
            float(self.weight.max()),
        )


def _column(values: ArrayLike, name: str, n: int | None) -> Float64Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or (n is not None and len(array) != n):
        wanted = "one value for each impression" if n is None else f"the {n} of reward"
        raise ConfigError(f"{name} has shape {array.shape}; expected {wanted}")
    if not np.isfinite(array).all():
        raise ConfigError(f"{name} has {np.count_nonzero(~np.isfinite(array))} values not finite")
    return array


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
