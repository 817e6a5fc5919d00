"""The outer join of what the sources propose."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from features.arrays import Float32Array, Int32Array, Int64Array
from features.candidates import Candidates
from features.history import History
from features.kernel import kernel
from ranker.candidates.base import Retrieved
from ranker.candidates.retrieval import top_of_list

REST = "rest of the catalogue"
"""Stands among the sources for the items that none of them proposes."""


def merge(retrieved: Mapping[str, Retrieved], history: History) -> Candidates:
    """One row per user and item, with the score and rank of every source that proposed it.

    Parameters
    ----------
    retrieved : mapping of source name to Retrieved
        Each for the users of ``history``, in its order.
    history : History
    """
    depth = max(found.item.shape[1] for found in retrieved.values())
    items = np.full((history.n_users, len(retrieved), depth), -1, np.int32)
    scores = np.full((history.n_users, len(retrieved), depth), np.nan, np.float32)
    for source, found in enumerate(retrieved.values()):
        items[:, source, : found.item.shape[1]] = found.item
        scores[:, source, : found.score.shape[1]] = found.score
    indptr, item, score, rank = _merge(items, scores, history.n_items)
    return Candidates(
        users=history.users,
        items=history.items,
        sources=tuple(retrieved),
        indptr=indptr,
        item=item,
        score=score,
        rank=rank,
    )


def merge_with_everything(
    retrieved: Mapping[str, Retrieved], history: History, *, exclude_seen: bool
) -> Candidates:
    """The whole catalogue for everybody, with the scores and ranks of the sources that speak.

    Parameters
    ----------
    retrieved : mapping of source name to Retrieved
    history : History
    exclude_seen : bool
        Leave out the items of the user's own events.
    """
    items = np.arange(history.n_items, dtype=np.int32)
    nothing = np.zeros(history.n_items, np.float32)
    rest = top_of_list(items, nothing, history, history.n_items, exclude_seen=exclude_seen)
    merged = merge({**retrieved, REST: rest}, history)
    return dataclasses.replace(
        merged,
        sources=tuple(retrieved),
        score=np.ascontiguousarray(merged.score[:, :-1]),
        rank=np.ascontiguousarray(merged.rank[:, :-1]),
    )


@kernel
def _merge(  # noqa: PLR0912 - one compiled kernel: count, place, fill
    items: Int32Array, scores: Float32Array, n_items: int
) -> tuple[Int64Array, Int32Array, Float32Array, Int32Array]:
    n_users, n_sources, depth = items.shape
    indptr = np.zeros(n_users + 1, np.int64)
    seen_by = np.full(n_items, -1, np.int64)
    for user in range(n_users):
        count = 0
        for source in range(n_sources):
            for at in range(depth):
                item = items[user, source, at]
                if item < 0:
                    break
                if seen_by[item] != user:
                    seen_by[item] = user
                    count += 1
        indptr[user + 1] = indptr[user] + count
    n_rows = indptr[n_users]
    out_item = np.empty(n_rows, np.int32)
    out_score = np.full((n_rows, n_sources), np.nan, np.float32)
    out_rank = np.zeros((n_rows, n_sources), np.int32)
    row_of = np.full(n_items, -1, np.int64)
    for user in range(n_users):
        first, end = indptr[user], indptr[user]
        for source in range(n_sources):
            for at in range(depth):
                item = items[user, source, at]
                if item < 0:
                    break
                if row_of[item] < first:
                    row_of[item] = first
                    out_item[end] = item
                    end += 1
        out_item[first:end].sort()
        for row in range(first, end):
            row_of[out_item[row]] = row
        for source in range(n_sources):
            for at in range(depth):
                item = items[user, source, at]
                if item < 0:
                    break
                out_score[row_of[item], source] = scores[user, source, at]
                out_rank[row_of[item], source] = at + 1
    return indptr, out_item, out_score, out_rank
