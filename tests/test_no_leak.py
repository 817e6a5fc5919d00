"""Nothing of a snapshot depends on what happened at its instant or later.

Two logs agree strictly before an instant and differ from it on; all that a snapshot of either says
must be equal to the last bit. Planted leaks show that the same check would find one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.block import Context, Feature
from features.catalogue import all_blocks
from features.custom import CustomBlock
from features.encode import encode
from features.history import LogFacts
from features.lateness import ItemLateness
from features.stage import FeatureStage, default_blocks
from ranker.candidates.als import ALS
from ranker.candidates.audience import Audience
from ranker.candidates.base import Generator
from ranker.candidates.bpr import BPR
from ranker.candidates.covisitation import CoVisitation
from ranker.candidates.ease import EASE
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.candidates.random_walk import RandomWalk
from ranker.candidates.transitions import Transitions
from ranker.candidates.user_knn import UserKNN
from ranker.neural import (
    DeepMatrixFactorization,
    MatrixFactorization,
    NeuralCollaborativeFiltering,
    SequenceEncoder,
    SequenceHybrid,
)
from ranker.snapshot import Snapshot
from tests.features.logs import CLOCKS, Event, Log

GENERATORS: dict[str, Generator] = {
    "popular": Popularity(),
    "trending": Popularity(half_life=1 / 336),
    "windowed": Popularity(window=1 / 4),
    "own": OwnHistory(),
    "als": ALS(factors=4, iterations=2),
    "cosine": ItemKNN(),
    "bm25": ItemKNN(weighting="bm25"),
    "covisitation": CoVisitation(),
    "forward": CoVisitation(forward_only=True, max_steps=2),
    "late": CoVisitation(window=1 / 2),
    "audience": Audience(window=1 / 4),
    "random_walk": RandomWalk(),
    "transitions": Transitions(max_lag=2),
    "user_knn": UserKNN(neighbours=3),
    "ease": EASE(regularization=2.0),
    "bpr": BPR(factors=4, iterations=2),
}
NEURAL: dict[str, Generator] = {
    "attention": SequenceEncoder(factors=4, epochs=2, max_length=4),
    "gru": SequenceEncoder(architecture="gru", factors=4, epochs=2, time_gaps=True),
    "mf": MatrixFactorization(factors=4, epochs=2),
    "towers": DeepMatrixFactorization(factors=4, epochs=2, towers=(4,)),
    "neumf": NeuralCollaborativeFiltering(factors=4, layers=(4,), epochs=2),
}
# Enough for every block: similarities, vectors, both, and neither.
FEW = {name: GENERATORS[name] for name in ("popular", "cosine", "als", "covisitation")}
WEEK = dt.timedelta(days=7)
STRANGER = 99
LETTERS = "abcdefghijkl"
LAST = 11  # times run from 0 to here


@dataclass(frozen=True)
class Case:
    """A past, and two futures from the same instant on."""

    kind: str
    n_users: int
    as_of: int
    past: tuple[Event, ...]
    futures: tuple[tuple[Event, ...], tuple[Event, ...]]
    exclude_seen: bool

    def log(self, future: int) -> pl.DataFrame:
        """The past and one of its futures, in another order of rows for each."""
        events = [*self.past, *self.futures[future]]
        return Log(self.kind, ()).frame(events if future == 0 else events[::-1])

    @property
    def tick(self) -> int:
        return Log(self.kind, ()).tick(self.as_of)

    @property
    def facts(self) -> LogFacts:
        """Settled before anything happened."""
        log = Log(self.kind, ())
        span = log.tick(LAST) - log.tick(0) + log.step
        return LogFacts(CLOCKS[self.kind], span, ("buy", "view"))


@st.composite
def cases(draw, kinds=("datetime", "date", "clock")) -> Case:
    n_users, n_items = draw(st.integers(3, 8)), draw(st.integers(4, 12))
    as_of = draw(st.integers(1, LAST))

    def events(first, last, min_size, max_size):
        event = st.builds(
            Event,
            user=st.integers(0, n_users - 1),
            item=st.integers(0, n_items - 1).map(LETTERS.__getitem__),
            time=st.integers(first, last),
            weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
            name=st.sampled_from(["buy", "view"]),
        )
        return draw(st.lists(event, min_size=min_size, max_size=max_size).map(tuple))

    return Case(
        kind=draw(st.sampled_from(kinds)),
        n_users=n_users,
        as_of=as_of,
        past=events(0, as_of - 1, 1, 40),
        futures=(events(as_of, LAST, 0, 20), events(as_of, LAST, 0, 20)),
        exclude_seen=draw(st.booleans()),
    )


def own_block(key) -> CustomBlock:
    """A user's own: events in a window up to the instant, ties at its beginning included."""

    def function(history, as_of):
        recent = pl.col("timestamp") >= (as_of - 30 if isinstance(as_of, int) else as_of - WEEK)
        return history.group_by(key).agg(pl.len().alias("n"), recent.sum().alias("late"))

    return CustomBlock("_".join(key), key=key, function=function)


