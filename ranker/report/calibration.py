"""How often what stands at a place was taken, and whether scores can be read as probabilities."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.arrays import Float64Array
from ranker.evaluation import calibration_curve, calibration_error
from ranker.evaluation.predictions import BinStrategy
from ranker.report.data import Absent, Calibration

_MIN_USERS = 100
_BINS: BinStrategy = "quantile"  # what is listed is rarely taken: bins of equal width are one bin
_Z = 1.959964  # the normal quantile of 95 %


def hits_of(lists: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The lists with a Boolean column ``taken``: whether it is among the pairs of test.

    Parameters
    ----------
    lists : DataFrame
        Canonical ids: user_id, item_id, rank, score.
    test : DataFrame
        Canonical ids: user_id, item_id, each pair once.
    """
    return lists.join(
        test.select("user_id", "item_id", taken=pl.lit(value=True)),
        on=["user_id", "item_id"],
        how="left",
        maintain_order="left",
    ).with_columns(pl.col("taken").fill_null(value=False))


def place_rates(hits: pl.DataFrame) -> pl.DataFrame:
    """How often the items at each place were taken, with Wilson's 95 % interval.

    Wilson: Probable inference, the law of succession, and statistical inference (JASA 1927).

    Returns
    -------
    DataFrame
        place, listed, taken (Int64), rate, low, high (Float64).
    """
    table = (
        hits.group_by(pl.col("rank").alias("place"))
        .agg(listed=pl.len().cast(pl.Int64), taken=pl.col("taken").sum().cast(pl.Int64))
        .sort("place")
    )
    n, rate = table["listed"].to_numpy(), (table["taken"] / table["listed"]).to_numpy()
    low, high = _wilson(rate, n)
    return table.with_columns(rate=pl.Series(rate), low=pl.Series(low), high=pl.Series(high))


def score_calibration(hits: pl.DataFrame, *, random_state: int) -> Calibration | Absent:
    """Turn scores into probabilities by one half of the users, and check them on the other.

    By isotonic regression: Zadrozny, Elkan: Transforming classifier scores into accurate
    multiclass probability estimates (KDD 2002).

    Parameters
    ----------
    hits : DataFrame
        user_id, score (null: nothing proposed it), taken.
    random_state : int
        Parts the users.
    """
    scored = hits.drop_nulls("score")
    users = scored["user_id"].unique().sort()
    if len(users) < _MIN_USERS:
        return Absent(
            f"Scores are not checked as probabilities: that takes {_MIN_USERS} users whose items "
            f"were scored, and there are {len(users)}."
        )
    # Imported here: scikit-learn brings pandas, which takes long.
    from sklearn.isotonic import IsotonicRegression

    order = np.random.default_rng(random_state).permutation(len(users))
    first = users.gather(np.sort(order[: len(users) // 2]))
    learned = scored.filter(pl.col("user_id").is_in(first.implode()))
    checked = scored.filter(~pl.col("user_id").is_in(first.implode()))
    if not learned["taken"].any():
        return Absent(
            "Scores are not checked as probabilities: of the users to learn from, nobody took "
            "anything that was listed."
        )
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    curve.fit(_float(learned["score"]), _float(learned["taken"]))
    probability = np.clip(curve.predict(_float(checked["score"])), 0.0, 1.0)
    taken = _float(checked["taken"])
    return Calibration(
        calibration_curve(probability, taken, strategy=_BINS),
        calibration_error(probability, taken, strategy=_BINS),
        n_learned=learned["user_id"].n_unique(),
        n_checked=checked["user_id"].n_unique(),
    )


def _float(values: pl.Series) -> Float64Array:
    return values.cast(pl.Float64).to_numpy()


def _wilson(rate: Float64Array, n: Float64Array) -> tuple[Float64Array, Float64Array]:
    middle = rate + _Z**2 / (2 * n)
    half = _Z * np.sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    low, high = (middle - half) / scale, (middle + half) / scale
    return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
