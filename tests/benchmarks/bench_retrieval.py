"""The best items by inner product: ours against implicit's ``recommend`` and the bare product.

``python tests/benchmarks/bench_retrieval.py`` measures the exact search of 20,000 items, that of
1,000,000 in flat memory, and the search of 500,000 by a graph. README.md beside it says how to read
the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read when the libraries load. OpenBLAS picks its kernels itself, unless the caller says otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from features.history import History, LogFacts
from features.ids import Ids
from ranker.candidates.approximate import Approximate, ItemGraph
from ranker.candidates.base import Retrieved
from ranker.candidates.retrieval import top_by_vectors
from ranker.parallel import map_chunks, n_cores

N_FACTORS, N, N_CLUSTERS = 64, 200, 500
MAX_EVENTS = 100  # of a user, who has half of it on average
BLOCK = 128  # rows of the bare product, as many as ours multiplies at a time
CHUNK = 1024  # users of a run

# Users and items of each part.
FULL: dict[str, Any] = {
    "exact": (20_000, 20_000),
    "memory": (2048, (20_000, 1_000_000)),
    "graph": (1024, 500_000),
}
SMALL: dict[str, Any] = {
    "exact": (2048, 5000),
    "memory": (512, (5000, 20_000)),
    "graph": (256, 20_000),
}


@dataclass(frozen=True)
class World:
    """Vectors of users and items, and what the users took."""

    users: np.ndarray
    items: np.ndarray
    history: History
    seen: sparse.csr_matrix

    @classmethod
    def make(cls, n_users: int, n_items: int, seed: int) -> World:
        """Items around centres, of unequal length; users between two centres."""
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(N_CLUSTERS, N_FACTORS)).astype(np.float32)
        items = centres[rng.integers(0, N_CLUSTERS, n_items)]
        items += 0.6 * rng.normal(size=items.shape).astype(np.float32)
        items *= np.exp(rng.normal(scale=0.3, size=(n_items, 1))).astype(np.float32)
        first, second = (centres[rng.integers(0, N_CLUSTERS, n_users)] for _ in range(2))
        noise = rng.normal(size=first.shape).astype(np.float32)
        lengths = rng.integers(1, MAX_EVENTS, n_users)
        events = pl.DataFrame(
            {
                "user_id": np.repeat(np.arange(n_users), lengths),
                "item_id": rng.integers(0, n_items, lengths.sum()),
            }
        )
        history = History.build(
            events,
            users=Ids(pl.Series(np.arange(n_users))),
            items=Ids(pl.Series(np.arange(n_items))),
            facts=LogFacts.of(events),
            as_of=None,
        )
        return cls(first + 0.8 * second + 0.5 * noise, items, history, history.matrix())

    def rows(self, start: int, stop: int) -> World:
        """Some of the users."""
        part = self.history.rows(start, stop)
        return World(self.users[start:stop], self.items, part, self.seen[start:stop])


def ours(world: World, n_threads: int, graph: ItemGraph | None = None) -> Retrieved:
    """Lists as the engine makes them: runs of users on threads, one BLAS thread each."""
    rows = np.arange(len(world.items), dtype=np.int32)

    def work(start: int, part: History) -> Retrieved:
        users = world.users[start : start + part.n_users]
        return top_by_vectors(users, world.items, rows, part, N, exclude_seen=True, graph=graph)

    chunk = min(CHUNK, -(-world.history.n_users // n_threads))
    parts = list(map_chunks(work, world.history, chunk, n_threads, description="ours"))
    return Retrieved(*(np.concatenate([getattr(p, x) for p in parts]) for x in ("item", "score")))


def theirs(world: World, n_threads: int) -> Retrieved:
    """Lists by implicit, from the same vectors; it asks for one BLAS thread itself."""
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(factors=N_FACTORS, num_threads=n_threads)
        model.user_factors, model.item_factors = world.users, world.items
        item, score = model.recommend(
            np.arange(len(world.users)), world.seen, N=N, filter_already_liked_items=True
        )
    return Retrieved(item, score)


def bare_product(world: World, n_threads: int) -> None:
    """All scores and nothing else, thrown away at once."""
    transposed = np.ascontiguousarray(world.items.T)
    starts = range(0, len(world.users), BLOCK)

    def work(thread: int) -> None:
        scores = np.empty((BLOCK, len(world.items)), np.float32)
        for start in starts[thread::n_threads]:
            block = world.users[start : start + BLOCK]
            np.matmul(block, transposed, out=scores[: len(block)])

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, range(n_threads)))


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes, by the wall clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def extra_megabytes(work: Callable[[], object]) -> float | None:
    """How far the memory of this process rises while something is done; Linux only."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return None

    def kilobytes(name: str) -> int:
        line = next(x for x in status.read_text().splitlines() if x.startswith(name))
        return int(line.split()[1])

    reset.write_text("5")  # the peak begins anew
    before = kilobytes("VmRSS")
    work()
    return (kilobytes("VmHWM") - before) / 1024


