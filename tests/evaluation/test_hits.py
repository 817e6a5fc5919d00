"""Hits against sets: rows in any order, on any number of threads, with ids of any size."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import SchemaError
from ranker.evaluation import evaluate, runs
from ranker.evaluation.hits import Hits, find_hits
from ranker.evaluation.runs import over_runs, run_starts

LENGTH = 30


@pytest.fixture(params=[1, 3])
def n_threads(request, monkeypatch) -> int:
    """Even a few rows are shared out among so many threads."""
    monkeypatch.setattr(runs, "_ROWS_OF_A_PART", 1)
    monkeypatch.setattr(runs, "n_cores", lambda: request.param)
    return request.param


def lists_and_truth(n_relevant: int, scale: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(n_relevant)
    listed = [(u, i, r) for u in range(9) for r, i in enumerate(rng.permutation(500)[:LENGTH], 1)]
    taken = [(u, i) for u in range(1, 12) for i in rng.integers(0, 500, n_relevant)]
    taken += [(user, item) for user, item, rank in listed if user and rank % 10 == user]
    frames = (
        pl.DataFrame(listed, ["user_id", "item_id", "rank"], orient="row"),
        pl.DataFrame(taken, ["user_id", "item_id"], orient="row"),
    )
    ids = pl.col("user_id", "item_id").cast(pl.Int64)
    lists, truth = (frame.with_columns(ids * scale - 2**62) for frame in frames)
    return lists, truth


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("scale", [1, 2**32, 3**33])
@pytest.mark.parametrize("n_relevant", [1, 40, 5000])  # 5000: every hash is one of a relevant item
def test_hits_are_what_sets_say(n_relevant: int, scale: int, shuffled: bool, n_threads: int):
    lists, truth = lists_and_truth(n_relevant, scale)
    if shuffled:
        lists, truth = (f.sample(fraction=1, shuffle=True, seed=1) for f in (lists, truth))
    users = truth["user_id"].unique().sort(descending=True)
    hits = find_hits(lists, truth, users, depth=20)
    relevant = set(truth.rows())
    ranks = {user: [] for user in users}
    for user, item, rank in lists.sort("rank").rows():
        if (user, item) in relevant and rank <= 20:
            ranks[user].append(rank)
    found = [part.tolist() for part in np.split(hits.rank, hits.indptr[1:-1])]
    assert found == list(ranks.values())
    assert sum(map(len, found)) > 0
    counts = dict(truth.unique().group_by("user_id").len().rows())
    assert hits.n_relevant.tolist() == [counts[user] for user in users]


@pytest.mark.parametrize("column", ["item_id", "rank"])
def test_a_repeat_is_found_in_whichever_part_it_stands(column: str, n_threads: int):
    lists, truth = lists_and_truth(5, 1)
    evaluate(lists, truth)
    for row in (1, lists.height // 2, lists.height - 1):
        values = lists[column].to_list()
        values[row] = values[row - 1]
        with pytest.raises(SchemaError, match=f"1 .user_id, {column}. pairs occur more than once"):
            evaluate(lists.with_columns(pl.Series(column, values)), truth)


@given(rows=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_a_matrix_and_back(rows: list[list[bool]]):
    matrix = np.array(rows)
    hits = Hits.of_matrix(matrix, np.full(len(rows), 9))
    assert (hits.matrix(6) == matrix).all()
    assert (hits.matrix(2) == matrix[:, :2]).all()
    assert (hits.matrix(8)[:, 6:] == 0).all()
    assert hits.n_within(4).tolist() == matrix[:, :4].sum(axis=1).tolist()
    assert set(hits.n_ideal(4)) == {4}


@given(ids=st.lists(st.sampled_from(["a", "bb", ""]), max_size=12))
@settings(max_examples=60, deadline=None)
def test_runs_begin_where_an_id_differs_from_the_one_before(ids: list[str]):
    expected = [i for i in range(len(ids)) if i == 0 or ids[i] != ids[i - 1]]
    for series in (pl.Series(ids, dtype=pl.String), pl.Series(map(len, ids), dtype=pl.Int64)):
        starts = run_starts(series)
        assert starts.dtype == np.int64
        assert starts.tolist() == [*expected, len(ids)]


def test_parts_come_in_order_and_know_their_runs(n_threads: int):
    starts = np.array([0, 2, 3, 7, 8])
    parts = over_runs(lambda starts, of_run: (starts, of_run), starts, np.arange(4))
    assert len(parts) == n_threads
    assert np.concatenate([of_run for _, of_run in parts]).tolist() == [0, 1, 2, 3]
    for own, of_run in parts:
        assert own.tolist() == starts[of_run[0] : of_run[-1] + 2].tolist()
