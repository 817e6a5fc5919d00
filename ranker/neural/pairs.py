"""Pairs of a user and an item to learn from, those held out, and items that were not taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from features.arrays import BoolArray, Float32Array, Int32Array, Int64Array
from features.clock import ClockKind
from features.history import History
from features.kernel import kernel
from ranker.neural.training import shuffled
from ranker.neural.validation import total_gain

_MAX_HELD_OUT = 2_000
_HELD_OUT_SHARE = 0.05
_MIN_EVENTS = 3  # of a user of whom one is held out
_BLOCK = 128


class PairBatch(NamedTuple):
    """Events and, for each, items that the user never took.

    Attributes
    ----------
    user, item : int64 array [n]
        Rows of users, places of items.
    target : float32 array [n]
    negative : int64 array [n, n_negatives]
        Places of items.
    """

    user: Int64Array
    item: Int64Array
    target: Float32Array
    negative: Int64Array


class Pairs:
    """The events of a history as pairs.

    Parameters
    ----------
    history : History
    item_rows : int32 array [n_places]
        Rows of the items that can be proposed, ascending; pairs name items by their places there.
    seed : int
        Draws who is held out: the last event (on a log without times, any) of at most 2,000
        users, who have three events or more, and at most a twentieth of all events.

    Attributes
    ----------
    user, item : int64 array [n_events]
    target : float32 array [n_events]
        The weights.
    held_out : bool array [n_events]
    is_explicit : bool
        The weights differ: they are ratings.
    """

    def __init__(self, history: History, item_rows: Int32Array, seed: int) -> None:
        self.n_places = len(item_rows)
        self.user = history.user.astype(np.int64)
        self.item = np.searchsorted(item_rows, history.item).astype(np.int64)
        self.target = history.weight
        self.held_out = _held_out(history, np.random.default_rng([seed, 0]))
        self.is_explicit = bool(len(self.target)) and bool((self.target != self.target[0]).any())
        keys = np.unique(self.user * self.n_places + self.item)
        self._seen_indptr = np.searchsorted(keys, np.arange(history.n_users + 1) * self.n_places)
        self._seen_item = keys % max(self.n_places, 1)

    @property
    def n_seen(self) -> Int64Array:
        """Number of distinct items of each user, int64 [n_users]."""
        return np.diff(self._seen_indptr)

    def batches(self, rng: np.random.Generator, size: int, n_negatives: int) -> Iterator[PairBatch]:
        """One epoch of the pairs that are not held out, in random order."""
        events = np.flatnonzero(~self.held_out)
        for part in shuffled(len(events), size, rng):
            rows = events[part]
            user = self.user[rows]
            negative = self.draw(user, n_negatives, rng)
            yield PairBatch(user, self.item[rows], self.target[rows], negative)

    def draw(self, user: Int64Array, n: int, rng: np.random.Generator) -> Int64Array:
        """Places of ``n`` items for each user, drawn uniformly from those without his events.

        For a user with all items: from all.
        """
        n_unseen = self.n_places - self.n_seen[user]
        size = np.where(n_unseen > 0, n_unseen, self.n_places)[:, None]
        drawn = (rng.random((len(user), n)) * size).astype(np.int64)
        _to_unseen(user, n_unseen > 0, self._seen_indptr, self._seen_item, drawn)
        return drawn

    def ndcg(self, scores: Callable[[Int64Array], Float32Array], max_users: int) -> float:
        """NDCG of the events held out, among the items that the user did not take otherwise.

        Parameters
        ----------
        scores : callable
            Rows of users, int64 [n], to the scores of all places, float32 [n, n_places].
        max_users : int
        """
        events = np.flatnonzero(self.held_out)[:max_users]
        total = 0.0
        for at in range(0, len(events), _BLOCK):
            part = events[at : at + _BLOCK]
            user, wanted = self.user[part], self.item[part]
            size = self.n_seen[user]
            first = np.repeat(self._seen_indptr[user] - np.cumsum(size) + size, size)
            seen = self._seen_item[first + np.arange(size.sum())]
            total += total_gain(scores(user), wanted, np.repeat(np.arange(len(part)), size), seen)
        return total / max(len(events), 1)


def _held_out(history: History, rng: np.random.Generator) -> BoolArray:
    can = np.flatnonzero(history.lengths >= _MIN_EVENTS)
    n = min(len(can), _MAX_HELD_OUT, int(_HELD_OUT_SHARE * history.n_events))
    users = rng.choice(can, n, replace=False)
    event = history.indptr[users + 1] - 1
    if history.clock.kind is ClockKind.NONE:
        event = history.indptr[users] + rng.integers(0, history.lengths[users])
    held_out = np.zeros(history.n_events, bool)
    held_out[event] = True
    return held_out


@kernel
def _to_unseen(
    user: Int64Array,
    has_unseen: BoolArray,
    indptr: Int64Array,
    items: Int64Array,
    drawn: Int64Array,
) -> None:
    """Turn numbers among the unseen items into places: ``r`` is behind all seen ones up to it."""
    for row in range(len(user)):
        if not has_unseen[row]:
            continue
        start = indptr[user[row]]
        for column in range(drawn.shape[1]):
            low, high = start, indptr[user[row] + 1]
            while low < high:
                middle = (low + high) // 2
                if items[middle] - (middle - start) <= drawn[row, column]:
                    low = middle + 1
                else:
                    high = middle
            drawn[row, column] += low - start
