"""The leak check passes what is honest and catches what is planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from features import leaks
from features.block import Context, Feature
from features.catalogue import all_blocks
from features.custom import CustomBlock
from features.encode import encode
from features.errors import ConfigError, LeakError, RankerError
from features.example_source import ExampleSource
from features.history import LogFacts
from features.leaks import check_no_leak
from features.stage import FeatureStage, default_blocks
from tests.features.logs import KINDS, Event, Log, as_positions

RNG = np.random.default_rng(3)
EVENTS = tuple(
    Event(int(u), str(i), int(t), float(w), str(n))
    for u, i, t, w, n in zip(
        RNG.integers(0, 8, 150),
        RNG.choice(list("abcdefghij"), 150),
        RNG.integers(0, 12, 150),
        RNG.choice([0.5, 1.0, 2.0], 150),
        RNG.choice(["buy", "view"], 150),
        strict=True,
    )
)
LOGS = {
    kind: Log(kind, tuple(as_positions(EVENTS)) if kind == "positions" else EVENTS).frame()
    for kind in KINDS
}
LOG = LOGS["datetime"]
ITEMS = pl.DataFrame({"item_id": list("abcdefghij"), "brand": ["x", "y"] * 5})
WIDE = ITEMS.with_columns(
    tags=pl.Series([["red"], ["red", "green"], [], None, ["green"]] * 2),
    title=pl.Series(["a red hat", "a green hat", "two hats", None, "shoes"] * 2),
    price=pl.Series([1.5, None, 4.0, 8.0, 16.0] * 2),
    made=pl.Series([-400, 19_700, 19_800, None, 3] * 2, dtype=pl.Int32).cast(pl.Date),
    picture=pl.Series([[1.0, 0.0], [0.5, 2.0], None, [0.0, 1.0], [-1.0, 1.0]] * 2),
)
PEOPLE = pl.DataFrame({"user_id": range(8), "country": ["x", "y", None, "x"] * 2})
PAIR = ("user_id", "item_id")
# Blocks that have nothing to say on a clock, which the leak check could not tell from honest ones.
SILENT = {
    ("LastEvents", "none"),
    *(("ClockAffinity", kind) for kind in ("clock", "positions", "none")),
    *(("ItemLateness", kind) for kind in KINDS if kind != "positions"),
}


def honest(key, name="honest") -> CustomBlock:
    def function(history, as_of):
        return history.group_by(key).agg(pl.len().alias("n"), pl.col("weight").mean())

    return CustomBlock(name, key=key, function=function)


def by_item(log, is_before=None) -> CustomBlock:
    """Counts events of a log that it has beside the history."""

    def function(history, as_of):
        known = log if is_before is None else log.filter(is_before(pl.col("timestamp"), as_of))
        return known.group_by("item_id").len()

    return CustomBlock("sly", key="item_id", function=function)


@pytest.mark.parametrize("kind", KINDS)
def test_all_blocks_of_ours_pass_on_every_clock(kind):
    stage = FeatureStage((*default_blocks(), honest("user_id"), honest("item_id", "two")))
    check_no_leak(stage, LOGS[kind], items=ITEMS)
    check_no_leak(stage, LOGS[kind].lazy(), random_state=1, n_instants=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: type(block).__name__)
def test_every_block_of_the_catalogue_passes_on_every_clock(block, kind):
    log, tick = LOGS[kind], None
    if (facts := LogFacts.of(log)).clock.is_comparable:
        tick = int(facts.clock.ticks(log["timestamp"]).max())
    history, items, users = encode(log, as_of=tick, facts=facts, items=WIDE, users=PEOPLE)
    sources = {"one": ExampleSource.of(history)}
    features = block.fit(Context(history, items, users, sources)).features
    assert bool(features) == ((type(block).__name__, kind) not in SILENT)
    check_no_leak(block, log, items=WIDE, users=PEOPLE)
    check_no_leak(lambda _: block, log, items=WIDE, users=PEOPLE, n_instants=1, random_state=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_catalogue_passes_as_one_stage_that_was_inferred(kind):
    stage = FeatureStage.infer(LOGS[kind], WIDE, PEOPLE, blocks=all_blocks())
    check_no_leak(stage, LOGS[kind], items=WIDE, users=PEOPLE)


@pytest.mark.parametrize("key", ["user_id", "item_id", PAIR])
def test_honest_functions_pass(key):
    check_no_leak(honest(key), LOG)
    check_no_leak(lambda log: honest(key), LOG)


LEAKS = {
    "the whole log in a closure": by_item(LOG),
    "ties in a closure": by_item(LOG, lambda time, as_of: time <= as_of),
    "ties in a function of the log": lambda log: by_item(log, lambda time, t: time <= t),
    "all in a function of the log": by_item,
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_is_caught_and_named(leak):
    with pytest.raises(LeakError, match=r"sly: 'sly_len' as of 2024-.* user \d+ and item '") as hit:
        check_no_leak(leak, LOG)
    error = hit.value
    assert (error.block, error.feature) == ("sly", "sly_len")
    assert error.user_id in {*LOG["user_id"]}
    assert error.item_id in {*LOG["item_id"]}
    assert error.instant in {*LOG["timestamp"]}
    assert error.values[0] != error.values[1]
    assert isinstance(error, RankerError)


@pytest.mark.parametrize("key", ["user_id", "item_id", PAIR])
@pytest.mark.parametrize("kind", KINDS)
def test_a_leaky_function_of_ones_own_is_caught_on_every_clock(kind, key):
    def leaky(log) -> CustomBlock:
        return CustomBlock("sly", key, lambda history, as_of: log.group_by(key).len())

    with pytest.raises(LeakError, match="sly: 'sly_len'"):
        check_no_leak(leaky(LOGS[kind]), LOGS[kind])
    with pytest.raises(LeakError, match=r"sly: 'sly_len'.*(put back|altered|followed by more)"):
        check_no_leak(leaky, LOGS[kind])


@pytest.mark.parametrize("kind", ["datetime", "date", "clock"])
def test_ties_are_caught_on_every_clock_that_has_instants(kind):
    def until(log, is_before) -> CustomBlock:
        def function(history, as_of):
            return log.filter(is_before(pl.col("timestamp"), as_of)).group_by("item_id").len()

        return CustomBlock("sly", "item_id", function)

    check_no_leak(lambda log: until(log, pl.Expr.lt), LOGS[kind])
    with pytest.raises(LeakError, match=r"sly: 'sly_len'.*events at that instant or later are"):
        check_no_leak(lambda log: until(log, pl.Expr.le), LOGS[kind])


def test_the_message_says_what_was_changed_and_what_to_do():
    with pytest.raises(LeakError, match="cut them off with '<', not '<='"):
        check_no_leak(LEAKS["ties in a function of the log"], LOG)
    with pytest.raises(LeakError, match=r"renamed.*frame in a closure.*lambda interactions: block"):
        check_no_leak(LEAKS["the whole log in a closure"], LOG)


def test_a_log_that_is_cut_strictly_before_is_no_leak():
    check_no_leak(lambda log: by_item(log, lambda time, as_of: time < as_of), LOG)


def test_a_frame_that_never_changes_is_told_apart_by_a_function():
    prices = pl.DataFrame({"item_id": list("abcdefghij"), "price": range(10)})
    block = CustomBlock("shop", key="item_id", function=lambda history, as_of: prices)
    with pytest.raises(LeakError, match="'shop_price'"):
        check_no_leak(block, LOG)
    check_no_leak(lambda log: block, LOG)


def test_a_user_who_is_compared_with_others():
    def function(history, as_of):
        return history.group_by("user_id").agg(n=pl.len()).with_columns(pl.col("n").rank())

    with pytest.raises(LeakError, match=r"'rank_n'.*if the user is asked about alone"):
        check_no_leak(CustomBlock("rank", key="user_id", function=function), LOG)


@dataclass(frozen=True)
class Peeking:
    """A block of the protocol that was given the log behind the snapshot's back."""

    log: pl.DataFrame

    def fit(self, context):
        known = context.history.items.encode(self.log["item_id"])
        return FittedPeeking(np.bincount(known[known >= 0], minlength=context.history.n_items))


