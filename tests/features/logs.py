"""Small generated logs of every kind of clock, as plain Python and as the package holds them.

Times are small whole numbers, so that ties are frequent; each kind spells them in its own way.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from hypothesis import strategies as st

from features.block import Context, Feature
from features.candidates import Candidates
from features.clock import Clock, ClockKind
from features.history import History, LogFacts
from features.ids import Ids

START = dt.datetime(2024, 2, 27)
EPOCH = dt.datetime(1970, 1, 1)
HOUR = 3600 * 10**6
DAY = 24 * HOUR
STRANGERS = (-7, 99)  # users of no log
KINDS = ("datetime", "date", "clock", "positions", "none")
CLOCKS = {
    "datetime": Clock(ClockKind.ABSOLUTE),
    "date": Clock(ClockKind.ABSOLUTE, is_date=True),
    "clock": Clock(ClockKind.SHARED),
    "positions": Clock(ClockKind.SEQUENCE),
    "none": Clock(ClockKind.NONE),
}


@dataclass(frozen=True)
class Event:
    user: int
    item: str
    time: int
    weight: float
    name: str


@dataclass(frozen=True)
class Log:
    """Events with times as small numbers; see :meth:`tick` for what they become."""

    kind: str
    events: tuple[Event, ...]

    @property
    def is_comparable(self) -> bool:
        return self.kind in ("datetime", "date", "clock")

    @property
    def has_time(self) -> bool:
        return self.kind != "none"

    @property
    def step(self) -> int:
        return DAY if self.kind == "date" else 1

    @property
    def unit(self) -> int:
        return DAY if self.kind in ("datetime", "date") else 1

    @property
    def unit_name(self) -> str:
        return "days" if self.kind in ("datetime", "date") else "steps"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({event.name for event in self.events}))

    @property
    def span(self) -> int:
        if not self.has_time:
            return 1
        ticks = [self.tick(event.time) for event in self.events]
        return max(ticks) - min(ticks) + self.step

    def stamp(self, time: int) -> dt.datetime | dt.date | int:
        """A time as the log's column has it."""
        if self.kind == "datetime":
            return START + dt.timedelta(hours=7 * time, microseconds=time)
        if self.kind == "date":
            return START.date() + dt.timedelta(days=time)
        return 1000 + 10 * time if self.kind == "clock" else time

    def tick(self, time: int) -> int:
        """A time as the package counts inside."""
        stamp = self.stamp(time)
        if isinstance(stamp, dt.datetime):
            return (stamp - EPOCH) // dt.timedelta(microseconds=1)
        if isinstance(stamp, dt.date):
            return (stamp - EPOCH.date()).days * DAY
        return stamp if self.has_time else 0

    def frame(self, events: Sequence[Event] | None = None) -> pl.DataFrame:
        """Canonical interactions."""
        events = self.events if events is None else events
        dtypes = {"datetime": pl.Datetime("us"), "date": pl.Date}
        columns = {
            "user_id": pl.Series([event.user for event in events], dtype=pl.Int64),
            "item_id": pl.Series([event.item for event in events], dtype=pl.String),
            "weight": pl.Series([event.weight for event in events], dtype=pl.Float32),
            "event": pl.Series([event.name for event in events], dtype=pl.String),
        }
        if self.has_time:
            stamps = [self.stamp(event.time) for event in events]
            columns["timestamp"] = pl.Series(stamps, dtype=dtypes.get(self.kind, pl.Int64))
        return pl.DataFrame(columns)


@st.composite
def logs(draw, kinds=KINDS, max_events=24) -> Log:
    """Logs with ties, repeated events and repeated rows."""
    kind = draw(st.sampled_from(kinds))
    last = draw(st.integers(0, 9))
    event = st.builds(
        Event,
        user=st.integers(0, 4),
        item=st.sampled_from(["a", "b", "c", "d", "e"]),
        time=st.integers(0, last),
        weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
        name=st.sampled_from(["buy", "view", "cart"][: draw(st.integers(1, 3))]),
    )
    events = draw(st.lists(event, min_size=1, max_size=max_events))
    if kind == "positions":
        events = as_positions(events)
    return Log(kind, tuple(events))


def as_positions(events: Sequence[Event]) -> list[Event]:
    """Each user's times become 0, 1, 2...; equal ones stay equal."""
    times = {event.user: set[int]() for event in events}
    for event in events:
        times[event.user].add(event.time)
    place = {(u, t): i for u, own in times.items() for i, t in enumerate(sorted(own))}
    return [Event(e.user, e.item, place[e.user, e.time], e.weight, e.name) for e in events]


@dataclass(frozen=True)
class World:
    """A log, users and items without events beside it, and the history made of all that."""

    log: Log
    users: tuple[int, ...]
    items: tuple[str, ...]
    as_of: int | None
    history: History

    @classmethod
    def of(
        cls, log: Log, *, users: Sequence[int], items: Sequence[str], as_of: int | None
    ) -> World:
        """The history of a log, of some users and of some items, in ascending order."""
        frame = log.frame()
        history = History.build(
            frame,
            users=Ids(pl.Series(users)),
            items=Ids(pl.Series(items)),
            facts=LogFacts.of(frame),
            as_of=as_of,
        )
        return cls(log, tuple(users), tuple(items), as_of, history)

    def events_of(self, user: int) -> list[Event]:
        """In order of time, then item, name and weight."""
        own = (event for event in self.log.events if event.user == user)
        return sorted(own, key=lambda e: (e.time if self.log.has_time else 0, *_rest(e)))

    def now(self, user: int) -> int:
        """The tick at which a user is looked at; a stranger when the last of all are."""
        if self.as_of is not None:
            return self.as_of
        if user in self.users:
            ticks = [self.log.tick(event.time) for event in self.events_of(user)]
            return max(ticks) + self.log.step if ticks else 0
        return max(self.now(u) for u in self.users) if self.log.is_comparable else 0

    def half_life(self, share: float) -> float:
        """A share of the log in ticks, at least one."""
        return max(1.0, (self.log.span if self.log.is_comparable else 60) * share)


