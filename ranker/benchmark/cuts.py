"""How data are cut into what is known and what is asked for.

A cut reads the folder of a data set, and draws what it draws by a seed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ranker.datasets import load_complete_journey
from ranker.datasets.files import read, read_parquet
from ranker.evaluation import split_by_column, split_by_time

KEYS = ("user_id", "item_id", "timestamp")

# What is written in the items themselves: scores and tags by users are not of an instant.
_WRITTEN = (
    "item_id",
    "title",
    "year",
    "genres",
    "category_ids",
    "attributes",
    "tags",
    "directors",
)


@dataclass(frozen=True, eq=False)
class Split:
    """What is known and what came of it.

    Attributes
    ----------
    train : DataFrame
        ``user_id, item_id``, ``timestamp`` where it is known, ``weight`` where ratings are asked
        for: what systems are fitted on.
    test : DataFrame
        ``user_id, item_id``, each pair once, and ``weight`` where ratings are asked for. Every row
        counts: what nobody could list is missed.
    histories : DataFrame, optional
        What is known of the users when the lists are made, where that is more than ``train``.
    competitors : DataFrame, optional
        ``user_id, item_id`` of the items among which a user's are to be found. Default: all.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    histories: pl.DataFrame | None = None
    competitors: pl.DataFrame | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """A data set with its splits, which are judged together.

    Attributes
    ----------
    splits : tuple of Split
    exclude_seen : bool
        Whether lists leave out what the user took before.
    items : DataFrame, optional
        The catalogue, with what is written in the items and, as ``links``, to which others they
        are linked.
    """

    splits: tuple[Split, ...]
    exclude_seen: bool = True
    items: pl.DataFrame | None = None


def complete_journey(_folder: Path, _seed: int) -> Case:
    """Complete Journey's last 28 days; the data come from an installed package."""
    data = load_complete_journey()
    return Case((_by_time(data.interactions, exclude_seen=False, test="28d"),), False, data.items)


def last_tenth(folder: Path, _seed: int, *, exclude_seen: bool = True) -> Case:
    """The last tenth of the rows by time."""
    split = _by_time(_log(folder), exclude_seen=exclude_seen, test_fraction=0.1)
    return Case((split,), exclude_seen, _items(folder))


def four_tenths(folder: Path, _seed: int) -> Case:
    """The last four tenths of the rows, each to be told from what lies before it."""
    log = _log(folder)
    splits = []
    for place in range(4):
        fraction = 0.1 / (1 - 0.1 * place)
        splits.append(_by_time(log, exclude_seen=True, test_fraction=fraction))
        log = splits[-1].train
    return Case(tuple(splits), items=_items(folder))


def next_day(folder: Path, seed: int) -> Case:
    """Two weeks of clicks, then those of a day by 20,000 of its readers."""
    log = _log(folder)
    day = dt.datetime(2017, 10, 15)
    train = log.filter(pl.col("timestamp") < day)
    test = log.filter(pl.col("timestamp").is_between(day, day + dt.timedelta(days=1), "left"))
    unseen = _distinct(test).join(train, on=KEYS[:2], how="anti")
    readers = unseen["user_id"].unique().sort()
    rng = np.random.default_rng(seed)
    chosen = readers.gather(np.sort(rng.choice(len(readers), min(20_000, len(readers)), False)))
    return Case((Split(train, unseen.filter(pl.col("user_id").is_in(chosen.implode()))),))


def last_item(folder: Path, _seed: int, *, column: str = "split") -> Case:
    """Fitted on train, told of train and valid, judged by each user's last item."""
    log = _log(folder, column).filter(pl.col(column).is_not_null())
    fed, test = split_by_column(log, column)
    train, _ = split_by_column(log, column, valid="drop")
    return Case((Split(train, _distinct(test), fed),), items=_items(folder, log))


def among_drawn(folder: Path, _seed: int) -> Case:
    """He et al. (WWW 2017): each user's last item among 99 drawn ones that he did not take."""
    log = _log(folder, "split_ncf")
    train, test = split_by_column(log, "split_ncf")
    train = count_anew(train)  # the test item is not always the last by the order that is known
    drawn = read(read_parquet, folder / "ncf_test_negatives.parquet")
    negatives = drawn.select("user_id", item_id="negatives").explode("item_id")
    # Some of the drawn ones are the test item itself, as published: it stands in the list once.
    competitors = pl.concat([_distinct(test), negatives.cast(test.select(KEYS[:2]).schema)])
    split = Split(train, _distinct(test), competitors=competitors.unique().sort(KEYS[:2]))
    return Case((split,), items=_items(folder, log))


