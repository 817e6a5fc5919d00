"""Ranking metrics as pure functions of hits, and the frames turned into those hits.

Every metric maps ``hits`` (was the item at this rank relevant?), ``n_relevant`` (how many distinct
items were relevant for this user) and ``k`` to one value per user. Nothing here knows a model.
The sums run over the hits only, in order of rank, so a user's value depends neither on the other
users nor on the number of threads.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import ConfigError
from features.ids import Ids
from ranker.evaluation import kernels

Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]
Values = NDArray[np.float64]


class Metric(Protocol):
    """What every entry of :data:`METRICS` looks like.

    Parameters
    ----------
    hits : bool array, shape (n_users, depth)
        Whether the item at each rank is relevant; column 0 is rank 1. A list that is shorter than
        ``depth`` is padded with False, and ranks beyond ``depth`` count as misses.
    n_relevant : int64 array, shape (n_users,)
        Distinct relevant items of each user, at least 1.
    k : int
        How many ranks count, at least 1.

    Returns
    -------
    float64 array, shape (n_users,), values in [0, 1]

    Raises
    ------
    ConfigError
        Shapes or dtypes do not fit, ``k`` or an ``n_relevant`` is below 1, or a user has more hits
        than relevant items (an item occurs twice in the list).
    """

    def __call__(self, hits: Hits, n_relevant: Counts, *, k: int) -> Values:
        """Value of each user."""
        ...


def recall(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Share of a user's relevant items within the first k: ``hits@k / n_relevant``.

    Divided by the number of relevant items even where that exceeds k (LightGCN, SimpleX and others
    report this one); see :func:`recall_capped` for the other convention.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.3.
    """
    _check(hits, n_relevant, k)
    values: Values = _count(hits, k) / n_relevant
    return values


