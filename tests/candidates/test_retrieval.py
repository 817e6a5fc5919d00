"""The selection kernels against sorting everything; scores are small whole numbers, to tie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.history import History
from ranker.candidates.base import Retrieved
from ranker.candidates.retrieval import (
    top_by_similarity,
    top_by_vectors,
    top_of_list,
    top_of_own,
)
from tests.logs import history_from


@st.composite
def cases(draw) -> tuple[History, np.random.Generator, int, bool]:
    """Users with some events each, a source of numbers, n, and whether to leave seen items out."""
    n_items = draw(st.integers(1, 12))
    rows = st.lists(st.integers(0, n_items - 1), max_size=8)
    history = history_from(draw(st.lists(rows, max_size=6)), n_items)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return history, rng, draw(st.integers(0, 15)), draw(st.booleans())


def seen_by(history: History, user: int) -> np.ndarray:
    return history.item[history.indptr[user] : history.indptr[user + 1]]


def brute_force(history: History, scores: list[dict[int, float]], n: int) -> Retrieved:
    """Sort every user's scored items by score descending, then by row."""
    found = Retrieved.empty(history.n_users, n)
    for user, scored in enumerate(scores):
        items = np.array(sorted(scored), np.int32)
        values = np.array([scored[item] for item in items], np.float32)
        order = np.argsort(-values, kind="stable")[:n]
        found.item[user, : len(order)] = items[order]
        found.score[user, : len(order)] = values[order]
    return found


def assert_same(found: Retrieved, expected: Retrieved) -> None:
    np.testing.assert_array_equal(found.item, expected.item)
    np.testing.assert_array_equal(found.score, expected.score)


@given(case=cases(), n_factors=st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_top_by_vectors(case, n_factors):
    history, rng, n, exclude_seen = case
    rows = np.flatnonzero(rng.random(history.n_items) < 0.8).astype(np.int32)
    vectors = rng.integers(-2, 3, (len(rows), n_factors)).astype(np.float32)
    users = rng.integers(-2, 3, (history.n_users, n_factors)).astype(np.float32)
    scores = []
    for user in range(history.n_users):
        seen = seen_by(history, user)
        is_served = len(seen) > 0
        scores.append(
            {
                int(row): float(users[user] @ vector)
                for row, vector in zip(rows, vectors, strict=True)
                if is_served and not (exclude_seen and row in seen)
            }
        )
    found = top_by_vectors(users, vectors, rows, history, n, exclude_seen=exclude_seen)
    assert_same(found, brute_force(history, scores, n))


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_top_by_similarity(case):
    history, rng, n, exclude_seen = case
    size = history.n_items
    dense = rng.integers(0, 4, (size, size)) * (rng.random((size, size)) < 0.5)
    similarity = sparse.csr_matrix(dense.astype(np.float32))
    weights = rng.choice([0.0, 0.25, 0.5, 1.0], history.n_events).astype(np.float32)
    scores = []
    for user in range(history.n_users):
        events = slice(history.indptr[user], history.indptr[user + 1])
        total = weights[events] @ dense[history.item[events]]
        seen = seen_by(history, user) if exclude_seen else []
        scores.append({i: v for i, v in enumerate(total) if v > 0 and i not in seen})
    found = top_by_similarity(similarity, weights, history, n, exclude_seen=exclude_seen)
    assert_same(found, brute_force(history, scores, n))


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_top_of_own(case):
    history, rng, n, _ = case
    weights = rng.choice([0.0, 0.25, 0.5, 1.0], history.n_events).astype(np.float32)
    scores: list[dict[int, float]] = []
    for user in range(history.n_users):
        sums: dict[int, float] = {}
        for event in range(history.indptr[user], history.indptr[user + 1]):
            sums[history.item[event]] = sums.get(history.item[event], 0.0) + float(weights[event])
        scores.append({item: value for item, value in sums.items() if value > 0})
    assert_same(top_of_own(weights, history, n), brute_force(history, scores, n))


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_top_of_list(case):
    history, rng, n, exclude_seen = case
    listed = rng.permutation(history.n_items)[: rng.integers(0, history.n_items + 1)]
    scores = np.sort(rng.random(len(listed)).astype(np.float32))[::-1].copy()
    expected = Retrieved.empty(history.n_users, n)
    for user in range(history.n_users):
        seen = seen_by(history, user) if exclude_seen else []
        kept = [at for at, item in enumerate(listed) if item not in seen][:n]
        expected.item[user, : len(kept)] = listed[kept]
        expected.score[user, : len(kept)] = scores[kept]
    found = top_of_list(listed.astype(np.int32), scores, history, n, exclude_seen=exclude_seen)
    assert_same(found, expected)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("n_factors", "n_items"), [(3, 20), (64, 50), (64, 157), (200, 400)])
def test_trap_openblas_rounds_a_row_by_how_many_there_are(n_factors, n_items, n_threads):
    rng = np.random.default_rng(0)
    n_users = 300  # three blocks, the last one short
    users = rng.normal(size=(n_users, n_factors)).astype(np.float32)
    vectors = rng.normal(size=(n_items, n_factors)).astype(np.float32)
    rows = np.arange(n_items, dtype=np.int32)
    history = history_from([[user % n_items] for user in range(n_users)], n_items)
    together = top_by_vectors(users, vectors, rows, history, n_items, exclude_seen=False)
    with threadpool_limits(n_threads, "blas"):
        for start, stop in [(0, 1), (127, 129), (5, 12), (128, 300), (299, 300), (3, 203)]:
            part, several = history.rows(start, stop), users[start:stop]
            found = top_by_vectors(several, vectors, rows, part, n_items, exclude_seen=False)
            assert_same(found, Retrieved(together.item[start:stop], together.score[start:stop]))


def test_trap_openblas_rounds_by_the_place_of_a_row_in_a_product():
    rng = np.random.default_rng(0)
    n_users, n_items = 300, 20_000
    vectors = rng.normal(size=(n_items, 64)).astype(np.float32)
    users = np.repeat(rng.normal(size=(1, 64)).astype(np.float32), n_users, axis=0)
    rows = np.arange(n_items, dtype=np.int32)
    found, alone = (
        top_by_vectors(
            users[:n], vectors, rows, history_from([[0]] * n, n_items), 100, exclude_seen=True
        )
        for n in (n_users, 1)
    )
    assert_same(found, Retrieved(alone.item.repeat(n_users, 0), alone.score.repeat(n_users, 0)))
    exact = vectors.astype(np.float64) @ users[0].astype(np.float64)
    best = np.argsort(-exact[1:].astype(np.float32), kind="stable")[:100] + 1
    np.testing.assert_array_equal(alone.item[0], best)
    np.testing.assert_allclose(alone.score[0], exact[best], rtol=1e-7)


def test_scores_that_are_no_numbers_are_not_chosen():
    history = history_from([[0]], 3)
    vectors = np.array([[np.nan], [1.0], [-np.inf]], np.float32)
    rows = np.arange(3, dtype=np.int32)
    with np.errstate(invalid="ignore"):
        found = top_by_vectors(
            np.ones((1, 1), np.float32), vectors, rows, history, 3, exclude_seen=False
        )
    assert found.item.tolist() == [[1, -1, -1]]
