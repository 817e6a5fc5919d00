"""The search by a graph against the exact one."""

from __future__ import annotations

import dataclasses
import logging
import sys

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError, MissingExtraError
from ranker.candidates.als import ALS
from ranker.candidates.approximate import Approximate, ItemGraph
from ranker.candidates.base import Retrieved
from ranker.candidates.retrieval import top_by_vectors
from ranker.components import from_json, to_json
from ranker.parallel import map_chunks
from tests.logs import history_from, history_of, make_log

N_USERS, N_ITEMS, N_FACTORS = 300, 4_000, 16
SETTINGS = Approximate(above=0, connectivity=24, expansion_add=64, breadth=3.0)


@pytest.fixture(scope="module")
def world():
    """Clustered vectors, some items without one, users with none, some and very many events."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, N_FACTORS))
    rows = np.sort(rng.choice(N_ITEMS, N_ITEMS - 500, replace=False)).astype(np.int32)
    items = centres[rng.integers(0, 40, len(rows))] + 0.5 * rng.normal(size=(len(rows), N_FACTORS))
    users = centres[rng.integers(0, 40, N_USERS)] + 0.5 * rng.normal(size=(N_USERS, N_FACTORS))
    lengths = rng.integers(0, 60, N_USERS)
    lengths[::50] = 3_000
    history = history_from([rng.integers(0, N_ITEMS, n) for n in lengths], N_ITEMS)
    return users.astype(np.float32), items.astype(np.float32), rows, history


@pytest.fixture(scope="module")
def graph(world):
    return ItemGraph.build(world[1], SETTINGS)


def overlap(found: Retrieved, exact: Retrieved) -> float:
    hits = sum(
        np.isin(mine[mine >= 0], his).sum()
        for mine, his in zip(found.item, exact.item, strict=True)
    )
    return hits / (exact.item >= 0).sum()


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("n", [1, 30, 200])
def test_finds_nearly_what_the_exact_search_finds(world, graph, n, exclude_seen):
    users, items, rows, history = world
    exact = top_by_vectors(users, items, rows, history, n, exclude_seen=exclude_seen)
    found = top_by_vectors(users, items, rows, history, n, exclude_seen=exclude_seen, graph=graph)
    assert overlap(found, exact) > 0.97
    np.testing.assert_array_equal((found.item >= 0).sum(1), (exact.item >= 0).sum(1))
    silent = history.lengths == 0
    assert (found.item[silent] == -1).all()
    assert np.isnan(found.score[silent]).all()


def test_lists_are_sound_and_scores_exact(world, graph):
    users, items, rows, history = world
    found = top_by_vectors(users, items, rows, history, 50, exclude_seen=True, graph=graph)
    position = np.full(N_ITEMS, -1)
    position[rows] = np.arange(len(rows))
    for user in np.flatnonzero(history.lengths):
        listed, scores = found.item[user], found.score[user]
        assert len(set(listed)) == 50
        seen = history.item[history.indptr[user] : history.indptr[user + 1]]
        assert not np.isin(listed, seen).any()
        expected = items[position[listed]].astype(np.float64) @ users[user].astype(np.float64)
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(np.lexsort((listed, -scores)), np.arange(50))


@pytest.mark.parametrize(("size", "n_threads"), [(1, 1), (7, 2), (128, 2), (1000, 1)])
def test_runs_of_any_length_and_threads_change_nothing(world, graph, size, n_threads):
    users, items, rows, history = world
    together = top_by_vectors(users, items, rows, history, 20, exclude_seen=True, graph=graph)

    def work(start, part):
        several = users[start : start + part.n_users]
        return top_by_vectors(several, items, rows, part, 20, exclude_seen=True, graph=graph)

    parts = list(map_chunks(work, history, size, n_threads, description="search"))
    np.testing.assert_array_equal(np.concatenate([part.item for part in parts]), together.item)
    np.testing.assert_array_equal(np.concatenate([part.score for part in parts]), together.score)


def test_the_graph_is_the_same_every_time_and_survives_saving(world, graph):
    users, items, rows, history = world
    saved = graph.array()
    assert saved.dtype == np.uint8
    np.testing.assert_array_equal(ItemGraph.build(items, SETTINGS).array(), saved)
    restored = ItemGraph.restore(saved, N_FACTORS, SETTINGS)
    expected = top_by_vectors(users, items, rows, history, 20, exclude_seen=True, graph=graph)
    found = top_by_vectors(users, items, rows, history, 20, exclude_seen=True, graph=restored)
    np.testing.assert_array_equal(found.item, expected.item)
    np.testing.assert_array_equal(found.score, expected.score)


def test_who_has_seen_most_is_served_exactly(world, graph):
    users, items, rows, history = world
    glutton = history.rows(0, 1)
    assert glutton.n_events == 3_000
    found, exact = (
        top_by_vectors(users[:1], items, rows, glutton, 30, exclude_seen=True, graph=one)
        for one in (graph, None)
    )
    np.testing.assert_array_equal(found.item, exact.item)
    np.testing.assert_array_equal(found.score, exact.score)


def test_who_is_left_with_too_few_is_served_exactly(world):
    """The graph knows a tenth of the items, all of which the user has seen."""
    users, items, rows, history = world
    poor = items.copy()
    poor[len(items) // 10 :] = np.nan
    graph = ItemGraph.build(poor, SETTINGS)
    history = history_from([rows[: len(rows) // 10]], N_ITEMS)
    found, exact = (
        top_by_vectors(users[:1], items, rows, history, 30, exclude_seen=True, graph=one)
        for one in (graph, None)
    )
    np.testing.assert_array_equal(found.item, exact.item)


def test_vectors_that_are_no_numbers_are_never_found():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(400, 8)).astype(np.float32)
    items[::3] = np.nan
    users = rng.normal(size=(20, 8)).astype(np.float32)
    users[7] = np.nan
    history = history_from([[0]] * 20, 400)
    rows = np.arange(400, dtype=np.int32)
    graph = ItemGraph.build(items, SETTINGS)
    found = top_by_vectors(users, items, rows, history, 10, exclude_seen=True, graph=graph)
    assert not np.isin(found.item, rows[::3]).any()
    assert (found.item[7] == -1).all()
    assert (np.delete(found.item, 7, axis=0) >= 0).all()


def big_log() -> pl.DataFrame:
    return make_log("datetime", n_users=300, n_items=1_500, n_events=9_000)


class TestALS:
    """A generator with a graph."""

    settings = Approximate(above=500, expansion_add=64)

    def test_a_graph_above_the_size_and_its_recall(self, caplog):
        history = history_of(big_log())
        with caplog.at_level(logging.INFO, "ranker"):
            model = ALS(factors=8, iterations=2, approximate=self.settings).fit(history)
        assert 0.9 < model.graph_recall_ <= 1
        assert f"{model.graph_recall_:.3f} of the exact best 100" in caplog.text
        exact = ALS(factors=8, iterations=2).fit(history)
        assert exact.graph_recall_ is None
        lists = [one.retrieve(history, 30, exclude_seen=True) for one in (model, exact)]
        assert overlap(*lists) > 0.9

    def test_none_below_the_size(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "usearch.index", None)
        history = history_of(make_log("datetime"))
        model = ALS(factors=4, iterations=2, approximate=self.settings).fit(history)
        assert model.graph_recall_ is None
        assert "graph" not in model.arrays()

    def test_without_usearch_the_message_names_the_command(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "usearch.index", None)
        model = ALS(factors=4, iterations=2, approximate=self.settings)
        with pytest.raises(MissingExtraError, match=r"pip install 'twostage-ranker\[ann\]'"):
            model.fit(history_of(big_log()))

    def test_saved_and_restored_with_its_graph(self):
        history = history_of(big_log())
        model = ALS(factors=8, iterations=2, approximate=self.settings).fit(history)
        spec = from_json(to_json(model))
        assert spec == dataclasses.replace(model)
        restored = spec.restore(model.arrays())
        assert restored.graph_recall_ == model.graph_recall_
        found, expected = (
            one.retrieve(history, 30, exclude_seen=True) for one in (restored, model)
        )
        np.testing.assert_array_equal(found.item, expected.item)
        np.testing.assert_array_equal(found.score, expected.score)

    def test_a_second_fit_forgets_the_graph(self):
        model = ALS(factors=4, iterations=2, approximate=self.settings).fit(history_of(big_log()))
        small = history_of(make_log("datetime"))
        assert model.fit(small).graph_recall_ is None
        fresh = ALS(factors=4, iterations=2).fit(small)
        np.testing.assert_array_equal(
            model.retrieve(small, 5, exclude_seen=True).item,
            fresh.retrieve(small, 5, exclude_seen=True).item,
        )

    def test_alone_on_a_frame(self):
        lists = ALS(factors=8, iterations=2, approximate=self.settings).fit(big_log())
        assert lists.graph_recall_ > 0.9
        assert lists.recommend(["u000", "nobody"], k=5)["user_id"].to_list() == ["u000"] * 5


@pytest.mark.parametrize(
    ("name", "value"), [("above", -1), ("connectivity", 1), ("expansion_add", 0), ("breadth", 0.5)]
)
def test_settings_out_of_range(name, value):
    with pytest.raises(ConfigError, match=f"{name}={value}; expected"):
        Approximate(**{name: value})
