"""TF-IDF and ready-made embeddings: the same numbers as by hand, and odd tables."""

from __future__ import annotations

import logging

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from features.vectors import ready_made
from features.words import words
from ranker.candidates.als import ALS
from ranker.candidates.content import EmbeddingSimilarity, TextSimilarity
from tests.logs import history_from


def table(n, **columns):
    return pl.DataFrame({"item_id": range(n), **columns})


class TestWords:
    def test_scripts_signs_and_blanks(self):
        text = pl.Series(["Crème-Brûlée 2x", "Привет, МИР", "寿司 😀🎉", "", "  ", "?!", None])
        assert words(text).to_list() == [
            *(["crème", "brûlée", "2x"], ["привет", "мир"], ["寿司", "😀", "🎉"]),
            *([], [], [], []),
        ]

    def test_lists_and_names_are_values(self):
        assert words(pl.Series([["A b", None], [], None])).to_list() == [["A b"], [], []]
        assert words(pl.Series([[3, 1], []])).to_list() == [["3", "1"], []]
        names = pl.Series(["Rock n Roll", None], dtype=pl.Categorical)
        assert words(names).to_list() == [["Rock n Roll"], []]


class TestTextSimilarity:
    def test_scores_are_mean_cosines(self):
        items = table(4, tags=[["a", "b"], ["a"], ["b", "c"], []])
        history = history_from([[0], [0, 1]], 4)
        found = TextSimilarity().fit(history, items=items).retrieve(history, 4, exclude_seen=False)
        idf = {"a": 1 + np.log(5 / 3), "b": 1 + np.log(5 / 3), "c": 1 + np.log(5 / 2)}
        rows = np.array([[idf["a"], idf["b"], 0], [idf["a"], 0, 0], [0, idf["b"], idf["c"]]])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        cosine = rows @ rows.T
        for user, expected in enumerate((cosine[0], cosine[[0, 1]].mean(axis=0))):
            order = np.lexsort((np.arange(3), -expected.round(6)))
            assert found.item[user].tolist() == [*order.tolist(), -1]
            np.testing.assert_allclose(found.score[user, :3], expected[order], rtol=1e-5)

    def test_takers_join_what_no_word_does(self):
        items = table(3, tags=[["a"], ["b"], ["c"]])
        history = history_from([[0, 1], [0, 1], [0]], 3)
        alone = TextSimilarity().fit(history, items=items)
        both = TextSimilarity(interactions_weight=1.0).fit(history, items=items)
        assert alone.retrieve(history, 2, exclude_seen=True).item[2].tolist() == [-1, -1]
        assert both.retrieve(history, 2, exclude_seen=True).item[2].tolist() == [1, -1]

    def test_svd_finds_words_that_go_together(self):
        items = table(4, tags=[["car"], ["car", "auto"], ["auto"], ["fish"]])
        history = history_from([[0]], 4)
        plain = TextSimilarity().fit(history, items=items).retrieve(history, 4, exclude_seen=True)
        reduced = TextSimilarity(factors=2).fit(history, items=items)
        assert 2 not in plain.item
        assert reduced.retrieve(history, 4, exclude_seen=True).item[0, :2].tolist() == [1, 2]

    def test_columns_are_chosen(self):
        items = table(
            4,
            asin=["B1", "B2", "B3", "B4"],
            title=["one two", "two three", "three four", "five six"],
            brand=["x", "x", "y", "y"],
            price=[1.0, 2.0, 3.0, 4.0],
        )
        history = history_from([[0]], 4)
        found = TextSimilarity().fit(history, items=items).retrieve(history, 4, exclude_seen=True)
        assert found.item[0].tolist() == [1, -1, -1, -1]

    def test_bad_columns_are_named(self):
        history = history_from([[0]], 2)
        items = table(2, price=[1.0, 2.0], name=["a", "b"])
        with pytest.raises(ConfigError, match=r"no column 'titel'; there are price \(Float64\)"):
            TextSimilarity(columns=["titel"]).fit(history, items=items)
        with pytest.raises(
            ConfigError, match=r"cannot be used: price \(Float64\); expected String"
        ):
            TextSimilarity(columns=["price"]).fit(history, items=items)
        with pytest.raises(ConfigError, match="no column of items holds text"):
            TextSimilarity().fit(history, items=items)
        with pytest.raises(ConfigError, match=r"fit\(interactions, items=items\)"):
            TextSimilarity().fit(history)

    @pytest.mark.parametrize("text", [None, "", " \n", "?!"])
    def test_ten_thousand_items_without_text(self, text, caplog):
        n = 10_000
        items = table(n, text=pl.Series([text] * n, dtype=pl.String))
        history = history_from([[5, 6], [7]], n)
        with caplog.at_level(logging.WARNING):
            model = TextSimilarity(columns=["text"]).fit(history, items=items)
        assert "10000 of 10000 items have no words in text" in caplog.text
        assert (model.retrieve(history, 5, exclude_seen=False).item == -1).all()

    def test_emoji_alone_are_words(self):
        items = table(3, text=["😀 😀", "😀", "🎉"])
        history = history_from([[0]], 3)
        model = TextSimilarity(columns=["text"]).fit(history, items=items)
        assert model.retrieve(history, 2, exclude_seen=True).item[0].tolist() == [1, -1]


