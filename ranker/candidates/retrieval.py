"""Exact top-n lists; the kernels take runs of users and release the GIL.

Threads work on different users, so that results cannot depend on their number. Everywhere the
order is by score descending and then by item row number ascending.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from features.arrays import Float32Array, Int32Array, Int64Array
from features.history import History
from features.kernel import kernel
from ranker.candidates.approximate import ItemGraph
from ranker.candidates.base import Retrieved
from ranker.candidates.select import GROUP, BestSoFar, mask_seen
from ranker.topk import offer, sort_best_first

# OpenBLAS multiplies a single row by another routine than several, with other rounding. Blocks of
# one fixed height make a user's scores independent of who is served along with him.
_BLOCK = 128

_TILE = 16_384  # items whose scores are made at a time: a block of them takes 8 MB
_RUN = 1024  # users who share the copy of a tile


def top_by_vectors(
    user_vectors: Float32Array,
    item_vectors: Float32Array,
    item_rows: Int32Array,
    history: History,
    n: int,
    *,
    exclude_seen: bool,
    graph: ItemGraph | None = None,
    users: Int64Array | None = None,
) -> Retrieved:
    """The ``n`` items with the largest inner product, for each user with any event.

    Parameters
    ----------
    user_vectors : float32 array [n_users, n_factors]
    item_vectors : float32 array [n_vectors, n_factors]
    item_rows : int32 array [n_vectors]
        The item row number of each vector, ascending.
    history : History
    n : int
    exclude_seen : bool
    graph : ItemGraph, optional
        Of the item vectors, to search approximately.
    users : int64 array, optional
        Rows of the users to serve, ascending. Default: those with events.
    """
    found = Retrieved.empty(history.n_users, n)
    depth = min(n, len(item_rows))
    users = np.flatnonzero(history.lengths) if users is None else users
    if not depth:
        return found
    if graph is not None:
        users = graph.search(
            *(user_vectors, item_vectors, item_rows),
            *(history, users, found),
            exclude_seen=exclude_seen,
        )
    position = np.full(history.n_items, -1, np.int32)
    position[item_rows] = np.arange(len(item_rows), dtype=np.int32)
    for start in range(0, len(users), _RUN):
        run = users[start : start + _RUN]
        indptr, seen = _events(history, run)
        best = BestSoFar(len(run), depth, len(item_rows))
        blocks = _blocks(user_vectors[run])
        for first, rows, tile in _tiles(item_vectors, item_rows):
            scores = np.empty((_BLOCK, len(rows)), np.float32)
            for number, block in enumerate(blocks):
                np.matmul(block, tile, out=scores)
                scores[:, len(item_rows) - first :] = -np.inf
                begin, end = number * _BLOCK, min((number + 1) * _BLOCK, len(run))
                if exclude_seen:
                    mask_seen(scores, position, first, indptr[begin : end + 1], seen)
                best.offer(slice(begin, end), scores, rows)
        lists = best.lists()
        found.item[run, :depth], found.score[run, :depth] = lists.item, lists.score
    return found


def _events(history: History, users: Int64Array) -> tuple[Int64Array, Int32Array]:
    """Borders and items of the events of some users, one after the other."""
    lengths = history.lengths[users]
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    places = np.repeat(history.indptr[users] - indptr[:-1], lengths) + np.arange(indptr[-1])
    return indptr, history.item[places]


def _blocks(vectors: Float32Array) -> Float32Array:
    """Users' vectors in blocks of one height, [n_blocks, _BLOCK, n_factors], zeros at the end."""
    n_blocks = -(-len(vectors) // _BLOCK)
    blocks = np.zeros((n_blocks, _BLOCK, vectors.shape[1]), np.float32)
    blocks.reshape(-1, vectors.shape[1])[: len(vectors)] = vectors
    return blocks


def _tiles(
    vectors: Float32Array, rows: Int32Array
) -> Iterator[tuple[int, Int32Array, Float32Array]]:
    """Cut the items: position of the first, row numbers [width], vectors [n_factors, width].

    Tiles are of one width, filled up by zeros: they depend on the catalogue alone, and so does
    the rounding of the scores.
    """
    n_tiles = -(-len(rows) // _TILE)
    width = -(-len(rows) // (n_tiles * GROUP)) * GROUP
    for first in range(0, len(rows), width):
        n = min(width, len(rows) - first)
        tile_rows = np.zeros(width, np.int32)
        tile_rows[:n] = rows[first : first + n]
        tile = np.zeros((vectors.shape[1], width), np.float32)
        for start in range(0, n, 64):  # in pieces that stay in the cache
            piece = vectors[first + start : first + min(start + 64, n)]
            tile[:, start : start + len(piece)] = piece.T
        yield first, tile_rows, tile


def top_by_similarity(
    similarity: sparse.csr_matrix,
    event_weights: Float32Array,
    history: History,
    n: int,
    *,
    exclude_seen: bool,
) -> Retrieved:
    """The ``n`` items with the largest weighted sum of similarities to the user's events.

    Parameters
    ----------
    similarity : CSR float32 [n_items, n_items]
        Row = the item of an event, column = the item proposed.
    event_weights : float32 array [n_events]
        Weight of each event of ``history``; an event of weight zero is passed over.
    history : History
    n : int
    exclude_seen : bool
    """
    found = Retrieved.empty(history.n_users, n)
    _top_of_sums(
        similarity.indptr.astype(np.int64, copy=False),
        similarity.indices,
        similarity.data,
        history.n_items,
        history.indptr,
        history.item,
        event_weights,
        exclude_seen,
        found.item,
        found.score,
    )
    return found


def top_of_list(
    ordered: Int32Array, scores: Float32Array, history: History, n: int, *, exclude_seen: bool
) -> Retrieved:
    """The first ``n`` of one list for everybody, each user's own items left out on request.

    Parameters
    ----------
    ordered : int32 array [n_listed]
        Item row numbers, best first.
    scores : float32 array [n_listed]
    """
    found = Retrieved.empty(history.n_users, n)
    _walk_list(
        ordered,
        scores,
        history.n_items,
        history.indptr,
        history.item,
        exclude_seen,
        found.item,
        found.score,
    )
    return found


def top_of_own(event_weights: Float32Array, history: History, n: int) -> Retrieved:
    """The user's own items by the sum of their events' weights."""
    found = Retrieved.empty(history.n_users, n)
    _top_of_own_events(
        history.n_items, history.indptr, history.item, event_weights, found.item, found.score
    )
    return found


@kernel
def _top_of_sums(
    sim_indptr: Int64Array,
    sim_item: Int32Array,
    sim_value: Float32Array,
    n_items: int,
    indptr: Int64Array,
    item: Int32Array,
    weight: Float32Array,
    exclude_seen: bool,
    out_item: Int32Array,
    out_score: Float32Array,
) -> None:
    total = np.zeros(n_items, np.float32)
    is_touched = np.zeros(n_items, np.bool_)
    touched = np.empty(n_items, np.int32)
    for user in range(len(indptr) - 1):
        n_touched = 0
        for event in range(indptr[user], indptr[user + 1]):
            if weight[event] == 0.0:
                continue
            for at in range(sim_indptr[item[event]], sim_indptr[item[event] + 1]):
                other = sim_item[at]
                if not is_touched[other]:
                    is_touched[other] = True
                    touched[n_touched] = other
                    n_touched += 1
                total[other] += weight[event] * sim_value[at]
        if exclude_seen:
            for event in range(indptr[user], indptr[user + 1]):
                total[item[event]] = 0.0
        size = 0
        for at in range(n_touched):
            other = touched[at]
            if total[other] > 0.0:
                size = offer(out_item[user], out_score[user], size, other, total[other])
            total[other] = 0.0
            is_touched[other] = False
        sort_best_first(out_item[user], out_score[user], size)


@kernel
def _walk_list(
    ordered: Int32Array,
    scores: Float32Array,
    n_items: int,
    indptr: Int64Array,
    item: Int32Array,
    exclude_seen: bool,
    out_item: Int32Array,
    out_score: Float32Array,
) -> None:
    seen_by = np.full(n_items, -1, np.int64)
    for user in range(len(indptr) - 1):
        if exclude_seen:
            for event in range(indptr[user], indptr[user + 1]):
                seen_by[item[event]] = user
        size = 0
        for at in range(len(ordered)):
            if size == out_item.shape[1]:
                break
            if seen_by[ordered[at]] != user:
                out_item[user, size] = ordered[at]
                out_score[user, size] = scores[at]
                size += 1


@kernel
def _top_of_own_events(
    n_items: int,
    indptr: Int64Array,
    item: Int32Array,
    weight: Float32Array,
    out_item: Int32Array,
    out_score: Float32Array,
) -> None:
    total = np.zeros(n_items, np.float32)
    for user in range(len(indptr) - 1):
        for event in range(indptr[user], indptr[user + 1]):
            total[item[event]] += weight[event]
        size = 0
        for event in range(indptr[user], indptr[user + 1]):
            if total[item[event]] > 0.0:
                size = offer(out_item[user], out_score[user], size, item[event], total[item[event]])
            total[item[event]] = 0.0
        sort_best_first(out_item[user], out_score[user], size)
