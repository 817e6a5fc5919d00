"""The user's own events with the candidate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array, Int16Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.clock import ClockKind
from features.decay import decay_weights, length_ticks
from features.history import History
from features.kernel import kernel


@dataclass(frozen=True)
class UserItemHistory:
    """How often, how long ago and how regularly the user took the item.

    Parameters
    ----------
    slow, fast : float
        Half-lives of the two decayed counts, as shares of the log's length.
    """

    slow: float = 1 / 6
    fast: float = 1 / 24

    def fit(self, context: Context) -> FittedUserItemHistory:
        """Settle the half-lives and the event names."""
        history = context.history
        names = history.facts.event_names
        return FittedUserItemHistory(
            slow_ticks=length_ticks(history, self.slow),
            fast_ticks=length_ticks(history, self.fast),
            has_time=history.clock.kind is not ClockKind.NONE,
            unit_name=history.clock.unit_name,
            event_names=names if len(names) > 1 else (),
        )


@dataclass(frozen=True)
class FittedUserItemHistory:
    """The block at an instant."""

    slow_ticks: float
    fast_ticks: float
    has_time: bool
    unit_name: str
    event_names: tuple[str, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Counts, then times (if there are timestamps), then counts by event."""
        unit = self.unit_name

        def feature(name: str, unit: str, meaning: str) -> Feature:
            return Feature(f"history_{name}", "history", unit, meaning)

        counts = (
            feature("count", "count", "events of the user with the item"),
            feature("share", "share", "share of the item in the user's events"),
        )
        times = (
            feature("slow_count", "count", "events with the item, old ones fading slowly"),
            feature("slow_share", "share", "slow count over that of all items"),
            feature("fast_count", "count", "events with the item, old ones fading fast"),
            feature("fast_share", "share", "fast count over that of all items"),
            feature(f"recency_{unit}", unit, "time since the last event with the item"),
            feature(f"first_{unit}", unit, "time since the first event with the item"),
            feature(f"interval_{unit}", unit, "mean time between events with the item"),
            feature("due_ratio", "ratio", "time since the last event over the mean interval"),
            feature("visits", "count", "instants (baskets, sessions) with the item"),
            feature("visits_since", "count", "the user's instants after the last with the item"),
            feature("visit_rate", "share", "share of the user's instants, from the first with it"),
        )
        by_event = tuple(
            feature(
                # "slow" and "fast" are counts of all events already.
                f"event_{name}_count" if name in ("slow", "fast") else f"{name}_count",
                "count",
                f"events named {name!r} with the item",
            )
            for name in self.event_names
        )
        return counts + (times if self.has_time else ()) + by_event

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        slow = decay_weights(history, self.slow_ticks)
        fast = decay_weights(history, self.fast_ticks)
        _fill_history(
            history.n_items,
            history.indptr,
            history.item,
            history.time,
            history.event,
            history.now,
            slow,
            fast,
            history.clock.unit,
            self.has_time,
            len(self.event_names),
            candidates.indptr,
            candidates.item,
            out,
        )


@kernel
def _fill_history(  # noqa: PLR0912, PLR0915 - one compiled pass over a user's events
    n_items: int,
    indptr: Int64Array,
    item: Int32Array,
    time: Int64Array,
    event: Int16Array,
    now: Int64Array,
    slow: Float32Array,
    fast: Float32Array,
    unit: int,
    has_time: bool,
    n_names: int,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    n_users = len(indptr) - 1
    longest = 1
    for user in range(n_users):
        longest = max(longest, indptr[user + 1] - indptr[user])
    slot_of = np.full(n_items, -1, np.int32)  # where an item's sums stand
    count = np.zeros(longest, np.int64)
    slow_sum = np.zeros(longest, np.float64)
    fast_sum = np.zeros(longest, np.float64)
    first = np.zeros(longest, np.int64)
    last = np.zeros(longest, np.int64)
    first_visit = np.zeros(longest, np.int64)
    last_visit = np.zeros(longest, np.int64)
    visits = np.zeros(longest, np.int64)
    by_name = np.zeros((longest, n_names), np.int64)
    for user in range(n_users):
        start, stop = indptr[user], indptr[user + 1]
        n_slots = 0
        visit = 0
        all_slow, all_fast = 0.0, 0.0
        for at in range(start, stop):
            if at > start and time[at] != time[at - 1]:
                visit += 1
            slot = slot_of[item[at]]
            if slot < 0:
                slot = n_slots
                n_slots += 1
                slot_of[item[at]] = slot
                count[slot], slow_sum[slot], fast_sum[slot], visits[slot] = 0, 0.0, 0.0, 0
                by_name[slot] = 0
                first[slot], first_visit[slot], last_visit[slot] = time[at], visit, -1
            count[slot] += 1
            slow_sum[slot] += slow[at]
            fast_sum[slot] += fast[at]
            all_slow += slow[at]
            all_fast += fast[at]
            last[slot] = time[at]
            if last_visit[slot] != visit:
                visits[slot] += 1
            last_visit[slot] = visit
            if 0 <= event[at] < n_names:
                by_name[slot, event[at]] += 1
        for row in range(row_indptr[user], row_indptr[user + 1]):
            slot = slot_of[row_item[row]]
            if slot < 0:
                # Never taken: the counts are known to be zero, the times are unknown.
                out[row, 0] = 0.0
                out[row, 1] = 0.0
                column = 2
                if has_time:
                    for zero in range(2, 6):
                        out[row, zero] = 0.0
                    out[row, 10] = 0.0
                    column = 13
                for name in range(n_names):
                    out[row, column + name] = 0.0
                continue
            out[row, 0] = count[slot]
            out[row, 1] = count[slot] / (stop - start)
            column = 2
            if has_time:
                out[row, 2] = slow_sum[slot]
                out[row, 3] = slow_sum[slot] / all_slow if all_slow > 0 else 0.0
                out[row, 4] = fast_sum[slot]
                out[row, 5] = fast_sum[slot] / all_fast if all_fast > 0 else 0.0
                recency = now[user] - last[slot]
                out[row, 6] = recency / unit
                out[row, 7] = (now[user] - first[slot]) / unit
                if visits[slot] > 1:
                    interval = (last[slot] - first[slot]) / (visits[slot] - 1)
                    out[row, 8] = interval / unit
                    out[row, 9] = recency / interval
                out[row, 10] = visits[slot]
                out[row, 11] = visit - last_visit[slot]
                out[row, 12] = visits[slot] / (visit + 1 - first_visit[slot])
                column = 13
            for name in range(n_names):
                out[row, column + name] = by_name[slot, name]
        for at in range(start, stop):
            slot_of[item[at]] = -1
