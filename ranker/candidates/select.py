"""Exact selection of the best items of many users, from tiles of scores.

No heap: a vectorised pass turns away whole groups of items that cannot be among the best, what is
left is collected as whole numbers that order like (score descending, row ascending), and the
collection is cut back whenever it is full.
"""

from __future__ import annotations

import numpy as np

from features.arrays import Float32Array, Int32Array, Int64Array
from features.kernel import kernel
from ranker.candidates.base import Retrieved

# A tile is cut into so many stripes, and the items at the same place of each are a group: its
# largest score is found for all groups side by side. A tile's width is a multiple of this.
GROUP = 4

_EMPTY = np.iinfo(np.int64).min  # below every key, so that it is sorted to the front
_LAST_ROW = 0x7FFFFFFF  # rows count down from here in a key


class BestSoFar:
    """The best items of some users while the tiles of a catalogue pass by, in order of their rows.

    Parameters
    ----------
    n_users : int
    n : int
        How many are wanted, at least one.
    n_items : int
        How many can be offered at most.
    """

    def __init__(self, n_users: int, n: int, n_items: int) -> None:
        self._n = n
        self._keys = np.full((n_users, min(2 * n, n_items) + 1), _EMPTY, np.int64)
        self._size = np.zeros(n_users, np.int64)
        self._limit = np.full(n_users, -np.inf, np.float32)

    def offer(self, users: slice, scores: Float32Array, rows: Int32Array) -> None:
        """Offer a tile of items to a run of users.

        Parameters
        ----------
        users : slice
        scores : float32 array [n_users of the run or more, width]
            NaN and -inf are never chosen. The width is a multiple of ``GROUP``.
        rows : int32 array [width]
            Item row numbers, ascending, and larger than those offered before.
        """
        limit = self._limit[users]
        _offer_tile(
            scores,
            scores.view(np.int32),
            rows,
            self._n,
            self._keys[users],
            self._size[users],
            limit,
            limit.view(np.int32),
        )

    def lists(self) -> Retrieved:
        """The best of everything offered, by score descending and then by row."""
        self._keys.sort(axis=1)
        found = Retrieved.empty(len(self._keys), self._n)
        _write_lists(self._keys, self._size, found.item, found.score.view(np.int32))
        return found


@kernel
def mask_seen(
    scores: Float32Array, position: Int32Array, first: int, indptr: Int64Array, seen: Int32Array
) -> None:
    """Make the scores of users' own items -inf.

    Parameters
    ----------
    scores : float32 array [n_users or more, width]
        Of the items at the positions from ``first``.
    position : int32 array [n_items]
        Where the score of an item stands; -1 = nowhere.
    first : int
    indptr, seen : int64 array [n_users + 1], int32 array
        The items of the users' events.
    """
    for user in range(len(indptr) - 1):
        for event in range(indptr[user], indptr[user + 1]):
            column = position[seen[event]] - first
            if 0 <= column < scores.shape[1]:
                scores[user, column] = -np.inf


@kernel
def _offer_tile(
    scores: Float32Array,
    score_bits: Int32Array,
    rows: Int32Array,
    n: int,
    keys: Int64Array,
    sizes: Int64Array,
    limit: Float32Array,
    limit_bits: Int32Array,
) -> None:
    n_groups = scores.shape[1] // GROUP
    largest = np.empty(n_groups, np.float32)
    chosen = np.empty(n_groups + 1, np.int64)
    passed = np.empty(scores.shape[1] + 1, np.int64)
    for user in range(len(sizes)):
        row, bits, kept, size = scores[user], score_bits[user], keys[user], sizes[user]
        _largest_of_groups(row, largest)
        if size == 0:
            limit_bits[user] = _first_limit(largest, n, limit_bits[user])
        bound = limit[user]
        # Without branches, which would be mispredicted: all are written, few are kept.
        n_chosen = 0
        for group in range(n_groups):
            chosen[n_chosen] = group
            n_chosen += largest[group] > bound
        n_passed = 0
        for at in range(n_chosen):
            for member in range(GROUP):
                column = member * n_groups + chosen[at]
                passed[n_passed] = column
                n_passed += row[column] > bound
        for at in range(n_passed):
            column = passed[at]
            if size == len(kept):
                size = _cut_back(kept, size, n)
                # Of equal scores a smaller row may still come in this tile, hence one less.
                limit_bits[user] = _bits((kept[:size].min() >> 32) - 1)
            if row[column] > limit[user]:
                kept[size] = (_ordered(bits[column]) << 32) | (_LAST_ROW - rows[column])
                size += 1
        kept[size:] = _EMPTY
        sizes[user] = size
        if size >= n:
            limit_bits[user] = _bits(kept[:size].min() >> 32)


@kernel
def _largest_of_groups(row: Float32Array, largest: Float32Array) -> None:
    n_groups = len(largest)
    largest[:] = -np.inf
    for member in range(GROUP):
        part = row[member * n_groups : (member + 1) * n_groups]
        for group in range(n_groups):
            # A comparison with NaN is false, which leaves it out.
            largest[group] = max(largest[group], part[group])


@kernel
def _first_limit(largest: Float32Array, n: int, limit_bits: int) -> int:
    """A score that ``n`` items exceed, since that many groups have such an item."""
    bits = largest.view(np.int32)
    values = np.empty(len(bits), np.int64)
    for at in range(len(bits)):
        values[at] = _ordered(bits[at])
    size = len(values)
    while size >= 4 * n:  # larger groups: fewer of them to look through
        half = size // 2
        for at in range(half):
            values[at] = max(values[at], values[half + at])
        size = half
    return _bits(_lower_bound(values[:size], n, _ordered(limit_bits)))


@kernel
def _cut_back(kept: Int64Array, size: int, n: int) -> int:
    """Keep the best ``n`` and a few more; returns how many."""
    bound = _lower_bound(kept[:size], n, kept[:size].min() - 1)
    n_kept = 0
    for at in range(size):
        key = kept[at]
        kept[n_kept] = key
        n_kept += key > bound
    return n_kept


@kernel
def _lower_bound(values: Int64Array, n: int, low: int) -> int:
    """A bound that at least ``n`` values exceed, and not many more; ``low`` if fewer exceed that.

    By bisection: counting is vectorised and takes no branches.
    """
    if _count_above(values, low) < n:
        return low
    high = values.max()
    while low + 1 < high:
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # half of the sum, which overflows
        count = _count_above(values, middle)
        if count < n:
            high = middle
        else:
            low = middle
            if count <= n + n // 4:
                break
    return low


@kernel
def _count_above(values: Int64Array, bound: int) -> int:
    count = 0
    for at in range(len(values)):
        count += values[at] > bound
    return count


@kernel
def _ordered(bits: int) -> int:
    """The bits of a float32 as a whole number of the same order; -0.0 as 0.0."""
    turned = bits if bits >= 0 else bits ^ 0x7FFFFFFF
    return turned + (turned == -1)


@kernel
def _bits(ordered: int) -> int:
    """Undo :func:`_ordered`; -1, where -0.0 would be, gives the number below."""
    value = ordered - (ordered == -1)
    return value if value >= 0 else value ^ 0x7FFFFFFF


@kernel
def _write_lists(
    keys: Int64Array, sizes: Int64Array, out_item: Int32Array, out_bits: Int32Array
) -> None:
    last = keys.shape[1] - 1
    for user in range(len(sizes)):
        for at in range(min(sizes[user], out_item.shape[1])):
            key = keys[user, last - at]
            out_item[user, at] = _LAST_ROW - (key & _LAST_ROW)
            out_bits[user, at] = _bits(key >> 32)
