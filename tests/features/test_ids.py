"""Ids and row numbers against a dictionary."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ids import Ids

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
TEXTS = st.text(max_size=3)


@pytest.mark.parametrize(("values", "dtype"), [(NUMBERS, pl.Int64), (TEXTS, pl.String)])
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_encode_and_decode_equal_a_dictionary(values, dtype, data):
    known = data.draw(st.lists(values, unique=True, max_size=12))
    asked = data.draw(st.lists(st.sampled_from(known) | values if known else values, max_size=12))
    ids = Ids(pl.Series(known, dtype=dtype))
    rows = ids.encode(pl.Series(asked, dtype=dtype))
    row_of = {value: row for row, value in enumerate(known)}
    assert rows.dtype == np.int32
    assert rows.tolist() == [row_of.get(value, -1) for value in asked]
    back = ids.decode(rows[rows >= 0])
    assert back.dtype == dtype
    assert back.to_list() == [value for value in asked if value in row_of]
    assert len(ids) == len(known)


@given(known=st.sets(NUMBERS), asked=st.lists(NUMBERS, max_size=80))
@settings(max_examples=80, deadline=None)
def test_few_ids_are_found_among_sorted_numbers_as_many_are(known, asked):
    ids = Ids.sorted(pl.Series(list(known), dtype=pl.Int64))
    row_of = {value: row for row, value in enumerate(sorted(known))}
    rows = ids.encode(pl.Series(asked, dtype=pl.Int64))
    assert rows.dtype == np.int32
    assert rows.tolist() == [row_of.get(value, -1) for value in asked]


@given(lists=st.lists(st.lists(TEXTS), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_sorted_collects_the_distinct_values_of_all(lists):
    ids = Ids.sorted(*(pl.Series(f"s{i}", own, dtype=pl.String) for i, own in enumerate(lists)))
    # Text sorts by its bytes in UTF-8, which is the order of code points.
    assert ids.values.to_list() == sorted({value for own in lists for value in own})


def test_a_null_is_no_id():
    assert Ids(pl.Series([3, 4])).encode(pl.Series([None, 4], dtype=pl.Int64)).tolist() == [-1, 1]


def test_trap_joins_do_not_promise_an_order():
    asked = np.random.default_rng(0).integers(0, 60_000, 200_000)
    rows = Ids(pl.Series(np.arange(50_000))).encode(pl.Series(asked))
    assert (rows == np.where(asked < 50_000, asked, -1)).all()
