"""Lists and relevant items brought together: at which ranks do the lists hold relevant ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl

from features.arrays import BoolArray, Int64Array
from features.errors import ConfigError
from features.ids import Ids
from ranker.evaluation import kernels
from ranker.evaluation.runs import over_runs, run_starts


@dataclass(frozen=True)
class Hits:
    """The ranks at which the lists of some users hold relevant items.

    Hits are few, so that whatever is made of them takes no time.

    Attributes
    ----------
    indptr : int64 array [n_users + 1]
    rank : int64 array [n_hits]
        From 1. Those of user ``u`` are ``rank[indptr[u]:indptr[u + 1]]``, ascending.
    n_relevant : int64 array [n_users]
        Distinct relevant items of each user, listed or not.

    Examples
    --------
    >>> is_hit = np.array([[False, True, True], [False, False, False]])
    >>> hits = Hits.of_matrix(is_hit, np.array([2, 1]))
    >>> hits.rank, hits.n_within(2)
    (array([2, 3]), array([1, 0]))
    """

    indptr: Int64Array
    rank: Int64Array
    n_relevant: Int64Array

    @classmethod
    def of_matrix(cls, hits: BoolArray, n_relevant: Int64Array) -> Hits:
        """Read them off a matrix [n_users, depth], column 0 of which is rank 1."""
        user, place = np.nonzero(hits)
        indptr = np.append(0, np.cumsum(np.bincount(user, minlength=len(hits))))
        return cls(indptr, place + 1, n_relevant)

    def matrix(self, depth: int) -> BoolArray:
        """Whether the item at each rank is relevant [n_users, depth]."""
        hits = np.zeros((len(self.n_relevant), depth), np.bool_)
        user = np.repeat(np.arange(len(hits)), np.diff(self.indptr))
        is_within = self.rank <= depth
        hits[user[is_within], self.rank[is_within] - 1] = True
        return hits

    def n_within(self, k: int | Int64Array) -> Int64Array:
        """Hits of each user among the first k, or among as many as the user's own k [n_users]."""
        places = np.broadcast_to(np.asarray(k, np.int64), self.n_relevant.shape)
        counts: Int64Array = kernels.hits_within(self.indptr, self.rank, places)
        return counts

    def n_ideal(self, k: int) -> Int64Array:
        """Hits of a perfect list among its first k [n_users]."""
        return np.minimum(self.n_relevant, k)


def find_hits(
    recommended: pl.DataFrame, truth: pl.DataFrame, users: pl.Series, *, depth: int
) -> Hits:
    """The hits of lists within the first ``depth``; see :func:`hit_matrix` for the parameters."""
    row_of = Ids(users)
    item, listed = _as_numbers(truth["item_id"], recommended["item_id"])
    user = row_of.encode(truth["user_id"]).astype(np.int64)
    indptr, relevant = kernels.group_distinct(user, item, len(users))
    starts = run_starts(recommended["user_id"])
    row = row_of.encode(recommended["user_id"].gather(starts[:-1]))
    find = partial(kernels.find_hits, item=listed, indptr=indptr, relevant=relevant)
    found = over_runs(find, starts, row)
    hit_user, place = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rank = recommended["rank"].gather(place).cast(pl.Int64).to_numpy()
    is_within = (rank >= 1) & (rank <= depth)
    # The rows of a user need neither stand together nor be in order.
    by_user = kernels.group_distinct(hit_user[is_within], rank[is_within], len(users))
    return Hits(*by_user, np.diff(indptr))


def hit_matrix(
    recommended: pl.DataFrame, truth: pl.DataFrame, users: pl.Series, *, depth: int
) -> tuple[BoolArray, Int64Array]:
    """Turn lists and relevant items into the two arrays that every metric takes.

    Parameters
    ----------
    recommended : pl.DataFrame
        ``user_id, item_id, rank`` (integer from 1); ids of the dtype that ``truth`` has. Rows
        with a rank outside 1..depth and rows of users not in ``users`` are ignored.
    truth : pl.DataFrame
        ``user_id, item_id`` of the relevant pairs; repeated pairs count once.
    users : pl.Series
        The users of the rows of the result, each once.
    depth : int
        Columns of the result, at least 1.

    Returns
    -------
    hits : bool array, shape (len(users), depth)
    n_relevant : int64 array, shape (len(users),)
        0 for a user without a row in ``truth``; the metrics do not accept such users.

    Raises
    ------
    ConfigError
        ``depth`` is below 1 or ``users`` holds a user more than once.
    """
    if depth < 1:
        raise ConfigError(f"depth is {depth}; expected at least 1")
    if users.n_unique() != len(users):
        raise ConfigError(f"users repeats {len(users) - users.n_unique()} ids; pass each user once")
    hits = find_hits(recommended, truth, users, depth=depth)
    return hits.matrix(depth), hits.n_relevant


def _as_numbers(relevant: pl.Series, listed: pl.Series) -> list[Int64Array]:
    """Equal numbers for equal items; text is looked up once."""
    if relevant.dtype.is_integer():
        return [ids.cast(pl.Int64).to_numpy() for ids in (relevant, listed)]
    known = Ids(relevant.unique())
    return [known.encode(ids).astype(np.int64) for ids in (relevant, listed)]
