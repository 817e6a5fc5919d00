"""Several forests as one: sums, explanations, seeds, and what they leave out."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from features.errors import ConfigError, ModelFormatError
from ranker.rerank.ensemble import merge_forests
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.lambdarank import LambdaRank
from tests.rerank.tables import signal_table

NAMES = ("taste", "noise a", "noise: b", "bruit_é")
TRAIN = [signal_table(60, seed) for seed in (1, 2, 3)]
FRESH = signal_table(80, 9)
SMALL = LambdaRank(n_trees=12, learning_rate=0.2)


def fit(reranker: LambdaRank, **options) -> FittedLambdaRank:
    return reranker.fit(TRAIN, NAMES, n_threads=1, **options)


def test_the_sum_of_forests_is_the_sum_of_their_scores():
    holes = FRESH.features.copy()
    holes[::7, 0] = np.nan
    parts = [fit(SMALL, random_state=seed) for seed in range(3)]
    weights = [0.2, 0.5, 1.7]
    merged = FittedLambdaRank(merge_forests([part.text for part in parts], weights), NAMES)
    assert merged.n_trees == 36
    expected = sum(
        weight * part._booster.predict(holes, raw_score=True)
        for weight, part in zip(weights, parts, strict=True)
    )
    np.testing.assert_allclose(
        merged._booster.predict(holes, raw_score=True), expected, rtol=1e-12, atol=1e-12
    )
    shap = merged.contributions(holes[:50])
    np.testing.assert_allclose(shap.sum(axis=1), expected[:50], rtol=1e-9, atol=1e-9)


def test_several_models_are_the_mean_of_theirs_at_one_spread():
    model = fit(replace(SMALL, n_models=3))
    assert model.n_trees == 36
    seeds = [0, *(zlib.crc32(f"0/model {number}".encode()) for number in (1, 2))]
    parts = [fit(SMALL, random_state=seed) for seed in seeds]
    spreads = []
    for part in parts:
        groups = part.predict(TRAIN[0].features).astype(float).reshape(-1, 20)
        spreads.append(np.sqrt(((groups - groups.mean(axis=1, keepdims=True)) ** 2).mean()))
    assert len({round(spread, 3) for spread in spreads}) > 1
    expected = np.mean(spreads) * np.mean(
        [part.predict(FRESH.features) / s for part, s in zip(parts, spreads, strict=True)], axis=0
    )
    np.testing.assert_allclose(model.predict(FRESH.features), expected, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_models_on_any_number_of_threads():
    reranker = replace(SMALL, n_models=2)
    one, two = (reranker.fit(TRAIN, NAMES, random_state=4, n_threads=n) for n in (1, 2))
    assert one.text == two.text
    assert one.text != fit(reranker, random_state=5).text


def test_early_stopping_of_each_forest():
    model = LambdaRank(n_trees=80, patience=5, learning_rate=0.3, n_models=2).fit(
        TRAIN, NAMES, validation=FRESH, n_threads=1
    )
    assert 2 <= model.n_trees < 100
    assert len(model.sizes) == 2
    assert sum(model.sizes) == model.n_trees


def test_with_windows_each_forest_leaves_one_out(monkeypatch):
    seen = []
    grow = LambdaRank._grow

    def spy(self, tables, *arguments):
        seen.append([next(at for at, one in enumerate(TRAIN) if one is t) for t in tables])
        return grow(self, tables, *arguments)

    monkeypatch.setattr(LambdaRank, "_grow", spy)
    fit(replace(SMALL, n_models=4, vary="windows"))
    assert seen == [[1, 2], [0, 2], [0, 1], [1, 2]]
    seen.clear()
    replace(SMALL, n_models=2, vary="windows").fit(TRAIN[:2], NAMES, n_threads=1)
    assert seen == [[0, 1], [0, 1]], "of two windows none can be spared"


def test_with_objectives_the_forests_take_turns(monkeypatch):
    reranker = replace(SMALL, objective="rank_xendcg", n_models=4, vary="objectives")
    seen = []
    grow = LambdaRank._grow

    def spy(self, *arguments):
        seen.append(self.objective)
        return grow(self, *arguments)

    monkeypatch.setattr(LambdaRank, "_grow", spy)
    model = reranker.fit(TRAIN, NAMES, n_trees=[2, 3, 4, 5], n_threads=1)
    assert seen == ["rank_xendcg", "binary", "lambdarank", "rank_xendcg"]
    assert (model.sizes, model.n_trees) == ((2, 3, 4, 5), 14)


def test_a_forest_that_says_nothing_does_not_blow_up_the_others():
    flat = [replace(table, label=np.zeros_like(table.label)) for table in TRAIN]
    model = replace(SMALL, n_models=2, n_trees=2).fit(flat, NAMES, n_threads=1)
    assert np.isfinite(model.predict(FRESH.features)).all()


def test_what_cannot_be_is_told():
    with pytest.raises(ModelFormatError, match="their end is missing"):
        merge_forests(["Tree=0\nleaf_value=1"], [1.0])
    for settings, message in (
        ({"n_models": 0}, r"n_models=0; expected a whole number, 1 or more"),
        ({"n_models": True}, r"n_models=True"),
        (
            {"vary": "trees"},
            r"vary='trees' is not known; .* 'seeds', 'windows', 'objectives'",
        ),
        ({"label_gain": (1, 2)}, r"label_gain=\(1, 2\); expected what each grade is worth"),
        ({"label_gain": (0, 3, 2)}, r"not falling"),
        ({"label_gain": (0, float("nan"))}, r"label_gain"),
        ({"label_gain": (0,)}, r"label_gain"),
        ({"label_gain": 3}, r"label_gain=3; expected what each grade is worth"),
        ({"patience": 0}, r"patience=0; expected a whole number, 1 or more"),
        ({"learning_rate": "x"}, r"learning_rate='x'; expected a number above 0"),
        ({"learning_rate": -0.1}, r"learning_rate=-0.1"),
        ({"l2": float("nan")}, r"l2=nan; expected a number, 0 or more"),
        ({"feature_fraction": 0}, r"feature_fraction=0; expected a number above 0 and up to 1"),
        ({"bagging_fraction": 1.5}, r"bagging_fraction=1.5"),
        ({"n_leaves": 1}, r"n_leaves=1; expected a whole number from 2 to 131072"),
        ({"n_leaves": 200_000}, r"n_leaves=200000; expected a whole number from 2 to 131072"),
        ({"max_bin": 2.5}, r"max_bin=2.5"),
        ({"min_rows_in_leaf": -1}, r"min_rows_in_leaf=-1"),
    ):
        with pytest.raises(ConfigError, match=message):
            LambdaRank(**settings)
