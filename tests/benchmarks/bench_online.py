"""The list of one user at a time in a warm process: how long it takes, and where.

    .venv/bin/python tests/benchmarks/bench_online.py

Complete Journey, everything but the last 28 days, about 160 candidates a household, lists of 10.
With ``--rectools-python PATH``: two sources alone, against the two-stage model of RecTools.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_rectools import TITLES, run

from ranker import ALS, TwoStageRecommender, split_by_time
from ranker.candidates.approximate import Approximate
from ranker.candidates.covisitation import CoVisitation
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.datasets import load_complete_journey

_DEPTHS = {
    "popular": 30,
    "trending": 30,
    "own": 80,
    "als": 60,
    "item_knn": 50,
    "covisitation": 50,
}


def main() -> None:
    """Fit, or take up a saved model, then serve users one at a time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="folder: kept there, and taken up again")
    parser.add_argument("--graph", action="store_true", help="ALS searches by a graph (extra ann)")
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rectools-python", help="interpreter of an environment with RecTools")
    options = parser.parse_args()
    if options.rectools_python is not None:
        report = _compare(options.rectools_python, options.users)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1))
        return
    recommender = _recommender(options.model, options.graph, options.seed)
    everybody = recommender.user_ids
    users = everybody.sample(min(options.users, len(everybody)), seed=options.seed).to_list()
    n_candidates = recommender.generate_candidates(users[:100]).height / len(users[:100])
    print(f"{len(everybody):,} users, {n_candidates:.0f} candidates each, {len(users)} served")
    calls = {
        "recommend": lambda user: recommender.recommend([user], k=10),
        "explain": lambda user: recommender.explain(user, k=10),
    }
    report = {"n_candidates": n_candidates}
    for name, call in calls.items():
        report[name] = _quantiles(_times(call, users))
        median, p99 = report[name]["median"], report[name]["p99"]
        print(f"{name:<10} median {median:6.2f} ms   p99 {p99:6.2f} ms")
    report["stages"] = _stages(recommender, users)
    total = sum(report["stages"].values())
    print("\nmean ms of a recommend, by stage (measuring takes a little itself)")
    for stage, milliseconds in sorted(report["stages"].items(), key=lambda one: -one[1]):
        print(f"  {stage:<28}{milliseconds:8.3f}  {milliseconds / total:6.1%}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


def _compare(rectools_python: str, n_users: int) -> dict[str, Any]:
    """Both systems in processes of their own, one after the other, with the same two sources."""
    train, _ = split_by_time(load_complete_journey().interactions, test="28d")
    ours = dict(os.environ)
    theirs = {name: value for name, value in ours.items() if name != "PYTHONPATH"}
    pythons = {"ranker": (sys.executable, ours), "rectools": (rectools_python, theirs)}
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train.select("user_id", "item_id", "timestamp").write_parquet(folder / "train.parquet")
        for system, (python, environment) in pythons.items():
            arguments = [system, str(folder), f"--one-by-one={n_users}"]
            run(python, "two_stage_worker.py", *arguments, environment=environment)
            report[system] = json.loads((folder / f"{system}.json").read_text())
            report[system] |= _quantiles(report[system]["milliseconds"])
    for system, figures in report.items():
        print(
            f"{TITLES[system]:<10} median {figures['median']:7.2f} ms   "
            f"p99 {figures['p99']:7.2f} ms"
            f"   ({len(figures['milliseconds'])} users, {figures['n_trees']} trees)"
        )
    report["ratio"] = {
        name: report["rectools"][name] / report["ranker"][name] for name in ("median", "p99")
    }
    print(
        f"ratio: RecTools takes {report['ratio']['median']:.1f} times as long, by the 99th "
        f"percentile {report['ratio']['p99']:.1f} times"
    )
    return report


def _recommender(folder: Path | None, graph: bool, seed: int) -> TwoStageRecommender:
    if folder is not None and folder.is_dir():
        return TwoStageRecommender.load(folder)
    data = load_complete_journey()
    train, _ = split_by_time(data.interactions, test="28d")
    als = ALS(approximate=Approximate(above=10_000)) if graph else ALS()
    generators = {
        "popular": Popularity(),
        "trending": Popularity(half_life=1 / 336),
        "own": OwnHistory(),
        "als": als,
        "item_knn": ItemKNN(),
        "covisitation": CoVisitation(),
    }
    recommender = TwoStageRecommender(
        generators=list(generators.items()), n_candidates=_DEPTHS, random_state=seed
    )
    recommender.fit(train, items=data.items, users=data.users)
    if folder is not None:
        recommender.save(folder)
    return recommender


def _times(call: Callable[[Any], object], users: list[Any]) -> list[float]:
    """Milliseconds of each call, after some that warm up."""
    for user in users[:20]:
        call(user)
    times = []
    for user in users:
        start = time.perf_counter()
        call(user)
        times.append(1e3 * (time.perf_counter() - start))
    return times


def _quantiles(times: list[float]) -> dict[str, float]:
    return {"median": float(np.median(times)), "p99": float(np.quantile(times, 0.99))}


def _stages(recommender: TwoStageRecommender, users: list[Any]) -> dict[str, float]:
    """Mean milliseconds of each stage; what is called within another counts for the inner one."""
    spent: dict[str, float] = defaultdict(float)
    within: list[float] = []

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **keywords: Any) -> Any:
            within.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **keywords)
            finally:
                duration = time.perf_counter() - start
                spent[stage] += duration - within.pop()
                if within:
                    within[-1] += duration

        return wrapped

    server = recommender._server
    snapshot = server.snapshot
    # Frozen dataclasses, looked into from outside: hence their __dict__.
    for name, generator in snapshot.generators.items():
        generator.__dict__["retrieve"] = timed(f"retrieve {name}", generator.retrieve)
    for block in snapshot.tables.blocks:
        block.__dict__["fill"] = timed(f"features {type(block).__name__}", block.fill)
    listwise = snapshot.tables.listwise
    listwise.__dict__["fill"] = timed("features Listwise", listwise.fill)
    snapshot.__dict__["features"] = timed("features, the rest", snapshot.features)
    snapshot.__dict__["candidates"] = timed("merge", snapshot.candidates)
    if server.model is not None:
        server.model.predict = timed("score", server.model.predict)  # type: ignore[method-assign]
    server.__dict__["lists"] = timed("list", server.lists)
    border = recommender._border
    border.__dict__["asked"] = timed("look up the user", border.asked)
    recommend = timed("the rest of the call", recommender.recommend)
    for user in users:
        recommend([user], k=10)
    return {stage: 1e3 * seconds / len(users) for stage, seconds in spent.items()}


if __name__ == "__main__":
    main()
