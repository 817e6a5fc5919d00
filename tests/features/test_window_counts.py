"""Counts that are kept up to date equal counts from the beginning, and those of plain Python."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import ConfigError, SchemaError
from features.window_counts import WindowCounts
from tests.features.logs import CLOCKS, START, Event, Log

WINDOWS = {"datetime": ("9h", "2d"), "date": ("1d", "3d"), "clock": (15, 40)}
EVENT = st.builds(
    Event,
    user=st.integers(0, 3),
    item=st.sampled_from("abcde"),
    time=st.integers(0, 12),
    weight=st.just(1.0),
    name=st.just("buy"),
)


def counted(kind, events, instant) -> list:
    """By loops: item, a count per window, all."""
    log = Log(kind, ())
    as_of = log.tick(instant)
    lengths = [CLOCKS[kind].duration(window) for window in WINDOWS[kind]]
    rows = []
    for item in sorted({event.item for event in events}):
        ages = [as_of - log.tick(event.time) for event in events if event.item == item]
        in_windows = [sum(age <= length for age in ages) for length in lengths]
        rows.append((item, *in_windows, len(ages)))
    return rows


@given(
    kind=st.sampled_from(sorted(WINDOWS)),
    first=st.lists(EVENT, min_size=1, max_size=25),
    second=st.lists(EVENT, min_size=1, max_size=25),
    instants=st.tuples(st.integers(0, 20), st.integers(0, 8)),
    written=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_an_update_equals_counting_again(kind, first, second, instants, written, tmp_path_factory):
    log = Log(kind, tuple(first))
    early = max(instants[0], 1 + max(event.time for event in first))
    late = max(early + instants[1], 1 + max(event.time for event in second))
    start = WindowCounts.of(log.frame(), windows=WINDOWS[kind], as_of=log.stamp(early))
    assert start.frame().rows() == counted(kind, first, early)
    if written:
        path = tmp_path_factory.mktemp("counts") / "counts.parquet"
        start.write(path)
        start = WindowCounts.read(path)
    updated = start.update(log.frame(second), as_of=log.stamp(late))
    again = WindowCounts.of(
        log.frame([*second, *first]), windows=WINDOWS[kind], as_of=log.stamp(late)
    )
    assert updated.frame().rows() == counted(kind, [*first, *second], late)
    assert_frame_equal(updated.frame(), again.frame())
    assert_frame_equal(updated.recent, again.recent)


LOG = pl.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "timestamp": [10, 20]})


def test_only_the_longest_window_is_kept():
    counts = WindowCounts.of(LOG, windows=(2, 6), as_of=25)
    assert counts.recent.rows() == [(8, 20)]
    assert counts.frame().rows() == [(7, 0, 0, 1), (8, 0, 1, 1)]
    assert counts.frame().columns == ["item_id", "count_2", "count_6", "count_all"]


def test_a_quiet_interval_lets_old_events_fall_out():
    counts = WindowCounts.of(LOG, windows=(6,), as_of=25)
    quiet = counts.update(LOG.clear(), as_of=30)
    assert quiet.frame().rows() == [(7, 0, 1), (8, 0, 1)]
    assert quiet.recent.is_empty()


def test_what_is_refused():
    counts = WindowCounts.of(LOG, windows=(5,), as_of=25)
    with pytest.raises(SchemaError, match="timestamp: no such column"):
        counts.update(LOG.drop("timestamp"), as_of=30)
    dated = LOG.with_columns(timestamp=pl.lit(dt.datetime(2024, 1, 1)))
    of_instants = WindowCounts.of(dated, windows=("5d",), as_of=dt.datetime(2024, 1, 2))
    with pytest.raises(SchemaError, match="times are Date in timestamp of interactions"):
        of_instants.update(dated.cast({"timestamp": pl.Date}), as_of=dt.datetime(2024, 1, 3))
    with pytest.raises(SchemaError, match=r"2 events are at or after 20.*timestamp < as_of|1 eve"):
        WindowCounts.of(LOG, windows=(5,), as_of=20)
    with pytest.raises(ConfigError, match="as_of=24 is before 25"):
        counts.update(LOG, as_of=24)
    with pytest.raises(SchemaError, match="item_id is String"):
        counts.update(LOG.cast({"item_id": pl.String}), as_of=30)
    with pytest.raises(SchemaError, match="times are"):
        counts.update(LOG.with_columns(timestamp=pl.lit(START)), as_of=30)
    with pytest.raises(ConfigError, match="no length of time"):
        WindowCounts.of(LOG, windows=("5d",), as_of=25)
    with pytest.raises(ConfigError, match="expected at least one"):
        WindowCounts.of(LOG, windows=(), as_of=25)
    with pytest.raises(ConfigError, match="cannot be counted on a clock that is none"):
        WindowCounts.of(LOG.drop("timestamp"), windows=(5,), as_of=25)
    with pytest.raises(ConfigError, match="is no instant of this log"):
        WindowCounts.of(LOG, windows=(5,), as_of=dt.datetime(2024, 1, 1))


def test_windows_of_one_length_are_refused():
    log = pl.DataFrame({"item_id": ["a"], "user_id": [1], "timestamp": [dt.datetime(2024, 1, 1)]})
    for windows in (["7d", "7d"], ["7d", "1w"]):
        with pytest.raises(ConfigError, match="are not of different lengths"):
            WindowCounts.of(log, windows=windows, as_of=dt.datetime(2024, 1, 2))


def test_times_of_a_zone_are_counted():
    times = [dt.datetime(2024, 1, 1, 23), dt.datetime(2024, 1, 2, 1)]
    log = pl.DataFrame({"user_id": [1, 2], "item_id": ["a", "a"], "timestamp": times})
    local = log.with_columns(pl.col("timestamp").dt.replace_time_zone("Europe/Berlin"))
    counts = WindowCounts.of(local, windows=("1h",), as_of=dt.datetime(2024, 1, 2, 0, 30))
    assert counts.frame().rows() == [("a", 1, 2)]
    later = counts.update(local, as_of=dt.datetime(2024, 1, 3))
    assert later.frame()["count_all"].to_list() == [4]
    with pytest.raises(SchemaError, match="name no time zone"):
        counts.update(log, as_of=dt.datetime(2024, 1, 3))
