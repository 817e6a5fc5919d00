"""Every metric against a plain-Python oracle, values worked out by hand, and bad input."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from ranker.evaluation import METRICS, hit_matrix
from ranker.evaluation.metrics import check_metric_name
from tests.evaluation.oracle import metric_value


@st.composite
def judged_lists(draw):
    depth = draw(st.integers(0, 12))
    rows = st.lists(st.booleans(), min_size=depth, max_size=depth)
    hits = draw(st.lists(rows, min_size=1, max_size=8))
    n_relevant = [max(1, sum(row)) + draw(st.integers(0, 15)) for row in hits]
    return hits, n_relevant, draw(st.integers(1, 15))


@pytest.mark.parametrize("name", METRICS)
@given(case=judged_lists())
@settings(max_examples=60, deadline=None)
def test_metric_equals_its_definition(name, case):
    hits, n_relevant, k = case
    array = np.array(hits, dtype=bool).reshape(len(hits), -1)
    values = METRICS[name](array, np.array(n_relevant), k=k)
    expected = [metric_value(name, row, n, k) for row, n in zip(hits, n_relevant, strict=True)]
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()


# One list with hits at ranks 2 and 4 and three relevant items, worked out by hand.
@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("recall", 4, 2 / 3),
        ("recall", 2, 1 / 3),
        ("recall_capped", 2, 1 / 2),
        ("precision", 4, 2 / 4),
        ("precision", 10, 2 / 10),
        ("hit_rate", 1, 0.0),
        ("hit_rate", 2, 1.0),
        ("mrr", 4, 1 / 2),
        ("mrr", 1, 0.0),
        ("map", 4, (1 / 2 + 2 / 4) / 3),
        ("map", 2, (1 / 2) / 2),
        ("ndcg", 4, (0.6309297535714575 + 0.43067655807339306) / 2.1309297535714578),
        ("ndcg", 2, 0.6309297535714575 / 1.6309297535714575),
    ],
)
def test_values_worked_out_by_hand(name, k, expected):
    hits = np.array([[False, True, False, True, False]])
    assert METRICS[name](hits, np.array([3]), k=k)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["recall_capped", "mrr", "map", "ndcg", "hit_rate"])
@pytest.mark.parametrize("n_relevant", [1, 3, 50])
def test_the_perfect_list_is_worth_exactly_one(name, n_relevant):
    hits = (np.arange(10) < n_relevant)[None, :]
    assert METRICS[name](hits, np.array([n_relevant]), k=10)[0] == 1.0


def test_trap_recall_has_two_conventions():
    hits = np.ones((1, 10), dtype=bool)
    assert METRICS["recall"](hits, np.array([40]), k=10)[0] == 0.25
    assert METRICS["recall_capped"](hits, np.array([40]), k=10)[0] == 1.0


def test_trap_ideal_list_is_cut_at_k():
    hits = np.ones((1, 10), dtype=bool)
    assert METRICS["ndcg"](hits, np.array([40]), k=10)[0] == 1.0


@pytest.mark.parametrize("name", METRICS)
def test_no_users_and_no_places(name):
    assert METRICS[name](np.zeros((0, 5), bool), np.zeros(0, np.int64), k=3).shape == (0,)
    assert METRICS[name](np.zeros((2, 0), bool), np.ones(2, np.int64), k=3).tolist() == [0, 0]


@pytest.mark.parametrize("name", METRICS)
def test_a_value_does_not_depend_on_the_other_users(name):
    rng = np.random.default_rng(0)
    hits = rng.random((50, 20)) < 0.3
    n_relevant = np.maximum(1, hits.sum(axis=1)) + rng.integers(0, 5, 50)
    together = METRICS[name](hits, n_relevant, k=15)
    alone = [METRICS[name](hits[[i]], n_relevant[[i]], k=15)[0] for i in range(50)]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("hits", "n_relevant", "k", "message"),
    [
        (np.zeros((2, 3)), np.ones(2, int), 1, "dtype float64; expected bool"),
        (np.zeros(3, bool), np.ones(3, int), 1, r"shape \(3,\)"),
        (np.zeros((2, 3), bool), np.ones(3, int), 1, "one integer for each of the 2 users"),
        (np.zeros((2, 3), bool), np.ones(2), 1, "dtype float64"),
        (np.zeros((2, 3), bool), np.array([1, 0]), 1, "1 users have no relevant item"),
        (np.zeros((2, 3), bool), np.ones(2, int), 0, "k is 0; expected at least 1"),
        (np.ones((2, 3), bool), np.array([3, 2]), 1, "1 users have more hits than relevant"),
    ],
)
@pytest.mark.parametrize("name", METRICS)
def test_bad_arrays(name, hits, n_relevant, k, message):
    with pytest.raises(ConfigError, match=message):
        METRICS[name](hits, n_relevant, k=k)


@pytest.mark.parametrize(
    ("name", "nearest"), [("ndgc", "ndcg"), ("NDCG", "ndcg"), ("ndcg@10", "ndcg"), ("hits", "hit")]
)
def test_an_unknown_name_meets_the_nearest_known_one(name, nearest):
    with pytest.raises(
        ConfigError, match=f"unknown metric '{name}'.*nearest known one is '{nearest}"
    ):
        check_metric_name(name)


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        METRICS["mine"] = METRICS["ndcg"]  # type: ignore[index]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_hit_matrix_equals_a_loop(data):
    ids = st.integers(0, 6)
    truth = data.draw(st.lists(st.tuples(ids, ids), min_size=1, max_size=30))
    lists = {user: data.draw(st.permutations(range(7))) for user in data.draw(st.sets(ids))}
    users = data.draw(st.permutations(sorted({user for user, _ in truth})))
    depth = data.draw(st.integers(1, 9))
    rows = [(u, i, rank) for u, items in lists.items() for rank, i in enumerate(items, start=1)]
    hits, n_relevant = hit_matrix(
        pl.DataFrame(rows, ["user_id", "item_id", "rank"], orient="row").cast(pl.Int64),
        pl.DataFrame(truth, ["user_id", "item_id"], orient="row"),
        pl.Series(users),
        depth=depth,
    )
    relevant = [{item for u, item in truth if u == user} for user in users]
    padded = [([*lists[u], *[None] * 9] if u in lists else [None] * 9)[:depth] for u in users]
    expected = [[i in r for i in items] for items, r in zip(padded, relevant, strict=True)]
    assert hits.tolist() == expected
    assert n_relevant.tolist() == [len(r) for r in relevant]


def test_hit_matrix_refuses_repeated_users_and_no_depth():
    lists = pl.DataFrame({"user_id": [1], "item_id": [1], "rank": [1]})
    with pytest.raises(ConfigError, match="users repeats 1 ids"):
        hit_matrix(lists, lists, pl.Series([1, 1]), depth=1)
    with pytest.raises(ConfigError, match="depth is 0"):
        hit_matrix(lists, lists, pl.Series([1]), depth=0)
