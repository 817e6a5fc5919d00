"""How far predicted ratings and probabilities are from what came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from features.arrays import Float64Array, FrameLike
from features.errors import ConfigError, SchemaError
from features.schema import canonical_ids
from ranker.arguments import check_count
from ranker.evaluation.frames import IDS, check_pairs, collect
from ranker.evaluation.intervals import percentiles, resampled_sums

RATING_METRICS = ("rmse", "mae")
BinStrategy = Literal["uniform", "quantile"]


def rmse(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Root mean squared error: ``sqrt(mean((predicted - actual)^2))`` over the rows.

    Source: Herlocker et al., "Evaluating Collaborative Filtering Recommender Systems", TOIS 2004,
    section 4.1.1.

    Parameters
    ----------
    predicted, actual : array of float, shape (n,)

    Raises
    ------
    ConfigError
        Different lengths, none at all, or values that are not finite.

    Examples
    --------
    >>> rmse([3.0, 5.0], [3.0, 3.0]) ** 2, mae([3.0, 5.0], [3.0, 3.0])
    (2.0000000000000004, 1.0)
    """
    first, second = _pair(predicted, actual)
    return float(np.sqrt(np.mean((first - second) ** 2)))


def mae(predicted: ArrayLike, actual: ArrayLike) -> float:
    """Mean absolute error: ``mean(|predicted - actual|)`` over the rows.

    Source, parameters and errors as for :func:`rmse`.
    """
    first, second = _pair(predicted, actual)
    return float(np.mean(np.abs(first - second)))


