"""Recommenders that are quick to fit, and attribute tables for the logs of ``tests.logs``."""

from __future__ import annotations

from typing import Any

import polars as pl

from ranker import (
    ALS,
    CoVisitation,
    ItemKNN,
    LambdaRank,
    OwnHistory,
    Popularity,
    TwoStageRecommender,
)
from tests.logs import make_log

N_USERS, N_ITEMS = 40, 25


def small(*, clock: str = "datetime", **keywords: Any) -> TwoStageRecommender:
    """Every kind of source, few factors and trees; keywords of the constructor override them."""
    generators = {
        "popular": Popularity(),
        "own": OwnHistory(),
        "als": ALS(factors=4, iterations=2),
        "item_knn": ItemKNN(),
        "covisitation": CoVisitation(),
    }
    if clock == "none":
        del generators["covisitation"]
    defaults = {
        "generators": list(generators.items()),
        "n_candidates": 10,
        "reranker": LambdaRank(n_trees=10, min_rows_in_leaf=5),
        "repeats": True,
        "n_threads": 1,
        "random_state": 0,
    }
    return TwoStageRecommender(**defaults | keywords)


def item_table() -> pl.DataFrame:
    """All items of the log but the first, and one that the log lacks."""
    numbers = [*range(1, N_ITEMS), 99]
    return pl.DataFrame(
        {
            "item_id": [f"i{number:03}" for number in numbers],
            "title": [f"Item {number}" for number in numbers],
            "brand": [None if number % 7 == 0 else f"brand {number % 3}" for number in numbers],
            "genres": [[f"g{number % 2}", f"g{number % 5}"] for number in numbers],
        }
    )


def user_table() -> pl.DataFrame:
    """All users of the log but the first, and one that the log lacks."""
    numbers = [*range(1, N_USERS), 99]
    return pl.DataFrame({"user_id": [f"u{number:03}" for number in numbers], "age": numbers})


def numbered(frame: pl.DataFrame, dtype: Any = pl.Int64) -> pl.DataFrame:
    """The same with whole numbers as ids, in the same order."""
    ids = pl.col("user_id", "item_id")
    return frame.with_columns(
        ids.cast(pl.String).str.strip_chars_start("ui").cast(pl.Int64).cast(dtype)
    )


def everything(clock: str = "datetime", **keywords: Any) -> TwoStageRecommender:
    """A recommender fitted on a log with both tables."""
    log = make_log(clock, n_users=N_USERS, n_items=N_ITEMS)
    return small(clock=clock, **keywords).fit(log, items=item_table(), users=user_table())
