"""Candidates: which items are considered for which users, and who proposed them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.arrays import Float32Array, Int32Array, Int64Array
from features.ids import Ids


@dataclass(frozen=True)
class Candidates:
    """One row per user and item, users one after another, items ascending within a user.

    Attributes
    ----------
    users, items : Ids
    sources : tuple of str
        Names of the generators, in the order of the columns below.
    indptr : int64 array [n_users + 1]
        The rows of user ``u`` are ``indptr[u]:indptr[u + 1]``.
    item : int32 array [n_rows]
    score : float32 array [n_rows, n_sources]
        NaN where the source did not propose the item.
    rank : int32 array [n_rows, n_sources]
        1 = best; 0 where the source did not propose the item.
    """

    users: Ids
    items: Ids
    sources: tuple[str, ...]
    indptr: Int64Array
    item: Int32Array
    score: Float32Array
    rank: Int32Array

    @property
    def n_users(self) -> int:
        """Number of users, those without candidates included."""
        return len(self.indptr) - 1

    @property
    def n_rows(self) -> int:
        """Number of pairs of user and item."""
        return len(self.item)

    @property
    def lengths(self) -> Int64Array:
        """Number of candidates of each user, int64 [n_users]."""
        return np.diff(self.indptr)

    @cached_property
    def user(self) -> Int32Array:
        """Row number of each candidate's user, int32 [n_rows]."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.lengths)

    @property
    def n_sources(self) -> Int32Array:
        """How many sources proposed each row, int32 [n_rows]."""
        return (self.rank > 0).sum(axis=1, dtype=np.int32)

    def frame(self) -> pl.DataFrame:
        """The rows with ids: user_id, item_id, <source>_score, <source>_rank, n_sources."""
        columns: dict[str, pl.Series | Int32Array] = {
            "user_id": self.users.decode(self.user),
            "item_id": self.items.decode(self.item),
        }
        for index, source in enumerate(self.sources):
            rank = pl.Series(self.rank[:, index])
            columns[f"{source}_score"] = pl.Series(self.score[:, index]).fill_nan(None)
            columns[f"{source}_rank"] = rank.replace(0, None)
        return pl.DataFrame(columns | {"n_sources": self.n_sources})


def fuse_ranks(rank: Int32Array, constant: float = 60.0) -> Float32Array:
    """Reciprocal rank fusion, ``sum over sources of 1 / (constant + rank)``.

    Cormack, Clarke, Buettcher: Reciprocal rank fusion outperforms Condorcet (SIGIR 2009).

    Parameters
    ----------
    rank : int32 array [n_rows, n_sources]
        1 = best; 0 where a source is silent, which adds nothing.
    constant : float

    Returns
    -------
    float32 array [n_rows]
    """
    fused = np.zeros(len(rank), np.float64)
    for column in rank.T:
        fused += np.where(column > 0, 1.0 / (constant + column), 0.0)
    return fused.astype(np.float32)
