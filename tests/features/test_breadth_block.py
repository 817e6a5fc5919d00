"""UserBreadth against loops over one user's events."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.breadth import UserBreadth
from tests.features.logs import World, assert_fitted_equals, queries, worlds
from tests.features.oracle import NAN, instants
from tests.features.test_affinity_block import COLUMNS, item_tables, values_of


def entropy(values: list) -> float:
    total = len(values)
    if not total:
        return NAN
    return -sum(n / total * math.log(n / total) for n in Counter(values).values()) + 0.0


def breadth_features(world: World, user: int, table):
    """``table[column][item]`` is the set of the item's values."""
    items = [event.item for event in world.events_of(user)]
    row = {"breadth_item": entropy(items)}
    for name, values in table.items():
        own = [value for item in items for value in values[item]]
        row[f"breadth_attribute_{name}"] = entropy(own)
    if world.log.has_time:
        gaps = [b - a for a, b in itertools.pairwise(instants(world, user))]
        variation = statistics.pstdev(gaps) / statistics.fmean(gaps) if len(gaps) > 1 else NAN
        row["breadth_interval_variation"] = variation
    return row


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_equals_loops_over_events(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(item_tables(world))
    columns = data.draw(st.lists(st.sampled_from(list(COLUMNS)), unique=True))
    table = {
        name: dict(zip(world.items, map(values_of, frame[name].to_list()), strict=True))
        for name in columns
    }
    fitted = UserBreadth(columns=tuple(columns)).fit(Context(world.history, items=frame))

    def oracle(user, item, place):
        return breadth_features(world, user, table)

    assert_fitted_equals(fitted, oracle, query, atol=1e-7)


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_without_an_item_table_items_alone(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        return breadth_features(world, user, {})

    assert_fitted_equals(UserBreadth().fit(Context(world.history)), oracle, query, atol=1e-7)
