"""Loops over lists, compiled. All sums run along a list in order of rank."""

from __future__ import annotations

import numpy as np

from features.arrays import BoolArray, Float64Array, Int64Array
from features.kernel import kernel


@kernel
def hits_among(hits: BoolArray, n_places: Int64Array) -> Int64Array:
    """Hits within the first ``n_places`` of each row."""
    n = np.zeros(hits.shape[0], np.int64)
    for user in range(hits.shape[0]):
        for place in range(min(n_places[user], hits.shape[1])):
            n[user] += hits[user, place]
    return n


@kernel
def reciprocal_rank(hits: BoolArray, k: int) -> Float64Array:
    """One over the rank of the first hit within k; 0 without."""
    values = np.zeros(hits.shape[0])
    for user in range(hits.shape[0]):
        for place in range(k):
            if hits[user, place]:
                values[user] = 1.0 / (place + 1)
                break
    return values


@kernel
def precision_sum(hits: BoolArray, k: int) -> Float64Array:
    """Precision at the ranks of the hits within k, added up."""
    values = np.zeros(hits.shape[0])
    for user in range(hits.shape[0]):
        n = 0
        for place in range(k):
            if hits[user, place]:
                n += 1
                values[user] += n / (place + 1)
    return values


@kernel
def discounted_sum(hits: BoolArray, discount: Float64Array, k: int) -> Float64Array:
    """What the ranks of the hits within k are worth, added up."""
    values = np.zeros(hits.shape[0])
    for user in range(hits.shape[0]):
        for place in range(k):
            if hits[user, place]:
                values[user] += discount[place]
    return values


@kernel
def ordered_pairs(hits: BoolArray, n_columns: int, k: int) -> Float64Array:
    """Pairs of a hit and a miss behind it within k; places without a column hold misses."""
    pairs = np.zeros(hits.shape[0])
    for user in range(hits.shape[0]):
        n_misses, n_hits = 0, 0
        for place in range(n_columns):
            if hits[user, place]:
                n_hits += 1
                pairs[user] -= n_misses  # those ahead of it, out of all that are added below
            else:
                n_misses += 1
        pairs[user] += n_hits * (n_misses + k - n_columns)
    return pairs


@kernel
def find_sorted(values: Int64Array, ascending: Int64Array) -> Int64Array:
    """Place of each value among distinct ascending ones, -1 where it is none of them.

    A value that repeats the one before it, as users of lists do, costs nothing.
    """
    places = np.empty(len(values), np.int64)
    last = -1
    for row in range(len(values)):
        if row == 0 or values[row] != values[row - 1]:
            last = np.searchsorted(ascending, values[row])
            if last == len(ascending) or ascending[last] != values[row]:
                last = -1
        places[row] = last
    return places


@kernel
def mark_hits(
    row: Int64Array,
    item: Int64Array,
    rank: Int64Array,
    indptr: Int64Array,
    relevant: Int64Array,
    hits: BoolArray,
) -> None:
    """Set ``hits`` where the item at a rank is among the user's ascending relevant ones."""
    depth = hits.shape[1]
    for i in range(len(row)):
        user = row[i]
        if user < 0 or rank[i] < 1 or rank[i] > depth:
            continue
        low, high = indptr[user], indptr[user + 1]
        while low < high:
            middle = (low + high) // 2
            if relevant[middle] < item[i]:
                low = middle + 1
            else:
                high = middle
        if low < indptr[user + 1] and relevant[low] == item[i]:
            hits[user, rank[i] - 1] = True


@kernel
def run_starts(values: Int64Array) -> Int64Array:
    """Where runs of equal values start, and the number of values at the end."""
    n = 0
    for i in range(len(values)):
        n += i == 0 or values[i] != values[i - 1]
    starts = np.empty(n + 1, np.int64)
    starts[n] = len(values)
    n = 0
    for i in range(len(values)):
        if i == 0 or values[i] != values[i - 1]:
            starts[n] = i
            n += 1
    return starts


@kernel
def runs_are_distinct(starts: Int64Array, item: Int64Array, rank: Int64Array) -> bool:
    """Whether in no run an item or a rank occurs twice.

    Ranks are only compared with the one before: False is also said of ranks out of order.
    """
    longest = 0
    for run in range(len(starts) - 1):
        longest = max(longest, starts[run + 1] - starts[run])
    bits = 4
    while 1 << bits < 4 * longest:
        bits += 1
    mask = (1 << bits) - 1
    # Open addressing; a place counts as free unless this run wrote it.
    place_run = np.full(1 << bits, -1, np.int64)
    place_item = np.zeros(1 << bits, np.int64)
    for run in range(len(starts) - 1):
        for i in range(starts[run], starts[run + 1]):
            if i > starts[run] and rank[i] <= rank[i - 1]:
                return False
            place = ((item[i] * 0x9E3779B97F4A7C1) >> 20) & mask
            while place_run[place] == run:
                if place_item[place] == item[i]:
                    return False
                place = (place + 1) & mask
            place_run[place], place_item[place] = run, item[i]
    return True


@kernel
def n_shared(rows: Int64Array, others: Int64Array, indptr: Int64Array, k: int) -> Int64Array:
    """How many of the first k of each list are among the user's ascending others; -1 is empty."""
    n = np.zeros(rows.shape[0], np.int64)
    for user in range(rows.shape[0]):
        own = others[indptr[user] : indptr[user + 1]]
        for place in range(min(k, rows.shape[1])):
            item = rows[user, place]
            if item >= 0:
                found = np.searchsorted(own, item)
                n[user] += found < len(own) and own[found] == item
    return n


@kernel
def group_distinct(
    group: Int64Array, value: Int64Array, n_groups: int
) -> tuple[Int64Array, Int64Array]:
    """Distinct values of each group, ascending: indptr [n_groups + 1] and the values.

    Rows of group -1 are left out.
    """
    ends = np.zeros(n_groups + 1, np.int64)
    for row in range(len(group)):
        if group[row] >= 0:
            ends[group[row] + 1] += 1
    ends = np.cumsum(ends)
    place = ends[:-1].copy()
    values = np.empty(ends[-1], np.int64)
    for row in range(len(group)):
        if group[row] >= 0:
            values[place[group[row]]] = value[row]
            place[group[row]] += 1
    indptr = np.zeros(n_groups + 1, np.int64)
    n = 0
    for g in range(n_groups):
        own = np.sort(values[ends[g] : ends[g + 1]])
        for i in range(len(own)):
            if i == 0 or own[i] != own[i - 1]:
                values[n] = own[i]
                n += 1
        indptr[g + 1] = n
    return indptr, values[:n]
