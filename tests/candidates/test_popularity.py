"""Popularity and the user's own history against plain sums."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from features.history import History
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from tests.logs import CLOCKS, history_from, history_of, make_log


def decayed_counts(history: History, half_life: float) -> list[tuple[int, int, float]]:
    """User, item and weight of every event."""
    ages = np.repeat(history.now, history.lengths) - history.time
    weights = (0.5 ** (ages / half_life)).tolist()
    return list(zip(history.user.tolist(), history.item.tolist(), weights, strict=True))


@pytest.mark.parametrize("half_life", [1 / 48, 0.5, 2.0])
def test_popularity_is_the_decayed_share_of_events(half_life):
    history = history_of(make_log("datetime"))
    sums: dict[int, float] = defaultdict(float)
    for _, item, weight in decayed_counts(history, half_life * history.facts.span):
        sums[item] += weight
    expected = sorted(sums, key=lambda item: -sums[item])
    generator = Popularity(half_life=half_life).fit(history)
    found = generator.retrieve(history.rows(0, 1), history.n_items, exclude_seen=False)
    assert found.item[0].tolist() == expected
    total = sum(sums.values())
    shares = [sums[item] / total for item in expected]
    np.testing.assert_allclose(found.score[0], shares, rtol=1e-5)
    assert found.score[0].sum() == pytest.approx(1.0, abs=1e-5)


def test_trap_rectools_a_popularity_score_does_not_grow_with_the_log():
    log = make_log("datetime")
    once, thrice = history_of(log), history_of(pl.concat([log] * 3))
    for options in ({}, {"window": "30d"}):
        first = Popularity(**options).fit(once).retrieve(once, 10, exclude_seen=False)
        second = Popularity(**options).fit(thrice).retrieve(once, 10, exclude_seen=False)
        np.testing.assert_array_equal(first.item, second.item)
        np.testing.assert_allclose(first.score, second.score, rtol=1e-6)


def test_events_out_of_the_window_only_break_ties():
    #        item 0: old thrice; 1: young twice; 2: old once; 3: at the edge; 4: old thrice
    history = history_from(
        [[0, 0, 0, 2, 4, 4, 4, 3, 1, 1]], 6, time=[[1, 2, 3, 4, 5, 6, 7, 90, 95, 99]], now=100
    )
    found = Popularity(window=10).fit(history).retrieve(history, 6, exclude_seen=False)
    assert found.item[0].tolist() == [1, 3, 0, 4, 2, -1]
    np.testing.assert_allclose(found.score[0, :5], [2 / 3, 1 / 3, 0, 0, 0], rtol=1e-6)
    edge = Popularity(window=9).fit(history).retrieve(history, 2, exclude_seen=False)
    assert edge.item[0].tolist() == [1, 0], "an event 10 ago is not within 9"


@pytest.mark.parametrize("clock", ["sequence", "none"])
def test_where_users_do_not_compare_every_event_counts_the_same(clock):
    history = history_of(make_log(clock))
    counts = np.bincount(history.item)
    for options in ({}, {"window": 0.1}):
        found = Popularity(**options).fit(history).retrieve(history, 25, exclude_seen=False)
        expected = np.lexsort((np.arange(len(counts)), -counts))
        assert found.item[0].tolist() == expected.tolist()
        np.testing.assert_allclose(found.score[0], counts[expected] / counts.sum(), rtol=1e-6)


def test_events_too_old_to_count_keep_their_order():
    # 2 ** -1000 is zero in float32; the number of events decides.
    history = history_from([[0, 1, 1, 2]], 3, time=[[0, 0, 0, 1000]], now=1001)
    found = Popularity(half_life=1).fit(history).retrieve(history, 3, exclude_seen=False)
    assert found.item[0].tolist() == [2, 1, 0]
    assert found.score[0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("clock", CLOCKS)
def test_own_history_is_the_decayed_number_of_events(clock):
    history = history_of(make_log(clock))
    generator = OwnHistory(half_life=0.2).fit(history)
    half_life = float(generator.half_life_ticks_)
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for user, item, weight in decayed_counts(history, half_life):
        sums[user, item] += 1.0 if clock == "none" else weight
    found = generator.retrieve(history, history.n_items, exclude_seen=False)
    for user in range(history.n_users):
        own = {item: value for (who, item), value in sums.items() if who == user}
        listed = found.item[user][found.item[user] >= 0].tolist()
        assert sorted(listed) == sorted(own)
        np.testing.assert_allclose(
            found.score[user, : len(listed)], [own[item] for item in listed], rtol=1e-5
        )


def test_own_history_has_nothing_new_to_offer():
    history = history_of(make_log("datetime"))
    found = OwnHistory().fit(history).retrieve(history, 5, exclude_seen=True)
    assert (found.item == -1).all()


@pytest.mark.parametrize("make", [Popularity, OwnHistory])
@pytest.mark.parametrize(
    ("clock", "half_life", "message"),
    [
        ("datetime", 0.0, "0.0 is no share of the log's length; expected one above 0"),
        ("datetime", -1.0, "-1.0 is no share"),
        ("datetime", 30, "30 is no length of time for a log whose clock is absolute"),
        ("datetime", "30 moons", "expected text such as '28d'"),
        ("date", "12h", "of at least a day"),
        ("shared", "30d", "expected a positive whole number"),
        ("shared", 0, "0 is no length of time"),
    ],
)
def test_lengths_that_do_not_fit_the_clock(make, clock, half_life, message):
    with pytest.raises(ConfigError, match=message):
        make(half_life=half_life).fit(history_of(make_log(clock)))
