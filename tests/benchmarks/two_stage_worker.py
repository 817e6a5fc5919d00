"""One system on one log in a process of its own: fit, recommend, say what it took.

``bench_rectools.py`` (everybody at once) and ``bench_online.py`` (one user a call) start it
twice, each time with the interpreter of the system, since the pins
of the two exclude each other. That is why no library stands above the functions but the standard
one. In the folder it finds ``train.parquet`` and leaves ``SYSTEM.parquet`` (the lists: user_id,
item_id, rank) and ``SYSTEM.json`` (the figures).
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

K = 10
N_CANDIDATES = 100  # of each source
ALS_SETTINGS: dict[str, Any] = {
    "factors": 64,
    "iterations": 12,
    "regularization": 0.05,
    "alpha": 4.0,
}
N_TREES, N_LEAVES, LEARNING_RATE = 100, 31, 0.1
LABEL_DAYS = 14
N_WARM_UP = 20  # calls for one user that are not counted


class StageClock:
    """Seconds spent in each stage, those of stages within it left out, summed over threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._local = threading.local()

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Replace a function or method by one that does the same and is timed."""
        inner = getattr(owner, name)

        @functools.wraps(inner)
        def timed(*args: Any, **keywords: Any) -> Any:
            nested = self._local.__dict__.setdefault("nested", [])
            nested.append(0.0)
            start = time.perf_counter()
            try:
                return inner(*args, **keywords)
            finally:
                seconds = time.perf_counter() - start
                own = seconds - nested.pop()
                if nested:
                    nested[-1] += seconds
                with self._lock:
                    self.seconds[stage] += own

        setattr(owner, name, timed)


@dataclass(frozen=True)
class Fitted:
    """A system that is ready to recommend.

    Attributes
    ----------
    recommend : callable
        Makes the lists of some users, as the frame of the system.
    write : callable
        Takes that frame and a path, and writes user_id, item_id, rank as Parquet.
    watch : callable
        Puts a clock to the stages.
    users : Series or array
        Everybody.
    n_trees : int
    n_threads : int
        Threads that run the stages side by side; a stage may use more of its own.
    """

    recommend: Callable[[Any], Any]
    write: Callable[[Any, Path], object]
    watch: Callable[[StageClock], None]
    users: Any
    n_trees: int
    n_threads: int


def fit_ranker(log: Any) -> Fitted:
    """Our engine with two sources, and whatever features it makes by itself."""
    from ranker import ALS, LambdaRank, Popularity, TwoStageRecommender
    from ranker.parallel import n_cores
    from ranker.rerank.fitted import FittedLambdaRank
    from ranker.serving import Server
    from ranker.snapshot import Snapshot

    n_trees: list[int] = []

    class FixedSize(LambdaRank):
        """All trees, where early stopping might keep fewer."""

        def fit(self, *args: Any, **keywords: Any) -> FittedLambdaRank:
            unstopped = {"validation": None, "n_trees": self.n_trees}
            model = super().fit(*args, **keywords | unstopped)
            n_trees.append(model.n_trees)
            return model

    recommender = TwoStageRecommender(
        generators=[("popular", Popularity()), ("als", ALS(**ALS_SETTINGS))],
        reranker=FixedSize(n_trees=N_TREES, n_leaves=N_LEAVES, learning_rate=LEARNING_RATE),
        window_length=f"{LABEL_DAYS}d",
        n_candidates=N_CANDIDATES,
        random_state=0,
    ).fit(log)
    users = log["user_id"].unique().sort()

    def watch(clock: StageClock) -> None:
        clock.watch(Popularity, "retrieve", "retrieve popular")
        clock.watch(ALS, "retrieve", "retrieve ALS")
        clock.watch(Snapshot, "candidates", "merge")
        clock.watch(Snapshot, "features", "features")
        clock.watch(FittedLambdaRank, "predict", "score")
        # What is left of serving a run of users once the stages above are taken off.
        clock.watch(Server, "lists", "lists")

    return Fitted(
        # Named: the gate must not put one source in the place of the two stages.
        recommend=lambda some: recommender.recommend(
            some, k=K, exclude_seen=True, system="two-stage"
        ),
        write=lambda lists, path: lists.select("user_id", "item_id", "rank").write_parquet(path),
        watch=watch,
        users=users,
        n_trees=n_trees[-1],
        n_threads=n_cores(),
    )


def fit_rectools(log: Any) -> Fitted:
    """RecTools as its tutorial has it: ranks and scores of the sources are all the features."""
    from datetime import timedelta

    from implicit.als import AlternatingLeastSquares
    from lightgbm import LGBMRanker
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.model_selection import TimeRangeSplitter
    from rectools.models import ImplicitALSWrapperModel, PopularModel
    from rectools.models.ranking import (
        CandidateGenerator,
        CandidateRankingModel,
        PerUserNegativeSampler,
        Reranker,
    )

    class GroupedReranker(Reranker):
        """Query groups for LGBMRanker, which the library leaves to its users."""

        def prepare_fit_kwargs(self, candidates_with_target: Any) -> dict[str, Any]:
            table = candidates_with_target.sort_values(Columns.User)
            group = table.groupby(Columns.User)[Columns.Item].count().to_numpy()
            return {**super().prepare_fit_kwargs(table), "group": group}

    def generator(model: Any) -> CandidateGenerator:
        return CandidateGenerator(model, N_CANDIDATES, keep_ranks=True, keep_scores=True)

    log = log.rename(columns={"timestamp": Columns.Datetime}).assign(**{Columns.Weight: 1})
    dataset = Dataset.construct(log)
    popular = generator(PopularModel(period=timedelta(days=LABEL_DAYS)))
    als = generator(
        ImplicitALSWrapperModel(AlternatingLeastSquares(**ALS_SETTINGS, random_state=0))
    )
    trees = LGBMRanker(
        n_estimators=N_TREES,
        num_leaves=N_LEAVES,
        learning_rate=LEARNING_RATE,
        random_state=0,
        n_jobs=-1,  # its default takes physical cores alone
        verbosity=-1,
    )
    model = CandidateRankingModel(
        [popular, als],
        TimeRangeSplitter(f"{LABEL_DAYS}D", n_splits=1),
        GroupedReranker(trees),
        sampler=PerUserNegativeSampler(random_state=0),
    ).fit(dataset)
    users = dataset.user_id_map.external_ids

    def watch(clock: StageClock) -> None:
        clock.watch(popular, "generate_candidates", "retrieve popular")
        clock.watch(als, "generate_candidates", "retrieve ALS")
        clock.watch(model, "_get_candidates_from_first_stage", "merge")
        clock.watch(model.feature_collector, "collect_features", "features")
        clock.watch(model.reranker, "predict_scores", "score")
        clock.watch(model.reranker, "recommend", "lists")

    return Fitted(
        recommend=lambda some: model.recommend(some, dataset, k=K, filter_viewed=True),
        write=lambda lists, path: lists[[*Columns.UserItem, Columns.Rank]].to_parquet(path),
        watch=watch,
        users=users,
        n_trees=trees.booster_.num_trees(),
        n_threads=1,
    )


def read_log(system: str, path: Path) -> Any:
    """Read the log as the frame of the system."""
    if system == "ranker":
        import polars as pl

        return pl.read_parquet(path)
    import pandas as pd

    return pd.read_parquet(path)


def peak_mb() -> float:
    """Most resident memory so far, in MB of 2**20 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def resident_mb() -> float | None:
    """Resident memory now, in MB; None where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return None
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20


def restart_peak() -> bool:
    """Make :func:`peak_mb` start from the memory of now; return whether the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def measure(system: str, folder: Path, repeats: int) -> dict[str, Any]:
    """Run a system and write its lists.

    Returns
    -------
    dict
        ``k``; ``fit_seconds``; ``runs``, a dict of ``seconds``, ``cpu_seconds`` (of all threads)
        and ``stages`` each; memory in MB: ``peak_mb`` of the process,
        ``before_mb`` and ``recommend_peak_mb``; ``n_users``, ``n_trees``, ``n_threads``,
        ``n_cores``, ``versions``.
    """
    log = read_log(system, folder / "train.parquet")
    start = time.perf_counter()
    fitted = fit_ranker(log) if system == "ranker" else fit_rectools(log)
    fit_seconds = time.perf_counter() - start
    del log
    fit_peak, before = peak_mb(), resident_mb()
    is_restarted = restart_peak()
    clock, runs, lists = StageClock(), [], None
    fitted.watch(clock)
    for _ in range(repeats):
        lists = None  # two results at a time would count as memory of one
        clock.seconds.clear()
        start, cpu_start = time.perf_counter(), time.process_time()
        lists = fitted.recommend(fitted.users)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        stages = dict(clock.seconds)
        runs.append({"seconds": seconds, "cpu_seconds": cpu_seconds, "stages": stages})
    recommend_peak = peak_mb()
    fitted.write(lists, folder / f"{system}.parquet")
    libraries = ("twostage-ranker", "rectools", "polars", "pandas", "numpy", "lightgbm")
    return {
        "k": K,
        "fit_seconds": fit_seconds,
        "runs": runs,
        "peak_mb": max(fit_peak, recommend_peak),
        "before_mb": before,
        "recommend_peak_mb": recommend_peak if is_restarted else None,
        "n_users": len(fitted.users),
        "n_trees": fitted.n_trees,
        "n_threads": fitted.n_threads,
        "n_cores": os.cpu_count(),
        "versions": {name: version for name in libraries if (version := version_of(name))},
    }


