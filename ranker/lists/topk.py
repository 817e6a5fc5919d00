"""The final list of each user: the best candidates, then the popular list up to exactly k."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from features.candidates import Candidates
from features.history import History
from features.kernel import kernel
from ranker.topk import top_rows


@dataclass(frozen=True)
class Lists:
    """Final lists, one row a user.

    Attributes
    ----------
    item : int32 array [n_users, k]
        Item row numbers, best first; -1 where the catalogue had nothing more to offer.
    score : float32 array [n_users, k]
        NaN for items that were filled in from the popular list.
    propensity : float64 array [n_users, k], optional
        Probability with which each item was put at its place, where there was any chance.
    """

    item: Int32Array
    score: Float32Array
    propensity: Float64Array | None = None


def make_lists(
    candidates: Candidates,
    scores: Float32Array,
    history: History,
    fill: Int32Array,
    k: int,
    *,
    exclude_seen: bool,
) -> Lists:
    """Choose the k best candidates of each user and fill short lists up.

    Parameters
    ----------
    candidates : Candidates
    scores : float32 array [n_rows]
        Rows that are NaN are left out.
    history : History
        Of the same users.
    fill : int32 array [n_fill]
        Item row numbers, most popular first: what short lists are filled up with.
    k : int
    exclude_seen : bool
        Fill in nothing that the user took before (candidates are taken as they are).
    """
    place, score = top_rows(scores, candidates.indptr, k)
    item = np.full(place.shape, -1, np.int32)
    chosen = place >= 0
    item[chosen] = candidates.item[(candidates.indptr[:-1, None] + place)[chosen]]
    _fill_up(item, fill, history.n_items, history.indptr, history.item, exclude_seen)
    return Lists(item, score)


def lists_frame(lists: Lists, history: History) -> pl.DataFrame:
    """Lists with ids: user_id, item_id, rank (Int64, 1 = best), score (Float32), propensity?."""
    user, place = np.nonzero(lists.item >= 0)
    frame = pl.DataFrame(
        {
            "user_id": history.users.decode(user),
            "item_id": history.items.decode(lists.item[user, place]),
            "rank": place + 1,
            "score": pl.Series(lists.score[user, place], nan_to_null=True),
        }
    )
    if lists.propensity is None:
        return frame
    return frame.with_columns(pl.Series("propensity", lists.propensity[user, place]))


@kernel
def _fill_up(
    item: Int32Array,
    fill: Int32Array,
    n_items: int,
    indptr: Int64Array,
    seen: Int32Array,
    exclude_seen: bool,
) -> None:
    taken_by = np.full(n_items, -1, np.int64)
    for user in range(len(item)):
        size = 0
        while size < item.shape[1] and item[user, size] >= 0:
            taken_by[item[user, size]] = user
            size += 1
        if size == item.shape[1]:
            continue
        if exclude_seen:
            for event in range(indptr[user], indptr[user + 1]):
                taken_by[seen[event]] = user
        for at in range(len(fill)):
            if size == item.shape[1]:
                break
            if taken_by[fill[at]] != user:
                item[user, size] = fill[at]
                size += 1
