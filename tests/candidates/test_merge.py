"""The merge of sources against a full outer join by Polars, and the fusion of ranks."""

from __future__ import annotations

import functools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.candidates import Candidates, fuse_ranks
from features.ids import Ids
from ranker.candidates.base import Retrieved
from ranker.candidates.merge import merge
from tests.logs import history_from

N_ITEMS = 9


@st.composite
def proposals(draw) -> tuple[int, dict[str, Retrieved]]:
    """Lists of several sources for the same users, each of its own depth."""
    n_users = draw(st.integers(0, 5))
    sources = {}
    for name in ("als", "own", "popular")[: draw(st.integers(1, 3))]:
        depth = draw(st.integers(0, 6))
        found = Retrieved.empty(n_users, depth)
        for user in range(n_users):
            items = draw(st.permutations(range(N_ITEMS)))[: draw(st.integers(0, depth))]
            found.item[user, : len(items)] = items
            found.score[user, : len(items)] = [7.5 - at // 2 for at in range(len(items))]
        sources[name] = found
    return n_users, sources


def outer_join(sources: dict[str, Retrieved]) -> pl.DataFrame:
    frames = []
    for name, found in sources.items():
        user, place = np.nonzero(found.item >= 0)
        frames.append(
            pl.DataFrame(
                {
                    "user_id": user.astype(np.int64),
                    "item_id": found.item[user, place].astype(np.int64),
                    f"{name}_score": found.score[user, place],
                    f"{name}_rank": (place + 1).astype(np.int32),
                }
            )
        )
    joined = functools.reduce(
        lambda left, right: left.join(right, on=["user_id", "item_id"], how="full", coalesce=True),
        frames,
    )
    n_sources = pl.sum_horizontal(
        pl.col(f"{name}_rank").is_not_null().cast(pl.Int32) for name in sources
    )
    return joined.with_columns(n_sources.alias("n_sources")).sort("user_id", "item_id")


@given(case=proposals())
@settings(max_examples=120, deadline=None)
def test_merge_equals_a_full_outer_join(case):
    n_users, sources = case
    history = history_from([[0]] * n_users, N_ITEMS)
    candidates = merge(sources, history)
    assert_frame_equal(candidates.frame(), outer_join(sources), check_exact=True)
    assert candidates.sources == tuple(sources)
    assert candidates.n_users == n_users
    assert candidates.indptr[-1] == candidates.n_rows == len(candidates.user)
    assert candidates.rank.dtype == candidates.item.dtype == np.int32
    assert candidates.score.dtype == np.float32


@given(case=proposals())
@settings(max_examples=60, deadline=None)
def test_users_do_not_touch_one_another(case):
    n_users, sources = case
    history = history_from([[0]] * n_users, N_ITEMS)
    together = merge(sources, history)
    for user in range(n_users):
        one = {
            name: Retrieved(found.item[user : user + 1], found.score[user : user + 1])
            for name, found in sources.items()
        }
        alone = merge(one, history.rows(user, user + 1))
        rows = slice(together.indptr[user], together.indptr[user + 1])
        np.testing.assert_array_equal(alone.item, together.item[rows])
        np.testing.assert_array_equal(alone.rank, together.rank[rows])
        np.testing.assert_array_equal(alone.score, together.score[rows])


def test_a_silent_source_is_null_and_not_zero():
    history = history_from([[0], [1]], 3)
    zero = Retrieved(np.array([[2], [-1]], np.int32), np.array([[0.0], [np.nan]], np.float32))
    candidates = merge({"one": zero, "none": Retrieved.empty(2, 4)}, history)
    assert candidates.frame().rows(named=True) == [
        {
            "user_id": 0,
            "item_id": 2,
            "one_score": 0.0,
            "one_rank": 1,
            "none_score": None,
            "none_rank": None,
            "n_sources": 1,
        }
    ]
    assert candidates.lengths.tolist() == [1, 0]


def test_ids_come_back_in_the_frame():
    candidates = Candidates(
        users=Ids(pl.Series(["anna"])),
        items=Ids(pl.Series(["fig", "pear"])),
        sources=("own",),
        indptr=np.array([0, 2]),
        item=np.array([0, 1], np.int32),
        score=np.array([[1.0], [2.0]], np.float32),
        rank=np.array([[2], [1]], np.int32),
    )
    assert candidates.frame().rows() == [("anna", "fig", 1.0, 2, 1), ("anna", "pear", 2.0, 1, 1)]


@given(
    ranks=st.lists(st.lists(st.integers(0, 200), min_size=3, max_size=3), max_size=20),
    constant=st.sampled_from([1.0, 60.0]),
)
@settings(max_examples=60, deadline=None)
def test_fusion_is_the_sum_of_reciprocal_ranks(ranks, constant):
    found = fuse_ranks(np.array(ranks, np.int32).reshape(-1, 3), constant)
    assert found.dtype == np.float32
    expected = [sum(1 / (constant + rank) for rank in row if rank > 0) for row in ranks]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_fusion_by_hand():
    rank = np.array([[1, 0], [0, 2], [3, 1], [0, 0]], np.int32)
    expected = [1 / 61, 1 / 62, 1 / 63 + 1 / 61, 0.0]
    assert fuse_ranks(rank).tolist() == pytest.approx(expected, rel=1e-6)
