"""ItemConversion and LastEvents against loops over events by name."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.errors import ConfigError
from features.event import ItemConversion, LastEvents
from tests.features.logs import Event, Log, World, assert_block_equals, logs, queries, worlds
from tests.features.oracle import NAN


def last_event_features(world: World, user: int, item: str):
    log = world.log
    if not log.has_time or len(log.names) < 2:
        return {}
    own = [event for event in world.events_of(user) if event.item == item]
    last = max((log.tick(event.time) for event in own), default=None)
    row = {}
    for name in log.names:
        times = [log.tick(event.time) for event in own if event.name == name]
        recency = (world.now(user) - max(times)) / log.unit if times else NAN
        row[f"event_{name}_recency_{log.unit_name}"] = recency
        row[f"event_{name}_is_last"] = float(last in times) if own else 0.0
    return row


def conversion_features(world: World, item: str, funnel=None, smoothing=10.0):
    names = world.log.names
    if len(names) < 2:
        return {}
    pairs = list(itertools.combinations(names, 2)) if funnel is None else itertools.pairwise(funnel)
    groups = [(f"item_{name}_share", name, names) for name in names]
    groups += [(f"item_{a}_to_{b}", b, (a, b)) for a, b in pairs]
    row = {}
    for title, name, among in groups:
        of_log = [event.name for event in world.log.events if event.name in among]
        own = [e.name for e in world.log.events if e.name in among and e.item == item]
        overall = of_log.count(name) / len(of_log)
        share = (own.count(name) + smoothing * overall) / (len(own) + smoothing) if own else NAN
        row[title] = share
    return row


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_last_events_equal_loops_over_events(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        return last_event_features(world, user, item)

    assert_block_equals(LastEvents(), oracle, world, query)


@given(data=st.data(), smoothing=st.sampled_from([0.0, 1.0, 10.0]))
@settings(max_examples=100, deadline=None)
def test_conversion_equals_loops_over_events(data, smoothing):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    funnel = None
    if len(world.log.names) > 1 and data.draw(st.booleans()):
        funnel = tuple(data.draw(st.permutations(world.log.names)))

    def oracle(user, item, place):
        return conversion_features(world, item, funnel, smoothing)

    block = ItemConversion(funnel=funnel, smoothing=smoothing)
    assert_block_equals(block, oracle, world, query)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_names_that_are_not_counted_say_nothing_but_that_they_came_later(data):
    # Only the commonest names are told apart: the others are -1.
    drawn = data.draw(logs(kinds=("datetime", "clock")))
    of_each = [Event(1, "a", 1, 1.0, name) for name in ("buy", "cart", "view")]
    world = _world([*drawn.events, *of_each], drawn.kind)
    query = data.draw(queries(world))

    def without_last(history):
        facts = dataclasses.replace(history.facts, event_names=history.facts.event_names[:2])
        event = np.where(history.event < 2, history.event, -1).astype(np.int16)
        return dataclasses.replace(history, facts=facts, event=event)

    query = dataclasses.replace(query, history=without_last(query.history))
    fewer = dataclasses.replace(world, history=without_last(world.history))

    def oracle(user, item, place):
        row = last_event_features(world, user, item)
        return {name: row[name] for name in list(row)[:4]}

    assert_block_equals(LastEvents(), oracle, fewer, query)


def test_put_into_the_cart_and_not_bought():
    events = [
        Event(1, "a", 0, 1.0, "buy"),
        Event(1, "a", 2, 1.0, "cart"),
        Event(1, "b", 1, 1.0, "cart"),
        Event(1, "b", 3, 1.0, "buy"),
    ]
    row = {item: last_event_features(_world(events), 1, item) for item in "abc"}
    assert [row[item]["event_cart_is_last"] for item in "abc"] == [1.0, 0.0, 0.0]
    assert [row[item]["event_buy_is_last"] for item in "abc"] == [0.0, 1.0, 0.0]

    @given(data=st.data())
    @settings(max_examples=20, deadline=None)
    def check(data):
        world = _world(events)
        query = data.draw(queries(world))
        assert_block_equals(
            LastEvents(), lambda user, item, _: last_event_features(world, user, item), world, query
        )

    check()


def _world(events, kind="clock") -> World:
    log = Log(kind, tuple(events))
    return World.of(log, users=range(5), items=("a", "b", "c", "d", "e"), as_of=None)


@given(world=worlds())
@settings(max_examples=40, deadline=None)
def test_a_step_that_the_log_does_not_have(world):
    block = ItemConversion(funnel=("view", "gift"))
    with pytest.raises(ConfigError, match=r"the log has no events \['gift'"):
        block.fit(Context(world.history))
