"""The cut: where it falls for every kind of clock, what is kept, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError, SchemaError
from ranker.evaluation import split_by_time

START = datetime(2024, 1, 1)
EAST = timezone(timedelta(hours=5))


def log(timestamps, dtype=None) -> pl.DataFrame:
    n = len(timestamps)
    return pl.DataFrame(
        {
            "user_id": [f"u{i % 3}" for i in range(n)],
            "item_id": range(n),
            "timestamp": pl.Series(timestamps, dtype=dtype),
            "price": [0.5 * i for i in range(n)],
        }
    )


def daily(n_days: int) -> list[datetime]:
    return [START + timedelta(days=day) for day in range(n_days)]


DAYS = log(daily(40))
DATES = DAYS.with_columns(pl.col("timestamp").dt.date())
TICKS = log([10 * i for i in range(40)])
ZONED = DAYS.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize(
    ("test", "n_test"), [("28d", 28), ("4w", 28), ("24h", 1), ("1441m", 2), ("1us", 1), ("36h", 2)]
)
def test_the_last_period_of_datetimes(unit, test, n_test):
    frame = DAYS.with_columns(pl.col("timestamp").dt.cast_time_unit(unit))
    train, held_out = split_by_time(frame, test=test)
    assert (train.height, held_out.height) == (40 - n_test, n_test)
    assert held_out.schema == frame.schema


@pytest.mark.parametrize(
    ("frame", "test", "n_test"),
    [(DATES, "28d", 28), (DATES, "1w", 7), (DATES, "24h", 1), (TICKS, 100, 10), (TICKS, 101, 11)],
)
def test_the_last_period_of_dates_and_clocks(frame, test, n_test):
    assert split_by_time(frame, test=test)[1].height == n_test


@pytest.mark.parametrize(
    ("frame", "at"),
    [
        (DAYS, START + timedelta(days=30)),
        (DAYS, date(2024, 1, 31)),
        (DAYS, START + timedelta(days=29, microseconds=1)),
        (DATES, date(2024, 1, 31)),
        (DATES, datetime(2024, 1, 31)),
        (ZONED, datetime(2024, 1, 31, tzinfo=UTC)),
        (ZONED, datetime(2024, 1, 31, 5, tzinfo=EAST)),
        (
            ZONED.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo")),
            datetime(2024, 1, 31, tzinfo=UTC),
        ),
        (TICKS, 300),
        (TICKS.with_columns(pl.col("timestamp").cast(pl.UInt16)), 291),
    ],
)
def test_at_is_the_first_instant_of_test(frame, at):
    train, test = split_by_time(frame, at=at)
    assert train["item_id"].to_list() == list(range(30))
    assert test["item_id"].to_list() == list(range(30, 40))
    assert test.schema == train.schema == frame.schema


@given(
    stamps=st.lists(st.integers(0, 50), min_size=2, max_size=60),
    fraction=st.floats(0.01, 0.99),
)
@settings(max_examples=80, deadline=None)
def test_a_fraction_keeps_equal_timestamps_together(stamps, fraction):
    frame = log(stamps, pl.Int64).with_columns(
        (pl.lit(START) + pl.duration(hours="timestamp")).alias("timestamp")
    )
    wanted = max(1, round(fraction * len(stamps)))
    cut = sorted(stamps)[len(stamps) - wanted]
    if cut == min(stamps):
        with pytest.raises(ConfigError, match="leaves train empty"):
            split_by_time(frame, test_fraction=fraction)
        return
    train, test = split_by_time(frame, test_fraction=fraction)
    assert train["timestamp"].max() < test["timestamp"].min()
    assert test["item_id"].to_list() == [i for i, stamp in enumerate(stamps) if stamp >= cut]
    assert train["item_id"].to_list() == [i for i, stamp in enumerate(stamps) if stamp < cut]
    assert test.height >= wanted
    assert test.filter(pl.col("timestamp") > test["timestamp"].min()).height < wanted


def test_a_lazy_frame_is_collected_and_the_callers_frame_stays():
    before = DAYS.clone()
    train, test = split_by_time(DAYS.lazy(), test="7d")
    assert isinstance(train, pl.DataFrame)
    assert isinstance(test, pl.DataFrame)
    assert pl.concat([train, test]).equals(before)
    assert DAYS.equals(before)


def test_the_order_of_rows_is_kept_and_does_not_move_the_cut():
    shuffled = DAYS.sample(fraction=1, shuffle=True, seed=1)
    train, test = split_by_time(shuffled, test_fraction=0.25)
    assert train.equals(shuffled.filter(pl.col("item_id") < 30))
    assert test.equals(shuffled.filter(pl.col("item_id") >= 30))


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (DAYS, {}, "got none of test, at and test_fraction"),
        (DAYS, {"test": "7d", "at": START}, "got test and at of test"),
        (DAYS, {"test": "7x"}, "'7x' is no length of time"),
        (DAYS, {"test": "1mo"}, "'1mo' is no length of time"),
        (DAYS, {"test": "0d"}, "'0d' is no length of time"),
        (DAYS, {"test": 7}, "7 is no length of time.*expected text such as '28d'"),
        (DAYS, {"test": 7.5}, "test=7.5; expected a duration"),
        (DAYS, {"test": True}, "test=True; expected a duration"),
        (
            DAYS,
            {"test": "40d"},
            "test='40d' leaves train empty: the 40 timestamps run from 2024-01",
        ),
        (DAYS, {"at": START}, "leaves train empty"),
        (DAYS, {"at": datetime(2030, 1, 1)}, "leaves test empty"),
        (DAYS, {"at": "2024-01-05"}, "'2024-01-05' is no instant"),
        (DAYS, {"at": 5}, "5 is no instant"),
        (DAYS, {"at": True}, "at=True; expected a datetime"),
        (DAYS, {"at": datetime(2024, 1, 5, tzinfo=UTC)}, "has a time zone but timestamp .* none"),
        (ZONED, {"at": datetime(2024, 1, 5)}, "has no time zone but timestamp is in UTC"),
        (ZONED, {"at": date(2024, 1, 5)}, "has no time zone but timestamp is in UTC"),
        (DATES, {"test": "5h"}, "'5h' is no length of time.*at least a day"),
        (DATES, {"test": "36h"}, "not a whole number of days"),
        (DATES, {"at": datetime(2024, 1, 5, 12)}, "lies within a day"),
        (TICKS, {"test": "28d"}, "'28d' is no length of time.*expected a positive whole number"),
        (TICKS, {"test": 0}, "0 is no length of time"),
        (TICKS, {"at": START}, "is no instant"),
        (DAYS, {"test_fraction": 0.0}, "test_fraction=0.0; expected a number between 0 and 1"),
        (DAYS, {"test_fraction": 10}, "test_fraction=10; expected"),
        (DAYS, {"test_fraction": float("nan")}, "test_fraction=nan; expected"),
        (
            log([START] * 5),
            {"test_fraction": 0.2},
            "all 5 timestamps are .*; split by us",
        ),
    ],
)
def test_a_cut_that_cannot_be(frame, options, message):
    with pytest.raises(ConfigError, match=message):
        split_by_time(frame, **options)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (DAYS.drop("timestamp"), "timestamp: no such column among .*a split by time needs it"),
        (log([1.5, 2.5]), "timestamp: dtype Float64"),
        (log(["2024-01-01", "2024-01-02"]), "timestamp: dtype String"),
        (log([START, None, None]), "timestamp: 2 of 3 values are null"),
        (DAYS.clear(), "no rows"),
        (DAYS.drop("user_id"), "user_id: no such column"),
        ([1, 2], "is a list; expected a polars DataFrame"),
    ],
)
def test_a_frame_without_a_usable_time(frame, message):
    with pytest.raises(SchemaError, match=message):
        split_by_time(frame, at=START)


def test_trap_positions_in_each_users_sequence_are_no_clock():
    frame = pl.DataFrame(
        {"user_id": [1] * 5 + [2] * 5, "item_id": range(10), "timestamp": [*range(5), *range(5)]}
    )
    with pytest.raises(ConfigError, match="counts the events of each user"):
        split_by_time(frame, test_fraction=0.2)
    _, test = split_by_time(frame.filter(pl.col("user_id") == 1), test=2)
    assert test["timestamp"].to_list() == [3, 4]
