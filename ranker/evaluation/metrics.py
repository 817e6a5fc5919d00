"""Ranking metrics as pure functions of hits.

Every metric maps the hits (at which ranks is a relevant item?), ``n_relevant`` (how many distinct
items were relevant for this user) and ``k`` to one value per user. Nothing here knows a model.
The sums run over the hits only, in order of rank, so a user's value depends neither on the other
users nor on the number of threads.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import update_wrapper
from types import MappingProxyType

import numpy as np

from features.arrays import BoolArray, Float64Array, Int64Array
from features.errors import ConfigError
from ranker.evaluation import kernels
from ranker.evaluation.hits import Hits


class Metric:
    """What every entry of :data:`METRICS` is: a formula that can be asked with arrays.

    Attributes
    ----------
    formula : callable
        ``formula(hits, k)``, the values of :class:`~ranker.evaluation.hits.Hits` that are known
        to be right.
    """

    def __init__(self, formula: Callable[[Hits, int], Float64Array]) -> None:
        self.formula = formula
        update_wrapper(self, formula)

    def __call__(self, hits: BoolArray, n_relevant: Int64Array, *, k: int) -> Float64Array:
        """Value of each user.

        Parameters
        ----------
        hits : bool array, shape (n_users, depth)
            Whether the item at each rank is relevant; column 0 is rank 1. A list that is shorter
            than ``depth`` is padded with False, and ranks beyond ``depth`` count as misses.
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
            Shapes or dtypes do not fit, ``k`` or an ``n_relevant`` is below 1, or a user has more
            hits than relevant items (an item occurs twice in the list).
        """
        _check(hits, n_relevant, k)
        return self.formula(Hits.of_matrix(hits, n_relevant), k)


@Metric
def recall(hits: Hits, k: int) -> Float64Array:
    """Share of a user's relevant items within the first k: ``hits@k / n_relevant``.

    Divided by the number of relevant items even where that exceeds k (LightGCN, SimpleX and others
    report this one); see :func:`recall_capped` for the other convention.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.3.
    """
    values: Float64Array = hits.n_within(k) / hits.n_relevant
    return values


@Metric
def recall_capped(hits: Hits, k: int) -> Float64Array:
    """Share of the hits that k places allow: ``hits@k / min(k, n_relevant)``.

    Source: Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
    section 4.2.
    """
    values: Float64Array = hits.n_within(k) / hits.n_ideal(k)
    return values


@Metric
def precision(hits: Hits, k: int) -> Float64Array:
    """Share of the k places that hold a relevant item: ``hits@k / k``; absent places are misses.

    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4.
    """
    values: Float64Array = hits.n_within(k) / np.float64(k)
    return values


@Metric
def hit_rate(hits: Hits, k: int) -> Float64Array:
    """1 where at least one of the first k items is relevant, else 0.

    Source: Deshpande, Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004,
    section 6.1 (there with one relevant item a user).
    """
    return (hits.n_within(k) > 0).astype(np.float64)


@Metric
def mrr(hits: Hits, k: int) -> Float64Array:
    """``1 / rank`` of the first relevant item within the first k; 0 where there is none.

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """
    values: Float64Array = kernels.reciprocal_rank(hits.indptr, hits.rank, k)
    return values


@Metric
def average_precision(hits: Hits, k: int) -> Float64Array:
    """Average precision: ``sum over hits at ranks r <= k of precision@r, / min(k, n_relevant)``.

    Its mean over users is MAP@k. Dividing by ``min(k, n_relevant)`` lets a perfect list reach 1
    for every user; dividing by ``n_relevant`` would not, see :func:`average_precision_full`.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, equation 8.8,
    cut at k.
    """
    values: Float64Array = kernels.precision_sum(hits.indptr, hits.rank, k) / hits.n_ideal(k)
    return values


@Metric
def average_precision_full(hits: Hits, k: int) -> Float64Array:
    """Average precision that all relevant items divide: ``sum of precision@r, / n_relevant``.

    The other convention of MAP@k: a user with more than k relevant items cannot reach 1. Published
    figures of the random splits of MovieLens 100k are of this kind.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, equation 8.8, with
    what stands behind rank k taken for misses.
    """
    values: Float64Array = kernels.precision_sum(hits.indptr, hits.rank, k) / hits.n_relevant
    return values


@Metric
def ndcg(hits: Hits, k: int) -> Float64Array:
    """Binary NDCG: ``sum over hits at ranks r <= k of 1 / log2(r + 1)``, divided by the ideal sum.

    The ideal list has its ``min(k, n_relevant)`` first places filled, so that a perfect list is
    worth 1 also where a user has fewer than k, or more than k, relevant items.
    Source: Järvelin, Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002,
    with the discount of Burges et al., ICML 2005.
    """
    n_ideal = hits.n_ideal(k)
    n_places = min(k, max(int(n_ideal.max(initial=1)), int(hits.rank.max(initial=1))))
    discount = 1.0 / np.log2(np.arange(2, n_places + 2))
    gain = kernels.discounted_sum(hits.indptr, hits.rank, discount, k)
    values: Float64Array = gain / np.cumsum(discount)[n_ideal - 1]
    return values


@Metric
def r_precision(hits: Hits, k: int) -> Float64Array:
    """Precision at the rank that a perfect list would end at: ``hits@R / R, R = n_relevant``.

    Ranks beyond k hold misses, so give a k that is not below what users have relevant.
    Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval*, section 8.4.
    """
    values: Float64Array = hits.n_within(hits.n_ideal(k)) / hits.n_relevant
    return values


@Metric
def auc(hits: Hits, k: int) -> Float64Array:
    """Share of the pairs of a relevant item and a miss within k that are in the right order.

    ``sum over hits at ranks r <= k of (misses behind r) / (n_relevant * misses within k)``. A
    relevant item that is not within k stands behind every miss there; where all k places hold
    hits, the value is ``k / n_relevant``. With the whole catalogue listed and k its size, this is
    the area under the ROC curve. An order is all there is, so no pair is tied.
    Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009,
    section 4.1; cut at k as in Schröder et al., "Setting Goals and Choosing Metrics for
    Recommender System Evaluations", 2011.
    """
    n_hits = hits.n_within(k)
    n_misses = k - n_hits
    right = n_hits * n_misses - kernels.misses_ahead(hits.indptr, hits.rank, k)
    share = np.where(n_hits == k, n_hits, right / np.maximum(n_misses, 1))
    values: Float64Array = share / hits.n_relevant
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


def _check(hits: BoolArray, n_relevant: Int64Array, k: int) -> None:
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
    n_over = np.count_nonzero(hits.sum(axis=1) > n_relevant)
    if n_over:
        raise ConfigError(
            f"{n_over} users have more hits than relevant items; "
            "an item may occur only once in a list"
        )
