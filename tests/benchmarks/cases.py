"""Real data sets, each cut into what a system may know and what it is judged by.

The cuts are those of ``PROTOCOLS`` in the order of the table in the README. Test rows play no part
in any choice; :mod:`ablation` cuts its labels from the train rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from ranker import split_by_time
from ranker.datasets import load_complete_journey

KEYS = ("user_id", "item_id", "timestamp")


class Split(NamedTuple):
    """What is known and what came of it.

    ``histories`` are what is known of the users when the lists are made, where that is more than
    what was fitted on.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    histories: pl.DataFrame | None = None


class Case(NamedTuple):
    """A data set with its splits, which are judged together."""

    splits: list[Split]
    repeats: bool
    items: pl.DataFrame | None = None


def load_case(name: str, folder: Path, seed: int = 0) -> Case:
    """One of :data:`CASES`, from a folder that holds a folder of that name."""
    return CASES[name](folder / name, seed)


def _complete_journey(_folder: Path, _seed: int) -> Case:
    data = load_complete_journey()
    return Case([Split(*split_by_time(data.interactions, test="28d"))], True, data.items)


def _last_tenth(folder: Path, _seed: int, *, repeats: bool = False) -> Case:
    log = pl.read_parquet(folder / "interactions.parquet", columns=KEYS)
    return Case([Split(*split_by_time(log, test_fraction=0.1))], repeats, _items(folder))


def _rolling_origins(folder: Path, _seed: int) -> Case:
    """The last four tenths of the rows, each to be told from what lies before it."""
    log = pl.read_parquet(folder / "interactions.parquet", columns=KEYS)
    splits = []
    for _ in range(4):
        known, test = split_by_time(log, test_fraction=0.1 / (1 - 0.1 * len(splits)))
        splits.append(Split(known, test))
        log = known
    return Case(splits, False, _items(folder))


def _next_day(folder: Path, seed: int) -> Case:
    """Two weeks of clicks, then those of a day by 20,000 of its readers."""
    log = pl.read_parquet(folder / "interactions.parquet", columns=KEYS)
    day = dt.datetime(2017, 10, 15)
    train = log.filter(pl.col("timestamp") < day)
    test = log.filter(pl.col("timestamp").is_between(day, day + dt.timedelta(days=1), "left"))
    unseen = test.select("user_id", "item_id").unique().join(train, on=KEYS[:2], how="anti")
    readers = unseen["user_id"].unique().sort()
    chosen = np.random.default_rng(seed).choice(len(readers), min(20_000, len(readers)), False)
    return Case(
        [Split(train, unseen.filter(pl.col("user_id").is_in(readers[chosen].implode())))], False
    )


def _last_item(folder: Path, _seed: int, *, column: str = "split") -> Case:
    """Fitted on train, told of train and valid, judged by each user's last item."""
    log = pl.read_parquet(folder / "interactions.parquet", columns=[*KEYS, column])
    log = log.filter(pl.col(column).is_not_null())
    parts = log.partition_by(column, as_dict=True, include_key=False)
    train, valid, test = (parts[part,] for part in ("train", "valid", "test"))
    return Case([Split(train, test, pl.concat([train, valid]))], False, _items(folder))


def _random_quarter(folder: Path, seed: int) -> Case:
    """A random quarter of each user's ratings, without regard to time."""
    log = pl.read_parquet(folder / "interactions.parquet", columns=KEYS[:2]).sort(KEYS[:2])
    draw = pl.Series("draw", np.random.default_rng(seed).random(log.height))
    place = log.with_columns(draw).select(
        (pl.col("draw").rank("ordinal").over("user_id") - 0.5) / pl.len().over("user_id")
    )["draw"]
    return Case([Split(log.filter(place > 0.25), log.filter(place <= 0.25))], False, _items(folder))


def _train_test(folder: Path, _seed: int, *, column: str) -> Case:
    log = pl.read_parquet(folder / "interactions.parquet", columns=[*KEYS[:2], column])
    parts = log.partition_by(column, as_dict=True, include_key=False)
    return Case([Split(parts["train",], parts["test",])], False, _items(folder))


def _items(folder: Path) -> pl.DataFrame | None:
    """What is written in the items themselves: scores and tags by users are not of an instant."""
    path = folder / "items.parquet"
    if not path.is_file():
        return None
    wanted = (
        "item_id",
        "title",
        "year",
        "genres",
        "category_ids",
        "attributes",
        "tags",
        "directors",
    )
    items = pl.read_parquet(path)
    dated = ("tags",) if (folder / "tags.parquet").is_file() else ()
    return items.select(name for name in wanted if name in items.columns and name not in dated)


def _with(load: Callable[..., Case], **options: object) -> Callable[[Path, int], Case]:
    return lambda folder, seed: load(folder, seed, **options)


CASES: dict[str, Callable[[Path, int], Case]] = {
    "complete-journey": _complete_journey,
    "ml-100k": _random_quarter,
    "ml-latest-small": _rolling_origins,
    "globo-news": _next_day,
    "foursquare-nyc": _with(_last_tenth, repeats=True),
    "amazon-beauty": _last_item,
    "amazon-toys": _last_item,
    "ml-1m": _with(_last_item, column="split_sasrec"),
    "citeulike-a": _with(_train_test, column="split_p10"),
    "ml-100k-time": lambda folder, seed: _last_tenth(folder.with_name("ml-100k"), seed),
}
"""What to load by name; ``ml-100k-time`` is the last tenth of its rows."""