class TestEmbeddingSimilarity:
    @pytest.mark.parametrize("dtype", [pl.Array(pl.Float32, 2), pl.List(pl.Float64)])
    def test_damaged_rows_are_reported_and_not_proposed(self, dtype, caplog):
        vectors = [[1.0, 0.0], [0.9, 0.1], [np.nan, 1.0], None, [0.0, 0.0], [np.inf, 1.0]]
        items = table(6, vector=pl.Series(vectors, dtype=dtype))
        history = history_from([[0], [2]], 6)
        with caplog.at_level(logging.WARNING):
            model = EmbeddingSimilarity().fit(history, items=items)
        assert "4 of 6 items have no finite embedding" in caplog.text
        found = model.retrieve(history, 6, exclude_seen=False)
        assert found.item.tolist() == [[0, 1, -1, -1, -1, -1], [-1] * 6]
        assert np.isfinite(model.item_vectors).all()

    def test_nothing_usable(self, caplog):
        items = table(3, vector=pl.Series([None] * 3, dtype=pl.List(pl.Float32)))
        history = history_from([[0]], 3)
        model = EmbeddingSimilarity(centre=True).fit(history, items=items)
        assert "3 of 3 items" in caplog.text
        assert (model.retrieve(history, 2, exclude_seen=False).item == -1).all()

    def test_rows_of_another_length_are_not_usable(self):
        vectors, is_usable = ready_made(pl.Series([[1.0, 2.0], [3.0], [4.0, 5.0], []]))
        assert is_usable.tolist() == [True, False, True, False]
        assert vectors.tolist() == [[1, 2], [0, 0], [4, 5], [0, 0]]

    def test_bad_columns_are_named(self):
        history = history_from([[0]], 1)
        with pytest.raises(ConfigError, match="name is String; expected an Array or List"):
            EmbeddingSimilarity(column="name").fit(history, items=table(1, name=["a"]))
        with pytest.raises(ConfigError, match="no column of items holds embeddings; there are"):
            EmbeddingSimilarity().fit(history, items=table(1, name=["a"]))


@pytest.mark.slow
def test_citeulike_recall(data_folder):
    """TF-IDF of tags and takers. Published, with words instead of tags: .2135, .3038, .4707."""
    folder = data_folder / "citeulike-a"
    log = pl.read_parquet(folder / "interactions.parquet")
    items = pl.read_parquet(folder / "items.parquet")
    train, test = (
        log.filter(pl.col("split_p10") == part).select("user_id", "item_id")
        for part in ("train", "test")
    )
    # The weight was chosen on three of the ten training rows of each user.
    model = TextSimilarity(interactions_weight=1.0)
    found = model.fit(train, items=items).recommend(test["user_id"].unique(), k=300)
    hits = found.join(test, on=["user_id", "item_id"]).group_by("user_id").len("hits")
    per_user = test.group_by("user_id").len().join(hits, on="user_id", how="left").fill_null(0)
    recall = (per_user["hits"] / per_user["len"]).mean()
    assert 0.4593 - 0.005 < recall < 0.4593 + 0.005  # short of the published .4707


@pytest.mark.slow
def test_beauty_items_without_events_are_found_by_their_words(data_folder):
    folder = data_folder / "amazon-beauty"
    log = pl.read_parquet(folder / "interactions.parquet")
    items = pl.read_parquet(folder / "items.parquet").select("item_id", "text", "attributes")
    is_cold = np.random.default_rng(0).random(items.height) < 0.2
    cold = items["item_id"].filter(pl.Series(is_cold)).implode()
    train = log.filter(pl.col("split") == "train", ~pl.col("item_id").is_in(cold))
    test = log.filter(pl.col("split") == "test", pl.col("item_id").is_in(cold))
    recall = {}
    for model in (TextSimilarity(), ALS(random_state=0)):
        found = model.fit(train, items=items).recommend(test["user_id"], k=50)
        hits = found.join(test, on=["user_id", "item_id"]).height
        recall[type(model).__name__] = hits / test.height
    assert recall["ALS"] == 0.0
    assert recall["TextSimilarity"] > 0.08  # chance: 50 of 12,101 = .004


@pytest.mark.parametrize("cls", [TextSimilarity, EmbeddingSimilarity])
def test_a_quota_for_new_items_is_a_source_of_its_own(cls):
    history = history_from([[0, 1], [0, 1, 2], [1]], 5)
    items = pl.DataFrame(
        {
            "item_id": range(5),
            "text": ["red wine", "red shoe", "red hat", "red coat", "blue wine"],
            "vector": [[1.0, 0.1 * i, 0.0] for i in range(5)],
        }
    )
    everything = cls().fit(history, items=items).retrieve(history, 5, exclude_seen=True)
    new = cls(max_events=0).fit(history, items=items)
    found = new.retrieve(history, 5, exclude_seen=True)
    for user in range(3):
        expected = [item for item in everything.item[user] if item in (3, 4)]
        assert found.item[user, : len(expected)].tolist() == expected
        assert (found.item[user, len(expected) :] == -1).all()
    again = cls(max_events=0).restore(new.arrays()).retrieve(history, 5, exclude_seen=True)
    np.testing.assert_array_equal(again.item, found.item)
    few = cls(max_events=1).fit(history, items=items).retrieve(history, 5, exclude_seen=True)
    assert set(few.item[0].tolist()) == {2, 3, 4, -1}


def test_items_below_a_number_of_events_are_left_out():
    history = history_from([[0, 1], [0, 1, 2], [1]], 5)
    items = pl.DataFrame({"item_id": range(5), "vector": [[1.0, 0.1 * i] for i in range(5)]})
    for least, most, expected in ((1, None, {0, 1, 2}), (2, None, {0, 1}), (2, 2, {0})):
        source = EmbeddingSimilarity(min_events=least, max_events=most).fit(history, items=items)
        found = source.retrieve(history, 5, exclude_seen=False)
        assert set(found.item[0].tolist()) == expected | {-1}
        again = EmbeddingSimilarity(min_events=least, max_events=most).restore(source.arrays())
        np.testing.assert_array_equal(
            again.retrieve(history, 5, exclude_seen=False).item, found.item
        )
