"""The selection of the k best of each group against a sort of everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.topk import keep_best, top_rows

VALUES = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1.0, 1.0, 2.5, np.inf, np.nan])


@given(groups=st.lists(st.lists(VALUES, max_size=12), max_size=6), k=st.integers(0, 15))
@settings(max_examples=200, deadline=None)
def test_equals_a_stable_sort(groups, k):
    indptr = np.cumsum([0, *map(len, groups)])
    scores = np.array([score for group in groups for score in group], np.float32)
    place, score = top_rows(scores, indptr, k)
    assert place.dtype == np.int32
    assert score.dtype == np.float32
    assert place.shape == score.shape == (len(groups), k)
    for row, group in enumerate(groups):
        known = [at for at, value in enumerate(group) if not np.isnan(value)]
        best = sorted(known, key=lambda at: (-group[at], at))[:k]
        padding = k - len(best)
        assert place[row].tolist() == best + [-1] * padding
        np.testing.assert_array_equal(score[row], [group[at] for at in best] + [np.nan] * padding)


@given(
    values=st.lists(VALUES, max_size=30),
    n_more=st.integers(0, 3),
    k=st.integers(0, 12),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_the_largest_values_above_zero_equal_a_sort(values, n_more, k, data):
    n = len(values)
    candidates = data.draw(st.permutations(range(n + n_more)))
    items, scores = np.full(k, -1, np.int32), np.full(k, -7, np.float32)
    padded = np.array([*values, *[9.0] * n_more], np.float32)  # behind n: nobody's
    n_kept = keep_best(np.array(candidates, np.int32), padded, n, items, scores)
    above = [(-value, item) for item, value in zip(candidates, values, strict=False) if value > 0]
    best = sorted(above)[:k]
    assert n_kept == len(best)
    assert items.tolist() == [item for _, item in best] + [-1] * (k - n_kept)
    np.testing.assert_array_equal(scores, [-value for value, _ in best] + [-7] * (k - n_kept))


def test_many_equal_scores_stand_in_the_order_of_rows():
    scores = np.repeat(np.array([0.5, 1.0], np.float32), 500)
    place, _ = top_rows(scores, np.array([0, 1000]), 700)
    assert place[0].tolist() == [*range(500, 1000), *range(200)]


def test_no_groups_and_groups_without_rows():
    place, score = top_rows(np.zeros(0, np.float32), np.array([0]), 3)
    assert place.shape == score.shape == (0, 3)
    place, score = top_rows(np.zeros(0, np.float32), np.array([0, 0, 0]), 3)
    assert (place == -1).all()
    assert np.isnan(score).all()


def test_the_scores_stay_as_they_were():
    scores = np.random.default_rng(0).random(50).astype(np.float32)
    before = scores.copy()
    top_rows(scores, np.array([0, 20, 50]), 10)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_long_groups_in_every_order(k):
    rng = np.random.default_rng(k)
    ascending = np.arange(300, dtype=np.float32)
    groups = [ascending, ascending[::-1], rng.permutation(ascending), np.round(rng.random(300), 1)]
    scores = np.concatenate(groups).astype(np.float32)
    place, _ = top_rows(scores, np.arange(0, 1201, 300), k)
    for row, group in enumerate(groups):
        expected = np.argsort(-group.astype(np.float32), kind="stable")[:k]
        assert place[row].tolist() == expected.tolist()
