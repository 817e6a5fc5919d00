"""Bootstrap intervals over users, for one system and for the difference of two.

Users are resampled with replacement (percentile bootstrap; Efron and Tibshirani, *An Introduction
to the Bootstrap*, 1993, section 13.3). The values are sorted first, so the result depends on the
values and the seed and not on the order of the users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import ConfigError
from ranker.arguments import check_count

_BLOCK_CELLS = 4_000_000  # users x resamples held at once, 32 MB
_TOLERANCE = 1e-12  # of the largest value: a sum of values that cancel is as far from zero at most


@dataclass(frozen=True)
class Interval:
    """A mean over users and its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedInterval:
    """A mean difference ``a - b`` over the same users, its interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    values: ArrayLike,
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> Interval:
    """Mean of the users' values and its percentile bootstrap interval.

    Parameters
    ----------
    values : array of float, shape (n_users,)
        One finite value per user, in any order.
    confidence : float
        Probability content of the interval, in (0, 1).
    n_resamples : int
        Bootstrap resamples, at least 1. Time grows with ``n_users * n_resamples`` (about 10 ns
        each), memory does not.
    random_state : int
        Seed; the same seed and values give the same interval.

    Returns
    -------
    Interval
        With one user, ``low == high == mean``.

    Raises
    ------
    ConfigError
        No values, values that are not finite, or a parameter out of range.

    Examples
    --------
    >>> bootstrap_interval([0.5, 0.5, 0.5])
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    column = _as_values(values, "values")[:, None]
    return bootstrap_intervals(
        column, confidence=confidence, n_resamples=n_resamples, random_state=random_state
    )[0]


def bootstrap_intervals(
    values: NDArray[np.float64],
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> list[Interval]:
    """:func:`bootstrap_interval` of every column, for the cost of little more than one.

    Parameters
    ----------
    values : float64 array, shape (n_users, n_columns)
    confidence, n_resamples, random_state
        As for :func:`bootstrap_interval`.

    Returns
    -------
    list of Interval, one per column, up to rounding ``bootstrap_interval`` of that column

    Raises
    ------
    ConfigError
        As :func:`bootstrap_interval`.
    """
    means, resampled = _resample(_as_values(values, "values", 2), n_resamples, random_state)
    low, high = percentiles(resampled, confidence)
    return [
        Interval(float(m), float(lo), float(hi)) for m, lo, hi in zip(means, low, high, strict=True)
    ]


def paired_interval(
    a: ArrayLike,
    b: ArrayLike,
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> PairedInterval:
    """Mean of ``a - b`` over the same users, with its interval; above zero means a is better.

    Far narrower than two separate intervals, because what makes a user easy or hard cancels.

    Parameters
    ----------
    a, b : array of float, shape (n_users,)
        Values of two systems; position i is the same user in both.
    confidence, n_resamples, random_state
        As for :func:`bootstrap_interval`.

    Returns
    -------
    PairedInterval
        ``p_value`` is twice the smaller share of resampled differences on either side of zero, with
        one added to both counts so that it is never 0: its least value is
        ``2 / (n_resamples + 1)``. It is 1 where no user differs.

    Raises
    ------
    ConfigError
        ``a`` and ``b`` differ in length, or as for :func:`bootstrap_interval`.

    Examples
    --------
    >>> paired_interval([0.5, 0.75], [0.25, 0.5]).difference
    0.25
    """
    first, second = _as_values(a, "a"), _as_values(b, "b")
    if first.shape != second.shape:
        raise ConfigError(
            f"a has {len(first)} users and b has {len(second)}; "
            "expected the values of the same users in the same order (join them on user_id)"
        )
    return paired_intervals(
        (first - second)[:, None],
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
    )[0]


def paired_intervals(
    differences: NDArray[np.float64],
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> list[PairedInterval]:
    """:func:`paired_interval` of every column, for the cost of little more than one.

    Parameters
    ----------
    differences : float64 array, shape (n_users, n_columns)
        ``a - b`` of each user.
    confidence, n_resamples, random_state
        As for :func:`bootstrap_interval`.

    Returns
    -------
    list of PairedInterval, one per column

    Raises
    ------
    ConfigError
        As :func:`bootstrap_interval`.
    """
    values = _as_values(differences, "differences", 2)
    means, resampled = _resample(values, n_resamples, random_state)
    low, high = percentiles(resampled, confidence)
    smaller_side = np.minimum((resampled <= 0).sum(axis=0), (resampled >= 0).sum(axis=0))
    p_value = np.minimum(1.0, 2 * (1 + smaller_side) / (n_resamples + 1))
    return [
        PairedInterval(*map(float, column))
        for column in zip(means, low, high, p_value, strict=True)
    ]


def resampled_sums(
    rows: NDArray[np.float64], *, n_resamples: int, random_state: int
) -> NDArray[np.float64]:
    """Sums of rows that are drawn with replacement, for what is no mean, such as a ratio of sums.

    Parameters
    ----------
    rows : float64 array, shape (n_rows, n_columns)
        In any order.
    n_resamples, random_state
        As for :func:`bootstrap_interval`.

    Returns
    -------
    float64 array, shape (n_resamples, n_columns)
    """
    check_count(n_resamples=n_resamples)
    ordered = rows[np.lexsort(rows.T)]
    rng = np.random.default_rng(random_state)
    n = len(ordered)
    sums = np.empty((n_resamples, rows.shape[1]))
    for row in sums:
        row[:] = np.bincount(rng.integers(n, size=n), minlength=n) @ ordered
    return sums


def percentiles(
    resampled: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the percentile interval of each column (or of the one there is)."""
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence is {confidence}; expected a number between 0 and 1")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    return low, high


def _resample(
    values: NDArray[np.float64], n_resamples: int, random_state: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of the columns [n_columns] and of their resamples [n_resamples, n_columns]."""
    check_count(n_resamples=n_resamples)
    n_users = len(values)
    ordered = np.sort(values, axis=0)
    # Measured from the least value: equal values then have an interval of exactly no width.
    base = ordered[0]
    excess = np.ascontiguousarray(ordered - base)
    rng = np.random.default_rng(random_state)
    resampled = np.empty((n_resamples, values.shape[1]))
    block = max(1, _BLOCK_CELLS // n_users)
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        times_drawn = np.empty((size, n_users))
        for row in times_drawn:  # one draw per resample: the block size cannot change the result
            row[:] = np.bincount(rng.integers(n_users, size=n_users), minlength=n_users)
        resampled[start : start + size] = times_drawn @ excess / n_users
    means = excess.mean(axis=0) + base
    resampled += base
    # Which side of zero they are on decides p-values and verdicts: rounding must not.
    rounding = _TOLERANCE * np.abs(ordered[[0, -1]]).max(axis=0)
    means[np.abs(means) <= rounding] = 0.0
    resampled[np.abs(resampled) <= rounding] = 0.0
    return means, resampled


def _as_values(values: ArrayLike, name: str, n_axes: int = 1) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != n_axes or len(array) == 0:
        raise ConfigError(f"{name} has shape {array.shape}; expected one value for each user")
    n_bad = np.count_nonzero(~np.isfinite(array))
    if n_bad:
        raise ConfigError(
            f"{name} has {n_bad} values that are not finite; "
            "a user without hits has the value 0, not NaN"
        )
    return array
