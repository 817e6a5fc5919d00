"""Co-visitation against two plain loops over all pairs of events."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from features.history import History
from ranker.candidates.covisitation import CoVisitation
from tests.logs import CLOCKS, history_from, history_of, make_log


def all_pairs(history: History, generator: CoVisitation, half_life: float | None) -> np.ndarray:
    """The similarity before it is cut to the nearest; without half-life, age counts nothing."""
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for user in range(history.n_users):
        events = range(history.indptr[user], history.indptr[user + 1])
        instants = sorted({int(history.time[event]) for event in events})
        for one in events:
            for other in events:
                a, b = history.item[one], history.item[other]
                between = history.time[other] - history.time[one]
                steps = abs(instants.index(history.time[other]) - instants.index(history.time[one]))
                if (
                    a == b
                    or steps > generator.max_steps
                    or (half_life is not None and abs(other - one) > generator.max_events)
                    or (generator.forward_only and between < 0)
                ):
                    continue
                age = history.now[user] - min(history.time[one], history.time[other])
                weight = 1.0 if half_life is None else 0.5 ** (age / half_life)
                sums[a, b] += weight / (1 + steps)
    counts = np.bincount(history.item, minlength=history.n_items)
    dense = np.zeros((history.n_items, history.n_items))
    for (a, b), total in sums.items():
        scale = (counts[a] + generator.shrink) ** 0.5
        dense[a, b] = total / (scale * (counts[b] + generator.shrink) ** generator.discount)
    return dense


SETTINGS = [
    {},
    {"forward_only": True},
    {"max_steps": 0},
    {"max_steps": 1, "max_events": 3},
    {"max_events": 1, "forward_only": True},
    {"half_life": 0.02, "shrink": 0.0, "discount": 0.5},
    {"discount": 0.0, "shrink": 3.0, "forward_only": True, "max_steps": 2},
]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("clock", CLOCKS)
def test_equals_two_loops(clock, options):
    history = history_of(make_log(clock, n_users=15, n_items=12, n_events=150), items=["a-cold"])
    generator = CoVisitation(**options, neighbours=50).fit(history)
    half_life = None
    if clock != "none":
        whole = 60.0 if clock == "sequence" else history.facts.span
        half_life = max(1.0, generator.half_life * whole)
    expected = all_pairs(history, generator, half_life)
    np.testing.assert_allclose(generator.similarity.toarray(), expected, rtol=1e-5, atol=1e-12)


@st.composite
def baskets(draw) -> History:
    """Users whose events fall on few instants, so that most baskets hold several items."""
    events = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), max_size=10)
    users = [sorted(user) for user in draw(st.lists(events, min_size=1, max_size=4))]
    times = [[time for time, _ in user] for user in users]
    items = [[item for _, item in user] for user in users]
    return history_from(items, 6, time=times, now=6, span=6)


@given(
    history=baskets(),
    max_steps=st.integers(0, 3),
    max_events=st.integers(1, 6),
    forward_only=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_equals_two_loops_whatever_the_baskets(history, max_steps, max_events, forward_only):
    generator = CoVisitation(
        max_steps=max_steps, max_events=max_events, forward_only=forward_only, half_life=2
    ).fit(history)
    expected = all_pairs(history, generator, 2.0)
    np.testing.assert_allclose(generator.similarity.toarray(), expected, rtol=1e-5, atol=1e-12)


def test_the_nearest_neighbours_are_kept_ties_by_row():
    history = history_of(make_log("shared"))
    full = CoVisitation(neighbours=100).fit(history).similarity.toarray()
    few = CoVisitation(neighbours=4).fit(history).similarity.toarray()
    for row, kept in zip(full, few, strict=True):
        nearest = np.lexsort((np.arange(len(row)), -row))[:4]
        expected = np.zeros_like(row)
        expected[nearest] = row[nearest]
        np.testing.assert_array_equal(kept, expected)


def test_a_basket_has_no_direction_and_a_sequence_has():
    basket = history_from([[0, 1]], 2, time=[[5, 5]], now=10)
    sequence = history_from([[0, 1]], 2, time=[[5, 6]], now=10)
    forward = CoVisitation(forward_only=True)
    together = forward.fit(basket).similarity.toarray()
    assert together[0, 1] > 0
    assert together[1, 0] > 0
    after = forward.fit(sequence).similarity.toarray()
    assert after[0, 1] > 0
    assert after[1, 0] == 0


def test_without_timestamps_every_pair_of_a_user_counts():
    n = 130  # more than max_events
    history = history_from([list(range(n))], n)
    similarity = CoVisitation(neighbours=n, max_events=2).fit(history).similarity
    assert similarity.nnz == n * (n - 1)


def test_the_latest_events_decide_when_a_user_is_served():
    pairs = [[0, 1]] * 3 + [[2, 3]] * 3
    history = history_from([*pairs, [2, 0]], 4, time=[[90, 91]] * 6 + [[0, 99]], now=100, span=100)
    generator = CoVisitation(recent=5, half_life=1000, max_steps=1).fit(history)
    found = generator.retrieve(history.rows(6, 7), 2, exclude_seen=True)
    assert found.item.tolist() == [[1, 3]]
    assert found.score[0, 0] > 1000 * found.score[0, 1]


def test_discount_prefers_what_is_taken_along_with_little_else():
    # 1 is taken by everybody, 2 only by those who take 0.
    users = [[0, 1], [0, 1], [0, 1, 2], [0, 2]] + [[1]] * 30
    history = history_from(users, 3)
    plain = CoVisitation(discount=0.0, shrink=0.0).fit(history).similarity
    cosine = CoVisitation(discount=0.5, shrink=0.0).fit(history).similarity
    assert plain[0, 1] > plain[0, 2]
    assert cosine[0, 1] < cosine[0, 2]


def test_whole_numbers_as_shrink_and_discount():
    history = history_of(make_log("datetime"), items=["a-cold"])
    whole, real = (CoVisitation(shrink=s, discount=d) for s, d in ((0, 1), (0.0, 1.0)))
    np.testing.assert_array_equal(
        whole.fit(history).similarity.toarray(), real.fit(history).similarity.toarray()
    )


def test_only_pairs_of_late_count():
    history = history_from([[0, 1, 2, 3]], 4, time=[[0, 1, 90, 91]], now=100)
    pairs = CoVisitation(window=20).fit(history).similarity.toarray()
    assert set(zip(*pairs.nonzero(), strict=True)) == {(2, 3), (3, 2)}


def test_only_events_of_some_names_are_proposed():
    log = pl.DataFrame(
        {
            "user_id": ["u"] * 3,
            "item_id": ["a", "b", "c"],
            "timestamp": [0, 10, 30],
            "event": ["view", "cart", "view"],
        }
    )
    history = history_of(log)
    pairs = CoVisitation(events=["cart"]).fit(history).similarity.toarray()
    assert set(zip(*pairs.nonzero(), strict=True)) == {(0, 1), (2, 1)}
    everything = CoVisitation(events=["cart", "view"]).fit(history).similarity
    np.testing.assert_array_equal(
        everything.toarray(), CoVisitation().fit(history).similarity.toarray()
    )


def test_event_names_that_are_not_in_the_log():
    with pytest.raises(ConfigError, match=r"\['order'\] are not in the log.*cart.*view"):
        CoVisitation(events=["order"]).fit(history_of(make_log("datetime")))
