"""SourceScores, rank fusion and the candidates' frame against loops over the proposals."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.candidates import fuse_ranks
from features.source import SourceScores
from tests.features.logs import assert_block_equals, candidates_of, queries, worlds
from tests.features.oracle import source_features

SOURCES = st.lists(st.sampled_from(["als", "own", "popular"]), min_size=1, unique=True)


@given(data=st.data(), sources=SOURCES)
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_proposals(data, sources):
    world = data.draw(worlds(max_events=6))
    query = data.draw(queries(world, sources))

    def oracle(user, item, place):
        return source_features(query, place, item)

    assert_block_equals(SourceScores(), oracle, world, query, dict.fromkeys(sources))


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
