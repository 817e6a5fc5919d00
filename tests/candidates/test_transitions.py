"""Transitions against plain loops over the instants of each user."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from features.history import History
from ranker.candidates.transitions import Transitions
from tests.logs import CLOCKS, history_from, history_of, make_log


def instants(history: History, user: int) -> list[tuple[int, list[int]]]:
    """Time and items of each instant of a user, in order."""
    baskets: dict[int, list[int]] = defaultdict(list)
    for event in range(history.indptr[user], history.indptr[user + 1]):
        baskets[int(history.time[event])].append(int(history.item[event]))
    return sorted(baskets.items())


def chain(history: History, generator: Transitions, half_life: float) -> np.ndarray:
    """Probability of each item after each, before it is cut to the likeliest."""
    sums = np.zeros((history.n_items, history.n_items))
    followed = np.zeros(history.n_items)
    for user in range(history.n_users):
        baskets = instants(history, user)
        for at, (time, basket) in enumerate(baskets):
            later = baskets[at + 1 : at + 1 + generator.max_lag]
            weight = 0.5 ** ((history.now[user] - time) / half_life)
            for a in basket:
                followed[a] += weight * bool(later)
                for lag, (_, others) in enumerate(later):
                    for b in others:
                        sums[a, b] += (a != b) * weight * generator.lag_decay**lag
    return sums / np.maximum(followed + generator.shrink, 1e-30)[:, None]


def sums_over_last(history: History, generator: Transitions, matrix: np.ndarray) -> np.ndarray:
    scores = np.zeros((history.n_users, history.n_items))
    for user in range(history.n_users):
        last = instants(history, user)[::-1][: generator.n_last]
        for rank, (_, basket) in enumerate(last):
            for item in basket:
                scores[user] += generator.last_decay**rank * matrix[item]
    return scores


def assert_is_chain(history: History, generator: Transitions, half_life: float) -> None:
    matrix = chain(history, generator, half_life)
    np.testing.assert_allclose(generator.similarity.toarray(), matrix, rtol=1e-5, atol=1e-12)
    found = generator.retrieve(history, history.n_items, exclude_seen=False)
    expected = sums_over_last(history, generator, matrix)
    for user in range(history.n_users):
        listed = found.item[user][found.item[user] >= 0]
        assert set(listed) == set(np.flatnonzero(expected[user]))
        np.testing.assert_allclose(
            found.score[user, : len(listed)], expected[user, listed], rtol=1e-4
        )


SETTINGS = [
    {},
    {"max_lag": 1, "n_last": 1, "shrink": 0.0},
    {"max_lag": 2, "lag_decay": 0.0, "n_last": 2},
    {"max_lag": 50, "lag_decay": 1, "n_last": 50, "last_decay": 1, "shrink": 5},
    {"half_life": 0.1},
]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("clock", CLOCKS[:-1])
def test_equals_plain_loops(clock, options):
    history = history_of(make_log(clock, n_users=15, n_items=12, n_events=150), items=["a-cold"])
    half_life = np.inf
    if "half_life" in options:
        whole = 60.0 if clock == "sequence" else history.facts.span
        half_life = max(1.0, options["half_life"] * whole)
    assert_is_chain(history, Transitions(**options).fit(history), half_life)


@st.composite
def baskets(draw) -> History:
    """Users whose events fall on few instants; some have none."""
    events = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=10)
    users = [sorted(user) for user in draw(st.lists(events, min_size=1, max_size=4))]
    times = [[time for time, _ in user] for user in users]
    items = [[item for _, item in user] for user in users]
    return history_from(items, 6, time=times, now=6, span=6)


@given(history=baskets(), max_lag=st.integers(1, 4), n_last=st.integers(1, 4))
@settings(max_examples=120, deadline=None)
def test_equals_plain_loops_whatever_the_baskets(history, max_lag, n_last):
    generator = Transitions(max_lag=max_lag, n_last=n_last, half_life=2).fit(history)
    assert_is_chain(history, generator, 2.0)


def test_the_likeliest_successors_are_kept_ties_by_row():
    history = history_of(make_log("shared"))
    full = Transitions().fit(history).similarity.toarray()
    few = Transitions(neighbours=4).fit(history).similarity.toarray()
    for row, kept in zip(full, few, strict=True):
        likeliest = np.lexsort((np.arange(len(row)), -row))[:4]
        expected = np.zeros_like(row)
        expected[likeliest] = row[likeliest]
        np.testing.assert_array_equal(kept, expected)


def test_what_comes_next_is_told_from_what_came_before():
    sequences = [[0, 1, 2]] * 4 + [[1]]
    times = [[1, 2, 3]] * 4 + [[9]]
    history = history_from(sequences, 3, time=times, now=10)
    found = Transitions().fit(history).retrieve(history.rows(4, 5), 3, exclude_seen=True)
    assert found.item.tolist() == [[2, -1, -1]]
    assert found.score[0, 0] == pytest.approx(4 / (4 + 2))


def test_the_last_item_speaks_loudest():
    pairs = [[0, 1]] * 3 + [[2, 3]] * 3
    history = history_from([*pairs, [0, 2]], 4, time=[[1, 2]] * 7, now=3)
    found = Transitions(last_decay=0.5).fit(history).retrieve(history, 2, exclude_seen=True)
    assert found.item[-1].tolist() == [3, 1]
    # 0 was followed four times, and came to 1 in three of them.
    np.testing.assert_allclose(found.score[-1], [3 / 5, 0.5 * 3 / 6], rtol=1e-6)


def test_without_timestamps_nothing_comes_after_anything():
    history = history_of(make_log("none"))
    generator = Transitions().fit(history)
    assert generator.similarity.nnz == 0
    assert (generator.retrieve(history, 5, exclude_seen=False).item == -1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_lag": 0}, "max_lag=0; expected a whole number, 1 or more"),
        ({"n_last": 0}, "n_last=0; expected a whole number, 1 or more"),
        ({"neighbours": 0}, "neighbours=0; expected a whole number, 1 or more"),
        ({"lag_decay": 1.5}, "lag_decay=1.5; expected a number from 0 to 1"),
        ({"last_decay": 0.0}, "last_decay=0.0; expected a number above 0"),
        ({"shrink": -1.0}, "shrink=-1.0; expected a number from 0 on"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        Transitions(**options).fit(history_of(make_log("shared")))
