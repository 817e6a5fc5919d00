"""Runs generators alone under published protocols, and prints them beside the published figures.

    python tests/benchmarks/published.py --data FOLDER
    python tests/benchmarks/published.py gowalla-lightgcn ml-100k --seeds 0 1 2

Every item is ranked, the user's own are left out, and a test item that is not in the train rows
counts as missed; only the protocol of He et al. ranks 99 drawn items, which the data come with.
Parameters were chosen on validation rows: those that the data come with, or a part of the train
rows. The test rows are looked at once.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from ranker import (
    EASE,
    CoVisitation,
    Generator,
    ItemKNN,
    RandomWalk,
    TextSimilarity,
    Transitions,
    evaluate,
)

KEYS = ("user_id", "item_id", "timestamp", "weight")


class Row(NamedTuple):
    """One system under one protocol.

    ``make`` gets a seed and makes the generator or predictor; ``run`` gets it with the folder of
    the data, and returns metrics by name; ``published`` are figures of others, by the same names.
    """

    data: str
    system: str
    make: Callable[[int], Any]
    run: Callable[[Any, Path], dict[str, float]]
    published: dict[str, float]


def read(folder: Path, *columns: str) -> pl.DataFrame:
    """Interactions with the columns that our models read, and some more."""
    frame = pl.read_parquet(folder / "interactions.parquet")
    if (
        "timestamp" in frame.columns
    ):  # a few events of MovieLens 1M have no place: before all others
        frame = frame.with_columns(pl.col("timestamp").fill_null(-1))
    return frame.select(*(c for c in KEYS if c in frame.columns), *columns)


def catalogue(folder: Path) -> pl.DataFrame:
    """The items; where there are links, with a list of those linked and the item itself."""
    items = pl.read_parquet(folder / "items.parquet")
    if not (folder / "item_links.parquet").is_file():
        return items
    links = pl.read_parquet(folder / "item_links.parquet")
    links = pl.concat([links, items.select("item_id", linked_item_id="item_id")]).unique()
    grouped = links.group_by("item_id").agg(links=pl.col("linked_item_id").sort())
    return items.join(grouped, on="item_id", how="left")


def leave_one_out(column: str) -> Callable[[Generator, Path], dict[str, float]]:
    """Fit on train, feed train and valid, find the test item among all."""

    def run(generator: Generator, folder: Path) -> dict[str, float]:
        log = read(folder, column).filter(pl.col(column).is_not_null())
        generator.fit(log.filter(pl.col(column) == "train").drop(column), items=catalogue(folder))
        fed = log.filter(pl.col(column).is_in(["train", "valid"])).drop(column)
        lists = generator.recommend(histories=fed, k=10)
        test = log.filter(pl.col(column) == "test")
        return _metrics(lists, test, {"HR@10": ("recall", 10), "NDCG@10": ("ndcg", 10)})

    return run


def train_and_test(
    column: str, wanted: dict[str, tuple[str, int]]
) -> Callable[[Generator, Path], dict[str, float]]:
    """Fit on train, list for the users of test."""

    def run(generator: Generator, folder: Path) -> dict[str, float]:
        log = read(folder, column)
        generator.fit(log.filter(pl.col(column) == "train").drop(column), items=catalogue(folder))
        test = log.filter(pl.col(column) == "test")
        lists = generator.recommend(test["user_id"].unique(), k=max(k for _, k in wanted.values()))
        return _metrics(lists, test, wanted)

    return run


def ncf(predictor: Any, folder: Path) -> dict[str, float]:
    """He et al. (WWW 2017): each user's last item among 99 that he did not take."""
    log = read(folder, "split_ncf")
    predictor.fit(log.filter(pl.col("split_ncf") == "train").drop("split_ncf"))
    drawn = pl.read_parquet(folder / "ncf_test_negatives.parquet")
    pairs = pl.concat(
        [
            drawn.select("user_id", "item_id"),
            drawn.select("user_id", item_id="negatives").explode("item_id"),
        ]
    ).unique()
    scores = np.asarray(predictor.predict(pairs["user_id"], pairs["item_id"]))
    # Ties by item id, which knows nothing of what is relevant.
    ranked = pairs.with_columns(pl.Series("score", scores)).sort(
        ["user_id", "score", "item_id"], descending=[False, True, False]
    )
    lists = ranked.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user_id"))
    lists = lists.filter(pl.col("rank") <= 10)
    return _metrics(lists, drawn, {"HR@10": ("recall", 10), "NDCG@10": ("ndcg", 10)})


def ratings(predictor: Any, folder: Path) -> dict[str, float]:
    """RMSE over the five published folds of MovieLens 100k."""
    errors = []
    for fold in range(1, 6):
        column = f"split_u{fold}"
        log = pl.read_parquet(folder / "interactions.parquet").rename({"rating": "weight"})
        log = log.select("user_id", "item_id", "timestamp", "weight", column)
        predictor.fit(log.filter(pl.col(column) == "train").drop(column))
        test = log.filter(pl.col(column) == "test")
        predicted = np.asarray(predictor.predict(test["user_id"], test["item_id"]))
        errors.append(float(np.sqrt(np.mean((predicted - test["weight"].to_numpy()) ** 2))))
    return {f"RMSE u{fold}": error for fold, error in enumerate(errors, 1)} | {
        "RMSE": float(np.mean(errors))
    }


