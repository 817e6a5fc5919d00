"""Recommendations judged against later interactions: one value per user, and their summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import ConfigError, SchemaError
from ranker.evaluation.frames import FrameLike, check_pairs, check_recommendations
from ranker.evaluation.intervals import bootstrap_intervals
from ranker.evaluation.metrics import METRICS, check_metric_name, hit_matrix
from ranker.evaluation.novelty import information_matrix, mean_information

COVERAGE, NOVELTY = "coverage", "novelty"
DEFAULT_METRICS = ("ndcg", "recall", "map", "mrr", "hit_rate", COVERAGE)
_KNOWN = (*METRICS, COVERAGE, NOVELTY)


def evaluate(
    recommendations: FrameLike,
    test: FrameLike,
    *,
    k: int | Sequence[int] = (10,),
    metrics: str | Sequence[str] | None = None,
    train: FrameLike | None = None,
    exclude_seen: bool = False,
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
        Names of :data:`ranker.evaluation.METRICS`, ``"coverage"`` or ``"novelty"``. Left out, they
        are ndcg, recall, map, mrr, hit_rate, and, where ``train`` is given, coverage.
    train : DataFrame or LazyFrame, optional
        ``user_id, item_id`` of what the recommender was fitted on. Its distinct items are the
        catalogue of coverage, the shares of its users who took an item make novelty (mean bits,
        see :func:`ranker.evaluation.novelty.mean_information`), and its pairs are what
        ``exclude_seen`` excludes.
    exclude_seen : bool
        Take the pairs of ``train`` out of ``test``: for recommenders that do not repeat what a user
        has had. Users with nothing left are left out.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    pl.DataFrame
        ``metric`` (String), ``k`` (Int64), ``mean``, ``ci_low``, ``ci_high`` (Float64), ``n_users``
        (Int64); one row per metric and depth, in the order asked for. Coverage is the share of the
        catalogue that occurs within the first k of the lists of the ``n_users`` test users; it is
        not a mean over users, so its interval is null.

    Raises
    ------
    SchemaError
        A frame has missing columns, null ids, ids of a dtype that cannot match those of ``test``,
        bad or repeated ranks, repeated items, or no test rows. One error names all problems of
        the frame.
    ConfigError
        An unknown metric or a bad k; coverage, novelty or ``exclude_seen`` without ``train``.

    Examples
    --------
    >>> recommendations = pl.DataFrame({"user_id": [1, 1], "item_id": [7, 8], "rank": [1, 2]})
    >>> test = pl.DataFrame({"user_id": [1, 2], "item_id": [8, 7]})
    >>> evaluate(recommendations, test, k=2, metrics="mrr").row(0)
    ('mrr', 2, 0.25, 0.0, 0.5, 2)
    """
    names = _metric_names(metrics, train)
    depths = _depths(k)
    judged = _judge(recommendations, test, max(depths), train, exclude_seen, NOVELTY in names)
    cells = [(name, depth) for name in names if name != COVERAGE for depth in depths]
    summary: dict[tuple[str, int], tuple[float, float | None, float | None]] = {}
    if cells:
        intervals = bootstrap_intervals(_values(judged, cells), random_state=random_state)
        summary |= {c: (i.mean, i.low, i.high) for c, i in zip(cells, intervals, strict=True)}
    if COVERAGE in names:
        shares = zip(depths, _coverage(judged, depths), strict=True)
        summary |= {(COVERAGE, depth): (share, None, None) for depth, share in shares}
    n_users = len(judged.users)
    rows = [(name, k, *summary[name, k], n_users) for name in names for k in depths]
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
) -> pl.DataFrame:
    """The values that :func:`evaluate` summarises: for paired comparisons and for segments.

    Parameters
    ----------
    recommendations, test, k, metrics, train, exclude_seen
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
        As :func:`evaluate`; ConfigError also where coverage is asked for.
    """
    names = _metric_names(metrics, train, coverage_hint="use evaluate for it", per_user=True)
    depths = _depths(k)
    judged = _judge(recommendations, test, max(depths), train, exclude_seen, NOVELTY in names)
    cells = [(name, depth) for name in names for depth in depths]
    values = _values(judged, cells)
    users = judged.users.cast(test.collect_schema()["user_id"])
    return pl.concat(
        pl.DataFrame({"user_id": users, "value": values[:, position]}).select(
            "user_id",
            pl.lit(name).alias("metric"),
            pl.lit(depth, dtype=pl.Int64).alias("k"),
            "value",
        )
        for position, (name, depth) in enumerate(cells)
    )


