"""AttributeEncoding against loops over the events of the items of a value."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.encoding import AttributeEncoding
from features.errors import ConfigError
from tests.features.logs import Event, Log, World, assert_fitted_equals, queries, worlds
from tests.features.oracle import NAN, instants
from tests.features.test_affinity_block import COLUMNS, item_tables, values_of


def encoding_features(world: World, item: str, table, windows, smoothing):
    """``table[column][item]`` is the set of the item's values."""
    log = world.log
    as_of = max(world.now(user) for user in world.users)
    starts = {}
    if log.is_comparable:
        starts = {f"{round(1 / share)}th": as_of - log.span * share for share in windows}
    starts["all"] = -float("inf")
    row = {}
    for name, values in table.items():
        peers = {
            value: [other for other in world.items if value in values[other]]
            for value in values[item]
        }
        for label, start in starts.items():
            late = [event.item for event in log.events if log.tick(event.time) >= start]
            shares = [share(late, own) for own in peers.values()]
            row[f"encoding_{name}_share_{label}"] = mean(shares)
        for label, start in starts.items():
            late = [event.item for event in log.events if log.tick(event.time) >= start]
            overall = len(late) / len(world.items)
            rates = [
                (sum(taken in own for taken in late) + smoothing * overall)
                / (len(own) + smoothing)
                / overall
                if late
                else NAN
                for own in peers.values()
            ]
            row[f"encoding_{name}_per_item_{label}"] = mean(rates)
        if log.has_time:
            row[f"encoding_{name}_repeat_rate"] = mean(
                [repeat_rate(world, own, smoothing) for own in peers.values()]
            )
    return row


def share(late, own):
    return sum(taken in own for taken in late) / len(late) if late else NAN


def mean(values):
    return sum(values) / len(values) if values else NAN


def repeat_rate(world, items, smoothing):
    def takers(items):
        times = [instants(world, user, item) for user in world.users for item in items]
        return sum(map(bool, times)), sum(len(own) > 1 for own in times)

    all_users, all_returned = takers(world.items)
    users, returned = takers(items)
    return (returned + smoothing * all_returned / all_users) / (users + smoothing)


@given(data=st.data(), smoothing=st.sampled_from([0.5, 10.0]))
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_the_items_of_a_value(data, smoothing):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(item_tables(world))
    columns = data.draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True))
    windows = data.draw(st.sampled_from([(), (1 / 48, 1 / 12), (1 / 2,)]))
    table = {
        name: dict(zip(world.items, map(values_of, frame[name].to_list()), strict=True))
        for name in columns
    }
    block = AttributeEncoding(columns=tuple(columns), windows=windows, smoothing=smoothing)
    fitted = block.fit(Context(world.history, items=frame))

    def oracle(user, item, place):
        return encoding_features(world, item, table, windows, smoothing)

    assert_fitted_equals(fitted, oracle, query)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_an_item_without_events_inherits_of_its_values(data):
    world = data.draw(worlds())
    frame = data.draw(item_tables(world))
    fitted = AttributeEncoding(columns=("brand",)).fit(Context(world.history, items=frame))
    known = [brand is not None for brand in frame["brand"]]
    names = [feature.name for feature in fitted.features]
    share = fitted.table[:, names.index("encoding_brand_share_all")]
    assert np.isfinite(share).tolist() == known
    of_brand = {}
    for brand, row in zip(frame["brand"], fitted.table.tolist(), strict=True):
        of_brand.setdefault(brand, []).append(row)
    for rows in of_brand.values():
        assert all(str(row) == str(rows[0]) for row in rows)


@given(data=st.data())
@settings(max_examples=5, deadline=None)
def test_columns_that_cannot_be_used_and_no_table(data):
    world = data.draw(worlds())
    assert AttributeEncoding().fit(Context(world.history)).features == ()
    frame = data.draw(item_tables(world))
    with pytest.raises(ConfigError, match="items have no column 'colour'; there are brand"):
        AttributeEncoding(columns=("colour",)).fit(Context(world.history, items=frame))


def test_values_worked_out_by_hand():
    # 10 days; the window of a half begins on day 5, whose events belong to it.
    rows = [("a", 0, 1), ("a", 4, 1), ("b", 5, 1), ("b", 5, 2), ("c", 9, 2)]
    log = Log("date", tuple(Event(user, item, day, 1.0, "buy") for item, day, user in rows))
    world = World.of(log, users=(1, 2), items=("a", "b", "c", "d"), as_of=None)
    frame = pl.DataFrame({"item_id": world.items, "brand": ["x", "x", "y", "y"]})
    block = AttributeEncoding(columns=("brand",), windows=(1 / 2,), smoothing=1.0)
    fitted = block.fit(Context(world.history, items=frame))
    names = [feature.name.removeprefix("encoding_brand_") for feature in fitted.features]
    found = dict(zip(names, fitted.table[[0, 3]].T.tolist(), strict=True))
    # Four takers of an item, of whom one came back for it.
    expected = {
        "share_2th": [2 / 3, 1 / 3],
        "share_all": [4 / 5, 1 / 5],
        "per_item_2th": [(2 + 3 / 4) / (2 + 1) / (3 / 4), (1 + 3 / 4) / (2 + 1) / (3 / 4)],
        "per_item_all": [(4 + 5 / 4) / (2 + 1) / (5 / 4), (1 + 5 / 4) / (2 + 1) / (5 / 4)],
        "repeat_rate": [(1 + 1 / 4) / (3 + 1), (0 + 1 / 4) / (1 + 1)],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-6), name
