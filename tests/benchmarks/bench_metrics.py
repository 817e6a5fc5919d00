"""Our evaluation against the same numbers by plain Polars and, on request, by ranx.

    python tests/benchmarks/bench_metrics.py
    python tests/benchmarks/bench_metrics.py --ranx PYTHON   # of an environment that has ranx

100,000 users with lists of 100 items and about 10 relevant ones each: ndcg, recall, precision, map,
mrr and hit rate at 10 and 100, every value per user. All is made of frames that are in memory. Our
time includes the checks of the frames. ranx is timed twice: with its own objects made before
(``ranx``), and with making them from the same columns (``ranx with its input``). Polars' own parts
show what bounds it. The best of the repeats counts, compilation left out; the means are compared,
too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from ranker.evaluation import evaluate, evaluate_per_user
from ranker.text import format_table

N_ITEMS, LENGTH, N_RELEVANT = 20_000, 100, 10
Find = Callable[[pl.LazyFrame, pl.LazyFrame], pl.LazyFrame]
METRICS, DEPTHS = ("ndcg", "recall", "precision", "map", "mrr", "hit_rate"), (10, 100)

RANX = """
import json, sys, time
import numpy as np, polars as pl
from numba.typed import Dict
from ranx import Qrels, Run, evaluate
folder, repeats = sys.argv[1], int(sys.argv[2])
lists, test = (pl.read_parquet(f"{folder}/{n}.parquet") for n in ("lists", "test"))
names = [f"{m}@{k}" for m in ("ndcg", "recall", "precision", "map", "mrr", "hit_rate")
         for k in (10, 100)]
def by_user(frame, value):
    text = frame.with_columns(pl.col("user_id", "item_id").cast(pl.String))
    made = {}
    for (user,), part in text.group_by("user_id", maintain_order=True):
        made[user] = dict(zip(part["item_id"].to_list(), part[value].to_list()))
    return made
start = time.perf_counter()
qrels = Qrels(by_user(test.with_columns(grade=pl.lit(1)), "grade"))
run = Run(by_user(lists.with_columns(score=1.0 - pl.col("rank") / 1000), "score"))
making = time.perf_counter() - start
best = float("inf")
for _ in range(repeats + 1):
    start = time.perf_counter()
    means = evaluate(qrels, run, names)
    best = min(best, time.perf_counter() - start)
print(json.dumps({"seconds": best, "making": making, "means": {n: float(means[n]) for n in names}}))
"""


def world(n_users: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lists and relevant items; a relevant item is listed in one case out of four."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, N_ITEMS, (n_users, 1))
    step = rng.choice([1, 3, 7, 9, 11, 13, 17], (n_users, 1))  # prime to N_ITEMS: all distinct
    user = np.arange(n_users)
    lists = {
        "user_id": np.repeat(user, LENGTH),
        "item_id": ((start + step * np.arange(LENGTH)) % N_ITEMS).ravel(),
        "rank": np.tile(np.arange(1, LENGTH + 1), n_users),
    }
    taken = (start + step * rng.integers(0, 4 * LENGTH, (n_users, N_RELEVANT))) % N_ITEMS
    test = {"user_id": np.repeat(user, N_RELEVANT), "item_id": taken.ravel()}
    return pl.DataFrame(lists), pl.DataFrame(test).unique()


def every_row(lists: pl.LazyFrame, test: pl.LazyFrame) -> pl.LazyFrame:
    """Hits by a left join that keeps all rows of the lists, and a sum that runs along each."""
    marked = test.with_columns(hit=pl.lit(value=True))
    return (
        lists.join(marked, on=["user_id", "item_id"], how="left")
        .sort("user_id", "rank")
        .with_columns(pl.col("hit").fill_null(value=False))
        .with_columns(so_far=pl.col("hit").cum_sum().over("user_id"))
        .filter("hit")
    )


def hits_alone(lists: pl.LazyFrame, test: pl.LazyFrame) -> pl.LazyFrame:
    """Hits by an inner join, after which little is left to sort and to sum."""
    return (
        lists.join(test, on=["user_id", "item_id"])
        .sort("user_id", "rank")
        .with_columns(so_far=pl.int_range(1, pl.len() + 1).over("user_id"))
    )


def by_polars(lists: pl.DataFrame, test: pl.DataFrame, find: Find) -> pl.DataFrame:
    """What one would write with Polars alone: a join, then sums over each user's hits."""
    n = test.lazy().group_by("user_id").agg(pl.len().alias("n"))
    rank = pl.col("rank")
    sums = []
    for k in DEPTHS:
        is_within = rank <= k
        sums += [
            is_within.sum().alias(f"n@{k}"),
            (1.0 / (rank + 1).log(2)).filter(is_within).sum().alias(f"gain@{k}"),
            (pl.col("so_far") / rank).filter(is_within).sum().alias(f"precisions@{k}"),
            (1.0 / rank.filter(is_within).min()).alias(f"mrr@{k}"),
        ]
    found = find(lists.lazy(), test.lazy()).group_by("user_id").agg(sums)
    table = n.join(found, on="user_id", how="left").fill_null(0)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, max(DEPTHS) + 2)))])
    values = []
    for k in DEPTHS:
        n_hits, places = pl.col(f"n@{k}"), pl.min_horizontal("n", k)
        values += [
            (pl.col(f"gain@{k}") / pl.lit(pl.Series(ideal)).gather(places)).alias(f"ndcg@{k}"),
            (n_hits / pl.col("n")).alias(f"recall@{k}"),
            (n_hits / k).alias(f"precision@{k}"),
            (pl.col(f"precisions@{k}") / places).alias(f"map@{k}"),
            pl.col(f"mrr@{k}"),
            (n_hits > 0).cast(pl.Float64).alias(f"hit_rate@{k}"),
        ]
    return table.select("user_id", *values).collect()


