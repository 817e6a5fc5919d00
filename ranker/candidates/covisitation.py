"""Items taken shortly after one another by the same user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
)
from features.clock import ClockKind
from features.columns import column_names
from features.decay import Length, decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from features.kernel import kernel
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.growth import Growth
from ranker.candidates.neighbours import renewed, renumbered, rows_of, with_rows
from ranker.candidates.similar import SimilarityGenerator
from ranker.topk import keep_best

_AGED = 0.5  # what is left of a weight, below which all pairs are counted anew
_MANY = 0.5  # share of the events of such items, from which on to begin anew is as fast


@dataclass
class CoVisitation(SimilarityGenerator):
    """Pairs of items that a user took close together, recent pairs counting more.

    Each pair of events of one user adds ``0.5 ** (age / half_life) / (1 + steps)``, where
    ``steps`` counts the instants between them (0 within one basket). The sum of a pair (a, b)
    is divided by ``(n_a + shrink) ** 0.5 * (n_b + shrink) ** discount``, n being numbers of events.

    Parameters
    ----------
    max_steps : int
        Pairs further apart are left out.
    max_events : int
        Each event is paired with at most so many events on either side.
    forward_only : bool
        Count b after a (or together with it), but not before: transitions.
    window : str, int or float, optional
        Count only pairs of events younger than this. As a share of the log: a float.
    events : sequence of str, optional
        Count a pair (a, b) only where the event of b has one of these names. Default: any.
    half_life : str, int or float
        Age at which a pair counts half. As a share of the log: a float.
    recent : str, int or float
        Half-life of a user's events when he is served. As a share of the log: a float.
    neighbours : int
        Neighbours kept of each item.
    shrink : float
    discount : float
        0 proposes what is taken along most often, 0.5 (a cosine) what is taken along with
        little else.
    """

    max_steps: int = 5
    max_events: int = 60
    forward_only: bool = False
    window: Length | None = None
    events: Sequence[str] | None = None
    half_life: Length = 1 / 3
    recent: Length = 1 / 24
    neighbours: int = 100
    shrink: float = 10.0
    discount: float = 0.25

    learned: ClassVar[tuple[str, ...]] = ("similarity_", "recent_ticks_")

    def __post_init__(self) -> None:
        """JSON knows no tuples."""
        self.events = column_names(self.events)

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Count pairs; attributes are not used."""
        check_count(max_events=self.max_events, neighbours=self.neighbours)
        check_from_zero(max_steps=self.max_steps, shrink=self.shrink, discount=self.discount)
        self.recent_ticks_: AnyArray = np.array(length_ticks(history, self.recent))
        every = np.arange(history.n_items, dtype=np.int32)
        self.similarity_: sparse.csr_matrix = self._similar_to(every, history)

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """Count the pairs near new events again; the same as a fit anew, but for rounding.

        All other pairs have aged alike.
        """
        before, after = growth.before, growth.after
        aged = 1.0
        if after.clock.is_comparable:
            aged = 0.5 ** ((after.as_of - before.as_of) / length_ticks(after, self.half_life))
        rows = self._near_new_events(growth)
        if (
            self.window is not None  # which other pairs have left, whoever took them
            or aged < _AGED
            or np.isin(after.item, rows).mean() > _MANY
        ):
            return super().refreshed(growth, items=items, users=users)
        nearest = renumbered(self.similarity_, growth)
        nearest.data = nearest.data * np.float32(aged)  # in place it would be the former's too
        is_old = growth.is_item_changed[nearest.indices]
        n_before = growth.of_items(np.bincount(before.item, minlength=before.n_items))
        rarer = (self._n_events(after) / self._shrunk(n_before)) ** -self.discount
        item = nearest.indices[is_old]
        value = (nearest.data[is_old] * rarer[item]).astype(np.float32)
        nearest, is_unknown = renewed(
            nearest, is_old, rows_of(nearest)[is_old], item, value, self.neighbours
        )
        is_unknown[rows] = True
        rows = np.flatnonzero(is_unknown).astype(np.int32)
        later = self.unfitted(0)
        later.recent_ticks_ = self.recent_ticks_
        later.similarity_ = with_rows(nearest, rows, self._similar_to(rows, after))
        return later

    def _near_new_events(self, growth: Growth) -> Int32Array:
        """Items of the events that a new event may be paired with."""
        history = growth.after
        first = growth.first_change - self._reach(history)
        if not history.clock.is_comparable:
            first[growth.is_user_changed] = 0  # all events of the user have aged
        place = np.arange(history.n_events) - np.repeat(history.indptr[:-1], history.lengths)
        is_near = growth.is_user_changed[history.user] & (place >= first[history.user])
        return np.unique(history.item[is_near])

    def _reach(self, history: History) -> int:
        """Events on either side that an event is paired with."""
        # Without timestamps nothing is close or far: every pair of a user counts.
        return history.n_events if history.clock.kind is ClockKind.NONE else self.max_events

    def _n_events(self, history: History) -> Float64Array:
        return self._shrunk(np.bincount(history.item, minlength=history.n_items))

    def _shrunk(self, n_events: Int64Array) -> Float64Array:
        shrunk: Float64Array = np.maximum(n_events, 1.0) + self.shrink  # 0: they are in no pair
        return shrunk

    def _similar_to(self, rows: Int32Array, history: History) -> sparse.csr_matrix:
        """Similarities of some items to all others, CSR float32 [n_rows, n_items]."""
        weights = self._event_weights(history)
        order = np.argsort(history.item, kind="stable")
        counts = np.bincount(history.item, minlength=history.n_items)
        n_events = self._n_events(history)
        item, value, length = _count_pairs(
            rows,
            np.concatenate(([0], np.cumsum(counts))),
            order,
            history.indptr,
            history.user,
            history.item,
            history.time,
            weights,
            np.where(self._is_proposed(history), weights, np.float32(0)),
            self.max_steps,
            self._reach(history),
            self.forward_only,
            n_events**-0.5,
            n_events**-self.discount,
            self.neighbours,
        )
        kept = np.arange(self.neighbours) < length[:, None]
        cells = (value[kept], item[kept], np.concatenate(([0], np.cumsum(length))))
        similarity = sparse.csr_matrix(cells, shape=(len(rows), history.n_items))
        similarity.sort_indices()
        return similarity

    def _asked_weights(self, history: History) -> Float32Array:
        return decay_weights(history, float(self._get("recent_ticks_")))

    def _event_weights(self, history: History) -> Float32Array:
        weights = decay_weights(history, length_ticks(history, self.half_life))
        if self.window is not None and history.clock.kind is not ClockKind.NONE:
            age = np.repeat(history.now, history.lengths) - history.time
            weights[age > length_ticks(history, self.window)] = 0.0
        return weights

    def _is_proposed(self, history: History) -> BoolArray:
        """Whether an event's item is proposed to those who took what stands near it."""
        if self.events is None:
            return np.ones(history.n_events, bool)
        names = history.facts.event_names
        unknown = [name for name in self.events if name not in names]
        if unknown:
            raise ConfigError(
                f"events {unknown} are not in the log; the names that are told apart are "
                f"{list(names)}"
            )
        return np.isin(history.event, [names.index(name) for name in self.events])


