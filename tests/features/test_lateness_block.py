"""ItemLateness against loops over the log."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.errors import ConfigError
from features.history import LogFacts
from features.infer import infer_stage
from features.lateness import ItemLateness
from features.schema import check_interactions
from tests.features.logs import assert_block_equals, queries, worlds
from tests.features.oracle import lateness_features
from tests.logs import history_of, make_log


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_the_log(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    latest = data.draw(st.sampled_from([(1, 5, 20), (2,), ()]))

    def oracle(user, item, place):
        return lateness_features(world, item, latest)

    assert_block_equals(ItemLateness(latest), oracle, world, query)


def test_what_users_took_last_is_told_from_what_they_began_with():
    """Thirty users began with the old one and ended with the new one; both have thirty events."""
    log = pl.DataFrame(
        {
            "user_id": [user for user in range(30) for _ in range(3)],
            "item_id": ["old", "between", "new"] * 30,
            "timestamp": [0, 1, 2] * 30,
        }
    )
    history = history_of(log.cast({"user_id": pl.String}))
    fitted = ItemLateness((1,)).fit(Context(history))
    columns = [feature.name for feature in fitted.features]
    assert columns == ["item_latest_1", "item_place"]
    value = dict(zip(history.items.values, fitted.table, strict=True))
    np.testing.assert_allclose(value["old"], [(5 / 3) / 35 * 3, (30 / 6 + 5 / 2) / 35], rtol=1e-6)
    np.testing.assert_allclose(value["new"], [(30 + 5 / 3) / 35 * 3, (25 + 2.5) / 35], rtol=1e-6)


def stage_of(clock):
    log = check_interactions(make_log(clock))
    return infer_stage(log, LogFacts.of(log))


def test_it_is_for_clocks_that_only_order_the_events_of_a_user():
    for clock in ("datetime", "shared", "none"):
        stage = stage_of(clock)
        assert "ItemLateness: left out, the log has nothing for it" in stage.choices
        assert ItemLateness() not in stage.blocks
    assert ItemLateness() in stage_of("sequence").blocks


@pytest.mark.parametrize(
    "latest", [(0, 5), (5, 5), (5, 1), (-1,), (1.5,), (True,), ("a",), [1, 5], 5, None]
)
def test_bad_parameters(latest):
    with pytest.raises(ConfigError, match=r"latest=.*; expected a tuple of whole numbers"):
        ItemLateness(latest)
