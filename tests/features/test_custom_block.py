"""Blocks from functions: whose history they see, what they may return, and what is refused."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.custom import CustomBlock
from features.errors import ConfigError, SchemaError
from features.history import History, LogFacts
from features.ids import Ids
from tests.features.logs import assert_block_equals, candidates_of, queries, worlds

PAIR = ("user_id", "item_id")
HOUR = dt.timedelta(hours=1)
START = dt.datetime(2024, 3, 1)


def counts(key, extra=()):
    def function(history, as_of):
        return history.group_by(key).agg(pl.len().alias("n"), pl.col("weight").sum(), *extra)

    return function


def history_of(times=(0, 1, 2, 2), items=("a", "b", "a", "a"), as_of=None) -> History:
    frame = pl.DataFrame(
        {
            "user_id": [1, 1, 2, 2],
            "item_id": items,
            "timestamp": [START + hours * HOUR for hours in times],
        }
    )
    facts = LogFacts.of(frame)
    return History.build(
        frame,
        users=Ids(pl.Series([1, 2, 3])),
        items=Ids.sorted(frame["item_id"], pl.Series([frame["item_id"][0]])),
        facts=facts,
        as_of=facts.clock.tick(START + 3 * HOUR) if as_of is None else as_of,
    )


def values(block, history=None, users=(1, 2, 77)) -> list:
    """The first feature for every user and item."""
    history = history or history_of()
    items = history.items.values.to_list()
    proposals = [{"one": [(item, 1.0) for item in items]} for _ in users]
    candidates = candidates_of(items, users, ("one",), proposals)
    fitted = block.fit(Context(history))
    out = np.full((candidates.n_rows, len(fitted.features)), np.nan, np.float32)
    fitted.fill(history.select(pl.Series(users)), candidates, out)
    return [None if math.isnan(value) else value for value in out[:, 0].tolist()]


@given(data=st.data(), key=st.sampled_from(["user_id", "item_id", PAIR]))
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_events(data, key):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        keys = {"user_id": (user,), "item_id": (item,), PAIR: (user, item)}[key]
        wanted = {
            "user_id": lambda e: (e.user,),
            "item_id": lambda e: (e.item,),
            PAIR: lambda e: (e.user, e.item),
        }[key]
        own = [e for e in world.log.events if wanted(e) == keys]
        if not own:
            return {"mine_n": math.nan, "mine_weight": math.nan}
        return {"mine_n": len(own), "mine_weight": sum(e.weight for e in own)}

    assert_block_equals(CustomBlock("mine", key=key, function=counts(key)), oracle, world, query)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_function_sees_the_events_of_those_who_are_served_and_their_instant(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    seen = []

    def function(history, as_of):
        seen.append((history.collect(), as_of))
        return history.select("user_id").unique().with_columns(x=1)

    fitted = CustomBlock("mine", key="user_id", function=function).fit(Context(world.history))
    fitted.fill(query.history, query.candidates, np.empty((query.candidates.n_rows, 1), np.float32))
    probed, _ = seen[0]
    assert probed.height == 0
    if not query.candidates.n_rows:
        assert len(seen) == 1
        return
    clock, now = query.history.clock, query.history.now
    if world.log.is_comparable and query.users:
        assert [clock.tick(as_of) for _, as_of in seen[1:]] == np.unique(now).tolist()
    else:
        assert len(seen) == 2
    for served, as_of in seen[1:]:
        assert probed.schema == served.schema
        users = query.users
        if world.log.is_comparable and users:
            users = [user for user, own in zip(users, now, strict=True) if own == clock.tick(as_of)]
        asked = [event for user in users for event in world.events_of(user)]
        assert served["user_id"].to_list() == [event.user for event in asked]
        assert served["item_id"].to_list() == [event.item for event in asked]
        assert served["weight"].to_list() == [event.weight for event in asked]
        assert served["event"].to_list() == [event.name for event in asked]
        if world.log.has_time:
            stamps = [world.log.stamp(event.time) for event in asked]
            assert served["timestamp"].to_list() == stamps
        else:
            assert "timestamp" not in served.columns
        assert world.log.is_comparable or as_of is None


def test_of_a_session_the_events_of_the_session():
    history = history_of()
    events = pl.DataFrame(
        {"user_id": [2, 2, 9], "item_id": ["b"] * 3, "timestamp": [START + 5 * HOUR] * 3}
    )
    sessions = history.sessions(events)
    for key, expected in (("user_id", [[2, 2], [1, 1]]), (PAIR, [[math.nan, 2], [math.nan, 1]])):
        fitted = CustomBlock("mine", key=key, function=counts(key)).fit(Context(history))
        lists = [{"one": [("a", 1.0), ("b", 1.0)]}] * 2
        candidates = candidates_of(["a", "b"], (2, 9), ("one",), lists)
        out = np.full((4, 2), np.nan, np.float32)
        fitted.fill(sessions, candidates, out)
        np.testing.assert_array_equal(out[:, 0], np.array(expected, float).ravel())
    items = CustomBlock("mine", key="item_id", function=counts("item_id")).fit(Context(history))
    items.fill(sessions, candidates, out)
    assert out[:, 0].tolist() == [3, 1, 3, 1], "items are known as of the snapshot"


def test_ids_in_any_order_unknown_ones_and_what_is_not_finite():
    table = pl.DataFrame(
        {"item_id": ["zz", "b", "a"], "x": [9.0, math.inf, 0.5], "y": [True, None, False]}
    )
    block = CustomBlock("mine", key="item_id", function=lambda history, as_of: table.lazy())
    assert values(block) == [0.5, None] * 3
    fitted = block.fit(Context(history_of()))
    np.testing.assert_array_equal(fitted.table, [[0.5, 0.0], [math.nan, math.nan]])


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Float64, pl.Decimal(10, 2), pl.Boolean])
def test_numbers_of_every_kind(dtype):
    table = pl.DataFrame({"item_id": ["a", "b"], "x": [1, 0]}).cast({"x": dtype})
    block = CustomBlock("mine", key="item_id", function=lambda history, as_of: table)
    assert values(block, users=(1,)) == [1.0, 0.0]


def test_ids_of_other_dtypes_that_mean_the_same():
    table = pl.DataFrame({"item_id": ["b"], "user_id": [2], "x": [4]})
    table = table.cast({"item_id": pl.Categorical, "user_id": pl.UInt8})
    empty = table.clear()

    def function(history, as_of):
        return table if history.collect().height else empty

    assert values(CustomBlock("mine", key=["item_id", "user_id"], function=function)) == [
        *[None] * 3,
        4.0,
        *[None] * 2,
    ]


def test_features_are_told_by_name_unit_and_meaning():
    block = CustomBlock(
        "basket",
        key="user_id",
        function=counts("user_id"),
        units={"n": "count"},
        meanings={"n": "events of the user"},
    )
    first, second = block.fit(Context(history_of())).features
    assert (first.name, first.family) == ("basket_n", "basket")
    assert (first.unit, first.meaning) == ("count", "events of the user")
    assert (second.name, second.unit) == ("basket_weight", "value")
    assert second.meaning == "weight by user_id"
    wrong = CustomBlock("basket", key="user_id", function=counts("user_id"), units={"m": "count"})
    with pytest.raises(ConfigError, match=r"given for \['m'\], but the columns are \['n', 'weig"):
        wrong.fit(Context(history_of()))


@pytest.mark.parametrize("key", ["user", "", ("user_id", "user_id"), (), ("item_id", "time")])
def test_a_key_that_is_none(key):
    with pytest.raises(ConfigError, match="expected 'user_id', 'item_id' or"):
        CustomBlock("mine", key=key, function=counts("user_id"))


def test_a_block_without_a_name():
    with pytest.raises(ConfigError, match="needs a name"):
        CustomBlock("", key="user_id", function=counts("user_id"))


ITEMS = {"item_id": ["a", "b"], "x": [1.0, 2.0]}
BAD = {
    "no frame": ("returned a dict; expected a polars frame", ITEMS),
    "no key": (
        r"item_id: no such column among \['item', 'x'\]",
        pl.DataFrame({"item": ["a"], "x": [1]}),
    ),
    "ids are numbers": (
        r"item_id: dtype Int64 \(such as 7\), but the ids of the log are String",
        pl.DataFrame({"item_id": [7], "x": [1]}),
    ),
    "ids are null": (
        "item_id: 1 ids are null; drop those rows",
        pl.DataFrame({"item_id": ["a", None], "x": [1, 2]}),
    ),
    "duplicates": (
        r"item_id: 1 keys stand in more than one row \(such as \('a',\)\); group by the key",
        pl.DataFrame({"item_id": ["a", "b", "a"], "x": [1, 2, 3]}),
    ),
    "no features": ("no columns beside", pl.DataFrame({"item_id": ["a"]})),
    "text": (
        r"x: dtype String \(such as 'red'\); expected a number or Boolean",
        pl.DataFrame({"item_id": ["a"], "x": ["red"]}),
    ),
    "durations": (
        r"x: dtype Duration.* turn durations into days",
        pl.DataFrame({"item_id": ["a"], "x": [dt.timedelta(1)]}),
    ),
    "lists": (r"x: dtype List", pl.DataFrame({"item_id": ["a"], "x": [[1, 2]]})),
    "the other id": (
        "user_id: is an id, but the key is 'item_id'",
        pl.DataFrame({"item_id": ["a"], "user_id": [1], "x": [1]}),
    ),
}


@pytest.mark.parametrize(("message", "table"), BAD.values(), ids=BAD)
def test_frames_that_are_refused(message, table):
    block = CustomBlock("mine", key="item_id", function=lambda history, as_of: table)
    with pytest.raises(SchemaError, match=f"custom block 'mine'.*\n.*{message}"):
        block.fit(Context(history_of()))


def test_every_problem_is_in_one_error():
    table = pl.DataFrame({"item_id": ["a", None], "x": ["red", "blue"], "y": [[1], [2]]})
    block = CustomBlock("mine", key="item_id", function=lambda history, as_of: table)
    with pytest.raises(SchemaError) as caught:
        block.fit(Context(history_of()))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["item_id", "x", "y"]


def test_a_function_that_fails_says_on_what():
    def function(history, as_of):
        return history.collect()["timestamp"].max() - START

    with pytest.raises(ConfigError, match="failed on 0 events as of 2024-03-01 03:00:00: TypeE"):
        CustomBlock("mine", key="user_id", function=function).fit(Context(history_of()))


def test_columns_that_depend_on_the_data():
    def function(history, as_of):
        wide = history.collect()
        return wide.group_by("user_id").agg(x=pl.len(), **{f"n{wide.height}": pl.len()})

    with pytest.raises(SchemaError, match=r"\['n4', 'x'\] here .* \['mine_x', 'mine_n0'\]"):
        values(CustomBlock("mine", key="user_id", function=function), users=(1, 2))


def test_the_order_of_columns_does_not_matter():
    def function(history, as_of):
        found = history.group_by("user_id").agg(x=pl.len(), y=-pl.len().cast(pl.Int64)).collect()
        return found if not found.height else found.select("y", "x", "user_id")

    assert values(CustomBlock("mine", key="user_id", function=function), users=(1,)) == [2.0, 2.0]
