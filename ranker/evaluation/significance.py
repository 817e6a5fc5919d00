"""Could a difference over the same users be chance: a permutation test, and many tests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from features.arrays import Float64Array
from features.errors import ConfigError
from ranker.arguments import check_count

_BLOCK_CELLS = 4_000_000  # users x permutations held at once
_MAX_EXACT = 12  # users that differ, up to whom all 2^n signs are tried
_TOLERANCE = 1e-12
_LEAST = float(np.finfo(np.float64).tiny)  # p-values are above 0


def permutation_p_value(
    differences: ArrayLike, *, n_resamples: int = 1000, random_state: int = 0
) -> float:
    """Two-sided p-value of a mean difference over the same users, by flipping signs.

    If the two systems were exchangeable, each user's difference could as well have had the other
    sign. The p-value is the share of sign patterns whose mean is at least as far from zero as the
    one that was seen, which is among those counted. With at most 12 users that differ all
    patterns are tried and the value is exact. Else ``n_resamples`` random ones are, which can show
    no less than ``1 / (n_resamples + 1)``: too much to be told from chance among many tests. Where
    Hoeffding's bound ``2 exp(-(sum d)^2 / (2 sum d^2))`` of that share is below it, the bound is
    the value, which the exact one is never above.
    Source: Fisher, *The Design of Experiments*, 1935, section 21; Smucker, Allan, Carterette, "A
    Comparison of Statistical Significance Tests for Information Retrieval Evaluation", CIKM 2007;
    Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 1963, theorem
    2.

    Parameters
    ----------
    differences : array of float, shape (n_users,)
        Value of one system minus that of the other, in any order.
    n_resamples : int
    random_state : int

    Returns
    -------
    float in (0, 1]
        1 where no user differs.

    Raises
    ------
    ConfigError
        No differences, values that are not finite, or no resamples.

    Examples
    --------
    >>> permutation_p_value([0.5, 0.25, 0.25])
    0.25
    """
    array = np.asarray(differences, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ConfigError(
            f"differences have shape {array.shape}; expected one finite value for each user"
        )
    check_count(n_resamples=n_resamples)
    size = np.sort(np.abs(array[array != 0.0]))  # in an order that does not depend on the users'
    if not len(size):
        return 1.0
    total = float(np.sort(array).sum())
    least = abs(total) - _TOLERANCE * size.sum()
    if len(size) <= _MAX_EXACT:
        patterns = np.arange(2 ** len(size))[:, None] >> np.arange(len(size)) & 1
        return float((np.abs((2 * patterns - 1) @ size) >= least).mean())
    share = size / size[-1]  # of the largest: squares of what is tiny or huge are no numbers
    bound = 2.0 * float(np.exp(-((total / size[-1]) ** 2) / (2.0 * (share @ share))))
    if bound < 1.0 / (1 + n_resamples):
        return max(bound, _LEAST)
    rng = np.random.default_rng(random_state)
    n_extreme = 0
    block = max(1, _BLOCK_CELLS // len(size))
    for start in range(0, n_resamples, block):
        flips = np.empty((min(block, n_resamples - start), len(size)))
        for row in flips:  # one draw per permutation: the block size cannot change the result
            n_bytes = -(-len(size) // 8)
            row[:] = np.unpackbits(rng.integers(0, 256, n_bytes, np.uint8), count=len(size))
        n_extreme += int((np.abs((2.0 * flips - 1.0) @ size) >= least).sum())
    return (1 + n_extreme) / (1 + n_resamples)


def holm(p_values: ArrayLike) -> Float64Array:
    """Adjust p-values of several tests so that any false finding is as rare as with one.

    ``max over j <= i of min(1, (n - j + 1) p_(j))``, p ascending.
    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal
    of Statistics, 1979.

    Parameters
    ----------
    p_values : array of float, shape (n_tests,)

    Returns
    -------
    float64 array, shape (n_tests,), in the order given

    Raises
    ------
    ConfigError
        A value outside [0, 1].

    Examples
    --------
    >>> holm([0.01, 0.5, 0.02]).tolist()
    [0.03, 0.5, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ConfigError(f"p_values are {p!r}; expected numbers from 0 to 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, np.arange(len(p), 0, -1) * p[order]))
    return adjusted


def effect_size(differences: Float64Array) -> float | None:
    """Cohen's d of paired values: mean difference over its standard deviation (n - 1).

    Unlike a p-value it does not grow with the number of users.
    Source: Cohen, *Statistical Power Analysis for the Behavioral Sciences*, 1988, section 2.3.5
    (d_z).

    Returns
    -------
    float, or None where all users differ by the same
    """
    if len(differences) < 2:
        return None
    deviation = float(differences.std(ddof=1))
    return float(differences.mean()) / deviation if deviation > _TOLERANCE else None
