"""How little known are the items of a list."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import ConfigError


def mean_information(information: NDArray[np.float64], *, k: int) -> NDArray[np.float64]:
    """Mean self-information of the first k items of each list, in bits.

    Self-information is ``-log2`` of the share of users who took an item: 0 for what everybody took,
    1 more for each time the share halves.
    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS 2010; Vargas, Castells, "Rank and Relevance in Novelty and Diversity Metrics for
    Recommender Systems", RecSys 2011 (without discount by rank).

    Parameters
    ----------
    information : float64 array, shape (n_users, depth)
        Bits of the item at each rank; NaN where the list is over.
    k : int
        How many ranks count, at least 1.

    Returns
    -------
    float64 array, shape (n_users,)
        0 for an empty list.

    Raises
    ------
    ConfigError
        ``k`` is below 1, or ``information`` is no matrix.

    Examples
    --------
    >>> mean_information(np.array([[1.0, 3.0, np.nan], [np.nan, np.nan, np.nan]]), k=3)
    array([2., 0.])
    """
    if information.ndim != 2 or k < 1:
        raise ConfigError(
            f"information has shape {information.shape} and k is {k}; expected [n_users, depth] "
            f"and at least 1"
        )
    head = information[:, :k]
    is_there = ~np.isnan(head)
    total = np.where(is_there, head, 0.0).sum(axis=1)
    values: NDArray[np.float64] = total / np.maximum(is_there.sum(axis=1), 1)
    return values


def information_matrix(
    lists: pl.DataFrame, train: pl.DataFrame, users: pl.Series, *, depth: int
) -> NDArray[np.float64]:
    """Bits of the item at each rank of each user's list.

    Parameters
    ----------
    lists : DataFrame
        ``user_id, item_id, rank`` (integer from 1), ids as in ``train``.
    train : DataFrame
        ``user_id, item_id`` of who took what. An item that nobody took counts as taken by one.
    users : Series
        The users of the rows of the result, each once.
    depth : int

    Returns
    -------
    float64 array, shape (len(users), depth)
        NaN where a list is over.
    """
    n_users = train["user_id"].n_unique()
    taken = train.group_by("item_id").agg(pl.col("user_id").n_unique().alias("n"))
    rows = users.rename("user_id").to_frame().with_row_index("row")
    found = (
        lists.filter(pl.col("rank").is_between(1, depth))
        .join(rows, on="user_id")
        .join(taken, on="item_id", how="left")
    )
    matrix = np.full((len(users), depth), np.nan)
    share = found["n"].fill_null(1).to_numpy() / n_users
    matrix[found["row"].to_numpy(), found["rank"].cast(pl.Int64).to_numpy() - 1] = -np.log2(share)
    return matrix