def _metrics(
    lists: pl.DataFrame, test: pl.DataFrame, wanted: dict[str, tuple[str, int]]
) -> dict[str, float]:
    names, depths = zip(*wanted.values(), strict=True)
    table = evaluate(lists, test, k=sorted(set(depths)), metrics=list(dict.fromkeys(names)))
    means = {(row["metric"], row["k"]): row["mean"] for row in table.iter_rows(named=True)}
    return {label: means[cell] for label, cell in wanted.items()}


def _neural(name: str, **parameters: Any) -> Any:
    """Made only when it is run, so that the others do without torch."""

    def make(seed: int) -> Any:
        from ranker import neural

        return getattr(neural, name)(random_state=seed, **parameters)

    return make


_TOP_20 = {"Recall@20": ("recall", 20), "NDCG@20": ("ndcg", 20)}
_DEEP = {f"Recall@{k}": ("recall", k) for k in (50, 100, 300)}
_P10 = {"Recall@50": 0.2135, "Recall@100": 0.3038, "Recall@300": 0.4707}
_P1 = {"Recall@50": 0.0942, "Recall@100": 0.1336, "Recall@300": 0.2152}
_SEQUENTIAL = leave_one_out("split")

ROWS = [
    Row(
        "gowalla-lightgcn",
        "item-kNN",
        lambda seed: ItemKNN(weighting="tfidf", neighbours=400, shrink=5.0),
        train_and_test("split", _TOP_20),
        {"Recall@20": 0.1570, "NDCG@20": 0.1214},
    ),
    Row(
        "gowalla-lightgcn",
        "random walk",
        lambda seed: RandomWalk(alpha=0.6, beta=0.2, neighbours=200),
        train_and_test("split", _TOP_20),
        {},
    ),
    # Twenty minutes on two cores, and 9 GB.
    Row(
        "gowalla-lightgcn",
        "EASE",
        lambda seed: EASE(regularization=200.0, neighbours=1000),
        train_and_test("split", _TOP_20),
        {"Recall@20": 0.1765, "NDCG@20": 0.1467},
    ),
    Row(
        "citeulike-a",
        "tags and users",
        lambda seed: TextSimilarity(columns=["tags"], interactions_weight=1.0),
        train_and_test("split_p10", _DEEP),
        _P10,
    ),
    Row(
        "citeulike-a",
        "tags, citations and users",
        lambda seed: TextSimilarity(columns=["tags", "links"], interactions_weight=1.0),
        train_and_test("split_p10", _DEEP),
        _P10,
    ),
    Row(
        "citeulike-a",
        "tags",
        lambda seed: TextSimilarity(columns=["tags"]),
        train_and_test("split_p1", _DEEP),
        _P1,
    ),
    Row(
        "citeulike-a",
        "tags and citations",
        lambda seed: TextSimilarity(columns=["tags", "links"]),
        train_and_test("split_p1", _DEEP),
        _P1,
    ),
    Row(
        "ml-100k",
        "deep MF",
        _neural(
            "DeepMatrixFactorization",
            towers=(128, 32),
            regularization=0.02,
            dropout=0.3,
            epochs=40,
            patience=5,
            batch_size=8192,
            learning_rate=3e-3,
        ),
        ratings,
        {"RMSE u1": 0.905},
    ),
    Row(
        "ml-1m",
        "MF",
        _neural(
            "MatrixFactorization",
            loss="bce",
            n_negatives=8,
            factors=128,
            regularization=0.0025,
            batch_size=4096,
            learning_rate=2e-3,
            epochs=40,
            patience=4,
        ),
        ncf,
        {"HR@10": 0.7294, "NDCG@10": 0.4523},
    ),
    Row(
        "ml-1m",
        "NeuMF",
        _neural(
            "NeuralCollaborativeFiltering",
            factors=128,
            layers=(128, 64, 32),
            regularization=0.0025,
            batch_size=4096,
            learning_rate=2e-3,
            epochs=25,
            patience=3,
        ),
        ncf,
        {"HR@10": 0.7120, "NDCG@10": 0.4369},
    ),
    Row(
        "amazon-beauty",
        "transitions",
        lambda seed: Transitions(),
        _SEQUENTIAL,
        {},
    ),
    Row(
        "amazon-beauty",
        "co-visitation",
        lambda seed: CoVisitation(),
        _SEQUENTIAL,
        {},
    ),
    Row(
        "amazon-beauty",
        "self-attention",
        _neural(
            "SequenceEncoder",
            loss="sampled",
            n_negatives=1024,
            batch_size=128,
            dropout=0.4,
            weight_decay=0.2,
            patience=4,
        ),
        _SEQUENTIAL,
        {"HR@10": 0.0974, "NDCG@10": 0.0588},
    ),
    Row(
        "ml-1m",
        "self-attention",
        _neural(
            "SequenceEncoder",
            max_length=200,
            batch_size=32,
            dropout=0.2,
            averaging=0.0,
            epochs=60,
            patience=6,
        ),
        leave_one_out("split_sasrec"),
        {"HR@10": 0.3207, "NDCG@10": 0.1858},
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="data sets or systems; default: all")
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    for row in ROWS:
        if arguments.names and not {row.data, row.system} & set(arguments.names):
            continue
        for seed in arguments.seeds:
            start = time.perf_counter()
            found = row.run(row.make(seed), Path(arguments.data) / row.data)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            figures = ", ".join(
                f"{name} {value:.4f}"
                + (f" (published {row.published[name]:.4f})" if name in row.published else "")
                for name, value in found.items()
            )
            print(
                f"{row.data}, {row.system}, seed {seed}: {figures}; "
                f"{seconds:.0f} s, peak so far {peak:.1f} GB",
                flush=True,
            )


if __name__ == "__main__":
    main()
