"""UserItemHistory and the decay under it against loops over one user's events."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.decay import decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History, LogFacts
from features.ids import Ids
from features.pair import UserItemHistory
from tests.features.logs import DAY, assert_block_equals, candidates_of, queries, worlds
from tests.features.oracle import decay, history_features


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_events(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))

    def oracle(user, item, place):
        return history_features(world, user, item)

    assert_block_equals(UserItemHistory(), oracle, world, query)


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_half_lives_are_parameters(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    slow, fast = data.draw(st.tuples(st.floats(0.2, 2.0), st.floats(0.05, 0.5)))

    def oracle(user, item, place):
        return history_features(world, user, item, slow, fast)

    assert_block_equals(UserItemHistory(slow=slow, fast=fast), oracle, world, query)


def test_values_worked_out_by_hand():
    days = [0, 0, 1, 3, 7, 7, 9]
    frame = pl.DataFrame(
        {
            "user_id": 1,
            "item_id": ["a", "b", "b", "a", "a", "a", "b"],
            "timestamp": pl.Series(days, dtype=pl.Int32).cast(pl.Date),
            "event": ["view", "buy", "buy", "buy", "view", "buy", "gift"],
        }
    )
    history = History.build(
        frame,
        users=Ids(pl.Series([1])),
        items=Ids(pl.Series(["a", "b", "c"])),
        facts=LogFacts.of(frame),
        as_of=12 * DAY,
    )
    # The log is 10 days long: half-lives of 5 and 2 days.
    fitted = UserItemHistory(slow=1 / 2, fast=1 / 5).fit(Context(history))
    lists = [{"one": [("a", 1.0), ("c", 0.5)]}]
    candidates = candidates_of(("a", "b", "c"), (1,), ("one",), lists)
    out = np.full((2, len(fitted.features)), np.nan, np.float32)
    fitted.fill(history, candidates, out)
    found = dict(zip((f.name for f in fitted.features), out.T.tolist(), strict=True))
    slow = [0.5 ** (age / 5) for age in (12, 9, 5, 5)]
    slow_all = sum(slow) + sum(0.5 ** (age / 5) for age in (12, 11, 3))
    fast = [0.5 ** (age / 2) for age in (12, 9, 5, 5)]
    fast_all = sum(fast) + sum(0.5 ** (age / 2) for age in (12, 11, 3))
    nan = math.nan
    expected = {
        "history_count": [4, 0],
        "history_share": [4 / 7, 0],
        "history_slow_count": [sum(slow), 0],
        "history_slow_share": [sum(slow) / slow_all, 0],
        "history_fast_count": [sum(fast), 0],
        "history_fast_share": [sum(fast) / fast_all, 0],
        "history_recency_days": [5, nan],
        "history_first_days": [12, nan],
        "history_interval_days": [3.5, nan],  # taken on days 0, 3 and 7
        "history_due_ratio": [5 / 3.5, nan],
        "history_visits": [3, 0],
        "history_visits_since": [1, nan],  # day 9
        "history_visit_rate": [3 / 5, nan],
        "history_buy_count": [2, 0],
        "history_gift_count": [0, 0],
        "history_view_count": [2, 0],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-5, nan_ok=True), name


@given(world=worlds(), share=st.sampled_from([1 / 24, 1 / 6, 1 / 2, 1.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_decay_halves_with_each_half_life(world, share):
    history = world.history
    ticks = length_ticks(history, share)
    if world.log.has_time:
        assert ticks == pytest.approx(world.half_life(share))
    weights = decay_weights(history, ticks)
    assert weights.dtype == np.float32
    expected = [weight for user in world.users for weight in decay(world, user, share)]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert ((weights > 0) & (weights <= 1)).all()


@given(world=worlds(kinds=("datetime", "date")))
@settings(max_examples=10, deadline=None)
def test_a_length_in_days_on_an_absolute_clock(world):
    assert length_ticks(world.history, "7d") == 7.0 * DAY


@pytest.mark.parametrize("length", [0.0, -0.5, math.nan])
@given(world=worlds())
@settings(max_examples=5, deadline=None)
def test_a_share_that_is_none(length, world):
    with pytest.raises(ConfigError, match=f"{length} is no share of the log's length"):
        length_ticks(world.history, length)


@given(world=worlds(kinds=("datetime", "clock", "positions")))
@settings(max_examples=10, deadline=None)
def test_a_length_in_the_terms_of_another_clock(world):
    length = 7 if world.log.kind == "datetime" else "7d"
    with pytest.raises(ConfigError, match="is no length of time"):
        length_ticks(world.history, length)
