"""SegmentShare against loops over the events of the users of a segment."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.errors import ConfigError
from features.segment import SegmentShare
from tests.features.logs import World, assert_fitted_equals, queries, worlds
from tests.features.oracle import NAN, decay

COLUMNS = {
    "country": (pl.String, st.none() | st.sampled_from("xyz")),
    "age": (pl.Int16, st.none() | st.integers(0, 2)),
    "member": (pl.Boolean, st.none() | st.booleans()),
}


@st.composite
def user_tables(draw, world: World) -> pl.DataFrame:
    n = len(world.users)
    columns = {"user_id": pl.Series(world.users)}
    for name, (dtype, cells) in COLUMNS.items():
        columns[name] = pl.Series(draw(st.lists(cells, min_size=n, max_size=n)), dtype=dtype)
    return pl.DataFrame(columns)


def counts_of(world: World, users, fading) -> dict[str, float]:
    """Decayed events of each item that some users took."""
    count: dict[str, float] = {}
    for user in users:
        events = world.events_of(user)
        weights = decay(world, user, fading) if world.log.is_comparable else [1.0] * len(events)
        for event, weight in zip(events, weights, strict=True):
            count[event.item] = count.get(event.item, 0.0) + weight
    return count


def segment_features(world: World, user: int, item: str, table, smoothing=200.0, fading=1 / 12):
    """``table[column][user]`` is the user's value."""
    overall = counts_of(world, world.users, fading)
    p = overall.get(item, 0.0) / sum(overall.values())
    row = {}
    for name, values in table.items():
        value = values.get(user)
        users = [u for u in world.users if value is None or values[u] == value]
        count = counts_of(world, users, fading)

        def smoothed(one, count=count):
            share = overall.get(one, 0.0) / sum(overall.values())
            return count.get(one, 0.0) + smoothing * share

        share = smoothed(item) / (sum(count.values()) + smoothing) if p else NAN
        ahead = sum(smoothed(other) > smoothed(item) for other in count)
        row[f"segment_{name}_share"] = share
        row[f"segment_{name}_ratio"] = share / p if p else NAN
        row[f"segment_{name}_rank"] = 1 + ahead if item in count else NAN
    return row


@given(data=st.data(), smoothing=st.sampled_from([1.0, 200.0]))
@settings(max_examples=150, deadline=None)
def test_equals_loops_over_the_users_of_a_segment(data, smoothing):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(user_tables(world))
    columns = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True))
    table = {name: dict(zip(world.users, frame[name].to_list(), strict=True)) for name in columns}
    fading = data.draw(st.sampled_from([1 / 12, 1.0]))
    block = SegmentShare(columns=tuple(columns), smoothing=smoothing, fading=fading)
    fitted = block.fit(Context(world.history, users=frame))

    def oracle(user, item, place):
        return segment_features(world, user, item, table, smoothing, fading)

    assert_fitted_equals(fitted, oracle, query)


@given(world=worlds())
@settings(max_examples=40, deadline=None)
def test_default_columns_are_names_that_users_share(world):
    n = len(world.users)
    frame = pl.DataFrame({"user_id": world.users}).with_columns(
        name=pl.format("user {}", "user_id"),
        height=pl.int_range(pl.len()) / 2,
        tags=pl.lit(["a"], dtype=pl.List(pl.String)),
        country=pl.Series((["x", "y"] * 9)[:n]),
        one=pl.lit(1),
    )
    fitted = SegmentShare().fit(Context(world.history, users=frame))
    expected = ["country"] if n >= 4 else []
    assert [f.name for f in fitted.features] == [
        f"segment_{name}_{kind}" for name in expected for kind in ("share", "ratio", "rank")
    ]
    assert {feature.family for feature in fitted.features} <= {"segment"}


@given(world=worlds())
@settings(max_examples=5, deadline=None)
def test_no_user_table_no_columns(world):
    assert SegmentShare().fit(Context(world.history)).features == ()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("land", "users have no column 'land'; there are height"),
        ("height", r"height \(Float64\); expected text, categories, integers or booleans"),
    ],
)
def test_columns_that_cannot_be_used(column, message):
    @given(world=worlds())
    @settings(max_examples=1, deadline=None)
    def check(world):
        frame = pl.DataFrame({"user_id": world.users}).with_columns(height=1.8)
        with pytest.raises(ConfigError, match=message):
            SegmentShare(columns=(column,)).fit(Context(world.history, users=frame))

    check()
