"""What new users and new items get: by how many events are known of them.

    python tests/benchmarks/cold_start.py amazon-beauty ml-1m --data FOLDER --seed 0
    python tests/benchmarks/cold_start.py complete-journey

Users: a tenth of the test users are left out of the fit, and each is shown with no event, with one
or two, with three to nine, or with all of his ten or more, always his latest. Who has fewer is left
out of that line; what is asked for stays the same. Judged by NDCG@10.

Items: a twentieth of the items are left out of the fit as a whole, by the times of the first events
where there is a common clock the newest. The test rows of everybody else are judged by recall@50,
apart by how many events of the item were fitted on.

Lists hold all items. The engine with its defaults stands beside its own popular list and its ALS,
which are filled up by popularity, and a two-tower network fitted by itself. In brackets: served
minus the best of the others, with the paired interval.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from features.clock import Clock
from features.schema import check_interactions
from ranker import TwoStageRecommender
from ranker.benchmark import Case, Split, load_case
from ranker.benchmark.cuts import count_anew
from ranker.benchmark.judge import list_values, summary
from ranker.benchmark.protocols import PROTOCOLS
from ranker.datasets import load_complete_journey
from ranker.evaluation import split_new_items
from ranker.neural import TwoTower
from ranker.text import format_table

NAMES = ("amazon-beauty", "ml-1m", "complete-journey")
BUCKETS = {"0": (0, 0), "1-2": (1, 2), "3-9": (3, 9), "10+": (10, None)}
SERVED = "two-stage"
OF_USERS, OF_ITEMS = "ndcg@10", "recall@50"
DEPTH = 50
# What users tell of themselves; the other columns are ids.
TELLING = ("gender", "age", "occupation", "income", "home_ownership", "marital_status")
TELLING += ("household_size", "household_comp", "kids_count")

Systems = dict[str, pl.DataFrame]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", choices=NAMES)
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30, help="of the two towers, at most")
    arguments = parser.parse_args()
    for name in arguments.names:
        start = time.perf_counter()
        table = cold_start(name, Path(arguments.data), arguments.seed, arguments.epochs)
        seconds = time.perf_counter() - start
        print(f"\n{name}, seed {arguments.seed}, {seconds:.0f} s")
        print(format_table(table, width=140), flush=True)


def cold_start(name: str, data: Path, seed: int, epochs: int) -> pl.DataFrame:
    """The lines of both tables."""
    case = load_case(name, data, seed)
    (split,) = case.splits
    rng = np.random.default_rng(seed)
    told = split.train if split.histories is None else split.histories
    test_users = split.test["user_id"].unique().sort()
    new_users = rng.choice(len(test_users), len(test_users) // 10, replace=False)
    held_out = test_users.gather(np.sort(new_users))
    is_new = pl.col("user_id").is_in(held_out.implode())
    comparable = Clock.of(check_interactions(split.train)).is_comparable
    choose = "newest" if comparable else "random"
    train = split.train.filter(~is_new)
    train, _ = split_new_items(train, fraction=0.05, choose=choose, random_state=seed)
    if not comparable:
        train = count_anew(train)
    users = users_of(name, data)
    engine = TwoStageRecommender(random_state=seed).fit(train, items=case.items, users=users)
    towers = TwoTower(epochs=epochs, random_state=seed).fit(train, items=case.items, users=users)
    known = told.filter(pl.col("item_id").is_in(train["item_id"].unique().implode()))
    lines = []
    for bucket, histories in shown(known.filter(is_new), held_out, rng):
        asked = histories["user_id"].unique() if bucket != "0" else held_out
        test = split.test.filter(pl.col("user_id").is_in(asked.implode()))
        lists = everybody(engine, towers, case, test, None if bucket == "0" else histories)
        lines.append(line("users", bucket, lists, Split(train, test), OF_USERS, seed))
    test = split.test.filter(~is_new)
    lists = everybody(engine, towers, case, test, known.filter(~is_new))
    n_events = test.join(train.group_by("item_id").len(), on="item_id", how="left")
    n_events = n_events.with_columns(pl.col("len").fill_null(0))
    for bucket, (low, high) in BUCKETS.items():
        in_bucket = pl.col("len").is_between(low, high if high is not None else pl.col("len"))
        part = n_events.filter(in_bucket).drop("len")
        if part.height:
            lines.append(line("items", bucket, lists, Split(train, part), OF_ITEMS, seed))
    return pl.concat(lines)


def users_of(name: str, data: Path) -> pl.DataFrame | None:
    """Attributes of users that say something."""
    if name == "complete-journey":
        users = load_complete_journey().users
    else:
        file = data / PROTOCOLS[name].data / "users.parquet"
        users = pl.read_parquet(file) if file.is_file() else None
    if users is None:
        return None
    telling = [column for column in TELLING if column in users.columns]
    return users.select("user_id", *telling) if telling else None


def shown(
    known: pl.DataFrame, users: pl.Series, rng: np.random.Generator
) -> Iterator[tuple[str, pl.DataFrame]]:
    """The latest events of each user, as many as a bucket has; a random number within it."""
    age = pl.int_range(pl.len()).over("user_id", order_by=["timestamp", "item_id"], descending=True)
    aged = known.with_columns(age.alias("age"), pl.len().over("user_id").alias("n"))
    for bucket, (low, high) in BUCKETS.items():
        most = rng.integers(low, high + 1, len(users)) if high is not None else None
        kept = pl.DataFrame({"user_id": users, "most": most if most is not None else 10**9})
        part = aged.join(kept, on="user_id", maintain_order="left")
        part = part.filter((pl.col("n") >= low) & (pl.col("age") < pl.col("most")))
        yield bucket, part.drop("age", "n", "most")


def everybody(
    engine: TwoStageRecommender,
    towers: TwoTower,
    case: Case,
    test: pl.DataFrame,
    histories: pl.DataFrame | None,
) -> Systems:
    """Lists of all systems for the users of the test rows, who are as the histories say."""
    users = test["user_id"].unique().sort()
    asked: dict[str, object] = {"k": DEPTH, "exclude_seen": case.exclude_seen}
    if histories is None:
        asked["user_ids"] = users
    else:
        asked["histories"] = histories.filter(pl.col("user_id").is_in(users.implode()))
    by_system = engine.recommend_by_system(**asked)
    return {
        SERVED: engine.recommend(**asked),
        "popular": by_system["popular"],
        "als": by_system["als"],
        "two towers": towers.recommend(**asked),
    }


def line(
    what: str, bucket: str, lists: Systems, split: Split, metric: str, seed: int
) -> pl.DataFrame:
    """One bucket: each system's mean, and how far the served lists are from the best other."""
    values = {name: list_values(frame, split, [metric]) for name, frame in lists.items()}
    table = summary(values, [metric], reference=SERVED, random_state=seed)
    means = dict(table.select("system", metric).iter_rows())
    best = table.filter(pl.col("system") != SERVED).row(0, named=True)
    row: dict[str, object] = {"of": what, "events": bucket, "metric": metric}
    row |= {"users": split.test["user_id"].n_unique(), "rows": split.test.height}
    row |= {name: means[name] for name in lists}
    ends = f"[{best['difference_low']:+.4f}, {best['difference_high']:+.4f}]"
    row["served minus best other"] = f"{best['difference']:+.4f} {ends} {best['system']}"
    return pl.DataFrame([row])


if __name__ == "__main__":
    main()
