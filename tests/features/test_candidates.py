"""Candidates as a frame and back, and their rank fusion, against loops over the proposals."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.candidates import Candidates, fuse_ranks
from features.errors import SchemaError
from features.ids import Ids
from tests.features.logs import candidates_of, queries, worlds

SOURCES = st.lists(st.sampled_from(["als", "own", "popular"]), min_size=1, unique=True)


@given(data=st.data(), sources=SOURCES)
@settings(max_examples=40, deadline=None)
def test_candidates_of_some_users(data, sources):
    candidates = data.draw(queries(data.draw(worlds(max_events=6)), sources)).candidates
    n_users = candidates.n_users
    is_kept = np.array(data.draw(st.lists(st.booleans(), min_size=n_users, max_size=n_users)), bool)
    some = candidates.of_users(is_kept)
    kept = candidates.users.values.filter(pl.Series(is_kept, dtype=pl.Boolean))
    assert some.users.values.to_list() == kept.to_list(), "those without candidates too"
    assert some.lengths.tolist() == candidates.lengths[is_kept].tolist()
    expected = candidates.frame()[np.flatnonzero(is_kept[candidates.user])]
    assert_frame_equal(some.frame(), expected)


@given(data=st.data(), sources=SOURCES)
@settings(max_examples=40, deadline=None)
def test_candidates_say_who_proposed_what(data, sources):
    world = data.draw(worlds(max_events=6))
    query = data.draw(queries(world, sources))
    candidates = query.candidates
    lengths = [sum(place == at for place, _ in query.rows) for at in range(len(query.users))]
    assert candidates.lengths.tolist() == lengths
    assert candidates.user.tolist() == [place for place, _ in query.rows]
    assert (candidates.n_users, candidates.n_rows) == (len(query.users), len(query.rows))
    frame = candidates.frame()
    columns = [f"{source}_{kind}" for source in sources for kind in ("score", "rank")]
    assert frame.columns == ["user_id", "item_id", *columns, "n_sources"]
    for row, (place, item) in zip(frame.iter_rows(named=True), query.rows, strict=True):
        expected = {"user_id": query.users[place], "item_id": item}
        for source in sources:
            names = [name for name, _ in query.proposals[place][source]]
            rank = names.index(item) + 1 if item in names else None
            score = dict(query.proposals[place][source]).get(item)
            expected[f"{source}_score"] = None if score is None else pytest.approx(score)
            expected[f"{source}_rank"] = rank
        n_sources = sum(expected[f"{source}_rank"] is not None for source in sources)
        assert row == expected | {"n_sources": n_sources}


def test_the_frame_of_no_candidates_has_its_columns():
    frame = candidates_of(("a",), (1, 2), ("als",), [{"als": []}] * 2).frame()
    assert frame.schema == {
        "user_id": pl.Int64,
        "item_id": pl.String,
        "als_score": pl.Float32,
        "als_rank": pl.Int32,
        "n_sources": pl.Int32,
    }
    assert frame.height == 0


@given(
    ranks=st.lists(st.tuples(*[st.integers(0, 400)] * 3), max_size=12),
    constant=st.sampled_from([60.0, 1.0, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_rank_fusion_sums_reciprocal_ranks(ranks, constant):
    fused = fuse_ranks(np.array(ranks, np.int32).reshape(-1, 3), constant)
    expected = [sum(1 / (constant + rank) for rank in row if rank) for row in ranks]
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, expected, rtol=1e-6)


def test_rank_fusion_worked_out_by_hand():
    ranks = np.array([[1, 3], [0, 2], [0, 0]], np.int32)
    np.testing.assert_allclose(fuse_ranks(ranks), [1 / 61 + 1 / 63, 1 / 62, 0], rtol=1e-6)


# --- From a frame -------------------------------------------------------------------------------


def read_back(candidates: Candidates, frame: pl.DataFrame) -> Candidates:
    return Candidates.from_frame(
        frame, users=candidates.users, items=candidates.items, sources=candidates.sources
    )


@given(data=st.data(), sources=SOURCES)
@settings(max_examples=60, deadline=None)
def test_a_frame_leads_back_to_the_candidates(data, sources):
    world = data.draw(worlds(max_events=6))
    candidates = data.draw(queries(world, sources)).candidates
    frame = candidates.frame()
    mixed = frame[data.draw(st.permutations(range(frame.height)))].with_columns(price=1.5)
    before = mixed.clone()
    found = read_back(candidates, mixed)
    assert mixed.equals(before)
    for name in ("indptr", "item", "score", "rank"):
        values = getattr(candidates, name)
        assert getattr(found, name).dtype == values.dtype
        assert getattr(found, name).flags.c_contiguous
        np.testing.assert_array_equal(getattr(found, name), values)
    assert found.sources == candidates.sources


PAIR = candidates_of(("a", "b"), (1, 2), ("als",), [{"als": [("a", 2.0), ("b", 1.0)]}] * 2)
FRAME = PAIR.frame()


@pytest.mark.parametrize(
    ("frame", "problems"),
    [
        (
            FRAME.drop("als_rank", "item_id"),
            ["columns ['item_id', 'als_rank'] are missing"],
        ),
        (
            FRAME.with_columns(user_id=pl.Series([7, 1, 8, 7]), item_id=pl.Series(list("abzb"))),
            [
                "user_id: 2 ids are not known to the snapshot (such as [7, 8])",
                "item_id: 1 ids are not known to the snapshot (such as ['z'])",
            ],
        ),
        (
            pl.concat([FRAME, FRAME[:2]]),
            ["2 pairs of user and item stand there twice"],
        ),
    ],
)
def test_a_frame_that_cannot_be_candidates(frame, problems):
    with pytest.raises(SchemaError, match="candidates: ") as caught:
        read_back(PAIR, frame)
    assert list(caught.value.problems) == problems


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.lit("a").alias("als_rank"), "als_rank: dtype String.*'a'.*expected numbers"),
        (pl.lit("a").alias("als_score"), "als_score: dtype String.*expected numbers"),
        (pl.lit(1.5).alias("als_rank"), r"als_rank: ranks are no whole numbers .*1\.5"),
    ],
)
def test_ranks_and_scores_that_are_none(column, message):
    frame = pl.DataFrame({"user_id": [1], "item_id": ["a"], "als_score": [0.5], "als_rank": [1]})
    ids = {"users": Ids(pl.Series([1])), "items": Ids(pl.Series(["a"])), "sources": ("als",)}
    silent = frame.with_columns(als_rank=pl.lit(math.nan))
    assert Candidates.from_frame(silent, **ids).rank.tolist() == [[0]]
    with pytest.raises(SchemaError, match=message):
        Candidates.from_frame(frame.with_columns(column), **ids)