def _rest(event: Event) -> tuple[str, str, float]:
    return event.item, event.name, event.weight


@st.composite
def worlds(draw, kinds=KINDS, max_events=24) -> World:
    """Histories of logs, with or without an instant at which everybody is looked at."""
    log = draw(logs(kinds, max_events))
    silent = draw(st.sets(st.sampled_from([2, 5]), max_size=2))
    cold = draw(st.sets(st.sampled_from(["aa", "c", "f"]), max_size=3))
    as_of = None
    if log.is_comparable and draw(st.booleans()):
        last = max(log.tick(event.time) for event in log.events)
        as_of = last + draw(st.sampled_from([log.step, 2 * log.step, log.span]))
    users = tuple(sorted({event.user for event in log.events} | silent))
    items = tuple(sorted({event.item for event in log.events} | cold))
    return World.of(log, users=users, items=items, as_of=as_of)


@dataclass(frozen=True)
class Query:
    """Users of a world in any order, strangers among them, and what was proposed to them.

    ``proposals[i][source]`` has the items of user ``i`` by a source, best first, with scores.
    """

    users: tuple[int, ...]
    history: History
    sources: tuple[str, ...]
    proposals: tuple[dict[str, list[tuple[str, float]]], ...]
    candidates: Candidates

    @property
    def rows(self) -> list[tuple[int, str]]:
        """Place of the user and item of each candidate, in order."""
        return [
            (place, item)
            for place, proposals in enumerate(self.proposals)
            for item in sorted({item for found in proposals.values() for item, _ in found})
        ]


@st.composite
def queries(draw, world: World, sources: Sequence[str] = ("one", "two")) -> Query:
    """Questions to a world: some users get no candidates."""
    pool = st.permutations([*world.users, *STRANGERS])
    users = tuple(draw(pool)[: draw(st.integers(0, len(world.users) + 2))])
    proposals = []
    for _ in users:
        lists = {}
        for source in sources:
            items = draw(st.permutations(world.items))[: draw(st.integers(0, len(world.items)))]
            lists[source] = [(item, 8.0 / (1 + at)) for at, item in enumerate(items)]
        proposals.append(lists)
    return Query(
        users=users,
        history=world.history.select(pl.Series(users, dtype=pl.Int64)),
        sources=tuple(sources),
        proposals=tuple(proposals),
        candidates=candidates_of(world.items, users, sources, proposals),
    )


def candidates_of(items, users, sources, proposals) -> Candidates:
    """The outer join of what sources propose."""
    lengths, item, score, rank = [], [], [], []
    for lists in proposals:
        found = sorted({name for pairs in lists.values() for name, _ in pairs})
        lengths.append(len(found))
        for name in found:
            item.append(items.index(name))
            places = [
                [n for n, _ in lists[s]].index(name) + 1 if name in dict(lists[s]) else 0
                for s in sources
            ]
            rank.append(places)
            score.append([dict(lists[s]).get(name, np.nan) for s in sources])
    return Candidates(
        users=Ids(pl.Series(users, dtype=pl.Int64)),
        items=Ids(pl.Series(items, dtype=pl.String)),
        sources=tuple(sources),
        indptr=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        item=np.array(item, np.int32),
        score=np.array(score, np.float32).reshape(len(item), len(sources)),
        rank=np.array(rank, np.int32).reshape(len(item), len(sources)),
    )


def assert_block_equals(block, oracle, world: World, query: Query, sources=None) -> None:
    """Fit a block on a world, ask it about candidates, and compare each cell by name.

    ``oracle(user, item, place)`` gives the features of one candidate, by name and in order.
    """
    assert_fitted_equals(block.fit(Context(world.history, sources=sources or {})), oracle, query)


def assert_fitted_equals(fitted, oracle, query: Query, atol=1e-30) -> None:
    """Compare what a fitted block says of candidates with an oracle, each cell by name.

    ``atol`` is for what is near zero because large numbers cancel out.
    """
    names = [feature.name for feature in fitted.features]
    assert all(isinstance(feature, Feature) for feature in fitted.features)
    assert len(set(names)) == len(names)
    # As in the stage, the block writes into a part of a wider table, here with margins.
    table = np.full((query.candidates.n_rows, len(names) + 2), np.nan, np.float32)
    fitted.fill(query.history, query.candidates, table[:, 1:-1])
    assert np.isnan(table[:, [0, -1]]).all()
    assert len(query.rows) == query.candidates.n_rows
    for row, (place, item) in zip(table[:, 1:-1], query.rows, strict=True):
        expected = oracle(query.users[place], item, place)
        assert list(expected) == names
        np.testing.assert_allclose(
            row,
            np.array(list(expected.values()), np.float32),
            rtol=2e-5,
            atol=atol,
            err_msg=f"{names} of user {query.users[place]} and item {item}",
        )