def same_lists(mine: Retrieved, other: Retrieved) -> float:
    """Share of lists with the same items in the same order, ties aside.

    Two libraries round otherwise, so that scores within 1e-5 of each other count as tied.
    """
    close = np.isclose(mine.score, other.score, rtol=1e-5, atol=1e-5)
    return float(close.all(axis=1).mean())


def overlap(mine: Retrieved, other: Retrieved) -> float:
    """Share of the other's items that are found."""
    pairs = zip(other.item, mine.item, strict=True)
    return float(np.mean([np.isin(*pair).mean() for pair in pairs]))


def measure_exact(n_users: int, n_items: int, seed: int, threads: int, repeats: int) -> Any:
    """Users per second of the three, each ``repeats`` times and in turn."""
    world = World.make(n_users, n_items, seed)
    lists = ours(world, threads), theirs(world, threads)  # compiles too
    systems = {"ours": ours, "implicit": theirs, "bare product": bare_product}
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(repeats):
        for name, system in systems.items():
            seconds[name].append(seconds_of(lambda system=system: system(world, threads)))
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    return {
        "n_users": n_users,
        "n_items": n_items,
        "seconds": seconds,
        "users_per_second": {name: n_users / median for name, median in medians.items()},
        "times_implicit": medians["implicit"] / medians["ours"],
        "of_bare_product": medians["bare product"] / medians["ours"],
        "same_lists": same_lists(*lists),
    }


def measure_memory(n_users: int, sizes: tuple[int, ...], seed: int, threads: int) -> Any:
    """Memory beyond the vectors, by size of the catalogue; users per second of the largest."""
    ours(World.make(BLOCK, 1000, seed), threads)
    extra, rate = {}, 0.0
    for n_items in sizes:
        world = World.make(n_users, n_items, seed)
        extra[n_items] = extra_megabytes(lambda world=world: ours(world, threads))
        rate = n_users / seconds_of(lambda world=world: ours(world, threads))
    n_bytes = N_FACTORS * 4 * sizes[-1]
    return {
        "n_users": n_users,
        "extra_megabytes": extra,
        "vectors_megabytes": n_bytes / 2**20,
        "scores_megabytes": n_users * sizes[-1] * 4 / 2**20,
        "users_per_second": rate,
    }


def measure_graph(
    n_users: int, n_items: int, seed: int, threads: int, settings: Approximate
) -> Any:
    """The graph against the exact search: recall, many users at a time, one at a time."""
    world = World.make(n_users, n_items, seed)
    start = time.perf_counter()
    graph = ItemGraph.build(world.items, settings)
    built = time.perf_counter() - start
    found, exact = ours(world, threads, graph), ours(world, threads)
    many = {
        name: n_users / seconds_of(lambda one=one: ours(world, threads, one))
        for name, one in (("graph", graph), ("exact", None))
    }
    alone = [world.rows(user, user + 1) for user in range(20)]
    single = {
        name: statistics.median(seconds_of(lambda w=w, one=one: ours(w, 1, one)) for w in alone)
        for name, one in (("graph", graph), ("exact", None))
    }
    return {
        "n_users": n_users,
        "n_items": n_items,
        "build_seconds": built,
        "graph_megabytes": len(graph.array()) / 2**20,
        "recall": overlap(found, exact),
        "users_per_second": many,
        "speed_up": many["graph"] / many["exact"],
        "single_user_milliseconds": {name: 1000 * value for name, value in single.items()},
        "single_user_speed_up": single["exact"] / single["graph"],
    }