def train_test(folder: Path, _seed: int, *, column: str) -> Case:
    """The rows of ``test`` by those of ``train``, as a published column says."""
    log = _log(folder, column)
    train, test = split_by_column(log, column)
    return Case((Split(train, _distinct(test)),), items=_items(folder, log))


def lowest_numbers(folder: Path, seed: int, *, column: str) -> Case:
    """A published column whose train rows are each user's lowest item numbers, told in this order.

    What is held out is then later than what is known, as it is for the labels that are cut from
    the end of the train rows.
    """
    case = train_test(folder, seed, column=column)
    (split,) = case.splits
    train = count_anew(split.train.with_columns(timestamp=pl.col("item_id")))
    return replace(case, splits=(replace(split, train=train),))


def random_quarters(folder: Path, seed: int) -> Case:
    """A random quarter of each user's ratings, without regard to time, five times."""
    log = _log(folder).select(KEYS[:2]).sort(KEYS[:2])
    is_asked = (pl.col("place") - 0.5) / pl.len().over("user_id") <= 0.25
    splits = tuple(_drawn_apart(log, 5 * seed + number, is_asked) for number in range(5))
    return Case(splits, items=_items(folder))


def drawn_known(folder: Path, seed: int, *, n_known: int) -> Case:
    """So many rows of each user, drawn at random, are known, the others asked for."""
    log = _log(folder).select(KEYS[:2]).sort(KEYS[:2])
    return Case((_drawn_apart(log, seed, pl.col("place") > n_known),), items=_items(folder))


def _drawn_apart(log: pl.DataFrame, seed: int, is_asked: pl.Expr) -> Split:
    """Cut by ``place``, that of a row among its user's in a random order, from 1."""
    draw = pl.Series("draw", np.random.default_rng(seed).random(log.height))
    place = pl.col("draw").rank("ordinal").over("user_id").alias("place")
    asked = log.with_columns(draw).with_columns(place).select(is_asked).to_series()
    return Split(log.filter(~asked), log.filter(asked))


def five_folds(folder: Path, _seed: int) -> Case:
    """The published folds u1 to u5, whose test rows are disjoint."""
    columns = [f"split_u{fold}" for fold in range(1, 6)]
    log = _log(folder, "rating", *columns).rename({"rating": "weight"})
    known = [name for name in log.columns if name not in columns]
    folds = (split_by_column(log.select(*known, column), column) for column in columns)
    return Case(tuple(Split(train, test.drop("timestamp")) for train, test in folds))


def count_anew(log: pl.DataFrame) -> pl.DataFrame:
    """Positions in each user's sequence without the gaps that rows taken out have left.

    With gaps they would be taken for a common clock.
    """
    place = pl.int_range(pl.len()).over("user_id", order_by=["timestamp", "item_id"])
    return log.with_columns(place.alias("timestamp"))


def _by_time(log: pl.DataFrame, *, exclude_seen: bool, **cut: Any) -> Split:
    train, test = split_by_time(log, **cut)
    pairs = _distinct(test)
    return Split(train, pairs.join(train, on=KEYS[:2], how="anti") if exclude_seen else pairs)


def _log(folder: Path, *columns: str) -> pl.DataFrame:
    log = read(read_parquet, folder / "interactions.parquet")
    if log.schema.get("timestamp", pl.Null()).is_integer():
        # A few events of MovieLens 1M have no place in the order: they count as before all others.
        log = log.with_columns(pl.col("timestamp").fill_null(-1))
    return log.select(*(name for name in KEYS if name in log.columns), *columns)


def _distinct(test: pl.DataFrame) -> pl.DataFrame:
    return test.select("user_id", "item_id").unique().sort("user_id", "item_id")


def _items(folder: Path, log: pl.DataFrame | None = None) -> pl.DataFrame | None:
    """What is written in the items; with a log, of those alone that it knows.

    A published split ranks the items that occur in it, not those of the whole table.
    """
    path = folder / "items.parquet"
    if not path.is_file():
        return None
    items = read(read_parquet, path)
    dated = ("tags",) if (folder / "tags.parquet").is_file() else ()
    items = items.select(name for name in _WRITTEN if name in items.columns and name not in dated)
    items = _with_links(items, folder / "item_links.parquet")
    return items if log is None else items.join(log, on="item_id", how="semi")


def _with_links(items: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Where there are links between items, the column ``links``: those linked and the item itself.

    With itself among them an item is like those that it links to, and not only like those that
    link to the same.
    """
    if not path.is_file():
        return items
    own = items.select("item_id", linked_item_id="item_id")
    links = pl.concat([read(read_parquet, path).select(own.columns).cast(own.schema), own]).unique()
    linked = links.group_by("item_id").agg(links=pl.col("linked_item_id").sort())
    return items.join(linked, on="item_id", how="left", maintain_order="left")
