"""The event log of some users, encoded and in order of time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import AnyArray, BoolArray, Float32Array, Int16Array, Int32Array, Int64Array
from features.clock import Clock, ClockKind
from features.ids import Ids
from features.ordering import in_order

_MAX_EVENT_NAMES = 8  # rarer names are too rare to be told apart


@dataclass(frozen=True)
class LogFacts:
    """What is settled once about a log and then means the same in all its snapshots.

    Attributes
    ----------
    clock : Clock
    span : int
        Length of the log in ticks; open half-lives and windows are shares of it.
    event_names : tuple of str
        The most frequent values of ``event``, sorted; empty without that column.
    """

    clock: Clock
    span: int
    event_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, interactions: pl.DataFrame, zone: str | None = None) -> LogFacts:
        """Look at canonical interactions, whose times had that time zone before."""
        clock, span, names = Clock.of(interactions, zone), 1, ()
        if clock.kind is not ClockKind.NONE:
            times = clock.ticks(interactions["timestamp"])
            span = int(times.max() - times.min()) + clock.step
        if "event" in interactions.columns:
            counts = interactions["event"].value_counts()
            frequent = counts.sort("count", "event", descending=[True, False])["event"]
            names = tuple(sorted(frequent.head(_MAX_EVENT_NAMES)))
        return cls(clock, span, names)


@dataclass(frozen=True)
class History:
    """Events of users, one after another, each user's in order of time (CSR).

    The events of ``users.values[u]`` are ``indptr[u]:indptr[u + 1]`` of the event arrays. The same
    class holds the log of a snapshot and the users whom it is asked about, so that a generator or
    a feature sees no difference between training, serving and a session that was handed in.

    Attributes
    ----------
    users, items : Ids
        Items are the whole catalogue of the snapshot, those without events included.
    facts : LogFacts
    indptr : int64 array [n_users + 1]
    item : int32 array [n_events]
        Item row numbers.
    time : int64 array [n_events]
        Ticks of the clock, ascending within a user; zeros without timestamps.
    weight : float32 array [n_events]
        Ones where the log has no weight.
    event : int16 array [n_events]
        Index into ``facts.event_names``, -1 for other names and none; zeros where the log has none.
    now : int64 array [n_users]
        The instant at which each user is looked at: every event lies strictly before it.
    row : int32 array [n_users]
        Row number of each user in the snapshot's list, -1 for strangers: where his attributes
        stand. What is known of him by events is in this history alone.
    """

    users: Ids
    items: Ids
    facts: LogFacts
    indptr: Int64Array
    item: Int32Array
    time: Int64Array
    weight: Float32Array
    event: Int16Array
    now: Int64Array
    row: Int32Array

    @classmethod
    def build(
        cls, events: pl.DataFrame, *, users: Ids, items: Ids, facts: LogFacts, as_of: int | None
    ) -> History:
        """Encode canonical interactions; events of items or users outside the ids are left out.

        Parameters
        ----------
        events : DataFrame
            Canonical interactions, see :func:`features.schema.check_interactions`.
        users, items : Ids
        facts : LogFacts
        as_of : int or None
            The tick at which all users are looked at, on a comparable clock. With None each user
            is looked at one step after his last event.
        """
        user, item = users.encode(events["user_id"]), items.encode(events["item_id"])
        known = np.flatnonzero((user >= 0) & (item >= 0))
        user, item = user[known], item[known]
        time, weight, event = _columns(events, facts)
        time, weight, event = time[known], weight[known], event[known]
        # All columns take part, so that equal times cannot make the order of rows matter.
        indptr, order = in_order(user, time, item, event, weight, len(users))
        time = time[order]
        if as_of is None:
            has_events = indptr[1:] > indptr[:-1]
            now = np.zeros(len(users), np.int64)
            now[has_events] = time[indptr[1:][has_events] - 1] + facts.clock.step
        else:
            now = np.full(len(users), as_of, np.int64)
        return cls(
            users=users,
            items=items,
            facts=facts,
            indptr=indptr,
            item=item[order],
            time=time,
            weight=weight[order],
            event=event[order],
            now=now,
            row=np.arange(len(users), dtype=np.int32),
        )

    @property
    def clock(self) -> Clock:
        """How to read ``time``."""
        return self.facts.clock

    @property
    def n_users(self) -> int:
        """Number of users, those without events included."""
        return len(self.indptr) - 1

    @property
    def n_items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.items)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.item)

    @property
    def lengths(self) -> Int64Array:
        """Number of events of each user, int64 [n_users]."""
        return np.diff(self.indptr)

    @cached_property
    def user(self) -> Int32Array:
        """Row number of each event's user, int32 [n_events]."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.lengths)

    def select(self, user_ids: pl.Series) -> History:
        """The histories of some users, in their order; an unknown user has no events."""
        rows = self.users.encode(user_ids).astype(np.int64)
        known = rows >= 0
        lengths = np.zeros(len(rows), np.int64)
        lengths[known] = self.lengths[rows[known]]
        now = np.full(len(rows), self._default_now, np.int64)
        now[known] = self.now[rows[known]]
        starts = np.zeros(len(rows), np.int64)
        starts[known] = self.indptr[rows[known]]
        row = np.full(len(rows), -1, np.int32)
        row[known] = self.row[rows[known]]
        return self._gather(Ids(user_ids), starts, lengths, now, row)

    def of_users(self, is_kept: BoolArray) -> History:
        """The histories of the users marked, bool [n_users], with what was derived from them."""
        if is_kept.all():
            return self
        users = Ids(self.users.values.filter(pl.Series(is_kept)))
        starts, lengths = self.indptr[:-1][is_kept], self.lengths[is_kept]
        part = self._gather(users, starts, lengths, self.now[is_kept], self.row[is_kept])
        for key, (learned, rows) in [*self._derived.items()]:
            part._derived[key] = learned, rows[is_kept]
        return part

    def sessions(self, events: pl.DataFrame) -> History:
        """The histories of users given by their events, which stand in for what is known of them.

        Users come in ascending order of id. Events with unknown items say nothing and are left
        out. Each user is looked at as of this history, or after his own last event, of whatever
        item, if that is later: the others of the call are no matter. Where timestamps are
        positions, it is after his last event of a known item.
        """
        users = Ids.sorted(events["user_id"])
        sessions = History.build(
            events, users=users, items=self.items, facts=self.facts, as_of=None
        )
        now = sessions.now
        if self.clock.is_comparable:
            now = np.full(len(users), self.as_of)
            end = self.clock.ticks(events["timestamp"]) + self.clock.step
            np.maximum.at(now, users.encode(events["user_id"]), end)
        return dataclasses.replace(sessions, now=now, row=self.users.encode(users.values))

    def chunks(self, size: int) -> Iterator[History]:
        """Cut the users into runs of ``size``, in order."""
        for start in range(0, self.n_users, size):
            yield self.rows(start, start + size)

    def rows(self, start: int, stop: int) -> History:
        """The histories of the users ``start:stop``; views, nothing is copied."""
        indptr = self.indptr[start : stop + 1]
        events = slice(int(indptr[0]), int(indptr[-1]))
        return History(
            users=Ids(self.users.values[start:stop]),
            items=self.items,
            facts=self.facts,
            indptr=indptr - indptr[0],
            item=self.item[events],
            time=self.time[events],
            weight=self.weight[events],
            event=self.event[events],
            now=self.now[start:stop],
            row=self.row[start:stop],
        )

    def begins_instant(self) -> BoolArray:
        """Whether each event is the first of its user's at its time, bool [n_events]."""
        begins = np.ones(self.n_events, bool)
        begins[1:] = self.time[1:] != self.time[:-1]
        begins[self.indptr[:-1][self.lengths > 0]] = True
        return begins

    def matrix(self, values: AnyArray | None = None) -> sparse.csr_matrix:
        """Users by items; each cell sums ``values`` (default: the weights) over its events."""
        values = self.weight if values is None else values
        # SciPy sums duplicates in place, hence copies; in float64, so their order is no matter.
        cells = (values.astype(np.float64), self.item.copy(), self.indptr.copy())
        matrix = sparse.csr_matrix(cells, shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        return matrix.astype(np.float32)

    def derived(
        self, source: object, learned: object, derive: Callable[[History], Float32Array]
    ) -> Float32Array:
        """What a source makes of each user, such as vectors: made by the first call, then kept.

        Parameters
        ----------
        source : object
            Whose it is.
        learned : object
            What it has learned: another object after another fit.
        derive : callable
            Gets this history, gives an array [n_users, ...], of which nobody changes a row; each by
            what the history holds of that user alone.
        """
        known = self._derived.get(id(source))
        # The id of a source that is gone is given out again; what it has learned is kept here. The
        # source is not: it may hold this history, and neither would be freed.
        if known is None or known[0] is not learned:
            known = self._derived[id(source)] = learned, derive(self)
        return known[1]

    @cached_property
    def _derived(self) -> dict[int, tuple[object, Float32Array]]:
        return {}

    def frame(self) -> pl.DataFrame:
        """The events as ``user`` and ``item`` (row numbers), ``time``, ``weight``, ``event``."""
        columns = ("user", "item", "time", "weight", "event")
        return pl.DataFrame({name: getattr(self, name) for name in columns})

    def interactions(self) -> pl.DataFrame:
        """The events with ids, as canonical interactions: each user's in order of time.

        ``weight`` is always there; ``timestamp`` and ``event`` where the log has them, with null
        for the names of events that ``facts`` does not tell apart.
        """
        columns = {"user_id": self.users.decode(self.user), "item_id": self.items.decode(self.item)}
        if self.clock.kind is not ClockKind.NONE:
            columns["timestamp"] = self.clock.timestamps(self.time)
        columns["weight"] = pl.Series(self.weight)
        if self.facts.event_names:
            names = pl.Series(self.facts.event_names, dtype=pl.String)
            event = pl.Series(self.event, dtype=pl.Int64)
            columns["event"] = names.gather(event.replace(-1, None))
        return pl.DataFrame(columns)

    @property
    def as_of(self) -> int:
        """The latest instant at which a user is looked at, in ticks."""
        return int(self.now.max()) if len(self.now) else self._default_now

    @property
    def _default_now(self) -> int:
        if self.clock.is_comparable and len(self.now):
            return int(self.now.max())
        return 0

    def _gather(
        self,
        users: Ids,
        starts: Int64Array,
        lengths: Int64Array,
        now: Int64Array,
        row: Int32Array,
    ) -> History:
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        events = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])
        return History(
            users=users,
            items=self.items,
            facts=self.facts,
            indptr=indptr,
            item=self.item[events],
            time=self.time[events],
            weight=self.weight[events],
            event=self.event[events],
            now=now,
            row=row,
        )


def _columns(events: pl.DataFrame, facts: LogFacts) -> tuple[Int64Array, Float32Array, Int16Array]:
    n = events.height
    time, weight = np.zeros(n, np.int64), np.ones(n, np.float32)
    event = np.zeros(n, np.int16)
    if facts.clock.kind is not ClockKind.NONE and "timestamp" in events.columns:
        time = facts.clock.ticks(events["timestamp"])
    if "weight" in events.columns:
        weight = events["weight"].to_numpy()
    if facts.event_names:
        event[:] = -1
        if "event" in events.columns:
            names = Ids(pl.Series(facts.event_names, dtype=pl.String))
            event = names.encode(events["event"]).astype(np.int16)
    return time, weight, event
