"""Fifty features by the stage, against the same ones by plain Polars joins.

``python tests/benchmarks/bench_features.py`` measures 20,000 users with 200 candidates each;
``--globo FOLDER`` the tables of a log of three million clicks, beside a query of DuckDB. README.md
beside it says how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

# Read when the libraries load.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl

from features.block import Context
from features.candidates import Candidates
from features.custom import CustomBlock
from features.encode import encode
from features.history import LogFacts
from features.item import ItemPopularity
from features.listwise import Listwise
from features.pair import UserItemHistory
from features.snapshot import FeatureSnapshot
from features.stage import FeatureStage
from features.user import UserActivity
from ranker.parallel import map_chunks, n_cores

# Users, items, events, candidates of a user.
FULL, SMALL = (20_000, 5_000, 2_000_000, 200), (1_000, 500, 50_000, 50)
CHUNK = 1024  # users whose features are computed at a time
SAMPLE = 300  # users whose features are compared
DAY = 24 * 3600 * 10**6
WINDOWS = {"48th": 1 / 48, "12th": 1 / 12}
SLOW, FAST = 1 / 6, 1 / 24
Made: TypeAlias = tuple[float, Callable[[], Iterator[np.ndarray]]]
"""Seconds that the tables took, and what serves matrices of features."""
COMPARED = (
    *("item_share_48th", "item_share_all"),
    *("history_slow_share", "history_fast_share", "history_due_ratio"),
)


# --- Ours ---------------------------------------------------------------------------------------


def basket(history: pl.LazyFrame, as_of: Any) -> pl.LazyFrame:
    """Size of the user's baskets, and how much of what is viewed is bought."""
    sizes = history.group_by("user_id", "timestamp").agg(
        pl.len().alias("n"), (pl.col("event") == "buy").sum().alias("n_buy")
    )
    return sizes.group_by("user_id").agg(
        pl.col("n").mean().alias("size"), (pl.col("n_buy").sum() / pl.col("n").sum()).alias("share")
    )


def bought(history: pl.LazyFrame, as_of: Any) -> pl.LazyFrame:
    """Share of the item's events that are purchases."""
    return history.group_by("item_id").agg((pl.col("event") == "buy").mean().alias("share"))


STAGE = FeatureStage(
    (
        UserActivity(),
        CustomBlock("basket", key="user_id", function=basket),
        ItemPopularity(tuple(WINDOWS.values())),
        CustomBlock("bought", key="item_id", function=bought),
        UserItemHistory(slow=SLOW, fast=FAST),
    ),
    Listwise(COMPARED),
)


def ours(log: pl.DataFrame, pairs: pl.DataFrame, chunk: int) -> Made:
    """From candidates as the generators hand them over to a matrix, all threads."""
    start = time.perf_counter()
    facts = LogFacts.of(log)
    as_of = int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step
    history, _, _ = encode(log, as_of=as_of, facts=facts, items=None, users=None)
    tables = STAGE.fit(Context(history))
    assert tables.names == tuple(names())
    seconds = time.perf_counter() - start
    asked = history.select(pairs["user_id"].unique().sort())
    candidates = Candidates.from_frame(pairs, users=asked.users, items=history.items, sources=())

    def serve() -> Iterator[np.ndarray]:
        return map_chunks(
            lambda first, part: tables.transform(
                part, candidates.rows(first, first + part.n_users)
            ),
            *(asked, chunk, 0),
            description="features",
        )

    return seconds, serve


def ours_by_frames(log: pl.DataFrame, pairs: pl.DataFrame, chunk: int) -> Made:
    """From a frame of candidates to a frame of features, and that as a matrix."""
    start = time.perf_counter()
    snapshot = FeatureSnapshot.build(STAGE, log)
    seconds = time.perf_counter() - start

    def serve() -> Iterator[np.ndarray]:
        yield snapshot.join(pairs).select(names()).to_numpy()

    return seconds, serve


