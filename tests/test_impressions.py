"""What was shown and where, and what LambdaRank makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from features.clock import Clock
from features.errors import ConfigError, SchemaError
from features.history import LogFacts
from features.schema import check_interactions
from ranker import LabelWindows, LambdaRank, TwoStageRecommender
from ranker.candidates.base import Retrieved
from ranker.candidates.merge import merge
from ranker.impressions import check_impressions, position_of, shown_between
from tests.logs import history_from, make_log
from tests.recommenders import small
from tests.rerank.tables import table_of

LOG = make_log("datetime")
CLOCK = Clock.of(check_interactions(LOG))
SHOWN = LOG.select("user_id", "item_id", "timestamp").with_columns(
    position=pl.int_range(pl.len()) % 5 + 1
)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (SHOWN.drop("position"), "position: the column is missing"),
        (SHOWN.drop("timestamp"), "timestamp: the column is missing"),
        (SHOWN.drop("user_id"), "user_id: the column is missing"),
        (SHOWN.with_columns(pl.col("position") - 1), r"position: 100 values .*\(such as \[0\]\)"),
        (SHOWN.with_columns(position=pl.lit(None, pl.Int64)), "position: 500 values are null"),
        (SHOWN.with_columns(pl.col("position") / 2), "position: dtype Float64; expected whole"),
        (SHOWN.drop("item_id").with_columns(item_id=pl.lit(1)), "item_id is Int64 in impressions"),
        (SHOWN.with_columns(timestamp=pl.lit(7)), "times are Int64 in timestamp of impressions"),
        (SHOWN.with_columns(pl.col("timestamp").dt.date()), "times are Date in timestamp of impr"),
    ],
)
def test_impressions_that_cannot_be(frame, message):
    with pytest.raises(SchemaError, match=message):
        check_impressions(frame, check_interactions(LOG), CLOCK)
    with pytest.raises(SchemaError, match=message):
        small().fit(LOG, impressions=frame)


def test_impressions_without_the_zone_of_the_log_are_refused():
    local = LOG.with_columns(pl.col("timestamp").dt.replace_time_zone("Asia/Tokyo"))
    with pytest.raises(SchemaError, match=r"impressions: .*\n.*name no time zone"):
        small().fit(local, impressions=SHOWN)


def test_all_problems_are_in_one_error():
    with pytest.raises(SchemaError) as caught:
        check_impressions(SHOWN.drop("timestamp", "position"), check_interactions(LOG), CLOCK)
    assert len(caught.value.problems) == 2


def test_those_of_a_window_the_best_place_of_each_pair():
    shown = pl.DataFrame(
        {
            "user_id": [1, 1, 1, 1],
            "item_id": [5, 5, 5, 6],
            "timestamp": [9, 10, 19, 20],
            "position": pl.Series([1, 4, 3, 2], dtype=pl.Int16),
        }
    )
    clock = LogFacts.of(shown.with_columns(timestamp=pl.col("timestamp") * 7)).clock
    assert shown_between(shown, clock, 10, 20).rows() == [(1, 5, 3)]
    assert set(shown_between(shown, clock, 10, 99).rows()) == {(1, 5, 3), (1, 6, 2)}


def test_what_is_shown_in_the_gap_before_the_labels_counts_for_nothing():
    holdout = LabelWindows("20d", n_windows=2, gap="5d")
    folds = holdout.folds(check_interactions(LOG), LogFacts.of(LOG), random_state=0)
    day = timedelta(days=1) // timedelta(microseconds=1)
    assert [fold.span[0] - fold.as_of for fold in folds] == [5 * day, 5 * day]
    labels = pl.concat(
        LOG.filter(pl.col("timestamp").dt.epoch("us").is_between(*fold.span, closed="left"))
        for fold in folds
    )
    shown = labels.select("user_id", "item_id", "timestamp")
    shown = shown.with_columns(position=pl.int_range(pl.len()) % 5 + 1)
    first = shown.with_columns(position=pl.lit(1, pl.Int64))
    in_the_gap = first.with_columns(
        pl.lit(folds[1].span[0] - 1).cast(pl.Datetime("us")).alias("timestamp")
    )
    one = small(holdout=holdout).fit(LOG, impressions=shown)
    other = small(holdout=holdout).fit(LOG, impressions=pl.concat([shown, in_the_gap]))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != small(holdout=holdout).fit(LOG, impressions=first).fingerprint


def test_candidates_that_were_not_shown_have_position_0():
    history = history_from([[], []], 3)
    every = Retrieved(np.tile(np.arange(3, dtype=np.int32), (2, 1)), np.ones((2, 3), np.float32))
    candidates = merge({"all": every}, history)
    shown = pl.DataFrame(
        {"user_id": [1, 0, 9, 1], "item_id": [2, 0, 0, 99], "position": [4, 1, 1, 1]},
        schema_overrides={"position": pl.Int16},
    )
    assert position_of(candidates, shown).tolist() == [1, 0, 0, 0, 0, 4]
    assert position_of(candidates, shown.clear()).tolist() == [0] * 6


def test_the_reranker_gets_the_positions_and_the_lists_do_not_depend_on_threads():
    plain = small().fit(LOG)
    one, two = (small(n_threads=n).fit(LOG, impressions=SHOWN) for n in (1, 2))
    assert one.fingerprint == two.fingerprint
    assert one._state.model.text != plain._state.model.text
    late = SHOWN.with_columns(pl.col("timestamp") + timedelta(days=4_000))
    later = small().fit(LOG, impressions=late)
    assert later._state.model.text == plain._state.model.text, "nothing was shown in the windows"


def test_several_forests_learn_from_positions():
    best = TwoStageRecommender.preset("best").reranker
    quick = replace(best, n_trees=4, min_rows_in_leaf=5)
    model = small(reranker=quick).fit(LOG, impressions=SHOWN)
    plain = small(reranker=quick).fit(LOG)
    assert best.n_models == 3
    assert model._state.model.text != plain._state.model.text


def test_impressions_need_windows_of_time_and_lambdarank():
    log = make_log("sequence")
    shown = log.select("user_id", "item_id", "timestamp").with_columns(position=1)
    with pytest.raises(ConfigError, match="impressions need labels from windows of time"):
        small(clock="sequence").fit(log, impressions=shown)
    with pytest.raises(ConfigError, match=r"objective='binary' knows no positions"):
        small(reranker=LambdaRank(objective="binary")).fit(LOG, impressions=SHOWN)
    with pytest.raises(ConfigError, match=r"vary='objectives' has .* which knows no positions"):
        small(reranker=LambdaRank(n_models=3, vary="objectives")).fit(LOG, impressions=SHOWN)


def clicks(n_groups: int, seed: int, *, bias: float) -> tuple[np.ndarray, ...]:
    """Lists in which a poor feature decides the place, and the place whether one looks."""
    rng = np.random.default_rng(seed)
    n = 10
    quality, flashy = rng.normal(size=(2, n_groups, n))
    position = (-flashy).argsort(axis=1).argsort(axis=1) + 1
    looks = rng.random((n_groups, n)) < position ** (-bias)
    likes = rng.random((n_groups, n)) < 1 / (1 + np.exp(2 - 2 * quality))
    return np.stack([quality, flashy], axis=2), position, looks & likes, likes


def test_unbiased_learning_undoes_what_the_place_did():
    features, position, clicked, _ = clicks(1_500, 0, bias=1.5)
    fresh, _, _, likes = clicks(400, 1, bias=0.0)
    values = {}
    for name, place in (("biased", None), ("unbiased", position.tolist())):
        table = table_of(
            clicked.astype(int).tolist(),
            features=features.reshape(-1, 2).astype(np.float32),
            position=place,
        )
        reranker = LambdaRank(n_trees=60, n_leaves=7)
        model = reranker.fit(table, ("quality", "flashy"), n_threads=1)
        scores = model.predict(fresh.reshape(-1, 2).astype(np.float32)).reshape(400, 10)
        first = scores.argmax(axis=1)
        values[name] = likes[np.arange(400), first].mean()
    assert values["unbiased"] > values["biased"] + 0.02, values
