"""How popular the candidate is, in several windows, and how it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features.arrays import Float64Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.clock import ClockKind
from features.decay import Length, spell_window, window_name, window_ticks
from features.errors import ConfigError
from features.history import History
from features.item_table import FittedItems
from features.kernel import kernel
from features.ordering import grouped


@dataclass(frozen=True)
class ItemPopularity:
    """Shares of all events and ranks by window, trends, age, repeat rate and rhythm of an item.

    Shares and ranks, not counts: those of an early and of a late snapshot mean the same.

    Parameters
    ----------
    windows : tuple of str, int or float
        Lengths of the windows, ascending: ``"20m"``, a whole number on an integer clock, or a
        float, a share of the log's length. On a clock that does not compare users there is only
        the whole log.
    """

    windows: tuple[Length, ...] = (1 / 336, 1 / 48, 1 / 12)

    def fit(self, context: Context) -> FittedItems:
        """Aggregate the log by item.

        Raises
        ------
        ConfigError
            If a window is not in the terms of the clock, or the windows do not ascend.
        """
        history = context.history
        windows = self.windows if history.clock.is_comparable else ()
        lengths = [window_ticks(history, window) for window in windows]
        labels = (*map(window_name, windows), "all")
        if any(long <= short for short, long in pairwise(lengths)):
            raise ConfigError(
                f"ItemPopularity: windows={self.windows} do not ascend in this log; give each a "
                f"longer one than the one before"
            )
        # A stable order keeps the users of an item together and their events in order of time.
        indptr, order = grouped(history.item, history.n_items)
        counts, rhythm = _aggregate(
            np.diff(indptr),
            order,
            history.user,
            history.time,
            np.array([history.as_of - length for length in lengths]),
        )
        described = _describe(history, labels, counts, rhythm)
        table = np.stack([values for *_, values in described], axis=1).astype(np.float32)
        table[counts[:, -1] == 0] = np.nan
        features = tuple(
            Feature(f"item_{name}", "item", unit, meaning) for name, unit, meaning, _ in described
        )
        return FittedItems(features, table)


@np.errstate(divide="ignore", invalid="ignore")  # what is divided by zero is unknown
def _describe(
    history: History, labels: tuple[str, ...], counts: Float64Array, rhythm: Float64Array
) -> list[tuple[str, str, str, Float64Array]]:
    """Name, unit, meaning and values by item of each column."""
    unit, tick = history.clock.unit_name, history.clock.unit
    users, returned, visits, interval, first, last = rhythm.T
    shares = counts / counts.sum(axis=0)
    # Whom a table alone knows is no matter: it knows him at the time of every snapshot.
    n_users = np.count_nonzero(history.lengths)
    described = []
    for label, count, share in zip(labels, counts.T, shares.T, strict=True):
        when = "in the whole log" if label == "all" else f"in the last {spell_window(label)}"
        rank = len(count) + 1.0 - np.searchsorted(np.sort(count), count, side="right")
        described += [
            (f"share_{label}", "share", f"share of all events {when}", share),
            (f"rank_{label}", "rank", f"rank by events {when}", np.where(count > 0, rank, np.nan)),
        ]
    for place, (short, long) in enumerate(pairwise(labels)):
        trend = shares[:, place] / shares[:, place + 1]
        described.append(
            (f"trend_{short}", "ratio", f"share of events, last {short} over {long}", trend)
        )
    described += [
        ("users", "share", "share of users with events who took it", users / n_users),
        ("repeat_rate", "share", "share of its users who came back", returned / users),
        ("visits_per_user", "count", "instants per user who took it", visits / users),
    ]
    if history.clock.kind is not ClockKind.NONE:
        described.append(
            (
                f"interval_{unit}",
                unit,
                "median over users of the time between events",
                interval / tick,
            )
        )
    if history.clock.is_comparable:
        described += [
            (f"age_{unit}", unit, "time since the first event", (history.as_of - first) / tick),
            (f"recency_{unit}", unit, "time since the last event", (history.as_of - last) / tick),
        ]
    return described


@kernel
def _aggregate(
    lengths: Int64Array,
    order: Int64Array,
    user: Int32Array,
    time: Int64Array,
    starts: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """Events by window, then: users, those who returned, visits, interval, first, last."""
    n_items, n_windows = len(lengths), len(starts)
    counts = np.zeros((n_items, n_windows + 1), np.float64)
    rhythm = np.full((n_items, 6), np.nan, np.float64)
    intervals = np.empty(max(1, lengths.max()) if n_items else 1, np.float64)
    end = 0
    for item in range(n_items):
        begin, end = end, end + lengths[item]
        users, returned, visits = 0, 0, 0
        first, last = 0, 0
        at = begin
        while at < end:
            who, since = user[order[at]], time[order[at]]
            n_instants, now = 0, since
            while at < end and user[order[at]] == who:
                if n_instants == 0 or time[order[at]] != now:
                    n_instants += 1
                now = time[order[at]]
                for window in range(n_windows):
                    counts[item, window] += now >= starts[window]
                at += 1
            if n_instants > 1:
                intervals[returned] = (now - since) / (n_instants - 1)
                returned += 1
            first = since if users == 0 else min(first, since)
            last = now if users == 0 else max(last, now)
            users += 1
            visits += n_instants
        counts[item, n_windows] = end - begin
        if end > begin:
            rhythm[item, 0] = users
            rhythm[item, 1] = returned
            rhythm[item, 2] = visits
            if returned:
                rhythm[item, 3] = np.median(intervals[:returned])
            rhythm[item, 4] = first
            rhythm[item, 5] = last
    return counts, rhythm
