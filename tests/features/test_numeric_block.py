"""NumericAttributes against loops over events and over the items of a category."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.errors import ConfigError
from features.numeric import NumericAttributes, read_numbers
from tests.features.logs import DAY, EPOCH, World, assert_fitted_equals, queries, worlds
from tests.features.oracle import NAN

INSTANTS = st.datetimes(dt.datetime(1931, 5, 1), dt.datetime(2024, 3, 9))
# Halves and quarters, so that sums are exact and a mean of zero is one.
COLUMNS = {
    "price": (
        pl.Float64,
        st.none() | st.sampled_from([-2.0, 0.0, 0.25, 1.5, 8.0, math.nan, math.inf, -math.inf]),
    ),
    "cost": (pl.Decimal(12, 2), st.none() | st.sampled_from(["0.25", "1.50", "99999.75"])),
    "size": (pl.UInt16, st.none() | st.sampled_from([0, 1, 7, 900, 60_000])),
    "made": (pl.Date, st.none() | INSTANTS.map(dt.datetime.date)),
    "listed": (pl.Datetime("ms", "Asia/Tokyo"), st.none() | INSTANTS),
}


def series(name: str, cells: list) -> pl.Series:
    dtype = COLUMNS[name][0]
    if isinstance(dtype, pl.Decimal):
        return pl.Series(name, [None if c is None else Decimal(c) for c in cells], dtype=dtype)
    if isinstance(dtype, pl.Datetime):
        return (
            pl.Series(name, cells, dtype=pl.Datetime("us"))
            .dt.truncate("1s")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("Asia/Tokyo")
            .dt.cast_time_unit("ms")
        )
    return pl.Series(name, cells, dtype=dtype)


@st.composite
def item_tables(draw, world: World) -> pl.DataFrame:
    n = len(world.items)
    columns = [pl.Series("item_id", world.items, dtype=pl.String)]
    for name, (_, cells) in COLUMNS.items():
        columns.append(series(name, draw(st.lists(cells, min_size=n, max_size=n))))
    brands = draw(st.lists(st.none() | st.sampled_from("xy"), min_size=n, max_size=n))
    return pl.DataFrame([*columns, pl.Series("brand", brands, dtype=pl.String)])


def number(cell) -> float:
    """A cell as a number; dates in microseconds."""
    if isinstance(cell, dt.datetime):
        cell = cell.astimezone(dt.UTC).replace(tzinfo=None)
        return (cell - EPOCH) // dt.timedelta(microseconds=1)
    if isinstance(cell, dt.date):
        return (cell - EPOCH.date()).days * DAY
    return NAN if cell is None or not math.isfinite(cell) else float(cell)


def numeric_features(world: World, user: int, item: str, frame: pl.DataFrame, columns, category):
    row = {}
    groups = dict(zip(world.items, frame[category or "item_id"].to_list(), strict=True))
    for name in columns:
        values = dict(zip(world.items, map(number, frame[name].to_list()), strict=True))
        is_date = name in ("made", "listed")
        value = values[item]
        own = [values[event.item] for event in world.events_of(user)]
        own = [one for one in own if not math.isnan(one)]
        mean = math.fsum(own) / len(own) if own else NAN
        title = f"attribute_{name}"
        if is_date:
            if world.log.kind in ("datetime", "date"):
                row[f"{title}_age_days"] = (world.now(user) - value) / DAY
            else:
                row[f"{title}_days"] = value / DAY
            row[f"{title}_user_days"] = (value - mean) / DAY
        else:
            row[f"{title}_value"] = value
            row[f"{title}_user_mean"] = mean
            row[f"{title}_user_ratio"] = value / mean if mean > 0 else NAN
        if category is not None:
            row |= within_category(values, groups, item, title, is_date)
    return row


def within_category(values, groups, item, title, is_date):
    value, group = values[item], groups[item]
    peers = [one for other, one in values.items() if groups[other] == group and not math.isnan(one)]
    known = group is not None and not math.isnan(value)
    mean = statistics.fmean(peers) if known else NAN
    median = statistics.median(peers) if known else NAN
    below = sum(one < value for one in peers)
    equal = sum(one == value for one in peers)
    has_place = known and len(peers) > 1
    ratios = {
        f"{title}_mean_ratio": value / mean if mean > 0 else NAN,
        f"{title}_median_ratio": value / median if median > 0 else NAN,
    }
    place = (below + (equal - 1) / 2) / (len(peers) - 1) if has_place else NAN
    return ({} if is_date else ratios) | {f"{title}_place": place}


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_equals_loops_over_events_and_items(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(item_tables(world))
    columns = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True))
    named = data.draw(st.sampled_from(["brand", None]))
    shared = [
        name
        for name in ("size", "brand")
        if name not in columns
        and 2 <= frame[name].drop_nulls().n_unique() <= frame[name].count() / 2
    ]
    category = named or next(iter(shared), None)
    block = NumericAttributes(columns=tuple(columns), category=named)
    fitted = block.fit(Context(world.history, items=frame))

    def oracle(user, item, place):
        return numeric_features(world, user, item, frame, columns, category)

    # Days are differences of microseconds since 1970.
    assert_fitted_equals(fitted, oracle, query, atol=1e-6)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_default_columns_are_numbers_and_dates_of_two_values_or_more(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(item_tables(world)).drop("brand")
    table = frame.with_columns(
        constant=pl.lit(2.5),
        nothing=pl.lit(None, dtype=pl.Float32),
        title=pl.col("item_id"),
        parts=pl.concat_list(pl.lit(1.0), pl.lit(2.0)),
        box=pl.struct(width=pl.lit(1), height=pl.lit(2)),
    )
    columns = [
        name
        for name in COLUMNS
        if len({number(cell) for cell in frame[name].to_list() if number(cell) == number(cell)}) > 1
    ]
    # Integers of which one in two is a repetition are names, and ids if hardly any is.
    sizes = frame["size"].drop_nulls()
    if "size" in columns and not len(sizes) / 2 < sizes.n_unique() <= 0.9 * len(sizes):
        columns.remove("size")
    fitted = NumericAttributes().fit(Context(world.history, items=table))
    is_shared = 2 <= sizes.n_unique() <= len(sizes) / 2
    category = "size" if is_shared else None  # which is then not among the columns

    def oracle(user, item, place):
        return numeric_features(world, user, item, frame, columns, category)

    assert_fitted_equals(fitted, oracle, query, atol=1e-6)


def test_prices_worked_out_by_hand():
    prices = pl.Series([Decimal("2.00"), Decimal("4.00"), None, Decimal("12.00")])
    assert read_numbers(prices).tolist()[:2] == [2.0, 4.0]
    assert np.isnan(read_numbers(prices)[2])
    days = pl.Series([dt.date(1969, 12, 31), dt.date(1970, 1, 2)])
    assert read_numbers(days).tolist() == [-DAY, DAY]
    noon = pl.Series([dt.datetime(1970, 1, 1, 12)])
    in_tokyo = noon.dt.replace_time_zone("Asia/Tokyo")
    assert read_numbers(noon).tolist() == [DAY / 2]
    assert read_numbers(in_tokyo).tolist() == [DAY / 8]
    assert read_numbers(in_tokyo.dt.cast_time_unit("ns")).tolist() == [DAY / 8]


def test_numbers_that_float32_cannot_hold_are_unknown():
    numbers = read_numbers(pl.Series([1e39, -1e39, 1e38, math.inf, math.nan, None]))
    assert np.isnan(numbers).tolist() == [True, True, False, True, True, True]
    assert not np.isnan(read_numbers(pl.Series([2**64 - 1], dtype=pl.UInt64))).any()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (NumericAttributes(columns=("prize",)), "items have no column 'prize'; there are brand"),
        (NumericAttributes(columns=("brand",)), r"brand \(String\); expected numbers or dates"),
        (NumericAttributes(category="price"), r"price \(Float64\); expected text, categories"),
    ],
)
def test_columns_that_cannot_be_used(block, message):
    @given(world=worlds())
    @settings(max_examples=1, deadline=None)
    def check(world):
        frame = pl.DataFrame({"item_id": world.items}).with_columns(brand=pl.lit("x"), price=1.0)
        with pytest.raises(ConfigError, match=message):
            block.fit(Context(world.history, items=frame))

    check()


@given(world=worlds())
@settings(max_examples=5, deadline=None)
def test_no_item_table_no_columns(world):
    assert NumericAttributes().fit(Context(world.history)).features == ()