OWN_BLOCKS = tuple(map(own_block, [("user_id",), ("item_id",), ("user_id", "item_id")]))


def default_stage(log: pl.DataFrame) -> FeatureStage:
    """What is used, and blocks of users' own; knows nothing of the log."""
    return FeatureStage((*default_blocks(), *OWN_BLOCKS))


def full_stage(log: pl.DataFrame) -> FeatureStage:
    """Every block that there is."""
    return FeatureStage(blocks=all_blocks())


def default_generators(log: pl.DataFrame) -> dict[str, Generator]:
    """One or two of each kind; they know nothing of the log."""
    return GENERATORS


def assert_blind(
    case: Case,
    stage: Callable[[pl.DataFrame], FeatureStage] = default_stage,
    generators: Callable[[pl.DataFrame], dict[str, Generator]] = default_generators,
    late_by: int = 0,
    items: pl.DataFrame | None = None,
    people: pl.DataFrame | None = None,
) -> None:
    """The snapshots of both logs say the same of everybody.

    ``stage`` and ``generators`` are given the full log: a leak that is planted looks into it.
    """
    users = pl.Series([STRANGER, *range(case.n_users)])
    said = []
    for future in (0, 1):
        log = case.log(future)
        snapshot = Snapshot.build(
            log,
            as_of=case.tick + late_by,
            facts=case.facts,
            generators=generators(log),
            stage=stage(log),
            items=items,
            users=people,
        )
        history = snapshot.history.select(users)
        depths = dict.fromkeys(snapshot.generators, 5)
        candidates = snapshot.candidates(history, depths, exclude_seen=case.exclude_seen)
        features = snapshot.features(history, candidates)
        assert features.shape == (candidates.n_rows, len(snapshot.tables.names))
        said.append((snapshot, history, candidates, features))
    (before, history, candidates, features), (after, other_history, others, other_features) = said
    assert before.tables.features == after.tables.features
    for name in ("indptr", "item", "time", "weight", "event", "now"):
        np.testing.assert_array_equal(getattr(history, name), getattr(other_history, name))
    assert (history.time < case.tick).all()
    assert_frame_equal(candidates.frame(), others.frame(), check_exact=True)
    for name in ("indptr", "item", "score", "rank"):
        np.testing.assert_array_equal(getattr(candidates, name), getattr(others, name), name)
    np.testing.assert_array_equal(features, other_features)


def event(user, item, time) -> Event:
    return Event(user, item, time, 1.0, "buy")


PAST = tuple(
    event(user, item, time)
    for user, item, time in zip(
        [0, 0, 0, 1, 1, 2, 2, 2], "abcabbcd", [0, 2, 3, 1, 3, 0, 2, 3], strict=True
    )
)
# All that came of it happened at the very instant, among users and items of the past and new ones.
AT_THE_INSTANT = (event(0, "a", 4), event(1, "d", 4), event(2, "z", 4), event(3, "b", 4))
TIES = Case("clock", 4, 4, PAST, ((), AT_THE_INSTANT), exclude_seen=False)


@given(case=cases())
@example(case=TIES)
@example(case=replace(TIES, kind="datetime", exclude_seen=True))
@example(case=replace(TIES, kind="date"))
@settings(max_examples=80, deadline=None)
def test_nothing_depends_on_events_at_the_instant_or_later(case):
    assert_blind(case)


@pytest.mark.slow
@given(case=cases())
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_depends_on_events_at_the_instant_or_later_in_many_logs(case):
    assert_blind(case)


