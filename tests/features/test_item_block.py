"""ItemPopularity against loops over the log."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.errors import ConfigError
from features.history import History, LogFacts
from features.ids import Ids
from features.item import ItemPopularity
from tests.features.logs import DAY, assert_block_equals, queries, worlds
from tests.features.oracle import item_features


def ten_days() -> History:
    """Events of three items in each of 240 hours; the log is ten days long to the microsecond."""
    hours = [*range(240)]
    frame = pl.DataFrame(
        {
            "user_id": [hour % 7 for hour in hours],
            "item_id": [hour * hour % 11 % 3 for hour in hours],
            "timestamp": [dt.datetime(2024, 1, 1) + dt.timedelta(hours=hour) for hour in hours],
        }
    )
    end = frame.tail(1).with_columns(timestamp=dt.datetime(2024, 1, 11))
    frame = pl.concat([frame, end])
    facts = LogFacts.of(frame)
    return History.build(
        frame,
        users=Ids.sorted(frame["user_id"]),
        items=Ids.sorted(frame["item_id"]),
        facts=facts,
        as_of=int(facts.clock.ticks(end["timestamp"])[0]) + 1,
    )


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_the_log(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        return item_features(world, item)

    assert_block_equals(ItemPopularity(), oracle, world, query)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_windows_are_parameters(data):
    world = data.draw(worlds(max_events=60))
    query = data.draw(queries(world))
    windows = data.draw(st.sampled_from([(), (1 / 2,), (1 / 10, 1 / 4, 1 / 3, 1 / 2)]))

    def oracle(user, item, place):
        return item_features(world, item, windows)

    assert_block_equals(ItemPopularity(windows), oracle, world, query)


def test_windows_may_be_lengths_of_time():
    world = ten_days()
    found, shares = (
        ItemPopularity(windows).fit(Context(world)) for windows in (("24h", "5d"), (1 / 10, 1 / 2))
    )
    names = [feature.name for feature in found.features]
    assert names[:4] == ["item_share_24h", "item_rank_24h", "item_share_5d", "item_rank_5d"]
    assert "item_trend_24h" in names
    assert found.features[0].meaning == "share of all events in the last 24h"
    np.testing.assert_array_equal(found.table, shares.table)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (("2d", "24h"), "do not ascend"),
        (("24h", "1d"), "do not ascend"),
        (("soon",), "soon"),
    ],
)
def test_windows_that_cannot_be(windows, message):
    with pytest.raises(ConfigError, match=message):
        ItemPopularity(windows).fit(Context(ten_days()))


def test_values_worked_out_by_hand():
    rows = [
        # user, item, day
        (1, "a", 0),
        (1, "a", 4),
        (1, "a", 4),
        (1, "a", 8),
        (2, "a", 3),
        (2, "a", 5),
        (3, "a", 7),
        (3, "b", 9),
        (2, "b", 9),
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day"], orient="row").with_columns(
        pl.col("day").cast(pl.Int32).cast(pl.Date).alias("timestamp")
    )
    history = History.build(
        frame,
        users=Ids(pl.Series([1, 2, 3, 4])),
        items=Ids(pl.Series(["a", "b", "c"])),
        facts=LogFacts.of(frame),
        as_of=10 * DAY,
    )
    fitted = ItemPopularity(windows=(1 / 5,)).fit(Context(history))  # 2 of 10 days: from day 8 on
    found = dict(zip((f.name for f in fitted.features), fitted.table.T.tolist(), strict=True))
    nan = math.nan
    expected = {
        "item_share_5th": [1 / 3, 2 / 3, nan],
        "item_rank_5th": [2, 1, nan],
        "item_share_all": [7 / 9, 2 / 9, nan],
        "item_rank_all": [1, 2, nan],
        "item_trend_5th": [3 / 7, 3, nan],
        "item_users": [3 / 3, 2 / 3, nan],  # of those with events
        "item_repeat_rate": [2 / 3, 0, nan],
        "item_visits_per_user": [6 / 3, 1, nan],
        "item_interval_days": [3, nan, nan],  # 4 days of one user, 2 of another
        "item_age_days": [10, 1, nan],
        "item_recency_days": [2, 1, nan],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-6, nan_ok=True), name
    assert [feature.unit for feature in fitted.features] == [
        *["share", "rank"] * 2,
        *["ratio", "share", "share", "count"],
        *["days"] * 3,
    ]


def test_a_snapshot_without_events_knows_nothing_of_any_item():
    history = History.build(
        pl.DataFrame(schema={"user_id": pl.Int64, "item_id": pl.Int64, "timestamp": pl.Int64}),
        users=Ids(pl.Series([1])),
        items=Ids(pl.Series([1, 2])),
        facts=LogFacts.of(pl.DataFrame({"user_id": [1], "item_id": [1], "timestamp": [500]})),
        as_of=500,
    )
    fitted = ItemPopularity().fit(Context(history))
    assert fitted.table.shape == (2, len(fitted.features))
    assert np.isnan(fitted.table).all()


@given(world=worlds())
@settings(max_examples=30, deadline=None)
def test_shares_of_a_window_sum_to_one_or_are_unknown(world):
    fitted = ItemPopularity().fit(Context(world.history))
    for column, feature in enumerate(fitted.features):
        if feature.name.startswith("item_share"):
            shares = fitted.table[:, column]
            assert np.isnan(shares).all() or np.nansum(shares) == pytest.approx(1, rel=1e-5)