def names() -> list[str]:
    """The fifty columns, in order."""
    single = [*USER, *ITEM, *PAIR]
    return [*single, *(f"{name}_list_{kind}" for name in COMPARED for kind in ("rank", "ratio"))]


# --- Plain Polars -------------------------------------------------------------------------------

USER = [
    *("user_events", "user_items", "user_repeat_share", "user_item_rank", "user_visits"),
    *("user_tenure_days", "user_recency_days", "user_interval_days"),
    *("basket_size", "basket_share"),
]
ITEM = [
    *("item_share_48th", "item_rank_48th", "item_share_12th", "item_rank_12th"),
    *("item_share_all", "item_rank_all", "item_trend_48th", "item_trend_12th"),
    *("item_users", "item_repeat_rate", "item_visits_per_user"),
    *("item_interval_days", "item_age_days", "item_recency_days", "bought_share"),
]
ZERO_IF_NEVER = [
    *("history_count", "history_share", "history_slow_count", "history_slow_share"),
    *("history_fast_count", "history_fast_share", "history_visits"),
    *("history_buy_count", "history_view_count"),
]
PAIR = [
    *("history_count", "history_share", "history_slow_count", "history_slow_share"),
    *("history_fast_count", "history_fast_share", "history_recency_days", "history_first_days"),
    *("history_interval_days", "history_due_ratio", "history_visits", "history_visits_since"),
    *("history_visit_rate", "history_buy_count", "history_view_count"),
]


