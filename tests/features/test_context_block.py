"""ColdFlags and ClockAffinity against loops over the log."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.context import _HOUR_OF_DAY, _WEEKDAY, ClockAffinity, ColdFlags
from tests.features.logs import EPOCH, World, assert_block_equals, queries, worlds
from tests.features.oracle import NAN


def cold_features(world: World, user: int, item: str, few: int):
    n_events = sum(event.item == item for event in world.log.events)
    return {
        "cold_item": float(n_events == 0),
        "cold_user": float(not world.events_of(user)),
        "cold_events": min(n_events, few),
    }


def instant(tick: int) -> dt.datetime:
    return EPOCH + dt.timedelta(microseconds=tick)


def clock_features(world: World, user: int, item: str, smoothing: float):
    if world.log.kind not in ("datetime", "date"):
        return {}
    kinds = {"weekday": dt.datetime.weekday}
    if world.log.kind == "datetime":
        kinds = {"hour": lambda time: time.hour} | kinds
    row = {}
    for name, place_of in kinds.items():
        now = place_of(instant(world.now(user)))
        at = [(e.item, place_of(instant(world.log.tick(e.time)))) for e in world.log.events]
        overall = sum(place == now for _, place in at) / len(at)
        own = [place for one, place in at if one == item]
        share = (own.count(now) + smoothing * overall) / (len(own) + smoothing)
        row[f"clock_{name}"] = now
        row[f"clock_{name}_ratio"] = share / overall if overall else NAN
    return row


@given(data=st.data(), few=st.sampled_from([1, 3, 10]))
@settings(max_examples=80, deadline=None)
def test_cold_flags_equal_counts(data, few):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        return cold_features(world, user, item, few)

    assert_block_equals(ColdFlags(few=few), oracle, world, query)


@given(data=st.data(), smoothing=st.sampled_from([0.5, 20.0]))
@settings(max_examples=120, deadline=None)
def test_the_clock_equals_loops_over_the_log(data, smoothing):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        return clock_features(world, user, item, smoothing)

    assert_block_equals(ClockAffinity(smoothing=smoothing), oracle, world, query)


@given(time=st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)))
def test_hours_and_weekdays_before_1970_too(time):
    tick = np.array([(time - EPOCH) // dt.timedelta(microseconds=1)])
    assert _HOUR_OF_DAY.place(tick) == time.hour
    assert _WEEKDAY.place(tick) == time.weekday()


@pytest.mark.parametrize(("kind", "n"), [("datetime", 4), ("date", 2), ("clock", 0), ("none", 0)])
def test_columns_of_each_clock(kind, n):
    @given(data=st.data())
    @settings(max_examples=2, deadline=None)
    def check(data):
        world = data.draw(worlds(kinds=(kind,)))
        query = data.draw(queries(world))

        def oracle(user, item, place):
            row = clock_features(world, user, item, 20.0)
            assert len(row) == n
            return row

        assert_block_equals(ClockAffinity(), oracle, world, query)

    check()
