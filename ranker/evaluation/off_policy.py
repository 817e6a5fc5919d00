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

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from features.arrays import Float64Array, Int64Array
from features.errors import ConfigError
from ranker.evaluation.intervals import percentiles, resampled_sums


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
        parts = [np.bincount(self.cluster, part) for part in (above, below)]
        sums = np.stack(parts, axis=1).astype(np.float64)
        resampled = resampled_sums(sums, n_resamples=n_resamples, random_state=random_state)
        # A resample in which the target never acts says nothing; it is left out.
        resampled = resampled[resampled[:, 1] > 0]
        low, high = percentiles(resampled[:, 0] / resampled[:, 1], confidence)
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
