"""Does the memory of an export stay flat from ten thousand users to a million?

    python tests/benchmarks/bench_export.py FOLDER --sizes 10000 100000 1000000

Fits two sources and a ranker once on a synthetic log of 1,100,000 users and 100,000 items, saves
the model in FOLDER, and exports the top 50 of so many of its users, each size in a process of its
own: users/s, and the most memory that the process held while it exported, and before. README.md
beside it says how to read them. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import polars as pl
from synthetic_log import Size, make_log

from ranker import ALS, LambdaRank, Popularity, TwoStageRecommender, export_recommendations
from ranker.export import verify_export
from ranker.heap import keep_heap_small

LOG = Size(1_100_000, 100_000, 5_500_000)  # some of the users have no event
SMALL = Size(6_000, 2_000, 60_000)
K = 50


def fit(folder: Path, size: Size, seed: int) -> float:
    """Fit on a synthetic log and save the model; seconds of the fit."""
    log = pl.DataFrame(make_log(size, random_state=seed))
    recommender = TwoStageRecommender(
        generators=[("popular", Popularity()), ("als", ALS(factors=32, iterations=5))],
        reranker=LambdaRank(n_trees=50, n_leaves=31),
        n_windows=1,
        window_length="14d",
        n_candidates=100,
        max_groups=20_000,
        random_state=seed,
    )
    started = time.perf_counter()
    recommender.fit(log)
    recommender.save(folder / "model")
    return time.perf_counter() - started


def export(folder: Path, n_users: int, max_memory: str, name: str, engine: str) -> dict[str, Any]:
    """Export some users of the saved model, and say what it took."""
    keep_heap_small()  # as `ranker export` does
    started = time.perf_counter()
    recommender = TwoStageRecommender.load(folder / "model")
    load_seconds = time.perf_counter() - started
    users = recommender.user_ids.sample(n_users, seed=0)
    recommender.recommend(users[:2000], k=K)  # what is compiled or cached once
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _megabytes("VmRSS")
    result = export_recommendations(
        *(recommender, users, folder / f"{n_users}"),
        k=K,
        max_memory=max_memory,
        format=name,
        engine=engine,
    )
    peak = _megabytes("VmHWM")
    verified = verify_export(folder / f"{n_users}")
    return {
        "n_users": n_users,
        "load_seconds": load_seconds,
        "n_rows": result.n_rows,
        "n_shards": result.n_shards,
        "seconds": result.seconds,
        "users_per_s": n_users / result.seconds,
        "before_mb": before,
        "peak_mb": peak,
        "verify_seconds": verified.seconds,
    }


def _megabytes(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{field}:\s+(\d+)", status)[0]) * 1024 / 1e6


def main(argv: list[str] | None = None) -> None:
    """Fit where there is no model yet, then export size by size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the model and the exports")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--max-memory", default="4GB")
    parser.add_argument("--format", default="parquet")
    parser.add_argument("--engine", default="local", choices=["local", "ray"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="a log of 6,000 users")
    parser.add_argument("--fit", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.folder = args.folder.absolute()
    if args.fit:
        print(fit(args.folder, SMALL if args.small else LOG, args.seed))
        return
    if args.one:
        of = (args.folder, args.one, args.max_memory, args.format, args.engine)
        print(json.dumps(export(*of)))
        return
    args.folder.mkdir(exist_ok=True, parents=True)
    if not (args.folder / "model").exists():
        size = ["--small"] if args.small else []
        done = _run([sys.executable, __file__, args.folder, "--fit", "--seed", args.seed, *size])
        print(f"fitted and saved in {float(done):.0f} s")
    columns = ("users", "load s", "seconds", "users/s", "before", "peak MB")
    print("".join(f"{name:>10}" for name in (*columns, "shards")))
    for n_users in args.sizes:
        shutil.rmtree(args.folder / f"{n_users}", ignore_errors=True)
        options = ["--one", n_users, "--max-memory", args.max_memory, "--format", args.format]
        options += ["--engine", args.engine]
        one = json.loads(_run([sys.executable, __file__, args.folder, *options]))
        print(
            f"{n_users:10,}{one['load_seconds']:10.1f}{one['seconds']:10.1f}"
            f"{one['users_per_s']:10.0f}{one['before_mb']:10.0f}{one['peak_mb']:10.0f}"
            f"{one['n_shards']:10}",
            flush=True,
        )


def _run(command: list[Any]) -> str:
    environment = {**os.environ, "RANKER_QUIET": "1"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=Path(__file__).parent,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
