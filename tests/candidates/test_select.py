"""The selection from tiles against sorting everything: ties, signs of zero, no numbers at all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.candidates import retrieval
from ranker.candidates.base import Retrieved
from ranker.candidates.retrieval import top_by_vectors
from ranker.candidates.select import GROUP, BestSoFar
from tests.logs import history_from

KINDS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "few values": lambda rng, shape: rng.integers(-2, 3, shape),
    "all equal": lambda rng, shape: np.full(shape, 1.5),
    "zeros of both signs": lambda rng, shape: rng.choice([0.0, -0.0], shape),
    "all below zero": lambda rng, shape: -rng.exponential(size=shape) * 1e-30,
    "rising": lambda rng, shape: np.sort(rng.normal(size=shape), axis=1),
    "falling": lambda rng, shape: -np.sort(rng.normal(size=shape), axis=1),
    "no numbers": lambda rng, shape: rng.choice([np.nan, np.inf, -np.inf, 1.0, 2.0], shape),
    "mostly masked": lambda rng, shape: np.where(
        rng.random(shape) < 0.97, -np.inf, rng.normal(size=shape)
    ),
    "huge and tiny": lambda rng, shape: rng.normal(size=shape) * 10.0 ** rng.integers(-44, 38),
}


def sort_everything(scores: np.ndarray, rows: np.ndarray, n: int) -> Retrieved:
    found = Retrieved.empty(len(scores), n)
    for user, values in enumerate(scores):
        column = np.flatnonzero(values > -np.inf)
        best = column[np.lexsort((rows[column], -values[column]))][:n]
        found.item[user, : len(best)] = rows[best]
        found.score[user, : len(best)] = values[best]
    return found


def select(scores: np.ndarray, rows: np.ndarray, n: int, width: int, n_blocks: int) -> Retrieved:
    n_users, n_items = scores.shape
    best = BestSoFar(n_users, n, n_items)
    for first in range(0, n_items, width):
        tile = np.full((n_users, width), -np.inf, np.float32)
        tile_rows = np.zeros(width, np.int32)
        size = min(width, n_items - first)
        tile[:, :size], tile_rows[:size] = scores[:, first : first + size], rows[first:][:size]
        bounds = np.linspace(0, n_users, n_blocks + 1).astype(int)
        for start, stop in itertools.pairwise(bounds):
            best.offer(slice(start, stop), np.ascontiguousarray(tile[start:stop]), tile_rows)
    return best.lists()


@given(
    kind=st.sampled_from(sorted(KINDS)),
    n_items=st.integers(1, 400),
    n=st.integers(1, 60),
    width=st.integers(1, 30).map(lambda groups: groups * GROUP),
    n_blocks=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=400, deadline=None)
def test_selection_equals_sorting(kind, n_items, n, width, n_blocks, seed):
    rng = np.random.default_rng(seed)
    scores = KINDS[kind](rng, (5, n_items)).astype(np.float32)
    rows = np.sort(rng.choice(2 * n_items, n_items, replace=False)).astype(np.int32)
    found = select(scores, rows, n, width, n_blocks)
    expected = sort_everything(scores, rows, n)
    np.testing.assert_array_equal(found.item, expected.item)
    np.testing.assert_array_equal(found.score, expected.score)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_many_items_in_wide_tiles(kind):
    rng = np.random.default_rng(1)
    scores = KINDS[kind](rng, (3, 30_000)).astype(np.float32)
    rows = np.arange(30_000, dtype=np.int32)
    found = select(scores, rows, 200, 8192, 1)
    expected = sort_everything(scores, rows, 200)
    np.testing.assert_array_equal(found.item, expected.item)
    np.testing.assert_array_equal(found.score, expected.score)


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("n", [1, 30, 2_000])
def test_tiles_and_runs_of_users_change_nothing(monkeypatch, n, exclude_seen):
    rng = np.random.default_rng(0)
    n_items, n_users = 1_500, 300
    # Whole numbers: exact in any order of additions, and full of ties.
    vectors = rng.integers(-3, 4, (n_items - 100, 8)).astype(np.float32)
    users = rng.integers(-3, 4, (n_users, 8)).astype(np.float32)
    rows = np.sort(rng.choice(n_items, n_items - 100, replace=False)).astype(np.int32)
    history = history_from(
        [rng.integers(0, n_items, rng.integers(0, 80)) for _ in range(n_users)], n_items
    )
    scores = np.full((n_users, n_items), -np.inf, np.float32)
    scores[:, rows] = users @ vectors.T
    scores[history.lengths == 0] = -np.inf
    if exclude_seen:
        scores[history.user, history.item] = -np.inf
    expected = sort_everything(scores, np.arange(n_items), n)
    for tile, run in [(16_384, 1024), (256, 1024), (100, 130), (8, 128)]:
        monkeypatch.setattr(retrieval, "_TILE", tile)
        monkeypatch.setattr(retrieval, "_RUN", run)
        found = top_by_vectors(users, vectors, rows, history, n, exclude_seen=exclude_seen)
        np.testing.assert_array_equal(found.item, expected.item)
        np.testing.assert_array_equal(found.score, expected.score)
