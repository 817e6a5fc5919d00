"""Users' events as sequences of bounded length: what networks over histories read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.arrays import AnyArray, Int32Array, Int64Array
from features.history import History

N_GAPS = 40  # classes of time between two events, by powers of two


@dataclass(frozen=True)
class Sequences:
    """Runs of events of one user each, left-aligned.

    Attributes
    ----------
    item : int64 array [n_sequences, length]
        Item row numbers; 0 behind the last event.
    gap : int64 array [n_sequences, length]
        Class of the time since the event before: 0 = the first or the same instant.
    size : int64 array [n_sequences]
        Number of events.
    user : int64 array [n_sequences]
        Row number of the user in the history.
    """

    item: Int64Array
    gap: Int64Array
    size: Int64Array
    user: Int64Array


def read(
    history: History, user: Int64Array, start: Int64Array, stop: Int64Array, length: int
) -> Sequences:
    """The events ``start:stop`` (at most ``length``) of each user.

    Parameters
    ----------
    history : History
    user, start, stop : int64 arrays [n_sequences]
        Places in the event arrays of ``history``.
    length : int
        Width of the arrays that are returned.
    """
    at = start[:, None] + np.arange(length)
    is_event = at < stop[:, None]
    at = np.where(is_event, at, 0)
    item = np.where(is_event, history.item[at], 0) if history.n_events else np.zeros_like(at)
    has_before = is_event & (at > history.indptr[user][:, None])
    gap = np.zeros_like(at)
    if history.n_events:
        elapsed = history.time[at] - history.time[np.maximum(at - 1, 0)]
        classes = np.minimum(np.ceil(np.log2(np.maximum(elapsed, 0) + 1.0)), N_GAPS - 1)
        gap = np.where(has_before, classes, 0).astype(np.int64)
    return Sequences(item.astype(np.int64), gap, stop - start, user)


def latest(history: History, length: int) -> tuple[Int64Array, Int64Array]:
    """First and end places of each user's last ``length`` events, int64 [n_users]."""
    stop = history.indptr[1:]
    return np.maximum(history.indptr[:-1], stop - length), stop


@dataclass(frozen=True)
class NextItem:
    """Examples for learning what comes next: sequences and what followed each of their events.

    Parameters
    ----------
    history : History
    length : int
        Inputs of a sequence; a longer history is cut into several.
    held_out : bool array [n_users]
        Users whose last event is not learned from.
    """

    history: History
    length: int
    held_out: AnyArray

    def batches(
        self, rng: np.random.Generator, batch_size: int
    ) -> Iterator[tuple[Sequences, Int64Array]]:
        """Sequences of similar size, and their targets, int64 [n_sequences, length].

        All batches have about as many targets: ``batch_size`` or fewer, and what is left of the
        last sequence. Cut by the number of sequences, each step would be as large as these are;
        and since it learns from the mean of its targets, one of a short history would count many
        times one of a long history. Events of one instant have no order of their own: each epoch
        draws one.
        """
        history = self._shuffled(rng)
        user, start, stop = self._windows()
        # Of similar size, and yet in random company: the padding costs more than the order gives.
        size = stop - start
        order = np.lexsort((rng.random(len(user)), size))
        n_before = np.cumsum(size[order]) - size[order]
        n_batches = -(-size.sum() // batch_size)
        batch = n_before * n_batches // max(size.sum(), 1)
        groups = np.split(order, np.unique(batch, return_index=True)[1])[1:]
        for group in rng.permutation(len(groups)):
            rows = groups[group]
            width = int(size[rows].max())
            inputs = read(history, user[rows], start[rows], stop[rows], width)
            targets = read(history, user[rows], start[rows] + 1, stop[rows] + 1, width)
            yield inputs, targets.item

    def held_out_examples(self) -> tuple[Sequences, Int64Array]:
        """The histories of the users held out without their last event, and that event's item."""
        user = np.flatnonzero(self.held_out)
        last = self.history.indptr[user + 1] - 1
        start = np.maximum(self.history.indptr[user], last - self.length)
        sequences = read(self.history, user, start, last, self.length)
        return sequences, self.history.item[last].astype(np.int64)

    def target_counts(self) -> Int64Array:
        """How often each item is a target, int64 [n_items]."""
        is_target = np.ones(self.history.n_events, bool)
        is_target[self.history.indptr[:-1][self.history.lengths > 0]] = False
        is_target[self.history.indptr[1:][self.held_out] - 1] = False
        return np.bincount(self.history.item[is_target], minlength=self.history.n_items)

    def _shuffled(self, rng: np.random.Generator) -> History:
        history = self.history
        order = np.lexsort((rng.random(history.n_events), history.time, history.user))
        # An event held out stays the last.
        last = history.indptr[1:][self.held_out] - 1
        if len(last):
            place = np.empty(len(order), np.int64)
            place[order] = np.arange(len(order))
            there, here = order[last].copy(), place[last]
            order[here], order[last] = there, last
        item: Int32Array = history.item[order]
        return dataclasses.replace(history, item=item)

    def _windows(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """User, first input and end of the inputs of each sequence; the target comes behind."""
        first = self.history.indptr[:-1]
        n_inputs = np.maximum(self.history.lengths - 1 - self.held_out, 0)
        n_windows = -(-n_inputs // self.length)
        user = np.repeat(np.arange(len(first)), n_windows)
        number = np.arange(len(user)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
        # Cut from the end, so that the latest sequence is whole.
        stop = (first + n_inputs)[user] - number * self.length
        return user, np.maximum(stop - self.length, first[user]), stop
