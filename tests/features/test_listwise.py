"""Listwise against sorted lists: ranks and ratios within each user's candidates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Feature
from features.listwise import Listwise
from tests.features.oracle import listwise_features

# Quarters, so that sums are exact and those that cancel out do so exactly.
VALUES = st.just(math.nan) | st.integers(-6, 12).map(lambda value: value / 4)
FEATURES = [
    Feature(name, "test", "score", f"the {name}") for name in ("a_sum", "price", "fusion", "b_sum")
]


def fill(listwise, lists) -> np.ndarray:
    """Compare lists of rows, one list a user, each row with a value of each feature."""
    fitted = listwise.fit(FEATURES)
    indptr = np.concatenate(([0], np.cumsum([len(rows) for rows in lists]))).astype(np.int64)
    width = len(FEATURES)
    table = np.full((indptr[-1], width + len(fitted.features)), np.nan, np.float32)
    table[:, :width] = np.array([row for rows in lists for row in rows]).reshape(-1, width)
    before = table[:, :width].copy()
    fitted.fill(indptr, table, table[:, width:])
    np.testing.assert_array_equal(table[:, :width], before)
    return table[:, width:]


@given(lists=st.lists(st.lists(st.tuples(*[VALUES] * 4), max_size=12), max_size=5))
@settings(max_examples=150, deadline=None)
def test_equals_loops_over_lists(lists):
    found = fill(Listwise(("_sum", "fusion")), lists)
    start = 0
    for rows in lists:
        part = found[start : start + len(rows)]
        for place, column in enumerate([0, 2, 3]):
            expected = listwise_features([row[column] for row in rows])
            np.testing.assert_allclose(
                part[:, 2 * place : 2 * place + 2],
                np.array(expected, np.float32).reshape(-1, 2),
                rtol=1e-6,
            )
        start += len(rows)


@given(values=st.lists(st.floats(width=32) | st.sampled_from([0.0, -0.0, 1.0]), max_size=40))
@settings(max_examples=150, deadline=None)
def test_ranks_of_any_floats(values):
    found = fill(Listwise(("price",)), [[(0, value, 0, 0) for value in values]])
    for value, rank in zip(values, found[:, 0], strict=True):
        if math.isnan(value):
            assert math.isnan(rank)
        else:
            assert rank == 1 + sum(other > value for other in values)


def test_values_worked_out_by_hand():
    values = [2.0, math.nan, 5.0, 2.0, -1.0]
    found = fill(Listwise(("price",)), [[(0, value, 0, 0) for value in values]])
    nan = math.nan
    assert found[:, 0].tolist() == pytest.approx([2, nan, 1, 2, 4], nan_ok=True)
    assert found[:, 1].tolist() == pytest.approx([1, nan, 2.5, 1, -0.5], nan_ok=True)


def test_a_mean_that_is_not_above_zero_is_no_measure():
    for values in ([-2.0, -1.0], [1.0, -1.0], [0.0, 0.0]):
        found = fill(Listwise(("price",)), [[(0, value, 0, 0) for value in values]])
        assert np.isnan(found[:, 1]).all()


def test_columns_are_chosen_by_the_ends_of_their_names():
    fitted = Listwise(("_sum",)).fit(FEATURES)
    assert fitted.columns.tolist() == [0, 3]
    assert fitted.features == (
        Feature("a_sum_list_rank", "list", "rank", "the a_sum: rank in the list", "a_sum"),
        Feature(
            "a_sum_list_ratio", "list", "ratio", "the a_sum: ratio to the mean of the list", "a_sum"
        ),
        Feature("b_sum_list_rank", "list", "rank", "the b_sum: rank in the list", "b_sum"),
        Feature(
            "b_sum_list_ratio", "list", "ratio", "the b_sum: ratio to the mean of the list", "b_sum"
        ),
    )


def test_no_columns():
    assert Listwise(()).fit(FEATURES).features == ()
    assert fill(Listwise(()), [[(1, 2, 3, 4)]]).shape == (1, 0)
