"""Items that nobody took yet, on real images and texts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

from ranker.candidates.als import ALS
from ranker.candidates.popularity import Popularity
from ranker.neural import Hybrid, ImageContent, TextContent

pytestmark = pytest.mark.slow


def frame(rows):
    return pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")


def hits(model, test, k, among=None):
    """Share of the test rows in the lists of length k, of all items or only some."""
    lists = model.recommend(test["user_id"].unique(), k=20_000)
    if among is not None:
        lists = lists.filter(pl.col("item_id").is_in(among.implode()))
    lists = lists.group_by("user_id", maintain_order=True).head(k)
    return lists.join(test, on=["user_id", "item_id"]).height / test.height


@pytest.mark.parametrize("seed", [0, 1])
def test_digits_that_nobody_took(seed):
    digits = load_digits()
    rng = np.random.default_rng(seed)
    is_cold = rng.random(len(digits.target)) < 0.25
    train, test = [], []
    for user in range(600):
        liked = np.isin(digits.target, rng.choice(10, 1 + user % 2, replace=False))
        for rows, pool, n in ((train, liked & ~is_cold, 20), (test, liked & is_cold, 10)):
            rows += [(user, int(item)) for item in rng.choice(np.flatnonzero(pool), n, False)]
    items = pl.DataFrame(
        {
            "item_id": range(len(digits.target)),
            "image": pl.Series(
                digits.images.astype(np.float32), dtype=pl.Array(pl.Float32, (8, 8))
            ),
        }
    )
    train, test = frame(train), frame(test)
    cnn = ImageContent(epochs=4, random_state=seed).fit(train, items=items)
    chance = 20 / (items.height - 20)
    assert hits(cnn, test, 20) > 5 * chance  # the best possible: 7.5
    als = ALS(random_state=seed).fit(train)
    assert hits(als, test, 20) == 0.0


@pytest.fixture(scope="module")
def beauty(data_folder):
    """A fifth of the items without events; the test row of the published split is to be found."""
    folder = data_folder / "amazon-beauty"
    log = pl.read_parquet(folder / "interactions.parquet")
    items = pl.read_parquet(folder / "items.parquet")
    is_cold = pl.Series(np.random.default_rng(0).random(items.height) < 0.2)
    cold = items["item_id"].filter(is_cold)
    warm = items["item_id"].filter(~is_cold)
    # Every third user, for the sake of time; the tests ask 700 of each kind.
    log = log.filter(pl.col("user_id") % 3 == 0)
    train = log.filter(pl.col("split") == "train", pl.col("item_id").is_in(warm.implode()))
    test = log.filter(pl.col("split") == "test").select("user_id", "item_id")
    tests = [test.filter(pl.col("item_id").is_in(one.implode())).head(700) for one in (warm, cold)]
    return train, items, (warm, tests[0]), (cold, tests[1])


def test_text_finds_new_items_and_nothing_else_does(beauty):
    train, items, _, (_, test) = beauty
    text = TextContent(epochs=3, random_state=0).fit(train, items=items)
    assert hits(text, test, 50) > 3 * 50 / items.height  # thrice what chance finds
    for model in (Popularity(), ALS(random_state=0)):
        assert hits(model.fit(train), test, 50) == 0.0


def test_a_hybrid_is_as_good_as_its_parts_where_each_is_good(beauty):
    train, items, (warm, warm_test), (cold, cold_test) = beauty
    common = {"epochs": 8, "learning_rate": 3e-3, "random_state": 0}
    both = Hybrid(**common).fit(train, items=items)
    ids = Hybrid(columns=(), **common).fit(train, items=items)
    content = Hybrid(id_dropout=1.0, **common).fit(train, items=items)
    assert hits(both, warm_test, 50, warm) >= hits(ids, warm_test, 50, warm)
    assert hits(both, cold_test, 50, cold) >= hits(content, cold_test, 50, cold) - 0.01
    assert hits(ids, cold_test, 50) == 0.0
