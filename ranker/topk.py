"""Choosing the k best, by score descending and then by row number ascending."""

from __future__ import annotations

import numpy as np

from features.arrays import Float32Array, Int32Array, Int64Array
from features.kernel import kernel


def top_rows(scores: Float32Array, indptr: Int64Array, k: int) -> tuple[Int32Array, Float32Array]:
    """The k best rows of each group.

    Parameters
    ----------
    scores : float32 array [n_rows]
        Rows that are NaN are never chosen.
    indptr : int64 array [n_groups + 1]
    k : int

    Returns
    -------
    place : int32 array [n_groups, k]
        Place of the row within its group, best first; -1 behind the last.
    score : float32 array [n_groups, k]
        NaN behind the last.

    Examples
    --------
    >>> import numpy as np
    >>> top_rows(np.array([1, 3, 3, 9], np.float32), np.array([0, 3, 4]), 2)[0]
    array([[ 1,  2],
           [ 0, -1]], dtype=int32)
    """
    n_groups = len(indptr) - 1
    place = np.full((n_groups, k), -1, np.int32)
    score = np.full((n_groups, k), np.nan, np.float32)
    _top_rows(scores, indptr, place, score)
    return place, score


@kernel
def is_worse(score_a: float, item_a: int, score_b: float, item_b: int) -> bool:
    """Tell whether a stands behind b: a lower score, or of equal ones the larger item."""
    return score_a < score_b or (score_a == score_b and item_a > item_b)


@kernel
def _sift_down(items: Int32Array, scores: Float32Array, size: int) -> None:
    """Restore the heap whose root is the worst kept item, after the root was replaced."""
    item, score = items[0], scores[0]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and is_worse(
            scores[child + 1], items[child + 1], scores[child], items[child]
        ):
            child += 1
        if not is_worse(scores[child], items[child], score, item):
            break
        items[hole], scores[hole] = items[child], scores[child]
        hole = child
    items[hole], scores[hole] = item, score


@kernel
def offer(items: Int32Array, scores: Float32Array, size: int, item: int, score: float) -> int:
    """Offer an item to a bounded heap of the best; returns its new size.

    Parameters
    ----------
    items, scores : int32 and float arrays [n]
        The heap: its first ``size`` places are taken, the root is the worst.
    size : int
    item, score
        What is offered.
    """
    if size < len(items):
        hole = size
        while hole > 0:
            parent = (hole - 1) // 2
            if not is_worse(score, item, scores[parent], items[parent]):
                break
            items[hole], scores[hole] = items[parent], scores[parent]
            hole = parent
        items[hole], scores[hole] = item, score
        return size + 1
    if size > 0 and is_worse(scores[0], items[0], score, item):
        items[0], scores[0] = item, score
        _sift_down(items, scores, size)
    return size


@kernel
def sort_best_first(items: Int32Array, scores: Float32Array, size: int) -> None:
    """Turn the heap into a list, best first: the worst goes to the end, again and again."""
    while size > 1:
        size -= 1
        item, score = items[0], scores[0]
        items[0], scores[0] = items[size], scores[size]
        items[size], scores[size] = item, score
        _sift_down(items, scores, size)


@kernel
def keep_best(
    candidates: Int32Array, values: Float32Array, n: int, items: Int32Array, scores: Float32Array
) -> int:
    """The k largest values above zero among the first n, of candidates that are distinct.

    Parameters
    ----------
    candidates : int32 array [at least n]
        Of values above zero, each once.
    values : float32 array [at least n]
    n : int
    items, scores : int32 and float32 arrays [k]
        Take the best, best first, equal ones by number; what is behind the last stays as it is.

    Returns
    -------
    n_kept : int
    """
    size = 0
    worst = np.float32(0.0)
    for at in range(n):
        # Nearly all candidates fall behind the worst that is kept: they end here, without a call.
        if values[at] >= worst and values[at] > 0.0:
            size = offer(items, scores, size, candidates[at], values[at])
            if 0 < size == len(items):
                worst = scores[0]
    sort_best_first(items, scores, size)
    return size


@kernel
def _top_rows(
    scores: Float32Array, indptr: Int64Array, out_place: Int32Array, out_score: Float32Array
) -> None:
    for group in range(len(indptr) - 1):
        # Views of a row are made once: each counts its references.
        place, score = out_place[group], out_score[group]
        size = 0
        worst = np.float32(-np.inf)
        for row in range(indptr[group], indptr[group + 1]):
            if scores[row] >= worst:  # which NaN is not
                size = offer(place, score, size, row - indptr[group], scores[row])
                if 0 < size == len(place):
                    worst = score[0]
        sort_best_first(place, score, size)