def repeats(lists: pl.DataFrame) -> pl.DataFrame:
    """Users who have an item or a rank twice: the check that our time includes."""
    n = lists.lazy().group_by("user_id").agg(pl.len(), pl.col("item_id", "rank").n_unique())
    return n.filter(pl.min_horizontal("item_id", "rank") < pl.col("len")).collect()


def best_of(repeats: int, work: Callable[[], pl.DataFrame]) -> tuple[float, float, pl.DataFrame]:
    """Least seconds and seconds of all cores after a first run, and what it gave."""
    result, wall, cpu = work(), float("inf"), float("inf")
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        result = work()
        wall = min(wall, time.perf_counter() - start)
        cpu = min(cpu, time.process_time() - start_cpu)
    return wall, cpu, result


def by_ranx(python: str, lists: pl.DataFrame, test: pl.DataFrame, repeats: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        lists.write_parquet(Path(folder) / "lists.parquet")
        test.write_parquet(Path(folder) / "test.parquet")
        command = [python, "-c", RANX, folder, str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ranx failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ranx", metavar="PYTHON")
    wanted = parser.parse_args()
    lists, test = world(wanted.users)
    asked = {"k": DEPTHS, "metrics": METRICS}
    ours, cpu, per_user = best_of(wanted.repeats, lambda: evaluate_per_user(lists, test, **asked))
    means = {
        f"{name}@{k}": mean
        for name, k, mean in per_user.group_by("metric", "k").agg(pl.col("value").mean()).rows()
    }
    rows = [("ours, per user", ours, cpu, 1.0, 0.0)]

    def measure(label: str, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        wall, cpu, result = best_of(wanted.repeats, work)
        apart = 0.0
        if means.keys() <= set(result.columns):
            apart = max(abs(means[name] - result[name].mean()) for name in means)
        rows.append((label, wall, cpu, wall / ours, apart))
        return result

    measure("ours, with bootstrap intervals", lambda: evaluate(lists, test, **asked))
    lazy = lists.lazy(), test.lazy()
    measure("plain Polars, inner join, per user", lambda: by_polars(lists, test, hits_alone))
    measure("of which the join takes", lambda: hits_alone(*lazy).collect())
    measure("plain Polars, left join, per user", lambda: by_polars(lists, test, every_row))
    measure("Polars' check for repeats", lambda: repeats(lists))
    measure("Polars' maxima of the columns", lists.max)
    if wanted.ranx:
        found = by_ranx(wanted.ranx, lists, test, wanted.repeats)
        # Its map divides by all relevant items, ours by those that fit into k.
        shared = [name for name in means if name != "map@10"]
        apart = max(abs(means[name] - found["means"][name]) for name in shared)
        for label, time_ in (
            ("ranx", found["seconds"]),
            ("ranx with its input", found["seconds"] + found["making"]),
        ):
            rows.append((label, time_, None, time_ / ours, apart))
    print(f"{wanted.users:,} users x {LENGTH} items, {len(means)} values per user")
    columns = [
        "evaluation",
        "seconds",
        "of all cores",
        "times ours",
        "largest difference of a mean",
    ]
    print(format_table(pl.DataFrame(rows, columns, orient="row")))


if __name__ == "__main__":
    main()