class Plain:
    """What one writes by hand: group, aggregate, join."""

    def __init__(self, log: pl.DataFrame) -> None:
        stamps = log["timestamp"].to_physical()
        self.as_of = int(stamps.max()) + 1  # type: ignore[arg-type]
        self.span = self.as_of - int(stamps.min())  # type: ignore[arg-type]
        self.n_users = log["user_id"].n_unique()
        self.log = log.lazy().with_columns(tick=pl.col("timestamp").to_physical())
        self.user, self.item, self.pair = pl.collect_all(
            [self._users(), self._items(), self._pairs()]
        )

    def _items(self) -> pl.LazyFrame:
        tick = pl.col("tick")
        per_user = self.log.group_by("item_id", "user_id").agg(
            visits=tick.n_unique(), first=tick.min(), last=tick.max()
        )
        interval = (pl.col("last") - pl.col("first")) / (pl.col("visits") - 1)
        rhythm = per_user.group_by("item_id").agg(
            users=pl.len(),
            returned=(pl.col("visits") > 1).sum(),
            visits=pl.col("visits").sum(),
            interval=interval.filter(pl.col("visits") > 1).median(),
            first=pl.col("first").min(),
            last=pl.col("last").max(),
        )
        counts = self.log.group_by("item_id").agg(
            *(
                (tick >= self.as_of - self.span * share).sum().alias(f"n_{label}")
                for label, share in WINDOWS.items()
            ),
            pl.len().alias("n_all"),
            (pl.col("event") == "buy").mean().alias("bought_share"),
        )
        labels = [*WINDOWS, "all"]
        shares = {label: pl.col(f"n_{label}") / pl.col(f"n_{label}").sum() for label in labels}
        ranks = {
            label: pl.when(pl.col(f"n_{label}") > 0).then(
                pl.col(f"n_{label}").rank("min", descending=True)
            )
            for label in labels
        }
        return (
            counts.join(rhythm, on="item_id")
            .select(
                "item_id",
                *(share.alias(f"item_share_{label}") for label, share in shares.items()),
                *(rank.alias(f"item_rank_{label}") for label, rank in ranks.items()),
                (shares["48th"] / shares["12th"]).alias("item_trend_48th"),
                (shares["12th"] / shares["all"]).alias("item_trend_12th"),
                (pl.col("users") / self.n_users).alias("item_users"),
                (pl.col("returned") / pl.col("users")).alias("item_repeat_rate"),
                (pl.col("visits") / pl.col("users")).alias("item_visits_per_user"),
                (pl.col("interval") / DAY).alias("item_interval_days"),
                ((self.as_of - pl.col("first")) / DAY).alias("item_age_days"),
                ((self.as_of - pl.col("last")) / DAY).alias("item_recency_days"),
                "bought_share",
            )
            .select("item_id", pl.col(ITEM).cast(pl.Float32))
        )

    def _users(self) -> pl.LazyFrame:
        tick, item = pl.col("tick"), pl.col("item_id")
        popular = (
            self.log.group_by("item_id")
            .len()
            .sort("len", "item_id", descending=[True, False])
            .with_row_index("place")
            .select("item_id", (pl.col("place") / pl.len()).alias("item_rank"))
        )
        baskets = self.log.group_by("user_id", "tick").agg(
            n=pl.len(), n_buy=(pl.col("event") == "buy").sum()
        )
        sizes = baskets.group_by("user_id").agg(
            basket_size=pl.col("n").mean(), basket_share=pl.col("n_buy").sum() / pl.col("n").sum()
        )
        visits = tick.n_unique()
        return (
            self.log.join(popular, on="item_id")
            .group_by("user_id")
            .agg(
                user_events=pl.len(),
                user_items=item.n_unique(),
                user_repeat_share=1 - item.n_unique() / pl.len(),
                user_item_rank=pl.col("item_rank").mean(),
                user_visits=visits,
                user_tenure_days=(self.as_of - tick.min()) / DAY,
                user_recency_days=(self.as_of - tick.max()) / DAY,
                user_interval_days=pl.when(visits > 1).then(
                    (tick.max() - tick.min()) / DAY / (visits - 1)
                ),
            )
            .join(sizes, on="user_id")
            .select("user_id", pl.col(USER).cast(pl.Float32))
        )

    def _pairs(self) -> pl.LazyFrame:
        tick, age = pl.col("tick"), self.as_of - pl.col("tick")
        events = self.log.with_columns(
            visit=tick.rank("dense").over("user_id").cast(pl.Int64),
            slow=(0.5 ** (age / (self.span * SLOW))),
            fast=(0.5 ** (age / (self.span * FAST))),
        )
        whole = events.group_by("user_id").agg(
            all_events=pl.len(),
            all_slow=pl.col("slow").sum(),
            all_fast=pl.col("fast").sum(),
            all_visits=pl.col("visit").max(),
        )
        own = events.group_by("user_id", "item_id").agg(
            history_count=pl.len(),
            history_slow_count=pl.col("slow").sum(),
            history_fast_count=pl.col("fast").sum(),
            first=tick.min(),
            last=tick.max(),
            history_visits=pl.col("visit").n_unique(),
            first_visit=pl.col("visit").min(),
            last_visit=pl.col("visit").max(),
            history_buy_count=(pl.col("event") == "buy").sum(),
            history_view_count=(pl.col("event") == "view").sum(),
        )
        again = pl.col("history_visits") > 1
        interval = (pl.col("last") - pl.col("first")) / (pl.col("history_visits") - 1)
        recency = self.as_of - pl.col("last")
        return (
            own.join(whole, on="user_id")
            .with_columns(
                history_share=pl.col("history_count") / pl.col("all_events"),
                history_slow_share=pl.col("history_slow_count") / pl.col("all_slow"),
                history_fast_share=pl.col("history_fast_count") / pl.col("all_fast"),
                history_recency_days=recency / DAY,
                history_first_days=(self.as_of - pl.col("first")) / DAY,
                history_interval_days=pl.when(again).then(interval / DAY),
                history_due_ratio=pl.when(again).then(recency / interval),
                history_visits_since=pl.col("all_visits") - pl.col("last_visit"),
                history_visit_rate=pl.col("history_visits")
                / (pl.col("all_visits") + 1 - pl.col("first_visit")),
            )
            .select("user_id", "item_id", pl.col(PAIR).cast(pl.Float32))
        )

    def join(self, pairs: pl.DataFrame) -> np.ndarray:
        """Features of candidates."""
        compared = [
            expression
            for name in COMPARED
            for expression in (
                pl.col(name)
                .rank("min", descending=True)
                .over("user_id")
                .alias(f"{name}_list_rank"),
                (
                    pl.when(pl.col(name).sum().over("user_id") != 0).then(
                        pl.col(name) / pl.col(name).mean().over("user_id")
                    )
                ).alias(f"{name}_list_ratio"),
            )
        ]
        return (
            pairs.lazy()
            .join(self.user.lazy(), on="user_id", how="left", maintain_order="left")
            .join(self.item.lazy(), on="item_id", how="left", maintain_order="left")
            .join(self.pair.lazy(), on=["user_id", "item_id"], how="left", maintain_order="left")
            .with_columns(pl.col(ZERO_IF_NEVER).fill_null(0))
            .with_columns(pl.all().exclude("user_id", "item_id").fill_nan(None))
            .with_columns(compared)
            .select(pl.col(names()).cast(pl.Float32))
            .collect()
            .to_numpy()
        )