@dataclass(frozen=True)
class FittedPeeking:
    counts: np.ndarray

    @property
    def features(self):
        return (Feature("peek", "test", "count", "events of the item, future ones included"),)

    def fill(self, history, candidates, out):
        out[:, 0] = self.counts[candidates.item]


@pytest.mark.parametrize("kind", KINDS)
def test_a_leaky_block_of_the_protocol_is_caught_on_every_clock(kind):
    for leak in (Peeking(LOGS[kind]), Peeking):
        with pytest.raises(LeakError, match="Peeking: 'peek'"):
            check_no_leak(leak, LOGS[kind])


def test_a_leak_among_honest_blocks_is_named():
    stage = FeatureStage((*default_blocks(), by_item(LOG)))
    with pytest.raises(LeakError, match="sly: 'sly_len'"):
        check_no_leak(stage, LOG)


def test_features_that_depend_on_the_future_by_name():
    def build(log):
        def function(history, as_of):
            return history.group_by("item_id").agg(pl.len().alias(f"n{log.height}"))

        return CustomBlock("wide", key="item_id", function=function)

    with pytest.raises(ConfigError, match="there are other features, such as"):
        check_no_leak(build, LOG)


@pytest.mark.parametrize("extreme", [2**63 - 1, -(2**63)])
def test_ids_at_the_end_of_the_numbers(extreme):
    check_no_leak(honest("user_id"), LOG.with_columns(pl.col("user_id").replace(3, extreme)))


def test_a_log_of_one_instant():
    with pytest.raises(ConfigError, match="all events have one timestamp"):
        check_no_leak(honest("user_id"), LOG.filter(pl.col("timestamp") == LOG["timestamp"][0]))


def test_a_log_of_two_events():
    check_no_leak(honest(PAIR), LOG.sort("timestamp").gather([0, -1]))


def test_a_history_that_is_not_cut_would_be_noticed(monkeypatch):
    """Off by one where the log is cut, and not in a block."""

    def late(interactions, *, as_of, **options):
        return encode(interactions, as_of=as_of + 1, **options)

    monkeypatch.setattr(leaks, "encode", late)
    with pytest.raises(LeakError, match="events at that instant or later are"):
        check_no_leak(honest(PAIR), LOGS["clock"])
