"""Users told apart by their events, so that what training found for one finds him again."""

from __future__ import annotations

import dataclasses

import numba as nb
import numpy as np
from numpy.typing import NDArray

from features.arrays import Int64Array
from features.history import History
from features.kernel import kernel
from features.lookup import mixed
from ranker.candidates.growth import Growth


def event_keys(history: History) -> NDArray[np.uint64]:
    """A hash of each user's events (items, times and weights, in order), uint64 [n_users].

    Users with the same events have the same key; two different histories share one with a chance
    of ``2**-64``.
    """
    return _keys(
        history.indptr,
        history.item.astype(np.uint64),
        history.time.astype(np.uint64),
        history.weight.view(np.uint32).astype(np.uint64),
    )


def known_keys(history: History) -> tuple[NDArray[np.uint64], Int64Array]:
    """The keys of the users with events, ascending, and the row of the first user of each."""
    has_events = np.flatnonzero(history.lengths)
    keys, first = np.unique(event_keys(history)[has_events], return_index=True)
    return keys, has_events[first]


def find_rows(history: History, keys: NDArray[np.uint64], rows: Int64Array) -> Int64Array:
    """The row of each user among those of :func:`known_keys`, int64 [n_users]; -1 for others."""
    found = np.full(history.n_users, -1, np.int64)
    if len(keys):
        own = event_keys(history)
        at = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
        is_known = (history.lengths > 0) & (keys[at] == own)
        found[is_known] = rows[at[is_known]]
    return found


def keys_after(
    growth: Growth, keys: NDArray[np.uint64], rows: Int64Array
) -> tuple[NDArray[np.uint64], Int64Array]:
    """Keys and rows of :func:`known_keys` in the item numbers of a later history.

    Users who have new events are known by them no more.
    """
    before = growth.before
    row = find_rows(before, keys, rows)
    known = np.flatnonzero(row >= 0)
    renumbered = dataclasses.replace(before, item=growth.item_row[before.item])
    own, first = np.unique(event_keys(renumbered)[known], return_index=True)
    return own, row[known][first]


@kernel
def _keys(
    indptr: Int64Array,
    item: NDArray[np.uint64],
    time: NDArray[np.uint64],
    weight: NDArray[np.uint64],
) -> NDArray[np.uint64]:
    step = nb.uint64(0x9E3779B97F4A7C15)
    keys = np.empty(len(indptr) - 1, np.uint64)
    for user in range(len(keys)):
        key = step
        for event in range(indptr[user], indptr[user + 1]):
            key = mixed((key ^ item[event]) + step)
            key = mixed((key ^ time[event]) + step)
            key = mixed((key ^ weight[event]) + step)
        keys[user] = key
    return keys