@kernel
def _count_pairs(
    rows: Int32Array,
    item_indptr: Int64Array,
    item_events: Int64Array,
    indptr: Int64Array,
    user: Int32Array,
    item: Int32Array,
    time: Int64Array,
    weight: Float32Array,
    weight_b: Float32Array,
    max_steps: int,
    max_events: int,
    forward_only: bool,
    scale_a: AnyArray,
    scale_b: AnyArray,
    n_kept: int,
) -> tuple[Int32Array, Float32Array, Int64Array]:
    n_items = len(item_indptr) - 1
    out_item = np.empty((len(rows), n_kept), np.int32)
    out_value = np.empty((len(rows), n_kept), np.float32)
    out_length = np.zeros(len(rows), np.int64)
    total = np.zeros(n_items, np.float64)
    touched = np.empty(n_items + 1, np.int32)  # the last place is written to and never counts
    similarity = np.empty(n_items, np.float32)
    for place in range(len(rows)):
        a = rows[place]
        n_touched = 0
        for at in range(item_indptr[a], item_indptr[a + 1]):
            event = item_events[at]
            first, last = indptr[user[event]], indptr[user[event] + 1]
            for direction in (-1, 1):
                steps = 0
                other = event
                for _ in range(max_events):
                    previous = other
                    other += direction
                    if other < first or other >= last:
                        break
                    if time[other] != time[previous]:
                        steps += 1
                    if steps > max_steps:
                        break
                    if forward_only and direction < 0 and steps > 0:
                        break
                    b = item[other]
                    gain = min(weight[event], weight_b[other]) / (1.0 + steps)
                    if b == a or gain == 0.0:
                        continue
                    touched[n_touched] = b
                    n_touched += total[b] == 0.0  # no branch, see _nearest
                    total[b] += gain
        for at in range(n_touched):
            b = touched[at]
            similarity[at] = total[b] * scale_a[a] * scale_b[b]
            total[b] = 0.0
        out_length[place] = keep_best(
            touched, similarity, n_touched, out_item[place], out_value[place]
        )
    return out_item, out_value, out_length