def report(measured: dict[str, Any]) -> str:
    """Text for people."""
    lines = [f"{N_FACTORS} factors, N={N}, seen items left out; {measured['circumstances']}"]
    if "exact" in measured:
        one = measured["exact"]
        lines += ["", f"exact, {one['n_items']:,} items, {one['n_users']:,} users"]
        for name, rate in one["users_per_second"].items():
            runs = ", ".join(f"{seconds:.2f}" for seconds in one["seconds"][name])
            lines.append(f"  {name:14}{rate:10,.0f} users/s   runs of {runs} s, the median counts")
        lines.append(
            f"  ratio: {one['times_implicit']:.2f} times implicit's recommend, "
            f"{one['of_bare_product']:.2f} of the bare product; "
            f"{one['same_lists']:.2%} of the lists are the same, ties aside"
        )
    if "memory" in measured:
        one = measured["memory"]
        lines += ["", f"memory beyond vectors and users, lists included, {one['n_users']:,} users"]
        for n_items, extra in one["extra_megabytes"].items():
            lines.append(f"  {n_items:>9,} items{'?' if extra is None else f'{extra:9.0f}'} MB")
        lines.append(
            f"  the item vectors of the last take {one['vectors_megabytes']:.0f} MB, all its "
            f"scores would take {one['scores_megabytes']:,.0f} MB; "
            f"{one['users_per_second']:,.0f} users/s"
        )
    if "graph" in measured:
        one = measured["graph"]
        rates, single = one["users_per_second"], one["single_user_milliseconds"]
        size = f"{one['build_seconds']:.0f} s on one thread, {one['graph_megabytes']:.0f} MB"
        lines += [
            *("", f"by a graph, {one['n_items']:,} items, {one['n_users']:,} users"),
            f"  built in {size}; finds {one['recall']:.4f} of the exact best {N}",
            _against("many users", "users/s", rates, one["speed_up"]),
            _against("one user", "ms", single, one["single_user_speed_up"]),
        ]
    return "\n".join(lines)


def _against(title: str, unit: str, figures: dict[str, float], speed_up: float) -> str:
    graph, exact = (f"{figures[name]:,.4g} {unit}" for name in ("graph", "exact"))
    return f"  {title}: {graph}, exact {exact}, speed-up {speed_up:.1f}"


def circumstances(threads: int) -> str:
    """What the figures depend on beside the code."""
    blas = {pool["architecture"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    asked = os.environ.get("OPENBLAS_CORETYPE")
    return (
        f"{threads} threads of {n_cores()} cores, load {os.getloadavg()[0]:.1f}, "
        f"BLAS kernels {sorted(blas)}, OPENBLAS_CORETYPE {asked or 'not set'}"
    )


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["exact", "memory", "graph"], help="one part")
    parser.add_argument("--small", action="store_true", help="sizes that take seconds")
    parser.add_argument("--threads", type=int, default=n_cores(), help="of all systems")
    parser.add_argument("--repeats", type=int, default=5, help="runs of the exact search")
    parser.add_argument("--seed", type=int, default=0, help="of the vectors")
    parser.add_argument("--connectivity", type=int, default=Approximate.connectivity)
    parser.add_argument("--breadth", type=float, default=Approximate.breadth)
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args(argv)
    settings = Approximate(above=0, connectivity=args.connectivity, breadth=args.breadth)
    common = args.seed, args.threads
    sizes = SMALL if args.small else FULL
    parts: dict[str, Callable[[], Any]] = {
        "exact": lambda: measure_exact(*sizes["exact"], *common, args.repeats),
        "memory": lambda: measure_memory(*sizes["memory"], *common),
        "graph": lambda: measure_graph(*sizes["graph"], *common, settings),
    }
    measured: dict[str, Any] = {"circumstances": circumstances(args.threads)}
    for name, part in parts.items():
        if args.only in (None, name):
            print(f"measuring {name}", file=sys.stderr)
            measured[name] = part()
    if args.json:
        args.json.write_text(json.dumps(measured, indent=1))
    print(report(measured))


if __name__ == "__main__":
    main()
