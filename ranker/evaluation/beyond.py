"""What else there is to say of lists: how popular, new, unlike and repetitive they are.

Like the metrics of accuracy, each maps facts of the lists and ``k`` to one value per user
(:data:`LIST_METRICS`) or, where it is no value of a user, to one number
(:data:`SYSTEM_METRICS`). A place that a list leaves empty holds nothing; it is a miss only for
serendipity, which counts hits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from features.codes import Codes
from features.errors import ConfigError
from features.ids import Ids
from features.schema import canonical_ids
from ranker.evaluation import kernels
from ranker.evaluation.calibration import codes_of, list_divergence
from ranker.evaluation.distance import intra_list_distance, list_rows
from ranker.evaluation.exposure import gini
from ranker.evaluation.hits import Hits
from ranker.evaluation.novelty import information_matrix, mean_information


@dataclass(frozen=True)
class ListFacts:
    """The lists of some users as row numbers of items, and what is known of those items.

    Attributes
    ----------
    users : Series
        Distinct, ascending.
    lists : DataFrame
        ``user_id, item_id, rank``, ids as in ``users``.
    found : Hits
        Within ``depth``.
    depth : int
    train, other : DataFrame, optional
        ``user_id, item_id`` of what was taken before; further lists.
    embedding : (Series, float32 array [n_items, n_factors]), optional
    categories : DataFrame, optional
        ``item_id``, once each, and ``category``, see
        :func:`ranker.evaluation.calibration.check_categories`.
    """

    users: pl.Series
    lists: pl.DataFrame
    found: Hits
    depth: int
    train: pl.DataFrame | None = None
    other: pl.DataFrame | None = None
    embedding: tuple[pl.Series, Float32Array] | None = None
    categories: pl.DataFrame | None = None

    @cached_property
    def items(self) -> Ids:
        """Whatever is listed or was taken."""
        frames = [self.lists, self.train, self.other]
        return Ids.sorted(*(frame["item_id"] for frame in frames if frame is not None))

    @cached_property
    def hits(self) -> BoolArray:
        """Whether the item at each rank is relevant [n_users, depth]."""
        return self.found.matrix(self.depth)

    @cached_property
    def rows(self) -> Int64Array:
        """Row numbers of the listed items [n_users, depth], -1 where there is none."""
        return list_rows(self.lists, self.users, self.items.values, depth=self.depth)

    @cached_property
    def n_takers(self) -> Int64Array:
        """Users of ``train`` who took each item [n_items]."""
        pairs = _of(self.train, "train").select("user_id", "item_id").unique()
        taken = self.items.encode(pairs["item_id"])
        return np.bincount(taken, minlength=len(self.items)).astype(np.int64)

    @cached_property
    def popularity_rank(self) -> Int64Array:
        """Place of each item in the popular list, from 0; items with as many takers by id."""
        order = np.argsort(-self.n_takers, kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return rank

    @cached_property
    def information(self) -> Float64Array:
        """Bits by rank [n_users, depth], NaN where there is no item."""
        return information_matrix(
            self.lists, _of(self.train, "train"), self.users, depth=self.depth
        )

    @cached_property
    def history(self) -> tuple[Int64Array, Int64Array]:
        """What each user took before: indptr and ascending row numbers."""
        train = _of(self.train, "train")
        user = Ids(self.users).encode(train["user_id"]).astype(np.int64)
        item = self.items.encode(train["item_id"]).astype(np.int64)
        found: tuple[Int64Array, Int64Array] = kernels.group_distinct(user, item, len(self.users))
        return found

    @cached_property
    def events(self) -> tuple[Int64Array, Int64Array]:
        """As ``history``, but an item as often as it was taken, and in no order."""
        train = _of(self.train, "train")
        user = Ids(self.users).encode(train["user_id"]).astype(np.int64)
        item = self.items.encode(train["item_id"]).astype(np.int64)
        order = np.argsort(user, kind="stable")
        known = order[np.count_nonzero(user < 0) :]
        n_events = np.bincount(user[known], minlength=len(self.users))
        return np.concatenate(([0], np.cumsum(n_events))).astype(np.int64), item[known]

    @cached_property
    def category_codes(self) -> Codes:
        """The categories of ``items``."""
        return codes_of(_of(self.categories, "categories"), self.items.values)

    @cached_property
    def other_rows(self) -> Int64Array:
        """As ``rows``, of the other lists."""
        other = _of(self.other, "other")
        return list_rows(other, self.users, self.items.values, depth=self.depth)

    @cached_property
    def vector_rows(self) -> Int64Array:
        """Row numbers of the listed items among the vectors, -1 where there is none."""
        if self.embedding is None:
            raise ConfigError("intra_list_diversity needs embedding=, ids of items and vectors")
        ids, vectors = self.embedding
        if not isinstance(ids, pl.Series):
            raise ConfigError(
                f"embedding has ids in a {type(ids).__name__}; expected (Series of item_id, array)"
            )
        if len(ids) != len(vectors) or ids.n_unique() != len(ids):
            raise ConfigError(
                f"embedding has {len(ids)} ids, {ids.n_unique()} of them distinct, and "
                f"{len(vectors)} vectors; expected a vector for each of distinct ids"
            )
        own, listed = canonical_ids(ids), self.lists.schema["item_id"]
        if own.dtype != listed:
            raise ConfigError(
                f"embedding has ids of dtype {ids.dtype} and the lists of {listed}, so that none "
                f"could match: cast one of them"
            )
        return list_rows(self.lists, self.users, own, depth=self.depth)

    def length(self, k: int) -> Int64Array:
        """Items within the first k of each list [n_users]."""
        n: Int64Array = (self.rows[:, :k] >= 0).sum(axis=1).astype(np.int64)
        return n

    def exposure(self, k: int) -> Int64Array:
        """How many lists have each item of the catalogue of ``train`` within k [n_catalogue]."""
        shown = self.rows[:, :k]
        n = np.bincount(shown[shown >= 0], minlength=len(self.items))
        return n[self.n_takers > 0].astype(np.int64)


def _of(frame: pl.DataFrame | None, name: str) -> pl.DataFrame:
    if frame is None:
        raise ConfigError(f"{name}= is needed here and was not given")
    return frame


class ListMetric(Protocol):
    """One value per user, float64 [n_users]."""

    def __call__(self, facts: ListFacts, *, k: int) -> Float64Array:
        """Value of each user."""
        ...


class SystemMetric(Protocol):
    """One value of all lists together."""

    def __call__(self, facts: ListFacts, *, k: int) -> float:
        """The value."""
        ...


def novelty(facts: ListFacts, *, k: int) -> Float64Array:
    """Mean self-information in bits, see :func:`ranker.evaluation.novelty.mean_information`."""
    return mean_information(facts.information, k=k)


def average_popularity(facts: ListFacts, *, k: int) -> Float64Array:
    """Mean number of users of ``train`` who took an item, over the first k; 0 without items.

    Source: Abdollahpouri, Burke, Mobasher, "Managing Popularity Bias in Recommender Systems with
    Personalized Re-ranking", FLAIRS 2019, equation 7 (there the number of ratings).
    """
    return _mean_over(facts, facts.n_takers.astype(np.float64), k)


def new_item_share(facts: ListFacts, *, k: int) -> Float64Array:
    """Share of the first k items that nobody in ``train`` took; 0 without items.

    ``|{i in list@k : no event of i in train}| / |list@k|``. Own definition, as items new to
    everybody; "new to the user" is one minus :func:`repetition`.
    """
    return _mean_over(facts, (facts.n_takers == 0).astype(np.float64), k)


def repetition(facts: ListFacts, *, k: int) -> Float64Array:
    """Share of the first k items that the user took in ``train``; 0 without items.

    Source: Anderson, Kumar, Tomkins, Vassilvitskii, "The Dynamics of Repeat Consumption", WWW
    2014, section 3 (share of consumption that is repeated), of a list in place of a log.
    """
    indptr, items = facts.history
    values: Float64Array = kernels.n_shared(facts.rows, items, indptr, k) / _at_least_one(facts, k)
    return values


def serendipity(facts: ListFacts, *, k: int) -> Float64Array:
    """Share of the k places with a relevant item that the k most popular ones do not hold.

    ``|{i in list@k : relevant, not in popular@k}| / k``: what popularity alone would not have
    found. Popular are the items with most users in ``train``, of equal ones the smaller id.
    Source: Ge, Delgado-Battenfeld, Jannach, "Beyond Accuracy: Evaluating Recommender Systems by
    Coverage and Serendipity", RecSys 2010, section 2.2, with popularity as the primitive model.
    """
    is_unexpected = facts.popularity_rank >= k
    head = facts.rows[:, :k]
    found = facts.hits[:, :k] & (head >= 0) & is_unexpected[head]
    values: Float64Array = found.sum(axis=1) / np.float64(k)
    return values


def overlap(facts: ListFacts, *, k: int) -> Float64Array:
    """Share of the first k items that both lists have: ``|A@k and B@k| / max(|A@k|, |B@k|)``.

    1 where they hold the same items in any order; 0 where one of them is empty.
    Source: Fagin, Kumar, Sivakumar, "Comparing Top k Lists", SIAM 2003, section 3.2 (one minus
    the share that makes its intersection metric, at depth k alone).
    """
    head = facts.other_rows[:, :k]
    user, place = np.nonzero(head >= 0)
    indptr, items = kernels.group_distinct(user, head[user, place], len(head))
    longer = np.maximum(_at_least_one(facts, k), np.diff(indptr))
    values: Float64Array = kernels.n_shared(facts.rows, items, indptr, k) / longer
    return values


def intra_list_diversity(facts: ListFacts, *, k: int) -> Float64Array:
    """Mean distance of pairs, see :func:`ranker.evaluation.distance.intra_list_distance`.

    Items without a vector are passed over.
    """
    rows = facts.vector_rows[:, :k]
    if facts.embedding is None:
        raise ConfigError("intra_list_diversity needs embedding=, ids of items and vectors")
    return intra_list_distance(facts.embedding[1], rows)


def miscalibration(facts: ListFacts, *, k: int) -> Float64Array:
    """How far the shares of categories in a list are from those in the user's past; 0 is best.

    ``KL(p, q') = sum over categories c with p(c) > 0 of p(c) log(p(c) / q'(c))`` in nats, with
    ``q' = .99 q + .01 p``: ``p`` are the shares in the user's events of ``train``, each counting
    the same, ``q`` those in the first k items. An item of several categories counts for each in
    equal parts, one of none is passed over, in the past as in the list. At most ``log(100)``,
    which a list without any of the user's categories has; 0 for a user whose past has no
    categories.
    Source: Steck, "Calibrated Recommendations", RecSys 2018, equations 2, 3, 6 and 7, with equal
    weights of events and of places.
    """
    codes = facts.category_codes
    values: Float64Array = list_divergence(
        *facts.events, facts.rows, codes.indptr, codes.code, codes.n_codes, k
    )
    return values


def coverage(facts: ListFacts, *, k: int) -> float:
    """Share of the items of ``train`` that occur within the first k of some list.

    Source: Herlocker et al., "Evaluating Collaborative Filtering Recommender Systems", TOIS 2004,
    section 4.2 (catalogue coverage).
    """
    exposure = facts.exposure(k)
    return int((exposure > 0).sum()) / len(exposure)


def gini_index(facts: ListFacts, *, k: int) -> float:
    """Gini index of how often the items of ``train`` are listed, see :func:`gini`."""
    return gini(facts.exposure(k))


LIST_METRICS: Mapping[str, ListMetric] = MappingProxyType(
    {
        "novelty": novelty,
        "average_popularity": average_popularity,
        "new_item_share": new_item_share,
        "repetition": repetition,
        "serendipity": serendipity,
        "overlap": overlap,
        "intra_list_diversity": intra_list_diversity,
        "miscalibration": miscalibration,
    }
)
SYSTEM_METRICS: Mapping[str, SystemMetric] = MappingProxyType(
    {"coverage": coverage, "gini": gini_index}
)

LOWER_IS_BETTER = frozenset({"miscalibration"})
"""Metrics of which less is better. Those without a better (novelty, popularity, repetition,
overlap) are compared like those of which more is."""

_NEEDS = {
    "coverage": ("train", "the share of the catalogue that is recommended, not a value of a user"),
    "gini": ("train", "how unequally the catalogue is recommended, not a value of a user"),
    "novelty": ("train", "made of the shares of users who took an item"),
    "average_popularity": ("train", "made of the numbers of users who took an item"),
    "new_item_share": ("train", "the share of items without an event in train"),
    "repetition": ("train", "the share of items that the user took before"),
    "serendipity": ("train", "hits that the popular list of train does not have"),
    "overlap": ("other", "the share of items that other lists have as well"),
    "intra_list_diversity": ("embedding", "the distance of the items' vectors"),
    "miscalibration": (
        "train and categories",
        "the distance of the shares of categories in list and past",
    ),
}


def check_needs(name: str, given: frozenset[str], *, per_user: bool) -> None:
    """Make sure that a metric can be made of what there is.

    Raises
    ------
    ConfigError
        The message names the keyword to pass.
    """
    if name not in _NEEDS:
        return
    keywords, what = _NEEDS[name]
    if per_user and name in SYSTEM_METRICS:
        raise ConfigError(f"{name} is {what}: use evaluate for it, or leave it out of metrics")
    for keyword in keywords.split(" and "):
        if keyword not in given:
            whose = ", whose items are the catalogue" if name in SYSTEM_METRICS else ""
            raise ConfigError(
                f"{name} is {what}: pass {keyword}={whose}, or leave it out of metrics"
            )


def _mean_over(facts: ListFacts, of_item: NDArray[np.float64], k: int) -> Float64Array:
    head = facts.rows[:, :k]
    total = np.where(head >= 0, of_item[head], 0.0).sum(axis=1)
    values: Float64Array = total / _at_least_one(facts, k)
    return values


def _at_least_one(facts: ListFacts, k: int) -> Int64Array:
    return np.maximum(facts.length(k), 1)
