"""FeatureStage: the blocks side by side, names, order, empty lists and what people are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import sparse

from features.affinity import AttributeAffinity
from features.block import Context, Feature
from features.errors import ConfigError
from features.history import History, LogFacts
from features.ids import Ids
from features.item import ItemPopularity
from features.lateness import ItemLateness
from features.listwise import Listwise
from features.pair import UserItemHistory
from features.similarity import EmbeddingAffinity, HistorySimilarity
from features.source import SourceScores
from features.stage import FeatureStage, default_blocks
from features.user import UserActivity
from tests.features.logs import candidates_of, queries, worlds
from tests.features.oracle import listwise_features
from tests.features.test_similarity_block import FakeSource

ITEMS = ("a", "b", "c")


def sources_for(n_items):
    """Two sources: one with similarities and one with vectors."""
    grid = np.arange(n_items * n_items, dtype=np.float32).reshape(n_items, n_items) % 5
    return {"one": FakeSource(sparse.csr_matrix(grid)), "two": FakeSource(item_vectors=grid - 2)}


@dataclass(frozen=True)
class Constant:
    """A block of one column, the same for everybody."""

    name: str = "constant"
    value: float = 1.0

    def fit(self, context):
        return self

    @property
    def features(self):
        return (Feature(self.name, "test", "score", "the same for everybody"),)

    def fill(self, history, candidates, out):
        out[:] = self.value


def history_of(rows) -> History:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return History.build(
        frame,
        users=Ids.sorted(frame["user_id"]),
        items=Ids(pl.Series(ITEMS)),
        facts=LogFacts.of(frame),
        as_of=None,
    )


HISTORY = history_of([(1, "a", 10), (1, "b", 20), (2, "a", 15), (2, "a", 40)])


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_table_is_every_block_side_by_side_and_the_lists_compared(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    context = Context(world.history, sources=sources_for(len(world.items)))
    tables = FeatureStage().fit(context)
    table = tables.transform(query.history, query.candidates)
    assert table.dtype == np.float32
    assert table.flags.c_contiguous
    assert table.shape == (query.candidates.n_rows, len(tables.features))
    assert tables.names == tuple(feature.name for feature in tables.features)
    start = 0
    for block in default_blocks():
        fitted = block.fit(context)
        alone = np.full((len(table), len(fitted.features)), np.nan, np.float32)
        if len(table):
            fitted.fill(query.history, query.candidates, alone)
        stop = start + len(fitted.features)
        assert tables.features[start:stop] == fitted.features
        np.testing.assert_array_equal(table[:, start:stop], alone)
        start = stop
    compared = table[:, start:]
    for place, column in enumerate(tables.listwise.columns):
        for user in range(query.candidates.n_users):
            rows = slice(*query.candidates.indptr[user : user + 2])
            expected = listwise_features(table[rows, column].tolist())
            np.testing.assert_allclose(
                compared[rows, 2 * place : 2 * place + 2],
                np.array(expected, np.float32).reshape(-1, 2),
                rtol=1e-5,
            )


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_users_features_do_not_depend_on_who_is_asked_along(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    tables = FeatureStage().fit(Context(world.history, sources=sources_for(len(world.items))))
    together = tables.transform(query.history, query.candidates)
    for place, user in enumerate(query.users):
        alone = tables.transform(
            world.history.select(pl.Series([user])),
            candidates_of(world.items, (user,), query.sources, query.proposals[place : place + 1]),
        )
        rows = slice(*query.candidates.indptr[place : place + 2])
        np.testing.assert_array_equal(alone, together[rows])


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_frame_has_ids_and_null_where_nothing_is_known(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    tables = FeatureStage().fit(Context(world.history, sources=sources_for(len(world.items))))
    frame = tables.frame(query.history, query.candidates)
    table = tables.transform(query.history, query.candidates)
    assert frame.columns == ["user_id", "item_id", *tables.names]
    assert frame.schema["user_id"] == pl.Int64
    assert frame.schema["item_id"] == pl.String
    assert set(frame.dtypes[2:]) == {pl.Float32}
    ids = [(query.users[place], item) for place, item in query.rows]
    assert frame.select("user_id", "item_id").rows() == ids
    cells = frame.drop("user_id", "item_id")
    assert sum(cells.select(pl.all().is_nan().sum()).row(0)) == 0
    assert sum(cells.null_count().row(0)) == np.isnan(table).sum()
    np.testing.assert_array_equal(cells.to_numpy(), table)


@pytest.mark.parametrize("users", [(), (1, 2), (2, 77)])
def test_no_candidates(users):
    tables = FeatureStage().fit(Context(HISTORY, sources=sources_for(3)))
    history = HISTORY.select(pl.Series(users, dtype=pl.Int64))
    candidates = candidates_of(ITEMS, users, ("one", "two"), [{"one": [], "two": []}] * len(users))
    table = tables.transform(history, candidates)
    assert (table.shape, table.dtype) == ((0, len(tables.names)), np.float32)
    frame = tables.frame(history, candidates)
    assert frame.height == 0
    assert frame.schema == {"user_id": pl.Int64, "item_id": pl.String} | dict.fromkeys(
        tables.names, pl.Float32
    )


def test_users_without_candidates_between_those_with_some():
    tables = FeatureStage().fit(Context(HISTORY, sources=sources_for(3)))
    some = {"one": [("b", 2.0), ("c", 1.0)], "two": [("b", 3.0)]}
    none = {"one": [], "two": []}
    gaps = [none, some, none, none, some, none]
    users = (77, 1, 2, 78, 2, 1)
    table = tables.transform(
        HISTORY.select(pl.Series(users)), candidates_of(ITEMS, users, ("one", "two"), gaps)
    )
    dense = tables.transform(
        HISTORY.select(pl.Series([1, 2])),
        candidates_of(ITEMS, (1, 2), ("one", "two"), [some, some]),
    )
    assert len(table) == 4
    np.testing.assert_array_equal(table, dense)


@pytest.mark.parametrize(
    ("blocks", "sources", "repeated"),
    [
        ((Constant(), Constant()), {}, "['constant']"),
        ((UserActivity(), ItemPopularity(), UserActivity()), {}, "['user_events', 'user_interval"),
        # Names of generators are the user's, so that they can meet names of ours.
        (default_blocks(), {"best": FakeSource()}, "['best_rank']"),
        (default_blocks(), {"user_item": FakeSource()}, "['user_item_rank']"),
        ((Constant("x_sum"), Constant("x_sum_list_rank")), {}, "['x_sum_list_rank']"),
    ],
)
def test_two_features_of_one_name(blocks, sources, repeated):
    with pytest.raises(ConfigError) as caught:
        FeatureStage(blocks=blocks).fit(Context(HISTORY, sources=sources))
    assert f"feature names must be unique, but {repeated}" in str(caught.value)
    assert "rename a generator or leave one block out" in str(caught.value)


def test_describe_has_a_line_for_each_feature():
    tables = FeatureStage().fit(Context(HISTORY, sources=sources_for(3)))
    described = tables.describe()
    assert described.schema == dict.fromkeys(["name", "family", "unit", "meaning"], pl.String)
    assert described["name"].to_list() == list(tables.names)
    assert described["meaning"].str.len_chars().min() > 10
    assert set(described["family"]) == {
        "source",
        "history",
        "similarity",
        "embedding",
        "item",
        "user",
        "list",
    }
    assert set(described["unit"]) <= {"count", "share", "rank", "score", "ratio", "days", "steps"}


def test_times_are_said_in_the_unit_that_their_names_end_in():
    tables = FeatureStage().fit(Context(HISTORY, sources=sources_for(3)))
    timed = [feature for feature in tables.features if feature.unit in ("days", "steps")]
    assert len(timed) >= 9
    assert all(feature.name.endswith(f"_{feature.unit}") for feature in timed)


def test_a_stage_of_ones_own():
    stage = FeatureStage(blocks=(Constant("mine_sum", 4.0),), listwise=Listwise(("mine_sum",)))
    lists = [{"one": [("a", 1.0), ("b", 1.0)]}]
    candidates = candidates_of(ITEMS, (1,), ("one",), lists)
    frame = stage.fit(Context(HISTORY)).frame(HISTORY.rows(0, 1), candidates)
    expected = pl.DataFrame(
        {
            "user_id": [1, 1],
            "item_id": ["a", "b"],
            "mine_sum": [4.0, 4.0],
            "mine_sum_list_rank": [1.0, 1.0],
            "mine_sum_list_ratio": [1.0, 1.0],
        }
    )
    assert_frame_equal(frame, expected, check_dtypes=False)


def test_the_default_blocks():
    kinds = [type(block) for block in default_blocks()]
    assert kinds == [
        SourceScores,
        UserItemHistory,
        HistorySimilarity,
        EmbeddingAffinity,
        ItemPopularity,
        ItemLateness,
        UserActivity,
        AttributeAffinity,
    ]
    assert FeatureStage() == FeatureStage()
