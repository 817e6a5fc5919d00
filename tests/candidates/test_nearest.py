"""Nearest rows against the full product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ranker.candidates.nearest import nearest


def full_product(queries, rows, shrink, first, below):
    """Values of all pairs, NaN where a row is no neighbour."""
    product = queries @ rows.T
    count = (queries != 0).astype(float) @ (rows != 0).T.astype(float)
    with np.errstate(invalid="ignore"):
        value = product * np.where(count > 0, count / (count + shrink), np.nan)
    value[~(value > 0) | (product >= below)] = np.nan
    if first is not None:
        value[np.arange(len(queries)), first + np.arange(len(queries))] = np.nan
    return value.astype(np.float32)


@given(
    cells=st.lists(st.lists(st.integers(-2, 3), min_size=4, max_size=4), min_size=1, max_size=8),
    n_kept=st.integers(1, 10),
    shrink=st.sampled_from([0.0, 1.0, 10.0]),
    first=st.sampled_from([None, 0, 2]),
    below=st.sampled_from([np.inf, 4.0]),
)
@settings(max_examples=150, deadline=None)
def test_equals_the_full_product(cells, n_kept, shrink, first, below):
    rows = np.array(cells, float)
    queries = rows[min(first or 0, len(rows) - 1) :]
    first = None if first is None else len(rows) - len(queries)
    row, value = nearest(
        sparse.csr_matrix(queries),
        sparse.csr_matrix(rows.T),
        n_kept,
        shrink=shrink,
        own=None if first is None else (first + np.arange(len(queries))).astype(np.int32),
        below=below,
    )
    expected = full_product(queries, rows, shrink, first, below)
    for query, all_values in enumerate(expected):
        known = np.flatnonzero(~np.isnan(all_values))
        best = known[np.lexsort((known, -all_values[known]))][:n_kept]
        assert row[query].tolist() == best.tolist() + [-1] * (n_kept - len(best))
        assert value[query, : len(best)].tolist() == all_values[best].tolist()
        assert (value[query, len(best) :] == 0).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_compare(shape):
    row, value = nearest(sparse.csr_matrix(shape), sparse.csr_matrix((shape[1], 5)), 2)
    assert row.tolist() == [[-1, -1]] * shape[0]
    assert value.tolist() == [[0, 0]] * shape[0]
