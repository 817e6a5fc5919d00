"""Scores of trees: ours against LightGBM's ``predict``.

``python tests/benchmarks/bench_forest.py`` grows 300 trees of 63 leaves on made-up rows and scores
500,000 others; ``--journey`` does the same with the trees and the rows of the engine on Complete
Journey. README.md beside it says how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

# Read when LightGBM loads: its idle threads would spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import lightgbm as lgb
import numpy as np
import polars as pl

from ranker.parallel import n_cores
from ranker.rerank.forest import Forest
from ranker.topk import top_rows

N_FEATURES, ONE_USER = 40, 200
FULL = {"rows": 500_000, "train_rows": 100_000, "trees": 300, "leaves": 63}
SMALL = {"rows": 20_000, "train_rows": 20_000, "trees": 30, "leaves": 31}

# A process of its own, so that nothing is compiled before; the cache is where NUMBA_CACHE_DIR says.
FIRST_CALL = """
import sys, time
import numpy as np
from pathlib import Path
from ranker.rerank.forest import Forest
forest = Forest.read(Path(sys.argv[1]).read_text())
start = time.perf_counter()
forest.predict(np.zeros((1, forest.n_features), np.float32))
print(time.perf_counter() - start)
"""


def made_up(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a fifth unknown, of several distributions, and grades."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    rows[:, 10:20] = np.exp(rows[:, 10:20])
    rows[:, 20:30] = np.floor(np.exp(2 * rows[:, 20:30]))
    rows[:, 30:] = rng.random((n_rows, N_FEATURES - 30), np.float32)
    signal = rows[:, 0] + np.log(rows[:, 10]) * rows[:, 1] + np.log1p(rows[:, 20]) / 2
    signal += np.sin(5 * rows[:, 30]) + rows[:, 2] * rows[:, 31] + rng.normal(size=n_rows)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    return rows, np.digitize(signal, np.quantile(signal, [0.7, 0.85, 0.95]))


def grown(sizes: dict[str, int], seed: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Trees on made-up rows, other rows, and where the rows of each user start."""
    rows, grades = made_up(sizes["train_rows"], seed)
    settings = {
        "objective": "lambdarank",
        "num_leaves": sizes["leaves"],
        "max_bin": 127,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.6,
        "verbosity": -1,
        "num_threads": n_cores(),
        "seed": seed % 2**31,
    }
    groups = [100] * (len(rows) // 100)
    booster = lgb.train(settings, lgb.Dataset(rows, grades, group=groups), sizes["trees"])
    indptr = np.arange(0, sizes["rows"] + 1, ONE_USER)
    return booster.model_to_string(), made_up(sizes["rows"], seed + 1)[0], indptr


def journey(seed: int) -> tuple[str, np.ndarray, np.ndarray]:
    """The engine's trees on Complete Journey, and the rows that it would serve everybody by."""
    from ranker import TwoStageRecommender, split_by_time
    from ranker.datasets import load_complete_journey

    data = load_complete_journey()
    train, _ = split_by_time(data.interactions, test="28d")
    recommender = TwoStageRecommender(random_state=seed)
    recommender.fit(train, items=data.items, users=data.users)
    users = train["user_id"].unique().sort()
    with tempfile.TemporaryDirectory() as folder:
        recommender.save(Path(folder) / "model")
        text = (Path(folder) / "model" / "reranker.txt").read_text()
    names = [unquote(name) for name in lgb.Booster(model_str=text).feature_name()]
    parts, lengths = [], [np.zeros(1, np.int64)]
    for start in range(0, len(users), 512):
        table = recommender.build_features(
            recommender.generate_candidates(users[start : start + 512])
        )
        columns = pl.col(names).cast(pl.Float32).fill_null(np.nan)
        parts.append(table.select(columns).to_numpy())
        lengths.append(table["user_id"].rle().struct.field("len").to_numpy())
    rows = np.ascontiguousarray(np.concatenate(parts))
    return text, rows, np.concatenate(lengths, dtype=np.int64).cumsum()


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes, by the wall clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def first_calls(text: str) -> dict[str, float]:
    """Seconds of a first call: with nothing in numba's cache, and from there."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.txt"
        model.write_text(text)
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", FIRST_CALL, str(model)]
        calls = (
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            for _ in range(2)
        )
        return dict(zip(("compiled", "from cache"), (float(x.stdout) for x in calls), strict=True))


def cascade(
    forest: Forest, rows: np.ndarray, indptr: np.ndarray, repeats: int, n_best: int = 40
) -> dict[str, Any]:
    """What a tenth of the trees first saves, and what it loses; on one thread."""
    n_trees = max(1, forest.n_trees // 10)

    def by_cascade() -> np.ndarray:
        return forest.predict_top(rows, indptr, n_trees=n_trees, n_best=n_best)

    lists = [
        top_rows(scores.astype(np.float32), indptr, 10)[0]
        for scores in (forest.predict(rows), by_cascade())
    ]
    pairs = list(zip(*lists, strict=True))
    same = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in pairs)
    whole = min(seconds_of(lambda: forest.predict(rows)) for _ in range(repeats))
    return {
        "n_trees": n_trees,
        "n_best": n_best,
        "times_all_trees": whole / min(seconds_of(by_cascade) for _ in range(repeats)),
        "same_top_10": same / int((lists[0] >= 0).sum()),
    }


def measure(
    text: str, rows: np.ndarray, indptr: np.ndarray, threads: int, repeats: int
) -> dict[str, Any]:
    """Both systems in turn on all rows, then one user at a time."""
    booster, forest = lgb.Booster(model_str=text), Forest.read(text)
    parts = np.array_split(rows, threads)

    def ours() -> np.ndarray:
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(forest.predict, parts)))

    def theirs() -> np.ndarray:
        return booster.predict(rows, raw_score=True, num_threads=threads)

    difference = float(np.abs(ours() - theirs()).max())  # compiles too
    seconds: dict[str, list[float]] = {"ours": [], "LightGBM": []}
    for _ in range(repeats):
        seconds["ours"].append(seconds_of(ours))
        seconds["LightGBM"].append(seconds_of(theirs))
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    users = [rows[at * ONE_USER : (at + 1) * ONE_USER] for at in range(min(300, len(rows) // 200))]
    alone = {
        "ours": [seconds_of(lambda u=u: forest.predict(u)) for u in users],
        "LightGBM": [
            seconds_of(lambda u=u: booster.predict(u, raw_score=True, num_threads=1)) for u in users
        ],
    }
    return {
        "trees": forest.n_trees,
        "leaves": len(forest.leaf_value) / forest.n_trees,
        "features": forest.n_features,
        "rows": len(rows),
        "unknown": float(np.isnan(rows).mean()),
        "largest_difference": difference,
        "seconds": seconds,
        "rows_per_second": {name: len(rows) / median for name, median in medians.items()},
        "ratio": medians["LightGBM"] / medians["ours"],
        "one_user_ms": {
            name: [1000 * float(np.quantile(runs, q)) for q in (0.5, 0.99)]
            for name, runs in alone.items()
        },
        "read_seconds": {
            "ours": min(seconds_of(lambda: Forest.read(text)) for _ in range(3)),
            "LightGBM": min(seconds_of(lambda: lgb.Booster(model_str=text)) for _ in range(3)),
        },
        "first_call_seconds": first_calls(text),
        "cascade": cascade(forest, rows, indptr, repeats),
    }


def report(name: str, measured: dict[str, Any]) -> str:
    """Text for people."""
    head = (
        f"{name}: {measured['trees']} trees of {measured['leaves']:.0f} leaves on average, "
        f"{measured['features']} features, {measured['rows']:,} rows, "
        f"{measured['unknown']:.0%} unknown"
    )
    lines = [head]
    for system, rate in measured["rows_per_second"].items():
        runs = ", ".join(f"{seconds:.2f}" for seconds in measured["seconds"][system])
        median, late = measured["one_user_ms"][system]
        lines.append(
            f"  {system:9}{rate:12,.0f} rows/s (runs of {runs} s, the median counts); "
            f"{ONE_USER} rows in {median:.2f} ms, 99 % within {late:.2f}; "
            f"model read in {1000 * measured['read_seconds'][system]:.0f} ms"
        )
    first = measured["first_call_seconds"]
    lines.append(
        f"  ratio {measured['ratio']:.1f}; first call {first['compiled']:.1f} s, from the cache "
        f"{first['from cache']:.2f} s; largest difference {measured['largest_difference']:.1e}"
    )
    cascade = measured["cascade"]
    lines.append(
        f"  the first {cascade['n_trees']} trees on all rows, the rest on the best "
        f"{cascade['n_best']} of a user: {cascade['times_all_trees']:.2f} times as fast as all on "
        f"all; {cascade['same_top_10']:.2%} of the rows of lists of 10 are the same"
    )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--journey", action="store_true", help="the engine on Complete Journey")
    parser.add_argument("--small", action="store_true", help="sizes that take seconds")
    parser.add_argument("--threads", type=int, default=n_cores(), help="of both systems")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each system, in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args(argv)
    name = "Complete Journey" if args.journey else "made up"
    made = journey(args.seed) if args.journey else grown(SMALL if args.small else FULL, args.seed)
    measured = measure(*made, args.threads, args.repeats)
    if args.json:
        args.json.write_text(json.dumps(measured, indent=1))
    print(f"{args.threads} threads each, load {os.getloadavg()[0]:.1f}")
    print(report(name, measured))


if __name__ == "__main__":
    main()