@dataclass(frozen=True)
class _Judged:
    """Test users in ascending order with their hits, and what coverage needs."""

    users: pl.Series
    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]
    lists: pl.DataFrame
    catalogue: pl.Series  # distinct items of train; empty without it
    information: NDArray[np.float64] | None  # bits by rank; None where nobody asks


def _judge(
    recommendations: FrameLike,
    test: FrameLike,
    depth: int,
    train: FrameLike | None,
    exclude_seen: bool,
    with_novelty: bool,
) -> _Judged:
    if exclude_seen and train is None:
        raise ConfigError("exclude_seen=True needs train=, the interactions that users have seen")
    pairs = truth = check_pairs(test, table="test")
    lists = check_recommendations(recommendations, like=pairs)
    seen = None if train is None else check_pairs(train, table="train", like=pairs)
    if exclude_seen and seen is not None:
        truth = pairs.join(seen, on=["user_id", "item_id"], how="anti")
        if truth.height == 0:
            problem = f"all {pairs.height} rows are pairs that train has already, so exclude_seen "
            raise SchemaError("test", [problem + "leaves no user; pass False where items repeat"])
    users = truth["user_id"].unique().sort()
    hits, n_relevant = hit_matrix(lists, truth, users, depth=depth)
    catalogue = (truth.clear() if seen is None else seen)["item_id"].unique()
    information = None
    if with_novelty and seen is not None:
        information = information_matrix(lists, seen, users, depth=depth)
    return _Judged(users, hits, n_relevant, lists, catalogue, information)


def _values(judged: _Judged, cells: Sequence[tuple[str, int]]) -> NDArray[np.float64]:
    """Float64 [n_users, n_cells] of the metric and depth of each cell."""
    columns = []
    for name, depth in cells:
        if name == NOVELTY and judged.information is not None:
            columns.append(mean_information(judged.information, k=depth))
        else:
            columns.append(METRICS[name](judged.hits, judged.n_relevant, k=depth))
    return np.column_stack(columns)


def _coverage(judged: _Judged, depths: Sequence[int]) -> list[float]:
    best_rank = (
        judged.lists.join(judged.users.to_frame(), on="user_id", how="semi")
        .group_by("item_id")
        .agg(pl.col("rank").min())
        .join(judged.catalogue.to_frame(), on="item_id", how="semi")["rank"]
    )
    return [int((best_rank <= k).sum()) / len(judged.catalogue) for k in depths]


def _metric_names(
    metrics: str | Sequence[str] | None,
    train: FrameLike | None,
    coverage_hint: str = "pass train=, whose items are the catalogue",
    *,
    per_user: bool = False,
) -> list[str]:
    no_coverage = per_user or train is None
    if metrics is None:
        return [name for name in DEFAULT_METRICS if name != COVERAGE or not no_coverage]
    asked = [metrics] if isinstance(metrics, str) else list(dict.fromkeys(metrics))
    if not asked:
        raise ConfigError(f"metrics is empty; expected some of {', '.join(_KNOWN)}")
    names = [check_metric_name(name, known=_KNOWN) for name in asked]
    if NOVELTY in names and train is None:
        raise ConfigError(
            "novelty is made of the shares of users who took an item: pass train=, or leave it out "
            "of metrics"
        )
    if COVERAGE in names and no_coverage:
        raise ConfigError(
            "coverage is the share of the catalogue that is recommended, not a value of a user or "
            f"of test alone: {coverage_hint}, or leave it out of metrics"
        )
    return names


def _depths(k: int | Sequence[int]) -> list[int]:
    asked = list(k) if isinstance(k, Sequence) else [k]
    if not asked:
        raise ConfigError("k is empty; expected at least one depth")
    bad = [depth for depth in asked if isinstance(depth, bool) or not hasattr(depth, "__index__")]
    if bad or min(asked) < 1:
        raise ConfigError(f"k is {k!r}; expected whole numbers of at least 1")
    return [index(depth) for depth in dict.fromkeys(asked)]