def measure_online(system: str, folder: Path, n_users: int) -> dict[str, Any]:
    """Serve one user a call, each once, in a warm process.

    Users are spread evenly over everybody in ascending order of their ids, so that both systems
    serve the same ones.

    Returns
    -------
    dict
        ``milliseconds``, one a call after the first few; ``n_trees``; ``n_users``, all there are.
    """
    log = read_log(system, folder / "train.parquet")
    fitted = fit_ranker(log) if system == "ranker" else fit_rectools(log)
    everybody = sorted(fitted.users)
    step = max(1, len(everybody) // (n_users + N_WARM_UP))
    users = everybody[::step][: n_users + N_WARM_UP]
    milliseconds = []
    for user in users:
        start = time.perf_counter()
        lists = fitted.recommend([user])
        milliseconds.append(1e3 * (time.perf_counter() - start))
        if len(lists) != K:
            raise SystemExit(f"{system} gave user {user} {len(lists)} items, expected {K}")
    return {
        "milliseconds": milliseconds[N_WARM_UP:],
        "n_trees": fitted.n_trees,
        "n_users": len(everybody),
    }


def version_of(library: str) -> str | None:
    """Version of an installed library."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(argv: list[str] | None = None) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=["ranker", "rectools"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one-by-one", type=int, metavar="N", help="serve N users, one a call")
    args = parser.parse_args(argv)
    if args.one_by_one:
        figures = measure_online(args.system, args.folder, args.one_by_one)
    else:
        figures = measure(args.system, args.folder, args.repeats)
    (args.folder / f"{args.system}.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
