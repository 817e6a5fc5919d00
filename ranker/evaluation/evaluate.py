"""Recommendations judged against later interactions: one value per user, and their summary."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.arrays import Float32Array, FrameLike
from features.errors import ConfigError, SchemaError
from features.ids import Ids
from ranker.arguments import MOST
from ranker.evaluation.beyond import LIST_METRICS, SYSTEM_METRICS, ListFacts, check_needs
from ranker.evaluation.calibration import check_categories
from ranker.evaluation.frames import check_pairs, check_recommendations
from ranker.evaluation.hits import find_hits
from ranker.evaluation.intervals import bootstrap_intervals
from ranker.evaluation.metrics import METRICS, check_metric_name

COVERAGE = "coverage"
DEFAULT_METRICS = ("ndcg", "recall", "map", "mrr", "hit_rate", COVERAGE)
KNOWN_METRICS = (*METRICS, *LIST_METRICS, *SYSTEM_METRICS)

Embedding = tuple[pl.Series, Float32Array]
Cell = tuple[str, int]


def evaluate(
    recommendations: FrameLike,
    test: FrameLike,
    *,
    k: int | Sequence[int] = (10,),
    metrics: str | Sequence[str] | None = None,
    train: FrameLike | None = None,
    exclude_seen: bool = False,
    other: FrameLike | None = None,
    embedding: Embedding | None = None,
    categories: FrameLike | None = None,
    random_state: int = 0,
) -> pl.DataFrame:
    """Mean over the test users of each metric at each depth, with a 95 % bootstrap interval.

    Every user of ``test`` counts: one without recommendations has the value 0. Users that are only
    in ``recommendations`` are ignored. A place that a list leaves empty, at its end or between two
    ranks, is a miss. An item of ``test`` that no list can hold (because it is new) counts as
    relevant and is missed.

    Parameters
    ----------
    recommendations : DataFrame or LazyFrame
        ``user_id, item_id, rank`` (integer, 1 = best); each item and each rank once per user.
    test : DataFrame or LazyFrame
        ``user_id, item_id`` of what happened; repeated rows of a user and an item count once.
    k : int or sequence of int
        Depths, at least 1.
    metrics : str or sequence of str, optional
        Names of :data:`ranker.evaluation.METRICS` (accuracy),
        :data:`ranker.evaluation.LIST_METRICS` (other values of a list) or
        :data:`ranker.evaluation.SYSTEM_METRICS` (values of all lists together), each at every
        depth of ``k``, or with its own one, as in ``"ndcg@10"``. Left out, they are ndcg, recall,
        map, mrr, hit_rate, and, where ``train`` is given, coverage.
    train : DataFrame or LazyFrame, optional
        ``user_id, item_id`` of what the recommender was fitted on. Its distinct items are the
        catalogue of coverage and Gini index, the shares of its users who took an item make
        novelty (mean bits, see :func:`ranker.evaluation.novelty.mean_information`), and its pairs
        are what ``exclude_seen`` excludes.
    exclude_seen : bool
        Take the pairs of ``train`` out of ``test``: for recommenders that do not repeat what a user
        has had. Users with nothing left are left out.
    other : DataFrame or LazyFrame, optional
        The recommendations that ``"overlap"`` compares with.
    embedding : (Series, float32 array [n_items, n_factors]), optional
        Ids of items, and their vectors, for ``"intra_list_diversity"``.
    categories : DataFrame or LazyFrame, optional
        ``item_id``, once each, and one other column, such as a genre or a list of them, for
        ``"miscalibration"`` (see :func:`ranker.evaluation.beyond.miscalibration`).
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    pl.DataFrame
        ``metric`` (String), ``k`` (Int64), ``mean``, ``ci_low``, ``ci_high`` (Float64), ``n_users``
        (Int64); one row per metric and depth, in the order asked for. Coverage (the share of the
        catalogue that occurs within the first k of the lists of the ``n_users`` test users) and
        Gini index are not means over users, so their interval is null.

    Raises
    ------
    SchemaError
        A frame has missing columns, null ids, ids of a dtype that cannot match those of ``test``,
        bad or repeated ranks, repeated items, or no test rows. One error names all problems of
        the frame.
    ConfigError
        An unknown metric or a bad k; a metric without what it is made of (``train``, ``other``,
        ``embedding``, ``categories``), ``exclude_seen`` without ``train``.

    Examples
    --------
    >>> recommendations = pl.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "rank": [1, 2]})
    >>> test = pl.DataFrame({"user_id": [1, 2], "item_id": [8, 7]})
    >>> evaluate(recommendations, test, k=2, metrics="mrr").row(0)
    ('mrr', 2, 0.25, 0.0, 0.5, 2)
    """
    cells = _cells(metrics, k, _given(train, other, embedding, categories))
    facts = _judge(recommendations, test, cells, train, exclude_seen, other, embedding, categories)
    of_user = [cell for cell in cells if cell[0] not in SYSTEM_METRICS]
    summary: dict[Cell, tuple[float, float | None, float | None]] = {}
    if of_user:
        intervals = bootstrap_intervals(_values(facts, of_user), random_state=random_state)
        summary |= {c: (i.mean, i.low, i.high) for c, i in zip(of_user, intervals, strict=True)}
    for name, depth in cells:
        if name in SYSTEM_METRICS:
            summary[name, depth] = (SYSTEM_METRICS[name](facts, k=depth), None, None)
    n_users = len(facts.users)
    rows = [(*cell, *summary[cell], n_users) for cell in cells]
    schema = {"metric": pl.String, "k": pl.Int64, "mean": pl.Float64}
    schema |= {"ci_low": pl.Float64, "ci_high": pl.Float64, "n_users": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def evaluate_per_user(
    recommendations: FrameLike,
    test: FrameLike,
    *,
    k: int | Sequence[int] = (10,),
    metrics: str | Sequence[str] | None = None,
    train: FrameLike | None = None,
    exclude_seen: bool = False,
    other: FrameLike | None = None,
    embedding: Embedding | None = None,
    categories: FrameLike | None = None,
) -> pl.DataFrame:
    """The values that :func:`evaluate` summarises: for paired comparisons and for segments.

    Parameters
    ----------
    recommendations, test, k, metrics, train, exclude_seen, other, embedding, categories
        As for :func:`evaluate`; coverage is left out of the default, being no user's value.

    Returns
    -------
    pl.DataFrame
        ``user_id`` (dtype as in ``test``), ``metric`` (String), ``k`` (Int64), ``value`` (Float64);
        one row per test user, metric and depth: metrics and depths in the order asked for, users
        ascending within them.

    Raises
    ------
    SchemaError, ConfigError
        As :func:`evaluate`; ConfigError also where coverage or gini is asked for.
    """
    cells = _cells(metrics, k, _given(train, other, embedding, categories), per_user=True)
    facts = _judge(recommendations, test, cells, train, exclude_seen, other, embedding, categories)
    values = _values(facts, cells)
    users = facts.users.cast(test.collect_schema()["user_id"])
    return pl.concat(
        pl.DataFrame({"user_id": users, "value": values[:, position]}).select(
            "user_id",
            pl.lit(name).alias("metric"),
            pl.lit(depth, dtype=pl.Int64).alias("k"),
            "value",
        )
        for position, (name, depth) in enumerate(cells)
    )


def _judge(
    recommendations: FrameLike,
    test: FrameLike,
    cells: Sequence[Cell],
    train: FrameLike | None,
    exclude_seen: bool,
    other: FrameLike | None,
    embedding: Embedding | None,
    categories: FrameLike | None,
) -> ListFacts:
    if exclude_seen and train is None:
        raise ConfigError("exclude_seen=True needs train=, the interactions that users have seen")
    pairs = truth = check_pairs(test, table="test")
    lists = check_recommendations(recommendations, like=pairs)
    seen = None if train is None else check_pairs(train, table="train", like=pairs)
    others = None if other is None else check_recommendations(other, like=pairs)
    if exclude_seen and seen is not None:
        truth = pairs.join(seen, on=["user_id", "item_id"], how="anti")
        if truth.height == 0:
            problem = f"all {pairs.height} rows are pairs that train has already, so exclude_seen "
            raise SchemaError("test", [problem + "leaves no user; pass False where items repeat"])
    users = Ids.sorted(truth["user_id"]).values
    depth = max(depth for _, depth in cells)
    return ListFacts(
        users,
        lists,
        find_hits(lists, truth, users, depth=depth),
        depth,
        train=seen,
        other=others,
        embedding=embedding,
        categories=None if categories is None else check_categories(categories, like=pairs),
    )


def _values(facts: ListFacts, cells: Sequence[Cell]) -> NDArray[np.float64]:
    """Float64 [n_users, n_cells] of the metric and depth of each cell, in order of columns."""
    return np.stack(
        [
            LIST_METRICS[name](facts, k=depth)
            if name in LIST_METRICS
            else METRICS[name].formula(facts.found, depth)
            for name, depth in cells
        ]
    ).T


def _given(
    train: FrameLike | None,
    other: FrameLike | None,
    embedding: Embedding | None,
    categories: FrameLike | None,
) -> frozenset[str]:
    named = {"train": train, "other": other, "embedding": embedding, "categories": categories}
    return frozenset(name for name, value in named.items() if value is not None)


def _cells(
    metrics: str | Sequence[str] | None,
    k: int | Sequence[int],
    given: frozenset[str],
    *,
    per_user: bool = False,
) -> list[Cell]:
    """Metrics and depths in the order asked for, each once."""
    depths = _depths(k)
    if metrics is None:
        has_coverage = "train" in given and not per_user
        asked = [name for name in DEFAULT_METRICS if name != COVERAGE or has_coverage]
    else:
        asked = [metrics] if isinstance(metrics, str) else list(metrics)
    if not asked:
        raise ConfigError(f"metrics is empty; expected some of {', '.join(KNOWN_METRICS)}")
    cells: dict[Cell, None] = {}
    for text in asked:
        name, own_depth = parse_metric(text)
        check_needs(name, given, per_user=per_user)
        cells |= {(name, depth): None for depth in (depths if own_depth is None else [own_depth])}
    return list(cells)


def parse_metric(text: str) -> tuple[str, int | None]:
    """Name and depth of ``"ndcg@10"``; the depth of ``"ndcg"`` is None.

    Raises
    ------
    ConfigError
        An unknown name, or a depth that is no whole number of at least 1.

    Examples
    --------
    >>> parse_metric("ndcg@10"), parse_metric("coverage")
    (('ndcg', 10), ('coverage', None))
    """
    name, at, depth = str(text).partition("@")
    check_metric_name(name, known=KNOWN_METRICS)
    if not at:
        return name, None
    if not (depth.isascii() and depth.isdigit() and 1 <= int(depth[:20]) <= MOST):
        raise ConfigError(
            f"metric {text!r} has the depth {depth!r}; expected a whole number of at least 1 after "
            f"the @, and at most {MOST}, as in '{name}@10'"
        )
    return name, int(depth)


def _depths(k: int | Sequence[int]) -> list[int]:
    asked = list(k) if isinstance(k, Sequence | np.ndarray) else [k]
    if not asked:
        raise ConfigError("k is empty; expected at least one depth")
    bad = [depth for depth in asked if isinstance(depth, bool) or not hasattr(depth, "__index__")]
    if bad or min(asked) < 1 or max(asked) > MOST:
        raise ConfigError(f"k is {k!r}; expected whole numbers of at least 1 and at most {MOST}")
    return [index(depth) for depth in dict.fromkeys(asked)]
