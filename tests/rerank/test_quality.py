"""NDCG with grades: by hand, against a loop, and where it is the binary one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.evaluation.metrics import ndcg
from ranker.rerank.quality import default_gains, graded_ndcg
from tests.rerank.tables import table_of

GRADES = st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=1, max_size=5)


def test_grades_by_hand():
    """Two relevant items of grades 2 and 1, the list has the lesser one first."""
    table = table_of([[0, 1, 2]])
    scores = np.array([0, 9, 5], np.float32)
    second = 1 / np.log2(3)
    found = graded_ndcg(table, scores, k=2, gains=(0, 1, 5))
    assert found == pytest.approx([(1 + 5 * second) / (5 + second)], rel=1e-12)
    assert default_gains(3) == (0, 1, 3, 7)


@given(labels=GRADES, k=st.integers(1, 5), seed=st.integers(0, 99), missing=st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_equals_a_loop(labels, k, seed, missing):
    gains = (0.0, 0.5, 2.0, 2.5)
    wanted = [sum(x > 0 for x in group) + missing for group in labels]
    table = table_of(labels, n_relevant=wanted)
    scores = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, np.nan], table.n_rows)
    found = graded_ndcg(table, scores.astype(np.float32), k=k, gains=gains)
    for group, grades in enumerate(labels):
        own = scores[table.indptr[group] : table.indptr[group + 1]]
        listed = [at for at in range(len(grades)) if not np.isnan(own[at])]
        best = sorted(listed, key=lambda at: (-own[at], at))[:k]
        dcg = sum(gains[grades[at]] / np.log2(place + 2) for place, at in enumerate(best))
        ideal = sorted([*grades, *[1] * missing], key=lambda grade: -gains[grade])[:k]
        idcg = sum(gains[grade] / np.log2(place + 2) for place, grade in enumerate(ideal))
        if idcg:
            assert found[group] == pytest.approx(dcg / idcg, rel=1e-12)
        else:
            assert np.isnan(found[group])


@given(
    labels=st.lists(st.lists(st.integers(0, 1), max_size=8), min_size=1, max_size=6),
    k=st.integers(1, 10),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_with_one_grade_it_is_the_binary_ndcg_to_the_last_bit(labels, k, seed):
    table = table_of(labels)
    scores = np.random.default_rng(seed).random(table.n_rows).astype(np.float32)
    expected = ndcg(table.hits(scores, k), table.n_relevant, k=k)
    np.testing.assert_array_equal(graded_ndcg(table, scores, k=k, gains=(0, 1)), expected)


def test_only_items_of_a_temperature_count():
    table = table_of([[1, 1, 0], [1, 0, 0]], temperature=[[0, 2, 0], [2, 1, 0]])
    scores = np.array([3, 2, 1, 1, 3, 2], np.float32)
    hot = graded_ndcg(table, scores, k=3, gains=(0, 1), temperature=2)
    assert hot == pytest.approx([1 / np.log2(3), 0.5])
    cold = graded_ndcg(table, scores, k=3, gains=(0, 1), temperature=0)
    assert cold[0] == 1.0
    assert np.isnan(cold[1]), "nothing cold is relevant to the second user"


def test_a_table_without_rows():
    table = table_of([[], []], n_relevant=[2, 1])
    found = graded_ndcg(table, np.zeros(0, np.float32), k=3, gains=(0, 1))
    assert found.tolist() == [0.0, 0.0]
