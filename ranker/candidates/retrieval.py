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
from ranker.topk import is_worse, keep_best

# OpenBLAS rounds a score by where its row and column stand in the product. So a product only finds
# the best items and a few more; their scores are computed again, one by one, and are the same
# whoever is served alongside. What is left to rounding is which of two items with equal scores
# comes in, if they stand further behind than these.
_SPARE = 8

_BLOCK = 128
_TILE = 16_384  # items whose scores are made at a time: a block of them takes 3 MB
_RUN = 1024  # users whose lists grow side by side while a tile is in the cache


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
    wide = min(depth + _SPARE, len(item_rows))
    position = np.full(history.n_items, -1, np.int32)
    position[item_rows] = np.arange(len(item_rows), dtype=np.int32)
    for start in range(0, len(users), _RUN):
        run = users[start : start + _RUN]
        indptr, seen = _events(history, run)
        best = BestSoFar(len(run), wide, len(item_rows))
        vectors = user_vectors[run]
        for first, rows, tile in _tiles(item_vectors, item_rows):
            scores = np.empty((min(_BLOCK, len(run)), len(rows)), np.float32)
            scores[:, len(tile) :] = -np.inf
            for begin in range(0, len(run), _BLOCK):
                end = min(begin + _BLOCK, len(run))
                part = scores[: end - begin]
                # BLAS now and then leaves a flag of lanes that are nobody's; vectors are finite.
                with np.errstate(invalid="ignore"):
                    np.matmul(vectors[begin:end], tile.T, out=part[:, : len(tile)])
                if exclude_seen:
                    mask_seen(part, position, first, indptr[begin : end + 1], seen)
                best.offer(slice(begin, end), part, rows)
        _score_again(
            vectors, item_vectors, position, best.lists().item, run, depth, found.item, found.score
        )
    return found


def _events(history: History, users: Int64Array) -> tuple[Int64Array, Int32Array]:
    """Borders and items of the events of some users, one after the other."""
    lengths = history.lengths[users]
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    places = np.repeat(history.indptr[users] - indptr[:-1], lengths) + np.arange(indptr[-1])
    return indptr, history.item[places]


def _tiles(
    vectors: Float32Array, rows: Int32Array
) -> Iterator[tuple[int, Int32Array, Float32Array]]:
    """Cut the items: position of the first, row numbers [width], vectors [n, n_factors].

    Row numbers are filled up by zeros to one width, of which only the last tile has less: tiles
    depend on the catalogue alone.
    """
    n_tiles = -(-len(rows) // _TILE)
    width = -(-len(rows) // (n_tiles * GROUP)) * GROUP
    for first in range(0, len(rows), width):
        tile = vectors[first : first + width]
        tile_rows = np.zeros(width, np.int32)
        tile_rows[: len(tile)] = rows[first : first + width]
        yield first, tile_rows, tile


@kernel
def _score_again(
    vectors: Float32Array,
    item_vectors: Float32Array,
    position: Int32Array,
    item: Int32Array,
    users: Int64Array,
    depth: int,
    out_item: Int32Array,
    out_score: Float32Array,
) -> None:
    """The best of some items of each user, by inner products in double precision."""
    n_factors = vectors.shape[1]
    items = np.empty(item.shape[1], np.int32)
    scores = np.empty(item.shape[1], np.float32)
    for place in range(len(users)):
        size = 0
        for at in range(item.shape[1]):
            row = item[place, at]
            if row < 0:
                break
            other = item_vectors[position[row]]
            even, odd = 0.0, 0.0  # two sums, which do not wait for each other
            for factor in range(0, n_factors - 1, 2):
                even += np.float64(vectors[place, factor]) * other[factor]
                odd += np.float64(vectors[place, factor + 1]) * other[factor + 1]
            if n_factors % 2:
                even += np.float64(vectors[place, n_factors - 1]) * other[n_factors - 1]
            # Rounded before it is compared, so that ties are seen as such.
            score = np.float32(even + odd)
            # They come in order but for the rounding: an item hardly ever moves far.
            hole = size
            while hole > 0 and is_worse(
                float(scores[hole - 1]), items[hole - 1], float(score), row
            ):
                scores[hole], items[hole] = scores[hole - 1], items[hole - 1]
                hole -= 1
            scores[hole], items[hole] = score, row
            size += 1
        size = min(size, depth)
        out_item[users[place], :size] = items[:size]
        out_score[users[place], :size] = scores[:size]


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
        Weight of each event of ``history``; those of a user's events of one item are summed first.
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
    touched = np.empty(n_items + 1, np.int32)  # the last place is written to and never counts
    score = np.empty(n_items, np.float32)
    item_weight = np.zeros(n_items, np.float32)
    for user in range(len(indptr) - 1):
        n_touched = 0
        for event in range(indptr[user], indptr[user + 1]):
            item_weight[item[event]] += weight[event]
        for event in range(indptr[user], indptr[user + 1]):
            taken = item[event]
            if item_weight[taken] == 0.0:
                continue
            for at in range(sim_indptr[taken], sim_indptr[taken + 1]):
                other = sim_item[at]
                touched[n_touched] = other
                n_touched += not is_touched[other]  # no branch, see _nearest
                is_touched[other] = True
                total[other] += item_weight[taken] * sim_value[at]
            item_weight[taken] = 0.0  # its other events are counted already
        if exclude_seen:
            for event in range(indptr[user], indptr[user + 1]):
                total[item[event]] = 0.0
        for at in range(n_touched):
            other = touched[at]
            score[at] = total[other]
            total[other] = 0.0
            is_touched[other] = False
        keep_best(touched, score, n_touched, out_item[user], out_score[user])


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
    score = np.empty(np.diff(indptr).max() if len(indptr) > 1 else 0, np.float32)
    for user in range(len(indptr) - 1):
        first, last = indptr[user], indptr[user + 1]
        for event in range(first, last):
            total[item[event]] += weight[event]
        for event in range(first, last):
            score[event - first] = total[item[event]]
            total[item[event]] = 0.0  # so that its later events offer nothing
        keep_best(item[first:last], score, last - first, out_item[user], out_score[user])
