"""The table of hashes: what is in it is found, and nothing crowds."""

from __future__ import annotations

import numpy as np
import pytest

from features.lookup import find, hash_of, hash_table


@pytest.mark.parametrize("step", [1, -3, 2**15, 2**16, 10**6, 832_040, 102_334_155, 2**44])
def test_numbers_of_any_step_stand_near_their_places(step):
    values = np.arange(20_000, dtype=np.int64) * step + 7
    table = hash_table(values)
    bits = int(np.log2(len(table)))
    at = np.empty(len(values), np.int64)
    at[table[table >= 0]] = np.flatnonzero(table >= 0)
    wanted = np.array([hash_of(value, bits) for value in values])
    assert ((at - wanted) % len(table)).max() < 100
    np.testing.assert_array_equal(find(values[::-1].copy(), values, table), np.arange(20_000)[::-1])
    assert (find(values + 1, values, table) >= 0).sum() == (19_999 if abs(step) == 1 else 0)
