"""Order against numpy's, with ties of any length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ordering import grouped, in_order


def columns(rng, n, n_users, n_times):
    """User, time, item, event, weight: few values of each, so that ties are frequent."""
    return (
        rng.integers(0, n_users, n).astype(np.int32),
        rng.integers(-n_times, n_times, n),
        rng.integers(0, 3, n).astype(np.int32),
        rng.integers(-1, 2, n).astype(np.int16),
        rng.choice([0.0, 0.5, 3.0], n).astype(np.float32),
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 200),
    n_users=st.integers(1, 5),
    n_times=st.sampled_from([1, 3, 2**62]),
)
@settings(max_examples=150, deadline=None)
def test_rows_are_in_the_order_of_numpy(seed, n, n_users, n_times):
    user, time, item, event, weight = columns(np.random.default_rng(seed), n, n_users, n_times)
    indptr, order = in_order(user, time, item, event, weight, n_users + 1)
    np.testing.assert_array_equal(order, np.lexsort((weight, event, item, time, user)))
    lengths = np.bincount(user, minlength=n_users + 1)
    np.testing.assert_array_equal(np.diff(indptr), lengths)
    assert indptr[0] == 0


@pytest.mark.parametrize("n", [16, 17, 50_000])
def test_all_events_of_one_user_at_one_instant(n):
    _, _, item, event, weight = columns(np.random.default_rng(0), n, 1, 1)
    user, time = np.zeros(n, np.int32), np.zeros(n, np.int64)
    _, order = in_order(user, time, item, event, weight, 1)
    np.testing.assert_array_equal(order, np.lexsort((weight, event, item)))


def test_groups_keep_their_order():
    code = np.array([2, 0, 2, 2, 0], np.int32)
    indptr, order = grouped(code, 4)
    assert indptr.tolist() == [0, 2, 2, 5, 5]
    assert order.tolist() == [1, 4, 0, 2, 3]
