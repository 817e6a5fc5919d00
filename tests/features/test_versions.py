"""Attributes that change are joined as of an instant; what is refused."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.affinity import AttributeAffinity
from features.clock import Clock, ClockKind
from features.encode import encode
from features.errors import ConfigError, SchemaError
from features.history import LogFacts
from features.leaks import check_no_leak
from features.schema import check_items, check_same_clock, check_users
from features.versions import as_known
from tests.features.logs import CLOCKS, Log
from tests.features.test_leaks import LOGS

COMPARABLE = ("datetime", "date", "clock")


@st.composite
def versions(draw):
    """Kind of clock, rows of item, time (or None) and brand, and an instant among the times."""
    times = st.one_of(st.none(), st.integers(0, 9))
    keys = st.tuples(st.sampled_from("abc"), times)
    rows = draw(st.lists(keys, max_size=12, unique=True))
    brands = [draw(st.sampled_from(["x", "y", None])) for _ in rows]
    instant = draw(st.integers(0, 10))
    return draw(st.sampled_from(COMPARABLE)), rows, brands, instant


def table_of(kind, rows, brands) -> pl.DataFrame:
    log = Log(kind, ())
    dtype = {"datetime": pl.Datetime("us"), "date": pl.Date}.get(kind, pl.Int64)
    return pl.DataFrame(
        {
            "item_id": pl.Series([item for item, _ in rows], dtype=pl.String),
            "valid_from": pl.Series(
                [None if time is None else log.stamp(time) for _, time in rows], dtype=dtype
            ),
            "brand": pl.Series(brands, dtype=pl.String),
        }
    )


@given(case=versions())
@settings(max_examples=200, deadline=None)
def test_equals_the_last_version_from_strictly_before(case):
    kind, rows, brands, instant = case
    expected = {}
    # None sorts before all times, and later rows replace earlier ones.
    for (item, time), brand in sorted(
        zip(rows, brands, strict=True), key=lambda row: -1 if row[0][1] is None else row[0][1]
    ):
        if time is None or time < instant:
            expected[item] = brand
    table = check_items(table_of(kind, rows, brands))
    as_of = Log(kind, ()).tick(instant)
    for frame in (table, table.reverse()):
        known = as_known(frame, "item_id", as_of=as_of, clock=CLOCKS[kind])
        assert known.columns == ["item_id", "brand"]
        assert known.rows() == sorted(expected.items())


@given(case=versions(), later=st.sampled_from(["x", "y", "z"]))
@settings(max_examples=100, deadline=None)
def test_nothing_depends_on_versions_from_the_instant_on(case, later):
    kind, rows, brands, instant = case
    table = table_of(kind, rows, brands)
    stamp = Log(kind, ()).stamp(instant)
    altered = table.with_columns(
        brand=pl.when(pl.col("valid_from") >= stamp).then(pl.lit(later)).otherwise("brand")
    )
    as_of = Log(kind, ()).tick(instant)
    tables = (table, altered, table.filter((pl.col("valid_from") < stamp).fill_null(value=True)))
    one, two, three = (
        as_known(check_items(t), "item_id", as_of=as_of, clock=CLOCKS[kind]) for t in tables
    )
    assert_frame_equal(one, two)
    assert_frame_equal(one, three)


def test_a_version_from_the_very_instant_on_is_not_known_yet():
    table = pl.DataFrame({"item_id": [1, 1], "valid_from": [5, 10], "price": [1.0, 2.0]})
    prices = {
        as_of: as_known(table, "item_id", as_of=as_of, clock=Clock(ClockKind.SHARED))["price"]
        for as_of in (5, 6, 10, 11)
    }
    assert {as_of: price.to_list() for as_of, price in prices.items()} == {
        5: [],
        6: [1.0],
        10: [1.0],
        11: [2.0],
    }


def test_a_history_has_the_attributes_of_its_instant_and_no_item_of_later():
    log = LOGS["clock"]
    start, end = log["timestamp"].min(), log["timestamp"].max()
    items = pl.DataFrame(
        {
            "item_id": ["a", "a", "b", "new"],
            "valid_from": [None, start + 20, None, end],
            "brand": ["old", "young", "b", "n"],
        }
    )
    found = {}
    for as_of in (start + 20, start + 21, end + 1):
        history, table, _ = encode(
            log, as_of=as_of, facts=LogFacts.of(log), items=check_items(items), users=None
        )
        assert table.columns == ["item_id", "brand"]
        assert table["item_id"].equals(history.items.values)
        brands = dict(table.iter_rows())
        found[as_of - start] = brands["a"], "new" in brands
    assert found == {20: ("old", False), 21: ("young", False), end + 1 - start: ("young", True)}


@pytest.mark.parametrize("kind", COMPARABLE)
def test_features_of_changing_attributes_do_not_leak(kind):
    log = LOGS[kind]
    stamps = log["timestamp"].unique().sort()
    items = pl.concat(
        pl.DataFrame({"item_id": list("abcdefghij"), "brand": brands}).with_columns(
            pl.lit(stamps[place], stamps.dtype).alias("valid_from")
        )
        for place, brands in ((0, ["x", "y"] * 5), (5, ["y", "z"] * 5))
    )
    check_no_leak(AttributeAffinity(columns=("brand",)), log, items=items)


def test_clocks_that_do_not_compare_users_have_no_versions():
    items = pl.DataFrame({"item_id": ["a"], "valid_from": [3]})
    for kind in ("positions", "none"):
        with pytest.raises(ConfigError, match=r"valid_from needs timestamps .* keep one row per"):
            encode(
                LOGS[kind],
                as_of=None,
                facts=LogFacts.of(LOGS[kind]),
                items=check_items(items),
                users=None,
            )


def test_several_rows_from_the_same_time_on():
    table = pl.DataFrame({"user_id": [1, 1, 2, 2], "valid_from": [None, None, 3, 4]})
    with pytest.raises(SchemaError, match=r"user_id: 1 ids stand in several rows from the same"):
        check_users(table)


@pytest.mark.parametrize(
    "values", [["2024-01-01", "2024-02-01"], [0.5, 1.5], [True, False], [dt.timedelta(1)] * 2]
)
def test_validity_that_is_no_time(values):
    table = pl.DataFrame({"item_id": [1, 2], "valid_from": values})
    with pytest.raises(SchemaError, match=r"valid_from: dtype \w+.* parse text with"):
        check_items(table)


def test_validity_is_brought_to_utc_and_microseconds():
    noon = dt.datetime(2024, 7, 1, 12)
    table = pl.DataFrame({"item_id": [1], "valid_from": [noon]}).with_columns(
        pl.col("valid_from").dt.cast_time_unit("ms").dt.replace_time_zone("Europe/Berlin")
    )
    assert check_items(table)["valid_from"].to_list() == [noon - dt.timedelta(hours=2)]
    assert check_items(table).schema["valid_from"] == pl.Datetime("us")


def test_whole_numbers_do_not_meet_dates():
    items = pl.DataFrame({"item_id": ["a"], "valid_from": [3]})
    with pytest.raises(SchemaError, match=r"Datetime.* in timestamp of interactions, Int64 in"):
        check_same_clock(interactions=LOGS["datetime"], items=items, users=None)
    check_same_clock(interactions=LOGS["clock"], items=items, users=None)
    check_same_clock(interactions=LOGS["date"], other=LOGS["datetime"])


def test_a_table_without_versions_is_not_touched():
    table = pl.DataFrame({"item_id": [2, 1], "price": [1.0, 2.0]})
    assert as_known(table, "item_id", as_of=None, clock=Clock(ClockKind.NONE)) is table


def test_only_nulls_are_valid_from_the_beginning():
    table = pl.DataFrame(
        {"item_id": [2, 1], "valid_from": pl.Series([None, None], dtype=pl.Date), "p": [1, 2]}
    )
    known = as_known(check_items(table), "item_id", as_of=-5, clock=Clock(ClockKind.ABSOLUTE))
    assert known.rows() == [(1, 2), (2, 1)]
