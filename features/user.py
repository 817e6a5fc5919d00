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
        rank[order] = np.arange(history.n_items) / max(history.n_items, 1)
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
        table = np.full((history.n_users, len(self.features)), np.nan, np.float32)
        _describe_users(
            history.n_items,
            history.indptr,
            history.item,
            history.time,
            history.now,
            self.item_rank,
            history.clock.unit,
            self.has_time,
            table,
        )
        gather(table, candidates.user, out)


@kernel
def _describe_users(
    n_items: int,
    indptr: Int64Array,
    item: Int32Array,
    time: Int64Array,
    now: Int64Array,
    item_rank: Float32Array,
    unit: int,
    has_time: bool,
    out: Float32Array,
) -> None:
    seen_by = np.full(n_items, -1, np.int64)
    for user in range(len(indptr) - 1):
        start, stop = indptr[user], indptr[user + 1]
        # No events are zero events; the rest is unknown.
        out[user, 0] = stop - start
        out[user, 1] = 0
        if start == stop:
            continue
        distinct, visits, rank = 0, 0, 0.0
        for at in range(start, stop):
            if seen_by[item[at]] != user:
                seen_by[item[at]] = user
                distinct += 1
            if at == start or time[at] != time[at - 1]:
                visits += 1
            rank += item_rank[item[at]]
        out[user, 1] = distinct
        out[user, 2] = 1.0 - distinct / (stop - start)
        out[user, 3] = rank / (stop - start)
        if has_time:
            first, last = time[start], time[stop - 1]
            out[user, 4] = visits
            out[user, 5] = (now[user] - first) / unit
            out[user, 6] = (now[user] - last) / unit
            if visits > 1:
                out[user, 7] = (last - first) / unit / (visits - 1)
