"""HistorySimilarity and EmbeddingAffinity against loops over events and factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from features.block import Context
from features.candidates import Candidates
from features.errors import ConfigError
from features.similarity import AGGREGATES, EmbeddingAffinity, HistorySimilarity
from tests.features.logs import assert_block_equals, queries, worlds
from tests.features.oracle import affinity_features, similarity_features
from tests.logs import history_of

CELLS = st.integers(-2, 6).map(lambda cell: max(cell, 0) / 4)
WHOLE = st.integers(-2, 2).map(float)


@dataclass(frozen=True)
class FakeSource:
    """What a generator may offer; each part can be missing."""

    similarity: sparse.csr_matrix | None = None
    item_vectors: np.ndarray | None = None
    has_users: bool = True

    def user_vectors(self, history):
        """The sum of the vectors of a user's items."""
        if not self.has_users:
            return None
        vectors = np.zeros((history.n_users, self.item_vectors.shape[1]), np.float32)
        np.add.at(vectors, history.user, self.item_vectors[history.item])
        return vectors


@st.composite
def tables(draw, n_rows, n_columns, cells):
    row = st.lists(cells, min_size=n_columns, max_size=n_columns)
    rows = draw(st.lists(row, min_size=n_rows, max_size=n_rows))
    return np.array(rows, np.float32).reshape(n_rows, n_columns)


@given(data=st.data(), n_latest=st.sampled_from([1, 2, 5, 200]))
@settings(max_examples=120, deadline=None)
def test_similarity_equals_loops_over_events(data, n_latest):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    n = len(world.items)
    dense = {name: data.draw(tables(n, n, CELLS)) for name in ("knn", "covis")}
    sources = {
        "knn": FakeSource(sparse.csr_matrix(dense["knn"])),
        "silent": FakeSource(),
        "covis": FakeSource(sparse.csr_matrix(dense["covis"])),
    }
    similarities = {
        name: {
            a: {b: float(rows[i, j]) for j, b in enumerate(world.items)}
            for i, a in enumerate(world.items)
        }
        for name, rows in dense.items()
    }
    aggregates = data.draw(st.lists(st.sampled_from(list(AGGREGATES)), unique=True))
    block = HistorySimilarity(n_latest=n_latest, fading=1 / 24, aggregates=tuple(aggregates))

    def oracle(user, item, place):
        row = similarity_features(world, user, item, similarities, n_latest, 1 / 24)
        names = [f"{name}_{aggregate}" for name in similarities for aggregate in aggregates]
        return {name: row[name] for name in names}

    assert_block_equals(block, oracle, world, query, sources)


def test_without_timestamps_names_of_items_are_no_matter():
    items = [f"{number:03}" for number in range(301)]
    log = pl.DataFrame({"user_id": ["a"] * 300 + ["b"], "item_id": items})
    similarity = sparse.csr_matrix(([1.0, 2.0], ([0, 299], [300, 300])), shape=(301, 301))
    history = history_of(log)
    fitted = HistorySimilarity(aggregates=("sum",)).fit(
        Context(history, sources={"knn": FakeSource(similarity.astype(np.float32))})
    )
    rows = Candidates.from_frame(
        pl.DataFrame({"user_id": ["a"], "item_id": ["300"]}),
        users=history.users,
        items=history.items,
        sources=(),
    )
    out = np.empty((1, 1), np.float32)
    fitted.fill(history, rows, out)
    assert out.tolist() == [[3.0]], "of the first item by id, and of the last"


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_blocks_have_no_columns_where_no_source_has_anything(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    for block in (HistorySimilarity(), EmbeddingAffinity()):
        assert_block_equals(block, lambda *_: {}, world, query, {"silent": FakeSource()})


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_affinity_equals_loops_over_factors(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    n = len(world.items)
    vectors = data.draw(tables(n, 3, WHOLE))
    narrow = data.draw(tables(n, 1, WHOLE))
    sources = {
        "als": FakeSource(item_vectors=vectors),
        "silent": FakeSource(),
        "items": FakeSource(item_vectors=vectors, has_users=False),
        "bpr": FakeSource(item_vectors=narrow),
    }

    def affinity(name, table, user, item):
        of_item = {name: row.tolist() for name, row in zip(world.items, table, strict=True)}
        own = [of_item[event.item] for event in world.events_of(user)]
        of_user = [sum(column) for column in zip(*own, strict=True)]
        return affinity_features(name, of_user, of_item[item], bool(own))

    def oracle(user, item, place):
        unknown = {"items_dot": np.nan, "items_cosine": np.nan}
        ends = affinity("als", vectors, user, item), affinity("bpr", narrow, user, item)
        return ends[0] | unknown | ends[1]

    assert_block_equals(EmbeddingAffinity(), oracle, world, query, sources)


def test_features_say_which_source_and_which_sum():
    source = FakeSource(sparse.csr_matrix((3, 3), dtype=np.float32), np.zeros((3, 2), np.float32))

    @given(world=worlds())
    @settings(max_examples=1, deadline=None)
    def check(world):
        context = Context(world.history, sources={"mine": source})
        names = [feature.name for feature in HistorySimilarity().fit(context).features]
        assert names == ["mine_sum", "mine_max", "mine_last", "mine_recent"]
        names = [feature.name for feature in EmbeddingAffinity().fit(context).features]
        assert names == ["mine_dot", "mine_cosine"]

    check()


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_a_matrix_with_wide_pointers_is_read_as_well(index_dtype, data):
    # SciPy turns to int64 where a matrix is large; only the pointers are copied then.
    world = data.draw(worlds())
    query = data.draw(queries(world))
    n = len(world.items)
    matrix = sparse.csr_matrix(np.full((n, n), 0.5, np.float32))
    matrix.indptr = matrix.indptr.astype(index_dtype)
    similarities = {"knn": {a: dict.fromkeys(world.items, 0.5) for a in world.items}}

    def oracle(user, item, place):
        return similarity_features(world, user, item, similarities, 200, 1 / 24)

    block = HistorySimilarity(aggregates=tuple(AGGREGATES))
    assert_block_equals(block, oracle, world, query, {"knn": FakeSource(matrix)})


@given(world=worlds())
@settings(max_examples=1, deadline=None)
def test_an_aggregate_that_there_is_not(world):
    with pytest.raises(ConfigError, match=r"aggregates \['median'\] are not known; there are"):
        HistorySimilarity(aggregates=("sum", "median")).fit(Context(world.history))