ITEMS = pl.DataFrame(
    {
        "item_id": list(LETTERS),
        "brand": ["x", "y", None] * 4,
        "tags": [["red"], ["red", "green"], [], None] * 3,
        "title": ["a red hat", "a green hat", "two hats"] * 4,
        "price": [1.5, None, 4.0, 8.0] * 3,
        "made": pl.Series([-400, 19_700, 19_800] * 4, dtype=pl.Int32).cast(pl.Date),
        "picture": [[1.0, 0.0], [0.5, 2.0], None] * 4,
    }
)
PEOPLE = pl.DataFrame({"user_id": range(8), "country": ["x", "y", None, "x"] * 2})


@given(case=cases())
@example(case=TIES)
@example(case=replace(TIES, kind="datetime", exclude_seen=True))
@example(case=replace(TIES, kind="date"))
@settings(max_examples=80, deadline=None)
def test_nothing_of_any_block_depends_on_events_at_the_instant_or_later(case):
    assert_blind(case, full_stage, lambda log: FEW, items=ITEMS, people=PEOPLE)


@pytest.mark.slow
@given(case=cases())
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_of_any_block_depends_on_later_events_in_many_logs(case):
    assert_blind(case, full_stage, lambda log: FEW, items=ITEMS, people=PEOPLE)


def test_every_block_has_columns_in_the_check():
    case = replace(TIES, kind="datetime")
    history, items, users = encode(
        case.log(0), as_of=case.tick, facts=case.facts, items=ITEMS, users=PEOPLE
    )
    sources = {name: generator.unfitted(0).fit(history) for name, generator in FEW.items()}
    context = Context(history, items=items, users=users, sources=sources)
    columnless = [block for block in all_blocks() if not block.fit(context).features]
    assert columnless == [ItemLateness()], "it is for clocks that have no instants"


# --- Planted leaks ------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeakyBlock:
    """How often each item occurs in a log that the block was given behind the snapshot's back."""

    log: pl.DataFrame

    def fit(self, context):
        items = context.history.items
        known = items.encode(self.log["item_id"])
        return FittedLeak(np.bincount(known[known >= 0], minlength=len(items)))


@dataclass(frozen=True)
class FittedLeak:
    counts: np.ndarray

    @property
    def features(self):
        return (Feature("leak", "test", "count", "events of the item, the future ones included"),)

    def fill(self, history, candidates, out):
        out[:, 0] = self.counts[candidates.item]


@dataclass
class LeakyGenerator(Popularity):
    """Popularity by a log that was given behind the snapshot's back."""

    log: pl.DataFrame | None = None

    def _learn(self, history, *, items, users):
        super()._learn(history, items=items, users=users)
        known = history.items.encode(self.log["item_id"])
        counts = np.bincount(known[known >= 0], minlength=history.n_items)
        self.item_ = np.argsort(-counts, kind="stable").astype(np.int32)
        self.score_ = counts[self.item_].astype(np.float32)


def leaky_stage(log):
    return FeatureStage(blocks=(*default_blocks(), LeakyBlock(log)))


def leaky_generators(log):
    return GENERATORS | {"leaky": LeakyGenerator(log=log)}


LEAKS = {
    "block": {"stage": leaky_stage},
    "generator": {"generators": leaky_generators},
    "instant": {"late_by": 1},
}


def test_networks_see_nothing_of_what_comes_later():
    assert_blind(TIES, generators=lambda log: NEURAL)
    of_content = {"hybrid": SequenceHybrid(factors=4, epochs=2, max_length=4)}
    assert_blind(TIES, generators=lambda log: of_content, items=ITEMS)


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_is_caught_at_the_very_instant(leak):
    assert_blind(TIES)
    with pytest.raises(AssertionError, match=r"not equal|are different"):
        assert_blind(TIES, **leak)


@pytest.mark.parametrize("leak", ["block", "generator"])
def test_a_planted_leak_is_found_among_generated_logs(leak):
    @given(case=cases())
    @settings(max_examples=80, deadline=None, database=None, phases=[Phase.generate])
    def check(case):
        assert_blind(case, **LEAKS[leak])

    with pytest.raises(AssertionError, match=r"not equal|are different"):
        check()
