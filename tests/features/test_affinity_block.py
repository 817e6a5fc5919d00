"""AttributeAffinity against loops over events and attribute values."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.affinity import AttributeAffinity
from features.block import Context
from tests.features.logs import CLOCKS, World, assert_fitted_equals, queries, worlds
from tests.features.oracle import NAN, decay

VALUES = st.sampled_from(["x", "y", "z"])
COLUMNS = {
    "brand": (pl.String, st.none() | VALUES),
    "kind": (pl.Enum(["x", "y", "z"]), st.none() | VALUES),
    "shelf": (pl.Int16, st.none() | st.integers(0, 2)),
    "genres": (pl.List(pl.String), st.none() | st.lists(st.none() | VALUES, max_size=4)),
    "codes": (pl.List(pl.Int16), st.none() | st.lists(st.none() | st.integers(0, 2), max_size=3)),
}


def values_of(cell) -> set[str]:
    """The distinct known values of a cell."""
    cells = cell if isinstance(cell, list) else [cell]
    return {str(value) for value in cells if value is not None}


def affinity_features(world: World, user: int, item: str, table, fading=1 / 6):
    """``table[column][item]`` is the set of the item's values."""
    log, events = world.log, world.events_of(user)
    weights = decay(world, user, fading)
    row = {}
    for name, values in table.items():
        n_events, shares, recencies = [], [], []
        for value in values[item]:
            shared = [value in values[event.item] for event in events]
            times = [
                log.tick(e.time) for e, is_shared in zip(events, shared, strict=True) if is_shared
            ]
            n_events.append(len(times))
            own = sum(weight for weight, mine in zip(weights, shared, strict=True) if mine)
            shares.append(own / sum(weights) if events else NAN)
            recencies += [world.now(user) - max(times)] if times else []
        known = bool(events) and bool(values[item])
        row[f"affinity_{name}_count"] = sum(n_events) / len(n_events) if known else NAN
        row[f"affinity_{name}_share"] = sum(shares) / len(shares) if known else NAN
        if log.has_time:
            recency = min(recencies, default=NAN) / log.unit
            row[f"affinity_{name}_recency_{log.unit_name}"] = recency
    return row


def assert_equals_oracle(block, world, query, frame, columns, fading=1 / 6):
    fitted = block.fit(Context(world.history, items=frame))
    assert {feature.family for feature in fitted.features} <= {"affinity"}
    table = {
        name: dict(zip(world.items, map(values_of, frame[name].to_list()), strict=True))
        for name in columns
    }

    def oracle(user, item, place):
        return affinity_features(world, user, item, table, fading)

    assert_fitted_equals(fitted, oracle, query)


@st.composite
def item_tables(draw, world: World) -> pl.DataFrame:
    n = len(world.items)
    columns = {"item_id": pl.Series(world.items, dtype=pl.String)}
    for name, (dtype, cells) in COLUMNS.items():
        rows = draw(st.lists(cells, min_size=n, max_size=n))
        columns[name] = pl.Series(rows, dtype=dtype)
    return pl.DataFrame(columns)


@given(data=st.data(), fading=st.sampled_from([1 / 6, 1 / 48]))
@settings(max_examples=150, deadline=None)
def test_equals_loops_over_events(data, fading):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(item_tables(world))
    columns = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True))
    block = AttributeAffinity(columns=tuple(columns), fading=fading)
    assert_equals_oracle(block, world, query, frame, columns, fading)


def is_shared(cells: list) -> bool:
    """At least two values, and on average at least two items for each."""
    flat = [v for cell in cells for v in (cell if isinstance(cell, list) else [cell])]
    known = [value for value in flat if value is not None]
    return 2 <= len(set(known)) <= len(known) / 2


@given(data=st.data(), max_columns=st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_columns_are_those_whose_values_items_share(data, max_columns):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(item_tables(world)).with_columns(
        title=pl.col("item_id"),
        constant=pl.lit("same"),
        price=pl.lit(1.5),
        nothing=pl.lit(None, dtype=pl.String),
    )
    columns = [name for name in COLUMNS if is_shared(frame[name].to_list())][:max_columns]
    block = AttributeAffinity(max_columns=max_columns)
    assert_equals_oracle(block, world, query, frame, columns)


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_no_item_table_no_columns(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    fitted = AttributeAffinity().fit(Context(world.history))
    assert fitted.features == ()
    fitted.fill(query.history, query.candidates, np.empty((query.candidates.n_rows, 0), np.float32))


@pytest.mark.parametrize("kind", list(CLOCKS))
def test_columns_say_what_they_are(kind):
    @given(world=worlds(kinds=(kind,)))
    @settings(max_examples=1, deadline=None)
    def check(world):
        frame = pl.DataFrame({"item_id": world.items}).with_columns(brand=pl.lit("x"))
        fitted = AttributeAffinity(columns=("brand",)).fit(Context(world.history, items=frame))
        expected = [("affinity_brand_count", "count"), ("affinity_brand_share", "share")]
        if kind != "none":
            unit = world.log.unit_name
            expected.append((f"affinity_brand_recency_{unit}", unit))
        assert [(feature.name, feature.unit) for feature in fitted.features] == expected

    check()
