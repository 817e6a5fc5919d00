"""How evenly a catalogue is shown."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from features.arrays import Float64Array, FrameLike
from features.errors import ConfigError
from ranker.evaluation.frames import check_pairs, check_recommendations


def gini(counts: ArrayLike) -> float:
    """Gini index of how often each item is shown: 0 all alike, (n - 1) / n a single one.

    ``sum over j of (2 j - n - 1) x_j / (n sum x)``, with the n counts x in ascending order; twice
    the area between the Lorenz curve and the diagonal. 0 where nothing is shown at all.
    Source: Shani, Gunawardana, "Evaluating Recommendation Systems", Recommender Systems Handbook,
    2011, section 8.3.2 (there divided by n - 1, so that a single item gives 1).

    Parameters
    ----------
    counts : array of numbers >= 0, shape (n_items,)
        Items that are never shown included, as zeros.

    Returns
    -------
    float in [0, 1)

    Raises
    ------
    ConfigError
        No items, or counts that are negative or not finite.

    Examples
    --------
    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 8])
    (0.0, 0.75)
    """
    ordered = np.sort(_checked(counts))
    total = ordered.sum()
    n = len(ordered)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ ordered / (n * total)) if total else 0.0


def lorenz(counts: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Lorenz curve: which share of all places goes to which share of the least shown items.

    Source: Lorenz, "Methods of Measuring the Concentration of Wealth", 1905.

    Parameters
    ----------
    counts : array of numbers >= 0, shape (n_items,)

    Returns
    -------
    items, places : float64 arrays, shape (n_items + 1,)
        Shares from 0 to 1. Where nothing is shown, the diagonal.

    Raises
    ------
    ConfigError
        As :func:`gini`.

    Examples
    --------
    >>> lorenz([3, 1])[1].tolist()
    [0.0, 0.25, 1.0]
    """
    ordered = np.sort(_checked(counts))
    items = np.linspace(0.0, 1.0, len(ordered) + 1)
    if not ordered.sum():
        return items, items.copy()
    places = np.concatenate([[0.0], np.cumsum(ordered) / ordered.sum()])
    return items, places


def lorenz_curve(recommendations: FrameLike, train: FrameLike, *, k: int = 10) -> pl.DataFrame:
    """The Lorenz curve of lists over the catalogue.

    Parameters
    ----------
    recommendations : DataFrame or LazyFrame
        ``user_id, item_id, rank``; every user counts.
    train : DataFrame or LazyFrame
        ``user_id, item_id``: its distinct items are the catalogue. Others are passed over.
    k : int
        How many ranks count.

    Returns
    -------
    DataFrame
        ``items``, ``places`` (Float64, shares from 0 to 1), see :func:`lorenz`; at most 1,001
        rows, evenly along the catalogue.

    Raises
    ------
    SchemaError, ConfigError
        As :func:`ranker.evaluate`.
    """
    if k < 1:
        raise ConfigError(f"k is {k!r}; expected at least 1")
    pairs = check_pairs(train, table="train")
    lists = check_recommendations(recommendations, like=pairs).filter(pl.col("rank") <= k)
    shown = lists.group_by("item_id").len()
    counts = pairs.select("item_id").unique().join(shown, on="item_id", how="left")["len"]
    items, places = lorenz(counts.fill_null(0).to_numpy())
    kept = np.unique(np.linspace(0, len(items) - 1, min(len(items), 1001)).round().astype(int))
    return pl.DataFrame({"items": items[kept], "places": places[kept]})


def _checked(counts: ArrayLike) -> Float64Array:
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all() or array.min() < 0:
        raise ConfigError(
            f"counts have shape {array.shape} and the least is {array.min(initial=0.0)}; expected "
            "one finite number of at least 0 for each item"
        )
    return array
