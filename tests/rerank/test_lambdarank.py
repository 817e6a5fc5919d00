"""LambdaRank: what it learns, what it does not depend on, and LightGBM's traps."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import lightgbm
import lightgbm as lgb
import numpy as np
import pytest

from features.errors import ConfigError, ModelFormatError
from ranker.evaluation.metrics import ndcg
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.lambdarank import LambdaRank
from ranker.rerank.table import LabelledTable
from tests.rerank.tables import signal_table, table_of

NAMES = ("taste", "noise a", "noise: b", "bruit_é")
TRAIN, VALIDATION, FRESH = (signal_table(150, seed) for seed in (1, 2, 3))
SMALL = LambdaRank(n_trees=15, learning_rate=0.2)


@pytest.fixture(scope="module")
def model() -> FittedLambdaRank:
    return SMALL.fit(TRAIN, NAMES, n_threads=1)


def quality(scores: np.ndarray, table: LabelledTable = FRESH) -> float:
    return float(ndcg(table.hits(scores, 10), table.n_relevant, k=10).mean())


def test_learns_an_easy_signal(model):
    at_random = quality(np.random.default_rng(0).random(FRESH.n_rows))
    assert 0.2 < at_random < 0.45
    best_possible = quality(FRESH.features[:, 0])
    assert 0.85 < best_possible < 1.0
    assert best_possible - 0.05 < quality(model.predict(FRESH.features)) <= best_possible + 0.02
    gains = model.importance()
    assert gains.shape == (4,)
    assert gains[0] > 5 * gains[1:].max()


def test_unknown_values_are_no_obstacle():
    holes = np.random.default_rng(0).random(TRAIN.features.shape) < 0.3
    table = table_of(
        TRAIN.label.reshape(-1, 20).tolist(), features=np.where(holes, np.nan, TRAIN.features)
    )
    assert quality(SMALL.fit(table, NAMES, n_threads=1).predict(FRESH.features)) > 0.7


def test_the_same_seed_gives_the_same_trees_on_any_number_of_threads(model):
    for n_threads in (1, 2):
        again = SMALL.fit(TRAIN, NAMES, random_state=0, n_threads=n_threads)
        assert again.text == model.text
    scores = [model.predict(FRESH.features, n_threads=n_threads) for n_threads in (1, 2)]
    np.testing.assert_array_equal(*scores)
    other = SMALL.fit(TRAIN, NAMES, random_state=1, n_threads=1)
    assert other.text != model.text


@pytest.mark.parametrize("seed", [0, 2**31, 2**40, -1])
def test_any_whole_number_is_a_seed(seed):
    assert LambdaRank(n_trees=2).fit(TRAIN, NAMES, random_state=seed, n_threads=1).n_trees == 2


def test_rows_do_not_touch_one_another(model):
    together = model.predict(FRESH.features)
    assert together.dtype == np.float32
    for size in (1, 7):
        parts = [
            model.predict(FRESH.features[start : start + size]) for start in range(0, 70, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), together[:70])
    assert model.predict(FRESH.features[:0]).shape == (0,)


def test_early_stopping_picks_the_number_of_trees_that_is_best_over_ten_trees():
    reranker = LambdaRank(n_trees=120, patience=20, learning_rate=0.2, n_leaves=15)
    stopped = reranker.fit(TRAIN, NAMES, validation=VALIDATION, n_threads=1)
    assert 1 <= stopped.n_trees < 100, "the signal is learned soon, then comes noise"
    full = reranker.fit(TRAIN, NAMES, n_trees=stopped.n_trees + 20, n_threads=1)
    assert full.n_trees == stopped.n_trees + 20
    booster = lgb.Booster(model_str=full.text)
    values = [
        quality(booster.predict(VALIDATION.features, num_iteration=n, raw_score=True), VALIDATION)
        for n in range(1, full.n_trees + 1)
    ]
    latest = [np.mean(values[max(0, n - 10) : n]) for n in range(1, full.n_trees + 1)]
    assert int(np.argmax(latest)) + 1 == stopped.n_trees != int(np.argmax(values)) + 1
    np.testing.assert_array_equal(
        stopped.predict(FRESH.features),
        booster.predict(FRESH.features, num_iteration=stopped.n_trees).astype(np.float32),
    )


def test_without_validation_all_trees_are_grown():
    assert LambdaRank(n_trees=7).fit(TRAIN, NAMES, n_threads=1).n_trees == 7
    assert LambdaRank(n_trees=7).fit(TRAIN, NAMES, n_trees=3, n_threads=1).n_trees == 3


def test_text_round_trip(model):
    again = FittedLambdaRank(model.text, NAMES)
    assert again.n_trees == model.n_trees == 15
    assert again.names == NAMES
    np.testing.assert_array_equal(again.predict(FRESH.features), model.predict(FRESH.features))
    np.testing.assert_array_equal(
        again.contributions(FRESH.features[:9]), model.contributions(FRESH.features[:9])
    )


def test_contributions_add_up_to_the_scores(model):
    parts = model.contributions(FRESH.features[:200])
    assert parts.shape == (200, len(NAMES) + 1)
    assert parts.dtype == np.float64
    np.testing.assert_allclose(
        parts.sum(axis=1), model.predict(FRESH.features[:200]), rtol=1e-5, atol=1e-6
    )
    assert np.abs(parts[:, 0]).mean() > np.abs(parts[:, 1:4]).mean()


def test_parameters_are_json_and_make_an_equal_reranker():
    parameters = json.loads(json.dumps(SMALL.parameters()))
    assert LambdaRank(**parameters) == SMALL


def test_the_table_stays_as_it_was():
    table = signal_table(20, 9)
    copies = table.features.copy(), table.label.copy(), table.indptr.copy()
    LambdaRank(n_trees=2).fit(table, NAMES, validation=table, n_threads=1)
    for now, then in zip((table.features, table.label, table.indptr), copies, strict=True):
        np.testing.assert_array_equal(now, then)


def test_whole_numbers_may_be_written_as_floats():
    floats = LambdaRank(n_trees=2, n_leaves=7.0, max_bin=63.0, min_rows_in_leaf=5.0)
    whole = LambdaRank(n_trees=2, n_leaves=7, max_bin=63, min_rows_in_leaf=5)
    models = [one.fit(TRAIN, NAMES, n_threads=1) for one in (floats, whole)]
    scores = [model.predict(FRESH.features) for model in models]
    np.testing.assert_array_equal(*scores)


def test_hardly_any_rows():
    one = table_of([[1]], features=np.ones((1, 1), np.float32))
    two = table_of([[1, 0]], features=np.array([[1.0], [0.0]], np.float32))
    for table in (one, two):
        fitted = LambdaRank(n_trees=3).fit(table, ["x"], validation=table, n_threads=1)
        assert np.isfinite(fitted.predict(table.features)).all()


def test_each_objective_learns_the_signal_in_its_own_way():
    texts = {}
    for objective in ("lambdarank", "binary"):
        fitted = replace(SMALL, objective=objective).fit(TRAIN, NAMES, n_threads=1)
        assert f"[objective: {objective}]" in fitted.text
        assert quality(fitted.predict(FRESH.features)) > 0.8
        texts[objective] = fitted.text
    assert texts["lambdarank"] != texts["binary"]


def test_scores_of_the_log_loss_are_raw_so_that_contributions_add_up_to_them():
    fitted = replace(SMALL, objective="binary").fit(TRAIN, NAMES, n_threads=1)
    scores = fitted.predict(FRESH.features[:200])
    assert scores.min() < 0, "log odds, not probabilities"
    parts = fitted.contributions(FRESH.features[:200])
    np.testing.assert_allclose(parts.sum(axis=1), scores, rtol=1e-5, atol=1e-5)


def test_an_unknown_objective_is_named():
    with pytest.raises(ConfigError, match=r"objective='ndcg' is not known.*'binary'"):
        LambdaRank(objective="ndcg").fit(TRAIN, NAMES, n_threads=1)


# ------------------------------------------------------------------- traps


def test_trap_lightgbm_reordered_columns_are_silently_misscored(model):
    swapped = FRESH.features[:, [1, 0, 2, 3]]
    assert quality(model.predict(swapped)) < 0.5, "LightGBM takes them by position, says nothing"
    for names in (("noise a", "taste", *NAMES[2:]), NAMES[:3], (*NAMES, "more")):
        with pytest.raises(ModelFormatError, match="were grown on other features"):
            FittedLambdaRank(model.text, names)


@pytest.mark.parametrize("name", ["a b", "a:b", 'a"b', "a,b", "[a]", "{a}", "a\tb", "a%20b", "é"])
def test_trap_lightgbm_changes_or_refuses_names_with_spaces_and_json_characters(name):
    names = (name, "a_b", "a", "b")
    fitted = LambdaRank(n_trees=2).fit(TRAIN, names, n_threads=1)
    assert fitted.names == names
    assert FittedLambdaRank(fitted.text, names).n_trees == 2


def test_trap_lightgbm_crashes_on_a_text_that_was_cut_short(model):
    for share in (0.0, 0.1, 0.5, 0.9):
        with pytest.raises(ModelFormatError, match="trees cannot be read: their end is missing"):
            FittedLambdaRank(
                model.text[: int(share * model.text.index("end of parameters"))], NAMES
            )
    with pytest.raises(ModelFormatError, match="trees cannot be read"):
        FittedLambdaRank("end of parameters", NAMES)


def test_trap_lightgbm_counts_groups_without_positive_as_one():
    """Its own NDCG of a constant score on them is 1.0; what stops our trees says 0."""
    negatives = table_of([[0] * 5] * 4, n_relevant=[1] * 4, features=np.ones((20, 1), np.float32))
    reported: dict[str, dict[str, list[float]]] = {}
    data = lgb.Dataset(negatives.features, label=negatives.label, group=[5] * 4)
    lgb.train(
        {"objective": "lambdarank", "metric": "ndcg", "verbosity": -1, "num_threads": 1},
        data,
        1,
        valid_sets=[data],
        callbacks=[lgb.record_evaluation(reported)],
    )
    assert set(reported["training"]["ndcg@1"]) == {1.0}
    assert quality(np.zeros(20, np.float32), negatives) == 0.0


def test_trap_lightgbm_early_stopping_sees_items_that_nobody_proposed(monkeypatch):
    seen = []
    true_train = lgb.train

    def spy(settings, data, rounds, **options):
        (name, value, is_better) = options["feval"](np.zeros(VALIDATION.n_rows), None)
        seen.append((name, value, is_better, settings["metric"]))
        return true_train(settings, data, rounds, **options)

    monkeypatch.setattr(lightgbm, "train", spy)
    labels = VALIDATION.label.reshape(-1, 20).tolist()
    more = table_of(labels, n_relevant=[9] * 150, features=VALIDATION.features)
    for table in (VALIDATION, more):
        LambdaRank(n_trees=2).fit(TRAIN, NAMES, validation=table, n_threads=1)
    assert [(name, better, metric) for name, _, better, metric in seen] == [
        ("ndcg", True, "None")
    ] * 2
    zeros = np.zeros(VALIDATION.n_rows)
    assert seen[0][1] == pytest.approx(quality(zeros, VALIDATION), abs=1e-12)
    assert seen[1][1] == pytest.approx(quality(zeros, more), abs=1e-12)
    assert seen[1][1] < seen[0][1]


def test_trap_lightgbm_takes_a_float32_matrix_and_group_sizes_in_order(monkeypatch):
    """Polars columns of other dtypes abort the process; sizes from an unordered group_by lie."""
    seen = []
    true_dataset = lgb.Dataset

    def spy(data, **options):
        seen.append((data, options["group"], options["label"]))
        return true_dataset(data, **options)

    monkeypatch.setattr(lightgbm, "Dataset", spy)
    labels = [[1, 0], [], [0, 1, 0, 0], [1], [], [0] * 7]
    table = table_of(labels)
    LambdaRank(n_trees=1).fit(table, ["x"], validation=table, n_threads=1)
    assert len(seen) == 2
    for data, group, label in seen:
        assert [type(matrix) for matrix in data] == [np.ndarray]
        assert data[0].dtype == np.float32
        assert list(group) == [2, 4, 1, 7], "LightGBM takes no empty group"
        np.testing.assert_array_equal(label, table.label)


def test_several_tables_are_learned_from_as_one():
    is_first = np.arange(TRAIN.n_groups) < TRAIN.n_groups // 3
    parts = [TRAIN.groups(is_first), TRAIN.groups(~is_first)]
    fit = LambdaRank(n_trees=5).fit
    assert fit(parts, NAMES, n_threads=1).text == fit(TRAIN, NAMES, n_threads=1).text


def test_trap_lightgbm_groups_without_rows_change_nothing():
    labels = TRAIN.label.reshape(-1, 20).tolist()
    with_holes = [group for label in labels for group in (label, [])]
    table = table_of(with_holes, features=TRAIN.features)
    assert (
        LambdaRank(n_trees=3).fit(table, NAMES, n_threads=1).text
        == LambdaRank(n_trees=3).fit(TRAIN, NAMES, n_threads=1).text
    )


def test_trap_lightgbm_takes_10000_rows_in_a_group_and_no_more():
    labels = [[1] + [0] * 9_999, [0, 1]]
    assert LambdaRank(n_trees=1).fit(table_of(labels), ["x"], n_threads=1).n_trees == 1
    labels[0].append(0)
    with pytest.raises(ConfigError, match=r"10001 candidates.*at most 10000.*lower n_candidates"):
        LambdaRank(n_trees=1).fit(table_of(labels), ["x"], n_threads=1)


def test_trap_lightgbm_settings_that_crash_or_mislead_are_off(model):
    for line in (
        "[use_quantized_grad: 0]",  # crashes with bagging
        "[linear_tree: 0]",
        "[deterministic: 1]",
        "[force_row_wise: 1]",
        "[bagging_by_query: 0]",  # differs from run to run on two threads
        "[lambdarank_truncation_level: 30]",
    ):
        assert line in model.text
    deep = LambdaRank(n_trees=1, k=50).fit(TRAIN, NAMES, n_threads=1)
    assert "[lambdarank_truncation_level: 60]" in deep.text


def test_trap_openmp_threads_spin_unless_told_before_the_library_loads():
    code = (
        "import os, sys\n"
        "class Spy:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lightgbm':\n"
        "            print(os.environ.get('OMP_WAIT_POLICY'))\n"
        "sys.meta_path.insert(0, Spy())\n"
        "os.environ.pop('OMP_WAIT_POLICY', None)\n"
        "from ranker.rerank.fitted import FittedLambdaRank\n"
        "try:\n"
        "    FittedLambdaRank('tree', ())\n"
        "except ValueError:\n"
        "    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PASSIVE"]
