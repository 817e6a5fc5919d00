"""Loops over lists, compiled. All sums run along a list in order of rank."""

from __future__ import annotations

import numpy as np

from features.arrays import Float64Array, Int32Array, Int64Array
from features.kernel import kernel
from features.lookup import hash_of

_BITS = 12  # a table of 4 KB
_SHORT = 32


@kernel
def hits_within(indptr: Int64Array, rank: Int64Array, n_places: Int64Array) -> Int64Array:
    """Hits within the first ``n_places`` of each list."""
    n = np.zeros(len(indptr) - 1, np.int64)
    for user in range(len(n)):
        for hit in range(indptr[user], indptr[user + 1]):
            n[user] += rank[hit] <= n_places[user]
    return n


@kernel
def reciprocal_rank(indptr: Int64Array, rank: Int64Array, k: int) -> Float64Array:
    """One over the rank of the first hit within k; 0 without."""
    values = np.zeros(len(indptr) - 1)
    for user in range(len(values)):
        first = indptr[user]
        if first < indptr[user + 1] and rank[first] <= k:
            values[user] = 1.0 / rank[first]
    return values


@kernel
def precision_sum(indptr: Int64Array, rank: Int64Array, k: int) -> Float64Array:
    """Precision at the ranks of the hits within k, added up."""
    values = np.zeros(len(indptr) - 1)
    for user in range(len(values)):
        for hit in range(indptr[user], indptr[user + 1]):
            if rank[hit] <= k:
                values[user] += (hit - indptr[user] + 1) / rank[hit]
    return values


@kernel
def discounted_sum(
    indptr: Int64Array, rank: Int64Array, discount: Float64Array, k: int
) -> Float64Array:
    """What the ranks of the hits within k are worth, added up."""
    values = np.zeros(len(indptr) - 1)
    for user in range(len(values)):
        for hit in range(indptr[user], indptr[user + 1]):
            if rank[hit] <= k:
                values[user] += discount[rank[hit] - 1]
    return values


@kernel
def misses_ahead(indptr: Int64Array, rank: Int64Array, k: int) -> Float64Array:
    """Pairs of a hit within k and a miss ahead of it."""
    pairs = np.zeros(len(indptr) - 1)
    for user in range(len(pairs)):
        for hit in range(indptr[user], indptr[user + 1]):
            if rank[hit] <= k:
                pairs[user] += rank[hit] - 1 - (hit - indptr[user])
    return pairs


@kernel
def find_hits(
    starts: Int64Array, row: Int32Array, item: Int64Array, indptr: Int64Array, relevant: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Users, and the places of those items that are among the user's ascending relevant ones.

    ``row`` is the user of each run of items, -1 for one that does not matter.
    """
    n = 0
    users = np.empty(starts[-1] - starts[0], np.int64)
    places = np.empty(len(users), np.int64)
    is_hash = np.zeros(1 << _BITS, np.bool_)
    for run in range(len(row)):
        user = row[run]
        if user < 0:
            continue
        own = relevant[indptr[user] : indptr[user + 1]]
        # The hashes of relevant items rule out nearly all of the others, without a branch that
        # the processor could foresee wrongly. For a few items they are not worth their making.
        is_many = 4 * (starts[run + 1] - starts[run]) > len(own)
        if is_many:
            for one in own:
                is_hash[hash_of(one, _BITS)] = True
        end = n
        for place in range(starts[run], starts[run + 1]):
            places[end] = place
            end += not is_many or is_hash[hash_of(item[place], _BITS)]
        if is_many:
            for one in own:
                is_hash[hash_of(one, _BITS)] = False
        for place in places[n:end]:
            found = np.searchsorted(own, item[place])
            if found < len(own) and own[found] == item[place]:
                users[n], places[n] = user, place
                n += 1
    return users[:n].copy(), places[:n].copy()


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
            place = hash_of(item[i], bits)
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
        own = values[ends[g] : ends[g + 1]]
        if len(own) > _SHORT:
            own.sort()
        else:
            insertion_sort(own)
        for i in range(len(own)):
            if i == 0 or own[i] != own[i - 1]:
                values[n] = own[i]
                n += 1
        indptr[g + 1] = n
    return indptr, values[:n]


@kernel
def insertion_sort(values: Int64Array) -> None:
    """Sort a few values where they are, which the general way takes three times as long for."""
    for i in range(1, len(values)):
        value, place = values[i], i
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value