def evaluate_ratings(
    predictions: FrameLike,
    test: FrameLike,
    *,
    metrics: str | Sequence[str] = RATING_METRICS,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> pl.DataFrame:
    """Errors of predicted ratings over all test rows, with 95 % bootstrap intervals.

    Users are resampled with all their rows, since the ratings of a user are not independent.

    Parameters
    ----------
    predictions : DataFrame or LazyFrame
        ``user_id, item_id, score``: one row for each pair of ``test``; others are ignored.
    test : DataFrame or LazyFrame
        ``user_id, item_id, rating``.
    metrics : str or sequence of str
        ``"rmse"``, ``"mae"``.
    n_resamples, random_state
        Of the bootstrap.

    Returns
    -------
    DataFrame
        ``metric`` (String), ``mean`` (the value), ``ci_low``, ``ci_high`` (Float64), ``n_rows``,
        ``n_users`` (Int64).

    Raises
    ------
    SchemaError
        Missing columns, null or NaN values, a pair twice in ``predictions``, or a test pair
        without a prediction.
    ConfigError
        An unknown metric.
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    unknown = [name for name in names if name not in RATING_METRICS]
    if unknown or not names:
        raise ConfigError(f"metrics are {names}; expected some of {', '.join(RATING_METRICS)}")
    truth = _numbers(test, "test", "rating", None)
    guesses = _numbers(predictions, "predictions", "score", truth)
    if guesses.select(IDS).is_duplicated().any():
        raise SchemaError("predictions", ["a pair of user and item occurs twice; expected once"])
    both = truth.join(guesses, on=list(IDS), how="left")
    n_without = both["score"].null_count()
    if n_without:
        problem = f"{n_without} of {truth.height} pairs of test have no prediction; predict a mean "
        raise SchemaError("predictions", [problem + "where nothing is known"])
    error = pl.col("score") - pl.col("rating")
    sums = both.group_by("user_id").agg(
        (error**2).sum().alias("rmse"), error.abs().sum().alias("mae"), pl.len().alias("n")
    )
    of_user = sums.select("rmse", "mae", "n").to_numpy().astype(np.float64)
    totals = resampled_sums(of_user, n_resamples=n_resamples, random_state=random_state)
    means, resampled = _errors(of_user.sum(axis=0)), _errors(totals.T)
    rows = []
    for name in names:
        low, high = percentiles(resampled[name], 0.95)
        rows.append((name, float(means[name]), float(low), float(high), truth.height, len(of_user)))
    columns = ["metric", "mean", "ci_low", "ci_high", "n_rows", "n_users"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def calibration_curve(
    probability: ArrayLike,
    happened: ArrayLike,
    *,
    n_bins: int = 10,
    strategy: BinStrategy = "uniform",
) -> pl.DataFrame:
    """Predicted probabilities against how often it came true, in bins.

    Source: Niculescu-Mizil, Caruana, "Predicting Good Probabilities with Supervised Learning",
    ICML 2005, section 2 (reliability diagram).

    Parameters
    ----------
    probability : array of float in [0, 1], shape (n,)
    happened : array of bool or of 0 and 1, shape (n,)
    n_bins : int
    strategy : "uniform" or "quantile"
        Bins of equal width: bin j of n holds ``(j - 1) / n < p <= j / n``, the first one 0 as well.
        Or with the quantiles of ``probability`` as edges, so that bins hold as many rows as equal
        values allow: for what happens rarely, which bins of equal width put into the first one.

    Returns
    -------
    DataFrame
        One row per bin that is not empty: ``predicted`` (mean probability), ``observed`` (share
        that came true), ``n`` (Int64).

    Raises
    ------
    ConfigError
        Different lengths, values out of range, or an unknown strategy.

    Examples
    --------
    >>> calibration_curve([0.1, 0.9, 0.9], [0, 1, 0], n_bins=2).rows()
    [(0.1, 0.0, 1), (0.9, 0.5, 2)]
    """
    check_count(n_bins=n_bins)
    if strategy not in get_args(BinStrategy):
        raise ConfigError(f"strategy={strategy!r}; expected 'uniform' or 'quantile'")
    p, came = _pair(probability, happened, names=("probability", "happened"))
    if p.min() < 0 or p.max() > 1 or not np.isin(came, (0.0, 1.0)).all():
        raise ConfigError(
            f"probability runs from {p.min()} to {p.max()} and happened from {came.min()} to "
            f"{came.max()}; expected [0, 1], and 0 or 1. Scores that order a list are no "
            "probabilities"
        )
    inner = np.linspace(0.0, 1.0, n_bins + 1)[1:-1]
    if strategy == "quantile":
        inner = np.percentile(p, 100.0 * inner)  # as scikit-learn rounds them
    place = np.searchsorted(inner, p)
    n = np.bincount(place, minlength=n_bins)
    some = n > 0
    sums = [np.bincount(place, part, minlength=n_bins)[some] / n[some] for part in (p, came)]
    return pl.DataFrame({"predicted": sums[0], "observed": sums[1], "n": n[some]})


def calibration_error(
    probability: ArrayLike,
    happened: ArrayLike,
    *,
    n_bins: int = 10,
    strategy: BinStrategy = "uniform",
) -> float:
    """Expected calibration error: ``sum over bins of n_b / n * |observed_b - predicted_b|``.

    Source: Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI 2015, equation 3, with the bins of :func:`calibration_curve`.

    Parameters and errors as there.

    Returns
    -------
    float in [0, 1], 0 where every bin is right on average

    Examples
    --------
    >>> calibration_error([0.5, 0.5], [0, 1]), calibration_error([1.0, 1.0], [0, 1])
    (0.0, 0.5)
    """
    curve = calibration_curve(probability, happened, n_bins=n_bins, strategy=strategy)
    apart = (curve["predicted"] - curve["observed"]).abs().to_numpy()
    n = curve["n"].to_numpy()
    return float(apart @ n / n.sum())


def _errors(sums: Float64Array) -> dict[str, Float64Array]:
    """RMSE and MAE from sums of squares, of distances, and numbers of rows."""
    return {"rmse": np.sqrt(sums[0] / sums[2]), "mae": sums[1] / sums[2]}


def _pair(
    first: ArrayLike, second: ArrayLike, *, names: tuple[str, str] = ("predicted", "actual")
) -> tuple[Float64Array, Float64Array]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ConfigError(
            f"{names[0]} has shape {a.shape} and {names[1]} {b.shape}; expected as many of both, "
            "and one at least"
        )
    for name, array in zip(names, (a, b), strict=True):
        n_bad = np.count_nonzero(~np.isfinite(array))
        if n_bad:
            raise ConfigError(f"{name} has {n_bad} values that are not finite; drop them")
    return a, b


def _numbers(frame: FrameLike, table: str, column: str, like: pl.DataFrame | None) -> pl.DataFrame:
    check_pairs(frame, table=table, like=like)
    found = collect(frame, table=table, columns=(*IDS, column))
    if column not in found.columns:
        raise SchemaError(table, [f"column {column!r} is missing"])
    values = found[column]
    if not values.dtype.is_numeric():
        raise SchemaError(table, [f"{column} has dtype {values.dtype}; expected a number"])
    values = values.cast(pl.Float64)
    n_bad = int((~values.is_finite().fill_null(value=False)).sum())
    if n_bad:
        raise SchemaError(table, [f"{column} is null or not finite in {n_bad} rows; drop them"])
    return found.with_columns(values, *(canonical_ids(found[name]) for name in IDS))
