"""Runs generators alone under published protocols, and prints them beside the published figures.

    python tests/benchmarks/published.py --data FOLDER
    python tests/benchmarks/published.py gowalla-lightgcn ml-100k-ratings --seeds 0 1 2

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

import polars as pl

from ranker import (
    EASE,
    CoVisitation,
    ItemKNN,
    Popularity,
    RandomWalk,
    TextSimilarity,
    Transitions,
)
from ranker.benchmark import PROTOCOLS, PUBLISHED, Case, Split, load_case
from ranker.benchmark.judge import list_values, rating_values, summary
from ranker.benchmark.systems import depth_of, predict, recommend


class Row(NamedTuple):
    """One system under one protocol; ``rival`` is whose figures stand beside it."""

    protocol: str
    system: str
    make: Callable[[int], Any]
    rival: str | None = None

    def run(self, data: Path, seed: int = 0) -> dict[str, float]:
        """The metrics of the protocol by name."""
        protocol = PROTOCOLS[self.protocol]
        case = load_case(self.protocol, data, seed)
        parts = []
        for fold, split in enumerate(case.splits, 1):
            model = self.make(seed)
            if protocol.rates:
                parts.append(rating_values(predict(model, split), split, fold=fold))
                continue
            model.fit(split.train, items=case.items)
            lists = _lists(model, case, split, depth_of(protocol.metrics))
            parts.append(list_values(lists, split, protocol.metrics))
        values = {self.system: pl.concat(parts)}
        table = summary(values, protocol.metrics, reference=self.system, random_state=seed)
        return table.select(protocol.metrics).row(0, named=True)


def _lists(model: Any, case: Case, split: Split, k: int) -> pl.DataFrame:
    if split.competitors is None or not hasattr(model, "predict"):
        return recommend(model, case, split, k)
    # What can score a pair need not rank the catalogue. Ties by item id, which knows no label.
    pairs = split.competitors
    scored = pairs.with_columns(score=model.predict(pairs["user_id"], pairs["item_id"]))
    ranked = scored.sort(["user_id", "score", "item_id"], descending=[False, True, False])
    return ranked.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user_id"))


def _neural(name: str, **parameters: Any) -> Any:
    """Made only when it is run, so that the others do without torch."""

    def make(seed: int) -> Any:
        from ranker import neural

        return getattr(neural, name)(random_state=seed, **parameters)

    return make


ROWS = [
    Row("amazon-beauty", "popular", lambda seed: Popularity(), "popular"),
    Row("ml-1m-ncf", "popular", lambda seed: Popularity(), "popular"),
    Row(
        "gowalla-lightgcn",
        "item-kNN",
        lambda seed: ItemKNN(weighting="tfidf", neighbours=400, shrink=5.0),
        "item-kNN",
    ),
    Row(
        "gowalla-lightgcn",
        "random walk",
        lambda seed: RandomWalk(alpha=0.6, beta=0.2, neighbours=200),
    ),
    # Twenty minutes on two cores, and 9 GB.
    Row(
        "gowalla-lightgcn",
        "EASE",
        lambda seed: EASE(regularization=200.0, neighbours=1000),
        "EASE",
    ),
    Row(
        "citeulike-a",
        "tags and users",
        lambda seed: TextSimilarity(columns=["tags"], interactions_weight=1.0),
        "item-kNN of content and users",
    ),
    Row(
        "citeulike-a",
        "tags, citations and users",
        lambda seed: TextSimilarity(columns=["tags", "links"], interactions_weight=1.0),
        "item-kNN of content and users",
    ),
    Row(
        "citeulike-a-p1",
        "tags",
        lambda seed: TextSimilarity(columns=["tags"]),
        "item-kNN of content",
    ),
    Row(
        "citeulike-a-p1",
        "tags and citations",
        lambda seed: TextSimilarity(columns=["tags", "links"]),
        "item-kNN of content",
    ),
    Row(
        "ml-100k-ratings",
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
        "GC-MC",
    ),
    Row(
        "ml-1m-ncf",
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
        "MF",
    ),
    Row(
        "ml-1m-ncf",
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
        "NeuMF, run again",
    ),
    Row("amazon-beauty", "transitions", lambda seed: Transitions()),
    Row("amazon-beauty", "co-visitation", lambda seed: CoVisitation()),
    Row(
        "amazon-beauty",
        "self-attention",
        _neural("SequenceEncoder"),
        "SASRec, cross entropy",
    ),
    Row("amazon-beauty", "self-attention over ids and categories", _neural("SequenceHybrid")),
    Row(
        "ml-1m",
        "self-attention",
        _neural(
            "SequenceEncoder",
            max_length=200,
            batch_size=4096,
            dropout=0.2,
            averaging=0.0,
            epochs=60,
            patience=6,
        ),
        "SASRec+",
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="protocols or systems; default: all")
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    for row in ROWS:
        if arguments.names and not {row.protocol, row.system} & set(arguments.names):
            continue
        rivals = [one for one in PUBLISHED[row.protocol] if one.system == row.rival]
        published = rivals[0].figures if rivals else {}
        for seed in arguments.seeds:
            start = time.perf_counter()
            found = row.run(Path(arguments.data), seed)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            figures = ", ".join(
                f"{name} {value:.4f}"
                + (f" (published {published[name]:.4f})" if name in published else "")
                for name, value in found.items()
            )
            print(
                f"{row.protocol}, {row.system}, seed {seed}: {figures}; "
                f"{seconds:.0f} s, peak so far {peak:.1f} GB",
                flush=True,
            )


if __name__ == "__main__":
    main()
