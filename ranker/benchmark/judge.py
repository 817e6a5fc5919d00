"""Lists and predicted ratings turned into values of users, and systems compared by those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from features.arrays import Float64Array
from ranker.benchmark.cuts import Split
from ranker.evaluation import evaluate_per_user
from ranker.evaluation.intervals import percentiles, resampled_sums

RATINGS = "rmse"
"""How the names of metrics begin whose values are squared errors."""

_N_RESAMPLES = 1000


def list_values(lists: pl.DataFrame, split: Split, metrics: Sequence[str]) -> pl.DataFrame:
    """What the lists of a split are worth to each user.

    Parameters
    ----------
    lists : DataFrame
        ``user_id, item_id, rank``. Where the split names competitors, the others are passed over
        and those behind move up.
    split : Split
    metrics : sequence of str
        With their depths, as in ``"ndcg@10"``.

    Returns
    -------
    DataFrame
        ``user_id``, ``metric`` (String, as asked for), ``value`` (Float64), one row for each test
        user and metric.
    """
    if split.competitors is not None:
        lists = among(lists, split.competitors)
    values = evaluate_per_user(lists, split.test, metrics=list(metrics))
    return values.select("user_id", pl.format("{}@{}", "metric", "k").alias("metric"), "value")


def among(lists: pl.DataFrame, competitors: pl.DataFrame) -> pl.DataFrame:
    """The lists without what does not compete; ranks begin at 1 and have no gaps."""
    left = lists.join(competitors, on=["user_id", "item_id"], how="semi").sort("user_id", "rank")
    return left.with_columns(pl.int_range(1, pl.len() + 1).over("user_id").alias("rank"))


def rating_values(predicted: pl.Series, split: Split, *, fold: int) -> pl.DataFrame:
    """Squared errors of predicted ratings, one a test row; fold 1 stands there by itself, too.

    Returns
    -------
    DataFrame
        ``user_id``, ``metric`` (``"rmse"`` and ``"rmse u1"``), ``value`` (Float64).
    """
    actual = split.test["weight"].cast(pl.Float64)
    errors = split.test.select("user_id", value=(predicted.cast(pl.Float64) - actual) ** 2)
    names = [RATINGS, f"{RATINGS} u1"] if fold == 1 else [RATINGS]
    return pl.concat(errors.select("user_id", metric=pl.lit(name), value="value") for name in names)


def summary(
    values: Mapping[str, pl.DataFrame],
    metrics: Sequence[str],
    *,
    reference: str,
    random_state: int,
) -> pl.DataFrame:
    """Means of systems, and how far the reference is from each by the first metric.

    Parameters
    ----------
    values : mapping of system to DataFrame
        What :func:`list_values` or :func:`rating_values` gave, of all splits one below the other;
        the same rows for all systems.
    metrics : sequence of str
    reference : str
        One of the systems.
    random_state : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row for each system, best first: ``system``, a column for each metric (Float64; the
        mean over users and splits, of squared errors its root), ``difference``,
        ``difference_low``, ``difference_high`` (Float64; reference minus system by the first
        metric, with its paired 95 % interval; null for the reference). A user who occurs in
        several splits is drawn with all of them.
    """
    first = metrics[0]
    rows: list[dict[str, Any]] = []
    for system, frame in values.items():
        means = dict(frame.group_by("metric").agg(pl.col("value").mean()).iter_rows())
        row: dict[str, Any] = {"system": system}
        row |= {name: _shown(means[name], name) for name in metrics}
        if system != reference:
            row |= _apart(values[reference], frame, first, random_state)
        rows.append(row)
    apart = ("difference", "difference_low", "difference_high")
    schema = {"system": pl.String} | dict.fromkeys([*metrics, *apart], pl.Float64)
    table = pl.DataFrame(rows, schema=schema)
    return table.sort(first, descending=not first.startswith(RATINGS), maintain_order=True)


def _apart(
    reference: pl.DataFrame, other: pl.DataFrame, metric: str, random_state: int
) -> dict[str, float]:
    ours, theirs = (frame.filter(metric=metric) for frame in (reference, other))
    pairs = ours.select("user_id", pl.col("value").alias("ours"), theirs["value"].alias("theirs"))
    of_user = pairs.group_by("user_id").agg(pl.sum("ours"), pl.sum("theirs"), pl.len().alias("n"))
    sums = of_user.drop("user_id").to_numpy().astype(np.float64)
    resampled = _minus(
        resampled_sums(sums, n_resamples=_N_RESAMPLES, random_state=random_state), metric
    )
    low, high = percentiles(resampled, 0.95)
    difference = _minus(sums.sum(axis=0, keepdims=True), metric)[0]
    return {
        "difference": float(difference),
        "difference_low": float(low),
        "difference_high": float(high),
    }


def _minus(sums: Float64Array, metric: str) -> Float64Array:
    """Difference of the two means [n], of sums of both and of how many there are [n, 3]."""
    means = _shown(sums[:, :2] / sums[:, 2:], metric)
    difference: Float64Array = means[:, 0] - means[:, 1]
    return difference


def _shown(mean: Any, metric: str) -> Any:
    return np.sqrt(mean) if metric.startswith(RATINGS) else mean
