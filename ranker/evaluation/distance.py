"""How unlike each other are the items of a list."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import ConfigError
from features.ids import Ids


def intra_list_distance(
    vectors: NDArray[np.float32], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean distance ``(1 - cosine) / 2`` over the pairs of items of each list.

    Source: Smyth, McClave, "Similarity vs. Diversity", ICCBR 2001, section 2 (its "diversity").

    Parameters
    ----------
    vectors : float32 array, shape (n_items, n_factors)
        Of any length; an item of zeros is at distance one half from all others.
    rows : int64 array, shape (n_users, k)
        Row numbers of the items of each list; -1 where it is over.

    Returns
    -------
    float64 array, shape (n_users,), values in [0, 1]
        0 for a list of fewer than two items.

    Raises
    ------
    ConfigError
        Shapes do not fit.

    Examples
    --------
    >>> vectors = np.array([[1, 0], [0, 2], [-3, 0]], np.float32)
    >>> intra_list_distance(vectors, np.array([[0, 1], [0, 2], [1, -1]]))
    array([0.5, 1. , 0. ])
    """
    if vectors.ndim != 2 or rows.ndim != 2 or rows.max(initial=-1) >= len(vectors):
        raise ConfigError(
            f"vectors have shape {vectors.shape} and rows {rows.shape} up to "
            f"{rows.max(initial=-1)}; expected [n_items, n_factors] and [n_users, k] below n_items"
        )
    unit = vectors.astype(np.float64)
    norms = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = np.divide(unit, norms, out=np.zeros_like(unit), where=norms > 0)
    # The cosines of all pairs add up to |sum|^2 - sum of squares, over two.
    total, squares = np.zeros((len(rows), unit.shape[1])), np.zeros(len(rows))
    for column in rows.T:
        is_there = column >= 0
        total[is_there] += unit[column[is_there]]
        squares[is_there] += (unit[column[is_there]] ** 2).sum(axis=1)
    n = (rows >= 0).sum(axis=1)
    cosine = ((total**2).sum(axis=1) - squares) / np.maximum(n * (n - 1), 1)
    values: NDArray[np.float64] = np.where(n > 1, np.clip((1.0 - cosine) / 2.0, 0.0, 1.0), 0.0)
    return values


def list_rows(
    lists: pl.DataFrame, users: pl.Series, items: pl.Series, *, depth: int
) -> NDArray[np.int64]:
    """The lists of users as row numbers of ``items``, -1 where they are over.

    Parameters
    ----------
    lists : DataFrame
        ``user_id, item_id, rank`` (integer from 1), ids as in ``users`` and ``items``.
    users, items : Series
        Distinct.
    depth : int

    Returns
    -------
    int64 array, shape (len(users), depth)
    """
    user, item = Ids(users).encode(lists["user_id"]), Ids(items).encode(lists["item_id"])
    rank = lists["rank"].cast(pl.Int64).to_numpy()
    is_meant = (user >= 0) & (item >= 0) & (rank >= 1) & (rank <= depth)
    rows = np.full((len(users), depth), -1, np.int64)
    rows[user[is_meant], rank[is_meant] - 1] = item[is_meant]
    return rows
