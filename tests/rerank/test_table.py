"""Labelled tables: which rows and groups stay, and what a hit is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.evaluation.metrics import ndcg
from ranker.rerank.table import LabelledTable
from tests.rerank.tables import table_of

LABELS = st.lists(st.lists(st.integers(0, 1), max_size=8), min_size=1, max_size=6)


def groups_of(table: LabelledTable) -> list[tuple]:
    """Everything that belongs to each group."""
    return [
        (
            table.label[start:stop].tolist(),
            table.features[start:stop].tolist(),
            table.rank[start:stop].tolist(),
            int(table.n_relevant[group]),
            bool(table.is_cold[group]),
        )
        for group, (start, stop) in enumerate(zip(table.indptr[:-1], table.indptr[1:], strict=True))
    ]


@given(parts=st.lists(LABELS, min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_concatenate_keeps_every_group(parts):
    tables = [
        table_of(labels, is_cold=[bool(at % 2) for at in range(len(labels))]) for labels in parts
    ]
    whole = LabelledTable.concatenate(tables)
    assert groups_of(whole) == [group for table in tables for group in groups_of(table)]
    assert whole.n_rows == sum(table.n_rows for table in tables)
    assert whole.n_groups == sum(table.n_groups for table in tables)


@given(labels=LABELS, seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_take_keeps_rows_and_drops_groups_without_any(labels, seed):
    table = table_of(labels, n_relevant=range(1, len(labels) + 1))
    is_kept = np.random.default_rng(seed).random(table.n_rows) < 0.4
    found = groups_of(table.take(is_kept))
    expected = []
    for group, (label, features, rank, n_relevant, is_cold) in enumerate(groups_of(table)):
        kept = np.flatnonzero(is_kept[table.indptr[group] : table.indptr[group + 1]])
        if len(kept):
            rows = [[column[at] for at in kept] for column in (label, features, rank)]
            expected.append((*rows, n_relevant, is_cold))
    assert found == expected


@given(labels=LABELS, seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_groups_are_kept_whole_even_without_rows(labels, seed):
    table = table_of(labels, n_relevant=range(1, len(labels) + 1))
    is_kept = np.random.default_rng(seed).random(table.n_groups) < 0.5
    expected = [group for group, kept in zip(groups_of(table), is_kept, strict=True) if kept]
    assert groups_of(table.groups(is_kept)) == expected


@given(labels=LABELS, k=st.integers(1, 10), seed=st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_hits_are_those_of_a_stable_sort(labels, k, seed):
    table = table_of(labels)
    scores = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, np.nan], table.n_rows)
    found = table.hits(scores, k)
    assert found.shape == (table.n_groups, k)
    assert found.dtype == np.bool_
    for group, (start, stop) in enumerate(zip(table.indptr[:-1], table.indptr[1:], strict=True)):
        rows = [row for row in range(start, stop) if not np.isnan(scores[row])]
        best = sorted(rows, key=lambda row: (-scores[row], row))[:k]
        expected = [bool(table.label[row]) for row in best] + [False] * (k - len(best))
        assert found[group].tolist() == expected


def test_a_table_without_rows_has_no_hits():
    table = table_of([[], []])
    assert table.hits(np.zeros(0, np.float32), 3).tolist() == [[False] * 3] * 2


def test_trap_lightgbm_ties_positive_first_and_groups_without_positive_count_as_one():
    """A constant score is no perfect list, nor is one of a user whose items nobody proposed."""
    table = table_of([[0, 0, 1], [0, 0, 0], []], n_relevant=[1, 2, 1])
    values = ndcg(table.hits(np.zeros(6, np.float32), 2), table.n_relevant, k=2)
    assert values.tolist() == [0.0, 0.0, 0.0]
    values = ndcg(table.hits(np.zeros(6, np.float32), 3), table.n_relevant, k=3)
    assert values.tolist() == pytest.approx([1 / np.log2(4), 0.0, 0.0])
