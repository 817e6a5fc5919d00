"""How much, how regularly and how widely the user takes things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.clock import ClockKind
from features.gather import gather
from features.history import History
from features.kernel import kernel


@dataclass(frozen=True)
class UserActivity:
    """Size, rhythm and breadth of the user's history."""

    def fit(self, context: Context) -> FittedUserActivity:
        """Take the popularity of the items; users are aggregated when they are served."""
        history = context.history
        counts = np.bincount(history.item, minlength=history.n_items)
        rank = np.full(history.n_items, np.nan, np.float32)
        order = np.lexsort((np.arange(history.n_items), -counts))
        # What a table alone knows is no matter: it knows it at the time of every snapshot.
        rank[order] = np.arange(history.n_items) / max(int((counts > 0).sum()), 1)
        has_time = history.clock.kind is not ClockKind.NONE
        return FittedUserActivity(rank, has_time, history.clock.unit_name)


@dataclass(frozen=True)
class FittedUserActivity:
    """The block at an instant."""

    item_rank: Float32Array
    has_time: bool
    unit_name: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """Breadth, then rhythm if there are timestamps."""
        unit = self.unit_name
        breadth = (
            ("events", "count", "events of the user"),
            ("items", "count", "distinct items of the user"),
            ("repeat_share", "share", "share of the user's events with an item taken before"),
            ("item_rank", "rank", "mean popularity rank of the user's items, 0 = most popular"),
        )
        rhythm = (
            ("visits", "count", "instants (baskets, sessions) of the user"),
            (f"tenure_{unit}", unit, "time since the user's first event"),
            (f"recency_{unit}", unit, "time since the user's last event"),
            (f"interval_{unit}", unit, "mean time between the user's instants"),
        )
        return tuple(
            Feature(f"user_{name}", "user", unit, meaning)
            for name, unit, meaning in breadth + (rhythm if self.has_time else ())
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        table = np.empty((history.n_users, len(self.features)), np.float32)
        _aggregate(
            self.item_rank,
            history.indptr,
            history.item,
            history.time,
            history.now,
            history.clock.unit,
            self.has_time,
            table,
        )
        gather(table, candidates.user, out)


@kernel
def _aggregate(
    item_rank: Float32Array,
    indptr: Int64Array,
    item: Int32Array,
    time: Int64Array,
    now: Int64Array,
    unit: int,
    has_time: bool,
    table: Float32Array,
) -> None:
    last_user = np.full(len(item_rank), -1, np.int32)  # of whom an item was seen last
    for user in range(len(indptr) - 1):
        start, stop = indptr[user], indptr[user + 1]
        if start == stop:  # no events are zero events; the rest is unknown
            table[user] = np.nan
            table[user, 0] = 0.0
            table[user, 1] = 0.0
            continue
        n_items, n_visits, total = 0, 1, 0.0
        for at in range(start, stop):
            if last_user[item[at]] != user:
                last_user[item[at]] = user
                n_items += 1
            if at > start and time[at] != time[at - 1]:
                n_visits += 1
            total += item_rank[item[at]]
        n_events = stop - start
        table[user, 0] = n_events
        table[user, 1] = n_items
        table[user, 2] = 1.0 - n_items / n_events
        table[user, 3] = total / n_events
        if has_time:
            first, last = time[start], time[stop - 1]
            table[user, 4] = n_visits
            table[user, 5] = (now[user] - first) / unit
            table[user, 6] = (now[user] - last) / unit
            table[user, 7] = (last - first) / unit / (n_visits - 1) if n_visits > 1 else np.nan
