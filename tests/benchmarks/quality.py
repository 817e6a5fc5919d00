"""Prints how good the lists are on real data, by every system, on the same users.

    python tests/benchmarks/quality.py complete-journey --seeds 0 1 2 3 4
    python tests/benchmarks/quality.py foursquare-nyc ml-100k ml-latest-small --data FOLDER

The data sets are cut as :mod:`cases` says. The test rows play no part in any choice: sources,
windows and trees are chosen on labels that are cut from the training rows, and the defaults were
chosen on the same labels.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

import polars as pl
from cases import CASES, Case, Split, load_case

from ranker import TwoStageRecommender, compare
from ranker.evaluation.compare import SUMMARY_COLUMNS
from ranker.text import format_table

SERVED = "served"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", choices=CASES)
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--preset", default="balanced")
    arguments = parser.parse_args()
    for name in arguments.names:
        for seed in arguments.seeds:
            run(name, load_case(name, Path(arguments.data), seed), seed, arguments.preset)


def run(name: str, case: Case, seed: int, preset: str) -> None:
    start = time.perf_counter()
    systems: dict[str, list[pl.DataFrame]] = {}
    tests = []
    for index, split in enumerate(case.splits):
        lists, test = _lists(case, split, seed, preset)
        for system, frame in lists.items():
            systems.setdefault(system, []).append(_named(frame, index))
        tests.append(_named(test, index))
    seconds = time.perf_counter() - start
    test = pl.concat(tests)
    # Every split has the same sources, since they follow from the kind of clock.
    table = compare(
        {name: pl.concat(parts) for name, parts in systems.items()}, test, reference=SERVED
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{name}, seed {seed}, preset {preset}: NDCG@10, {test['user_id'].n_unique()} users")
    print(format_table(table.select("system", *SUMMARY_COLUMNS)))
    print(f"{len(case.splits)} splits, {seconds:.0f} s, {peak:.1f} GB", flush=True)


def _lists(
    case: Case, split: Split, seed: int, preset: str
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Lists of ten by every system, and what they are judged by."""
    recommender = TwoStageRecommender.preset(preset, random_state=seed)
    recommender.fit(split.train, items=case.items)
    for line in recommender.choices_:
        print(f"- {line}")
    test = split.test.select("user_id", "item_id").unique()
    users = test["user_id"].unique().sort()
    known = split.train if split.histories is None else split.histories
    if not case.repeats:
        test = test.join(known, on=["user_id", "item_id"], how="anti")
        users = test["user_id"].unique().sort()
    asked = {"exclude_seen": not case.repeats, "k": 10}
    if split.histories is None:
        asked["user_ids"] = users
    else:
        asked["histories"] = split.histories.filter(pl.col("user_id").is_in(users.implode()))
    lists = recommender.recommend_by_system(**asked)
    return lists | {SERVED: recommender.recommend(**asked)}, test


def _named(frame: pl.DataFrame, split: int) -> pl.DataFrame:
    """A user is somebody else in each split."""
    return frame.with_columns(user_id=pl.format("{}/{}", pl.lit(split), "user_id"))


if __name__ == "__main__":
    main()
