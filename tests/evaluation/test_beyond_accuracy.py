"""Novelty and distance within a list against plain Python."""

from __future__ import annotations

from itertools import combinations
from math import log2

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from ranker.evaluation import evaluate, evaluate_per_user, intra_list_distance, mean_information

TRAIN = pl.DataFrame(
    {"user_id": [1, 2, 3, 4, 1, 2, 1, 1], "item_id": [10, 10, 10, 10, 20, 20, 30, 30]}
)
TEST = pl.DataFrame({"user_id": [1, 2, 9], "item_id": [10, 20, 10]})
LISTS = pl.DataFrame(
    {"user_id": [1, 1, 2, 2, 5], "item_id": [10, 20, 30, 99, 30], "rank": [1, 2, 1, 2, 1]}
)


def test_novelty_is_the_mean_self_information():
    per_user = evaluate_per_user(LISTS, TEST, k=[1, 2], metrics="novelty", train=TRAIN)
    assert per_user.filter(k=1)["value"].to_list() == [0.0, 2.0, 0.0]
    # Item 20: half of the users. 99: nobody, which counts as one. 9: without a list.
    assert per_user.filter(k=2)["value"].to_list() == [0.5, 2.0, 0.0]
    table = evaluate(LISTS, TEST, k=2, metrics=["novelty", "ndcg"], train=TRAIN)
    assert table["metric"].to_list() == ["novelty", "ndcg"]
    assert table["mean"][0] == pytest.approx(2.5 / 3)
    assert table["ci_low"][0] <= table["mean"][0] <= table["ci_high"][0]


def test_novelty_needs_the_train_rows():
    for function in (evaluate, evaluate_per_user):
        with pytest.raises(ConfigError, match=r"novelty is made of the shares.*pass train="):
            function(LISTS, TEST, metrics="novelty")
    with pytest.raises(ConfigError, match="use evaluate for it"):
        evaluate_per_user(LISTS, TEST, metrics="coverage", train=TRAIN)


@given(
    counts=st.lists(st.integers(1, 50), min_size=1, max_size=6),
    k=st.integers(1, 8),
)
@settings(max_examples=50, deadline=None)
def test_information_of_a_list(counts, k):
    bits = [-log2(n / 50) for n in counts]
    matrix = np.full((2, 8), np.nan)
    matrix[0, : len(bits)] = bits
    values = mean_information(matrix, k=k)
    assert values == pytest.approx([np.mean(bits[:k]), 0.0])


@given(seed=st.integers(0, 9_999), n_items=st.integers(1, 8), k=st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_distance_is_the_mean_over_pairs(seed, n_items, k):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n_items, 3)).astype(np.float32)
    vectors[rng.random(n_items) < 0.2] = 0
    rows = np.full((4, k), -1)
    for row in rows:
        chosen = rng.permutation(n_items)[: rng.integers(0, k + 1)]
        row[: len(chosen)] = chosen
    found = intra_list_distance(vectors, rows)
    for row, value in zip(rows.tolist(), found, strict=True):
        pairs = list(combinations([item for item in row if item >= 0], 2))
        expected = np.mean([distance(vectors[a], vectors[b]) for a, b in pairs]) if pairs else 0.0
        assert value == pytest.approx(expected, abs=1e-6)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return (1 - (float(a @ b) / norms if norms else 0.0)) / 2


def test_shapes_that_do_not_fit():
    with pytest.raises(ConfigError, match="below n_items"):
        intra_list_distance(np.ones((2, 3), np.float32), np.array([[0, 2]]))
    with pytest.raises(ConfigError, match="at least 1"):
        mean_information(np.ones((1, 2)), k=0)