def recall_capped(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Share of the hits that k places allow: ``hits@k / min(k, n_relevant)``.

    Source: Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
    section 4.2.
    """
    _check(hits, n_relevant, k)
    values: Values = _count(hits, k) / np.minimum(n_relevant, k)
    return values


def precision(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Share of the k places that hold a relevant item: ``hits@k / k``; absent places are misses.

    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4.
    """
    _check(hits, n_relevant, k)
    values: Values = _count(hits, k) / np.float64(k)
    return values


def hit_rate(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """1 where at least one of the first k items is relevant, else 0.

    Source: Deshpande, Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004,
    section 6.1 (there with one relevant item a user).
    """
    _check(hits, n_relevant, k)
    return (_count(hits, k) > 0).astype(np.float64)


def mrr(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """``1 / rank`` of the first relevant item within the first k; 0 where there is none.

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """
    _check(hits, n_relevant, k)
    values: Values = kernels.reciprocal_rank(hits, min(k, hits.shape[1]))
    return values


def average_precision(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Average precision: ``sum over hits at ranks r <= k of precision@r, / min(k, n_relevant)``.

    Its mean over users is MAP@k. Dividing by ``min(k, n_relevant)`` lets a perfect list reach 1
    for every user; dividing by ``n_relevant`` would not, see :func:`average_precision_full`.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, equation 8.8,
    cut at k.
    """
    _check(hits, n_relevant, k)
    values: Values = kernels.precision_sum(hits, min(k, hits.shape[1])) / np.minimum(n_relevant, k)
    return values


def average_precision_full(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Average precision that all relevant items divide: ``sum of precision@r, / n_relevant``.

    The other convention of MAP@k: a user with more than k relevant items cannot reach 1. Published
    figures of the random splits of MovieLens 100k are of this kind.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, equation 8.8, with
    what stands behind rank k taken for misses.
    """
    _check(hits, n_relevant, k)
    values: Values = kernels.precision_sum(hits, min(k, hits.shape[1])) / n_relevant
    return values


def ndcg(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Binary NDCG: ``sum over hits at ranks r <= k of 1 / log2(r + 1)``, divided by the ideal sum.

    The ideal list has its ``min(k, n_relevant)`` first places filled, so that a perfect list is
    worth 1 also where a user has fewer than k, or more than k, relevant items.
    Source: Järvelin, Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002,
    with the discount of Burges et al., ICML 2005.
    """
    _check(hits, n_relevant, k)
    n_ideal = np.minimum(n_relevant, k)
    n_places = max(int(n_ideal.max(initial=1)), min(k, hits.shape[1]), 1)
    discount = 1.0 / np.log2(np.arange(2, n_places + 2))
    gain = kernels.discounted_sum(hits, discount, min(k, hits.shape[1]))
    values: Values = gain / np.cumsum(discount)[n_ideal - 1]
    return values


def r_precision(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Precision at the rank that a perfect list would end at: ``hits@R / R, R = n_relevant``.

    Ranks beyond k hold misses, so give a k that is not below what users have relevant.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4.
    """
    _check(hits, n_relevant, k)
    values: Values = kernels.hits_among(hits, np.minimum(n_relevant, k)) / n_relevant
    return values


def auc(hits: Hits, n_relevant: Counts, *, k: int) -> Values:
    """Share of the pairs of a relevant item and a miss within k that are in the right order.

    ``sum over hits at ranks r <= k of (misses behind r) / (n_relevant * misses within k)``. A
    relevant item that is not within k stands behind every miss there; where all k places hold
    hits, the value is ``k / n_relevant``. With the whole catalogue listed and k its size, this is
    the area under the ROC curve. An order is all there is, so no pair is tied.
    Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009,
    section 4.1; cut at k as in Schröder et al., "Setting Goals and Choosing Metrics for
    Recommender System Evaluations", 2011.
    """
    _check(hits, n_relevant, k)
    n_hits = _count(hits, k)
    right = kernels.ordered_pairs(hits, min(k, hits.shape[1]), k)
    values: Values = np.where(n_hits == k, n_hits, right / np.maximum(k - n_hits, 1)) / n_relevant
    return values


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "recall": recall,
        "recall_capped": recall_capped,
        "precision": precision,
        "hit_rate": hit_rate,
        "mrr": mrr,
        "map": average_precision,
        "map_full": average_precision_full,
        "ndcg": ndcg,
        "r_precision": r_precision,
        "auc": auc,
    }
)


def check_metric_name(name: str, *, known: tuple[str, ...] = tuple(METRICS)) -> str:
    """Return ``name`` if it is one of ``known``.

    Raises
    ------
    ConfigError
        The name is unknown; the message names the nearest known one and all the others.
    """
    if name in known:
        return name
    nearest = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.0)
    raise ConfigError(
        f"unknown metric {name!r}; the nearest known one is {nearest[0]!r} "
        f"(known: {', '.join(sorted(known))}; a depth of its own is written as in 'ndcg@20')"
    )


def hit_matrix(
    recommended: pl.DataFrame, truth: pl.DataFrame, users: pl.Series, *, depth: int
) -> tuple[Hits, Counts]:
    """Turn lists and relevant items into the two arrays that every metric takes.

    Parameters
    ----------
    recommended : pl.DataFrame
        ``user_id, item_id, rank`` (integer from 1); ids of the dtype that ``truth`` has. Rows
        with a rank outside 1..depth and rows of users not in ``users`` are ignored.
    truth : pl.DataFrame
        ``user_id, item_id`` of the relevant pairs; repeated pairs count once.
    users : pl.Series
        The users of the rows of the result, each once.
    depth : int
        Columns of the result, at least 1.

    Returns
    -------
    hits : bool array, shape (len(users), depth)
    n_relevant : int64 array, shape (len(users),)
        0 for a user without a row in ``truth``; the metrics do not accept such users.

    Raises
    ------
    ConfigError
        ``depth`` is below 1 or ``users`` holds a user more than once.
    """
    if depth < 1:
        raise ConfigError(f"depth is {depth}; expected at least 1")
    if users.n_unique() != len(users):
        raise ConfigError(f"users repeats {len(users) - users.n_unique()} ids; pass each user once")
    row_of = Ids(users)
    relevant = truth.select("user_id", "item_id")
    user, item = row_of.encode(relevant["user_id"]), relevant["item_id"]
    listed = recommended["item_id"]
    if not item.dtype.is_integer():  # text is looked up once, then both sides are numbers
        known = Ids(item.unique())
        item, listed = (pl.Series(known.encode(ids)) for ids in (item, listed))
    indptr, items = kernels.group_distinct(user.astype(np.int64), _int64(item), len(users))
    list_user = recommended["user_id"]
    hits = np.zeros((len(users), depth), dtype=np.bool_)
    if list_user.dtype.is_integer() and users.is_sorted():
        row = kernels.find_sorted(_int64(list_user), _int64(users))
    else:
        row = row_of.encode(list_user).astype(np.int64)
    kernels.mark_hits(row, _int64(listed), _int64(recommended["rank"]), indptr, items, hits)
    return hits, np.diff(indptr)


def _int64(values: pl.Series) -> Counts:
    return values.cast(pl.Int64).to_numpy()


def _count(hits: Hits, k: int) -> Counts:
    counts: Counts = kernels.hits_among(hits, np.full(len(hits), k, np.int64))
    return counts


def _check(hits: Hits, n_relevant: Counts, k: int) -> None:
    if hits.ndim != 2 or hits.dtype != np.bool_:
        raise ConfigError(
            f"hits has shape {hits.shape} and dtype {hits.dtype}; expected bool [n_users, depth]"
        )
    if n_relevant.shape != hits.shape[:1] or not np.issubdtype(n_relevant.dtype, np.integer):
        raise ConfigError(
            f"n_relevant has shape {n_relevant.shape} and dtype {n_relevant.dtype}; "
            f"expected one integer for each of the {len(hits)} users of hits"
        )
    if k < 1:
        raise ConfigError(f"k is {k}; expected at least 1")
    n_without = np.count_nonzero(n_relevant < 1)
    if n_without:
        raise ConfigError(
            f"{n_without} users have no relevant item, for whom no metric is defined; "
            "leave them out of hits and n_relevant"
        )
    n_over = np.count_nonzero(_count(hits, hits.shape[1]) > n_relevant)
    if n_over:
        raise ConfigError(
            f"{n_over} users have more hits than relevant items; "
            "an item may occur only once in a list"
        )
