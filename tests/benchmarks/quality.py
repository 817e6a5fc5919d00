"""Prints how good the lists are on real data, under global time splits, by every system.

    python tests/benchmarks/quality.py complete-journey --seeds 0 1 2 3 4
    python tests/benchmarks/quality.py foursquare-nyc ml-100k ml-latest-small --data FOLDER

The test rows play no part in any choice: sources, windows and trees are chosen on labels that
are cut from the training rows, and the defaults were chosen on the same labels.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

import polars as pl

from ranker import TwoStageRecommender, compare, split_by_time
from ranker.datasets import Dataset, load_complete_journey, load_folder
from ranker.text import format_table


class Protocol(NamedTuple):
    split: dict[str, object]
    repeats: bool


PROTOCOLS = {
    "complete-journey": Protocol({"test": "28d"}, repeats=True),
    "foursquare-nyc": Protocol({"test_fraction": 0.1}, repeats=True),
    "ml-100k": Protocol({"test_fraction": 0.1}, repeats=False),
    "ml-latest-small": Protocol({"test_fraction": 0.1}, repeats=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", choices=PROTOCOLS)
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--preset", default="balanced")
    arguments = parser.parse_args()
    for name in arguments.names:
        for seed in arguments.seeds:
            run(name, _load(name, arguments.data), seed, arguments.preset)


def run(name: str, data: Dataset, seed: int, preset: str) -> None:
    protocol = PROTOCOLS[name]
    # Scores, tags and ratings of the tables are not of an instant; only what is written in them.
    items = data.items if name == "complete-journey" else None
    train, test = split_by_time(data.interactions, **protocol.split)
    start = time.perf_counter()
    recommender = TwoStageRecommender.preset(preset, random_state=seed).fit(train, items=items)
    fitted = time.perf_counter()
    users = test["user_id"].unique().sort()
    lists = recommender.recommend_by_system(users, k=10, exclude_seen=not protocol.repeats)
    served = time.perf_counter()
    table = compare(
        lists | {"served": recommender.recommend(users, k=10, exclude_seen=not protocol.repeats)},
        test,
        reference="served",
        train=train,
        exclude_seen=not protocol.repeats,
    )
    new = ~pl.Series(users).is_in(train["user_id"].unique().implode())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{name}, seed {seed}, preset {preset}: NDCG@10, {len(users)} users, {new.sum()} new")
    for line in recommender.choices_:
        print(f"- {line}")
    print(format_table(table))
    print(
        f"fit {fitted - start:.0f} s, lists by all systems {served - fitted:.0f} s, {peak:.1f} GB"
    )


def _load(name: str, folder: str) -> Dataset:
    if name == "complete-journey":
        return load_complete_journey()
    return load_folder(Path(folder) / name)


if __name__ == "__main__":
    main()
