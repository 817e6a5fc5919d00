"""What the steps of a policy take, and what diversity costs.

    python tests/benchmarks/bench_lists.py speed
    python tests/benchmarks/bench_lists.py curve complete-journey ml-100k --data FOLDER

``speed`` makes lists of 10 out of 200 scored candidates a user, from 20,000 items with vectors of
64 factors, on one thread, under each step alone. ``curve`` fits a recommender and prints the points
of the accuracy-diversity curve, with `--csv` for a picture.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

from features.candidates import Candidates
from features.clock import Clock, ClockKind
from features.history import History, LogFacts
from features.ids import Ids
from ranker import TwoStageRecommender, split_by_time
from ranker.datasets import Dataset, load_complete_journey, load_folder
from ranker.lists import (
    DPP,
    MMR,
    Calibrate,
    Cap,
    Epsilon,
    Explore,
    FilterDenied,
    FilterSeen,
    FilterWhere,
    NewItems,
    Policy,
    Quota,
    Thompson,
    diversity_curve,
)
from ranker.lists.apply import BoundPolicy
from ranker.lists.context import ListContext
from ranker.lists.topk import make_lists
from ranker.text import format_table

N_USERS, N_ITEMS, N_CANDIDATES, N_FACTORS, N_EVENTS, K = 2048, 20_000, 200, 64, 50, 10

# Split, and the column of categories: tables hold more, none of which is of an instant.
DATA = {
    "complete-journey": ({"test": "28d"}, "department"),
    "ml-100k": ({"test_fraction": 0.1}, "genres"),
}


class Vectors:
    """A source with vectors and nothing else."""

    similarity = None

    def __init__(self, vectors: np.ndarray) -> None:
        self.item_vectors = vectors

    def user_vectors(self, history: History) -> None:
        return None


def speed(repeats: int) -> pl.DataFrame:
    """Seconds for the lists of all users, without policy and under each step alone."""
    history, candidates, scores, context = world()
    steps = {
        "FilterSeen": [FilterSeen()],
        "FilterDenied, 1,000 items": [FilterDenied(range(0, N_ITEMS, 20))],
        "FilterWhere, on items and 50 ages": [
            FilterWhere((pl.col("price") < 90) | (pl.col("user_age") > 17))
        ],
        "Cap, 2 a brand": [Cap("brand", 2)],
        "Quota, 2 of a brand": [Quota("brand", {"7": 2})],
        "NewItems": [NewItems(1)],
        "MMR": [MMR("vectors")],
        "DPP": [DPP("vectors")],
        "Calibrate": [Calibrate("category")],
        "Explore, epsilon": [Explore(2, by=Epsilon(0.1))],
        "Explore, Thompson": [Explore(2, by=Thompson(rates=rates()))],
        "Cap, MMR, Quota, Explore": [
            Cap("brand", 2),
            MMR("vectors"),
            Quota("brand", {"7": 2}),
            Explore(1),
        ],
    }
    plain = seconds(
        lambda: make_lists(candidates, scores, history, context.fill, K, exclude_seen=False),
        repeats,
    )
    rows = [{"policy": "none", "bind_ms": 0.0, "us_per_user": plain / N_USERS * 1e6}]
    for name, chosen in steps.items():
        start = time.perf_counter()
        bound = BoundPolicy.of(Policy(chosen), context)
        bind = time.perf_counter() - start
        spent = seconds(
            lambda bound=bound: bound.lists(candidates, scores, history, K, exclude_seen=False),
            repeats,
        )
        rows.append({"policy": name, "bind_ms": bind * 1e3, "us_per_user": spent / N_USERS * 1e6})
    return pl.DataFrame(rows).with_columns(users_per_s=(1e6 / pl.col("us_per_user")).round())


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of a call, once it is compiled."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def world() -> tuple[History, Candidates, np.ndarray, ListContext]:
    rng = np.random.default_rng(0)
    users = Ids(pl.Series(np.arange(N_USERS)))
    items = Ids(pl.Series(np.arange(N_ITEMS)))
    history = History(
        users=users,
        items=items,
        facts=LogFacts(Clock(ClockKind.NONE), 1),
        indptr=np.arange(0, N_USERS * N_EVENTS + 1, N_EVENTS),
        item=rng.integers(0, N_ITEMS * 99 // 100, N_USERS * N_EVENTS).astype(np.int32),
        time=np.zeros(N_USERS * N_EVENTS, np.int64),
        weight=np.ones(N_USERS * N_EVENTS, np.float32),
        event=np.zeros(N_USERS * N_EVENTS, np.int16),
        now=np.zeros(N_USERS, np.int64),
        row=np.arange(N_USERS, dtype=np.int32),
    )
    chosen = [np.sort(rng.choice(N_ITEMS, N_CANDIDATES, replace=False)) for _ in range(N_USERS)]
    n_rows = N_USERS * N_CANDIDATES
    candidates = Candidates(
        users=users,
        items=items,
        sources=("vectors",),
        indptr=np.arange(0, n_rows + 1, N_CANDIDATES),
        item=np.concatenate(chosen).astype(np.int32),
        score=np.ones((n_rows, 1), np.float32),
        rank=np.ones((n_rows, 1), np.int32),
    )
    table = pl.DataFrame(
        {
            "item_id": items.values,
            "brand": rng.integers(0, 400, N_ITEMS),
            "category": rng.integers(0, 30, N_ITEMS),
            "price": rng.integers(0, 100, N_ITEMS),
        }
    )
    context = ListContext(
        history=history,
        items=table,
        users=pl.DataFrame({"user_id": users.values, "age": rng.integers(10, 60, N_USERS)}),
        sources={"vectors": Vectors(rng.normal(size=(N_ITEMS, N_FACTORS)).astype(np.float32))},
        fill=np.arange(N_ITEMS, dtype=np.int32),
        random_state=0,
    )
    return history, candidates, rng.normal(size=n_rows).astype(np.float32), context


def rates() -> pl.DataFrame:
    trials = np.random.default_rng(1).integers(0, 1000, N_ITEMS)
    return pl.DataFrame({"item_id": range(N_ITEMS), "successes": trials // 20, "trials": trials})


def curve(name: str, data: Dataset, preset: str) -> pl.DataFrame:
    """The points of each reordering step: step, value, ndcg, ..., distance, length."""
    split, column = DATA[name]
    train, test = split_by_time(data.interactions, **split)
    items = None if data.items is None else data.items.select("item_id", column)
    recommender = TwoStageRecommender.preset(preset, random_state=0).fit(train, items=items)
    return pl.concat(
        [
            diversity_curve(recommender, step, test, embedding="als").select(
                pl.lit(type(step).__name__).alias("step"), pl.all()
            )
            for step in (MMR("als"), DPP("als"), Calibrate(column))
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["speed", "curve"])
    parser.add_argument("names", nargs="*", choices=[*DATA, []])
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        print(format_table(speed(arguments.repeats)))
        return
    parts = []
    for name in arguments.names or DATA:
        journey = name == "complete-journey"
        data = load_complete_journey() if journey else load_folder(Path(arguments.data) / name)
        points = curve(name, data, arguments.preset)
        print(f"\n{name}, preset {arguments.preset}, seed 0, NDCG@10 on the test rows")
        print(format_table(points.drop("change_low", "change_high")))
        parts.append(points.select(pl.lit(name).alias("data"), pl.all()))
    if arguments.csv is not None:
        pl.concat(parts).write_csv(arguments.csv)


if __name__ == "__main__":
    main()
