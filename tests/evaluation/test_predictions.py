"""Errors of ratings and calibration against scikit-learn and plain Python."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve as sklearn_curve
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from features.errors import ConfigError, SchemaError
from ranker.evaluation import (
    calibration_curve,
    calibration_error,
    evaluate_ratings,
    mae,
    rmse,
)

RATINGS = st.lists(st.tuples(st.floats(1, 5), st.floats(1, 5)), min_size=1, max_size=30)
CHANCES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(rows=RATINGS)
@settings(max_examples=60, deadline=None)
def test_errors_agree_with_scikit_learn(rows):
    predicted, actual = zip(*rows, strict=True)
    assert rmse(predicted, actual) == pytest.approx(root_mean_squared_error(actual, predicted))
    assert mae(predicted, actual) == pytest.approx(mean_absolute_error(actual, predicted))


@given(rows=CHANCES, n_bins=st.integers(1, 12), strategy=st.sampled_from(["uniform", "quantile"]))
@settings(max_examples=60, deadline=None)
def test_calibration_agrees_with_scikit_learn(rows, n_bins, strategy):
    p, happened = map(np.array, zip(*rows, strict=True))
    curve = calibration_curve(p, happened, n_bins=n_bins, strategy=strategy)
    observed, predicted = sklearn_curve(happened, p, n_bins=n_bins, strategy=strategy)
    assert curve["observed"].to_list() == pytest.approx(observed.tolist())
    assert curve["predicted"].to_list() == pytest.approx(predicted.tolist())
    assert curve["n"].sum() == len(rows)


@given(rows=CHANCES, n_bins=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_calibration_error_agrees_with_a_loop(rows, n_bins):
    p, happened = map(np.array, zip(*rows, strict=True))
    edges = np.linspace(0, 1, n_bins + 1)
    total = 0.0
    for j in range(n_bins):
        inside = (p > edges[j]) & (p <= edges[j + 1]) | (p == 0) & (j == 0)
        total += abs(p[inside].sum() - happened[inside].sum())
    assert calibration_error(p, happened, n_bins=n_bins) == pytest.approx(total / len(p))


def ratings(n_users: int = 30) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(n_users) for i in range(1 + u % 5)]
    test = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_columns(
        rating=pl.Series(rng.integers(1, 6, len(rows)).astype(float))
    )
    return test.select(
        "user_id", "item_id", score=pl.col("rating") + rng.normal(size=len(rows))
    ), test


def test_rows_count_and_users_are_resampled():
    predictions, test = ratings()
    table = evaluate_ratings(predictions.sample(fraction=1.0, shuffle=True, seed=1), test)
    assert table["metric"].to_list() == ["rmse", "mae"]
    assert table["mean"].to_list() == pytest.approx(
        [rmse(predictions["score"], test["rating"]), mae(predictions["score"], test["rating"])]
    )
    assert (table["ci_low"] < table["mean"]).all()
    assert (table["mean"] < table["ci_high"]).all()
    assert table.select("n_rows", "n_users").row(0) == (90, 30)
    # Users who are all wrong by the same have an interval of no width.
    flat = evaluate_ratings(test.with_columns(score=pl.col("rating") + 1), test, metrics="mae")
    assert flat.row(0)[1:4] == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.head(5), "85 of 90 pairs of test have no prediction"),
        (lambda p: pl.concat([p, p]), "occurs twice"),
        (lambda p: p.drop("score"), "'score' is missing"),
        (lambda p: p.with_columns(score=pl.lit("x")), "score has dtype String"),
        (lambda p: p.with_columns(score=pl.lit(float("nan"))), "not finite in 90 rows"),
        (lambda p: p.with_columns(pl.col("user_id").cast(pl.String)), "no row could match"),
    ],
)
def test_bad_predictions(change, message):
    predictions, test = ratings()
    with pytest.raises(SchemaError, match=message):
        evaluate_ratings(change(predictions), test)


def test_bad_arguments():
    predictions, test = ratings()
    with pytest.raises(ConfigError, match=r"metrics are \['mse'\]; expected some of rmse, mae"):
        evaluate_ratings(predictions, test, metrics="mse")
    with pytest.raises(ConfigError, match="n_resamples=0"):
        evaluate_ratings(predictions, test, n_resamples=0)
    with pytest.raises(ConfigError, match="expected as many of both"):
        rmse([1.0], [1.0, 2.0])
    with pytest.raises(ConfigError, match="actual has 1 values that are not finite"):
        mae([1.0], [float("nan")])
    with pytest.raises(ConfigError, match=r"probability runs from -1.0 to 2.0"):
        calibration_error([-1.0, 2.0], [0, 1])
    with pytest.raises(ConfigError, match="n_bins=0"):
        calibration_error([0.5], [1], n_bins=0)
    with pytest.raises(ConfigError, match="strategy='equal'; expected 'uniform' or 'quantile'"):
        calibration_curve([0.5], [1], strategy="equal")
