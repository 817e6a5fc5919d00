"""How much quicker is a bulk load into PostgreSQL and Redis than a list at a time?

    python tests/benchmarks/bench_sinks.py --users 20000

Starts both servers on loopback (Debian packages postgresql and redis-server), exports lists of 50
of a model without a model, publishes them, and does the same by one INSERT a row (in one
transaction, by a prepared statement) and one SET a user. Prints rows and lists per second and
their ratios; README.md beside it says how to read them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import adbc_driver_postgresql.dbapi
import polars as pl
import redis as redis_client

from ranker.export import (
    export_recommendations,
    publish_to_delta,
    publish_to_postgres,
    publish_to_redis,
    read_export,
)
from tests.export.killed_exports import Vectorised
from tests.export.servers import postgres, redis

K = 50


def insert_rows(url: str, rows: pl.DataFrame) -> None:
    """One INSERT a row, as an application would."""
    with (
        closing(adbc_driver_postgresql.dbapi.connect(url)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        cursor.execute(
            "CREATE TABLE by_row (user_id bigint, rank bigint, item_id bigint, score real, "
            "PRIMARY KEY (user_id, rank))"
        )
        cursor.executemany("INSERT INTO by_row VALUES ($1, $2, $3, $4)", rows)
        connection.commit()


def set_lists(url: str, lists: list[tuple[int, str]]) -> None:
    """One SET a user."""
    with closing(redis_client.Redis.from_url(url)) as client:
        for user_id, value in lists:
            client.set(f"one:{user_id}", value)


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(argv: list[str] | None = None) -> None:
    """Export, publish, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=100_000, help="inserted one by one")
    args = parser.parse_args(argv)
    os.environ["RANKER_QUIET"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "lists"
        model = Vectorised(user_ids=pl.Series("user_id", range(args.users)))
        export_recommendations(model, None, folder, k=K)
        lists = read_export(folder).select("user_id", "rank", "item_id", "score")
        few = lists.head(args.rows).collect()
        figures: list[tuple[str, float, float]] = []
        with postgres() as url:
            bulk = seconds_of(lambda: publish_to_postgres(folder, url))
            single = seconds_of(lambda: insert_rows(url, few))
            figures.append(("PostgreSQL, rows/s", args.users * K / bulk, few.height / single))
        with redis() as url:
            bulk = seconds_of(lambda: publish_to_redis(folder, url))
            texts = few.group_by("user_id").agg(value=pl.struct("item_id", "score"))
            pairs: list[tuple[int, str]] = [(u, str(v)) for u, v in texts.iter_rows()]
            single = seconds_of(lambda: set_lists(url, pairs))
            figures.append(("Redis, lists/s", args.users / bulk, len(pairs) / single))
        delta = seconds_of(lambda: publish_to_delta(folder, str(Path(name) / "table")))
    print(f"{args.users:,} users, {args.users * K:,} rows")
    print(f"{'':22}{'published':>12}{'one by one':>12}{'ratio':>8}")
    for label, bulk, single in figures:
        print(f"{label:22}{bulk:12,.0f}{single:12,.0f}{bulk / single:8.1f}")
    print(f"{'Delta Lake, rows/s':22}{args.users * K / delta:12,.0f}")


if __name__ == "__main__":
    main()