def plain(log: pl.DataFrame, pairs: pl.DataFrame, chunk: int) -> Made:
    """Joins of all candidates at once."""
    start = time.perf_counter()
    tables = Plain(log)
    seconds = time.perf_counter() - start
    return seconds, lambda: iter([tables.join(pairs)])


def plain_in_chunks(log: pl.DataFrame, pairs: pl.DataFrame, chunk: int) -> Made:
    """Joins of some users at a time."""
    start = time.perf_counter()
    tables = Plain(log)
    seconds = time.perf_counter() - start
    n_rows = chunk * (pairs.height // pairs["user_id"].n_unique())
    return seconds, lambda: map(tables.join, pairs.iter_slices(n_rows))


# --- Measuring ----------------------------------------------------------------------------------

SYSTEMS = {
    "ours": ours,
    "ours, frames": ours_by_frames,
    "polars": plain,
    "polars, in chunks": plain_in_chunks,
}


def make_data(folder: Path, size: tuple[int, int, int, int], seed: int) -> None:
    """A log in which things are taken again, and candidates: own items and others."""
    n_users, n_items, n_events, n_candidates = size
    rng = np.random.default_rng(seed)
    user, favourites = rng.integers(0, n_users, n_events), np.arange(30)
    # Three events in ten are with the user's favourites, the others with what is popular.
    own = (user * 37 + rng.choice(favourites, n_events)) % n_items
    popular = (n_items * rng.random(n_events) ** 3).astype(np.int64)
    log = pl.DataFrame(
        {
            "user_id": user,
            "item_id": np.where(rng.random(n_events) < 0.3, own, popular),
            "timestamp": pl.Series(rng.integers(0, 200, n_events) * DAY).cast(pl.Datetime("us")),
            "event": pl.Series(np.where(rng.random(n_events) < 0.2, "buy", "view")),
        }
    )
    users = np.arange(n_users)[:, None]
    others = rng.integers(0, n_items, (n_users, n_candidates))
    items = np.concatenate([(users * 37 + favourites) % n_items, others], axis=1)
    pairs = pl.DataFrame({"user_id": np.repeat(users, items.shape[1]), "item_id": items.ravel()})
    pairs = pairs.unique(maintain_order=True).group_by("user_id", maintain_order=True)
    log.write_parquet(folder / "log.parquet")
    pairs.head(n_candidates).sort("user_id", "item_id").write_parquet(folder / "pairs.parquet")


def work(system: str, folder: Path, repeats: int, chunk: int) -> None:
    """Measure one system, in a process of its own."""
    log, pairs = (pl.read_parquet(folder / f"{name}.parquet") for name in ("log", "pairs"))
    # A few users first: numba compiles, and their rows are compared.
    few = pairs.filter(pl.col("user_id") < SAMPLE)
    np.save(folder / f"{system}.npy", np.concatenate(list(SYSTEMS[system](log, few, chunk)[1]())))
    made, serve = SYSTEMS[system](log, pairs, chunk)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory_gb("VmRSS")
    seconds, n_rows = [], 0
    for _ in range(repeats):
        start = time.perf_counter()
        n_rows = sum(len(part) for part in serve())
        seconds.append(time.perf_counter() - start)
    figures = {"rows": n_rows, "tables_s": made, "serve_s": seconds}
    print(json.dumps(figures | {"serve_gb": memory_gb("VmHWM") - before}))


def memory_gb(field: str) -> float:
    """What this process holds now (``VmRSS``) or held at most (``VmHWM``); Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def measure(
    size: tuple[int, int, int, int], seed: int, repeats: int, chunk: int, only: str | None
) -> dict[str, Any]:
    """All systems, one after the other, and how far their values are apart."""
    systems = [only] if only else list(SYSTEMS)
    with tempfile.TemporaryDirectory() as scratch:
        folder, measured = Path(scratch), {}
        make_data(folder, size, seed)
        for system in systems:
            print(f"measuring {system}", file=sys.stderr)
            options = ["--repeats", str(repeats), "--chunk", str(chunk)]
            command = [sys.executable, __file__, "--worker", system, scratch, *options]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            measured[system] = json.loads(done.stdout.splitlines()[-1])
        tables = {system: np.load(folder / f"{system}.npy") for system in systems}
        return {"systems": measured, "difference": differences(tables)}


def differences(tables: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest relative difference from ours, over all rows and features of the sample.

    Raises
    ------
    AssertionError
        If a value is unknown to one system alone.
    """
    first, *others = tables.values()
    found = {}
    for system, table in zip(list(tables)[1:], others, strict=True):
        assert first.shape == table.shape
        unknown = np.isnan(first) != np.isnan(table)
        wrong = [
            name for name, is_wrong in zip(names(), unknown.any(axis=0), strict=True) if is_wrong
        ]
        assert not wrong, f"{system} knows of others in {wrong}"
        apart = np.abs(first - table) / np.maximum(np.maximum(np.abs(first), np.abs(table)), 1e-6)
        found[system] = float(np.nanmax(apart))
    return found


def report(measured: dict[str, Any], chunk: int) -> str:
    """Figures for people."""
    systems = measured["systems"]
    heads = ("tables s", "serve s", "rows/s", "ours is", "with tables", "serve GB")
    lines = [
        f"{n_cores()} cores, load {os.getloadavg()[0]:.1f}, runs of {chunk} users",
        "".ljust(20) + "".join(name.rjust(12) for name in heads),
    ]
    served = {name: float(np.median(one["serve_s"])) for name, one in systems.items()}
    first = next(iter(systems))
    for name, one in systems.items():
        ratio = served[name] / served[first]
        whole = (one["tables_s"] + served[name]) / (systems[first]["tables_s"] + served[first])
        figures = (
            *(
                f"{one['tables_s']:.2f}",
                f"{served[name]:.2f}",
                f"{one['rows'] / served[name]:,.0f}",
            ),
            *(f"{ratio:.1f}x", f"{whole:.1f}x", f"{one['serve_gb']:.2f}"),
        )
        lines.append(name.ljust(20) + "".join(figure.rjust(12) for figure in figures))
    lines.append(f"largest relative difference from ours: {measured['difference']}")
    return "\n".join(lines)


# --- A log of three million clicks ---------------------------------------------------------------

QUERY = """
with per_user as (
    select item_id, user_id, count(*) as n, count(distinct t) as visits, min(t) as first_t,
           max(t) as last_t, {windows}
    from (select user_id, item_id, epoch_us(timestamp) as t from '{path}')
    group by item_id, user_id
), per_item as (
    select item_id, sum(n) as n_all, count(*) as users, sum((visits > 1)::int) as returned,
           sum(visits) as visits, min(first_t) as first_t, max(last_t) as last_t,
           median((last_t - first_t) / (visits - 1)) filter (visits > 1) as interval, {sums}
    from per_user group by item_id
)
select item_id, {shares}, users / {n_users} as users, returned / users as repeat_rate,
       visits / users as visits_per_user, interval / {day} as interval_days,
       ({as_of} - first_t) / {day} as age_days, ({as_of} - last_t) / {day} as recency_days
from per_item order by item_id
"""


def measure_globo(folder: Path) -> str:
    """Seconds from the file to the tables, and by DuckDB to that of the items."""
    path = folder / "interactions.parquet"
    block, lines = ItemPopularity(), []
    FeatureSnapshot.build(FeatureStage((block, UserActivity())), pl.read_parquet(path, n_rows=9999))
    start = time.perf_counter()
    snapshot = FeatureSnapshot.build(FeatureStage((block, UserActivity())), pl.read_parquet(path))
    whole = time.perf_counter() - start
    start = time.perf_counter()
    fitted = block.fit(Context(snapshot.history))
    alone = time.perf_counter() - start
    history = snapshot.history
    lines.append(
        f"{history.n_events:,} clicks, {history.n_users:,} users, {history.n_items:,} items: "
        f"snapshot from the file {whole:.2f} s, of which the table of items {alone:.2f} s"
    )
    try:
        import duckdb
    except ImportError:
        return "\n".join([*lines, "duckdb is not installed"])
    labels = [f"{round(1 / share)}th" for share in block.windows]
    starts = [history.as_of - history.facts.span * share for share in block.windows]
    kinds = ", ".join(
        f"{name} / sum({name}) over () as share_{name}, "
        f"case when {name} > 0 then rank() over (order by {name} desc) end as rank_{name}"
        for name in (*(f"n_{label}" for label in labels), "n_all")
    )
    query = QUERY.format(
        path=path,
        windows=", ".join(
            f"sum((t >= {at})::int) as n_{label}" for at, label in zip(starts, labels, strict=True)
        ),
        sums=", ".join(f"sum(n_{label}) as n_{label}" for label in labels),
        shares=kinds,
        n_users=history.n_users,
        day=DAY,
        as_of=history.as_of,
    )
    start = time.perf_counter()
    found = duckdb.sql(query).fetchnumpy()
    lines.append(
        f"DuckDB {duckdb.__version__}, the table of items from the file: "
        f"{time.perf_counter() - start:.2f} s"
    )
    columns = {feature.name: fitted.table[:, at] for at, feature in enumerate(fitted.features)}
    assert (np.asarray(found["item_id"]) == history.items.values.to_numpy()).all()
    pairs = {"share_n_all": "item_share_all", "rank_n_336th": "item_rank_336th"}
    pairs |= {
        name: f"item_{name}" for name in ("users", "repeat_rate", "interval_days", "age_days")
    }
    for theirs, name in pairs.items():
        values = np.ma.filled(np.ma.asarray(found[theirs]).astype(np.float64), np.nan)
        np.testing.assert_allclose(columns[name], values, rtol=1e-5, err_msg=name)
    return "\n".join([*lines, f"the same values in {', '.join(pairs.values())}"])


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="sizes that take seconds")
    parser.add_argument("--globo", type=Path, help="folder with interactions.parquet; only this")
    parser.add_argument("--only", choices=SYSTEMS, help="one system, without ratios")
    parser.add_argument("--repeats", type=int, default=3, help="runs; the median counts")
    parser.add_argument("--chunk", type=int, default=CHUNK, help="users at a time")
    parser.add_argument("--seed", type=int, default=0, help="of the log")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        work(args.worker[0], Path(args.worker[1]), args.repeats, args.chunk)
    elif args.globo:
        print(measure_globo(args.globo))
    else:
        size = SMALL if args.small else FULL
        measured = measure(size, args.seed, args.repeats, args.chunk, args.only)
        if args.json:
            args.json.write_text(json.dumps(measured, indent=1))
        print(report(measured, args.chunk))


if __name__ == "__main__":
    main()
