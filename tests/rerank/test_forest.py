"""The forest against LightGBM's own predictions, to the last bit."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from features.errors import ConfigError, ModelFormatError
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.forest import Forest, _rounded_down
from ranker.rerank.tree_text import UnsupportedTreesError

TINY = np.float32(1e-35)
ODD = np.array(
    [
        *(0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1e-36, -1e-36, TINY, -TINY),
        *(np.nextafter(TINY, np.float32(1)), -np.nextafter(TINY, np.float32(1))),
        *(np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 1.0, -1.0, 16777216.0),
    ],
    np.float32,
)
SETTINGS = {
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "min_data_in_leaf": 1,
    "min_sum_hessian_in_leaf": 1e-6,
}


def grow(rows, label, n_trees=5, *, data=None, **keywords) -> lgb.Booster:
    dataset = lgb.Dataset(rows, label, free_raw_data=True, **(data or {}))
    return lgb.train({**SETTINGS, **keywords}, dataset, n_trees)


def edited(text: str, name: str, value: str | Callable[[re.Match], str]) -> str:
    """Another value on each line of that name."""
    # LightGBM jumps by the lengths that the header tells, and crashes where they are others.
    text = re.sub("tree_sizes=.*\n", "", text)
    line = value if callable(value) else f"{name}={value}"
    return re.sub(f"(?m)^{name}=(.*)$", line, text)


def oracle(text: str, rows: np.ndarray) -> np.ndarray:
    return lgb.Booster(model_str=text).predict(rows, raw_score=True, num_threads=1)


def assert_equal_scores(text: str, rows: np.ndarray) -> None:
    scores = Forest.read(text).predict(rows)
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, oracle(text, rows))


def thresholds_of(text: str) -> np.ndarray:
    lines = re.findall(r"^threshold=(.+)$", text, re.MULTILINE)
    return np.array(" ".join(lines).split(), np.float64)


def around(values: np.ndarray) -> np.ndarray:
    """Thresholds hit exactly, and the float32 on both sides of each."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
        sides = [np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)]
    return np.concatenate((near, *sides, ODD))


def random_rows(rng: np.random.Generator, n_rows: int, n_features: int) -> np.ndarray:
    """Columns of several kinds, some with holes, some rounded, some tiny or huge."""
    rows = rng.normal(size=(n_rows, n_features))
    rows = np.where(rng.random(n_features) < 0.4, np.round(9 * rows), rows)
    rows *= 10.0 ** rng.choice([0, 0, 1, 5, -5, -35, 30], n_features)
    rows[rng.random(rows.shape) < rng.choice([0, 0.2, 0.7], n_features)] = np.nan
    return rows.astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_features=st.integers(1, 6),
    n_rows=st.sampled_from([2, 30, 300, 1000, 2000]),
    n_leaves=st.sampled_from([2, 3, 15, 63, 64, 65, 255, 256]),
    n_trees=st.integers(1, 12),
    use_missing=st.booleans(),
    zero_as_missing=st.booleans(),
    max_bin=st.sampled_from([2, 15, 127, 255, 1023]),
    objective=st.sampled_from(["regression", "binary", "lambdarank"]),
    boosting=st.sampled_from(["gbdt", "dart"]),
)
def test_scores_are_those_of_lightgbm(
    seed, n_features, n_rows, n_leaves, n_trees, use_missing, zero_as_missing, max_bin, **kind
):
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, n_rows, n_features)
    signal = np.nan_to_num(np.sign(rows[:, 0])) + rng.normal(size=n_rows)
    label = signal if kind["objective"] == "regression" else (signal > np.median(signal)) + 0.0
    booster = grow(
        rows,
        label,
        n_trees,
        data={"group": [n_rows]} if kind["objective"] == "lambdarank" else None,
        num_leaves=n_leaves,
        use_missing=use_missing,
        zero_as_missing=zero_as_missing,
        max_bin=max_bin,
        min_data_in_bin=1,
        **kind,
    )
    text = booster.model_to_string()
    odd = rng.choice(around(thresholds_of(text)), size=(300, n_features))
    event(f"{min(10, len(Forest.read(text).column) // 20)} times 20 nodes or more")
    assert_equal_scores(text, np.concatenate((rows, odd)))


@settings(max_examples=300, deadline=None)
@given(threshold=st.floats(allow_nan=False), value=st.floats(allow_nan=False, width=32))
def test_a_threshold_may_be_rounded_down(threshold, value):
    """The largest float32 s <= t: x <= t gives x <= s, since x is a float32 and s the largest."""
    values = np.append(around(np.array([threshold])), np.float32(value))
    values = values[~np.isnan(values)]
    rounded = _rounded_down(np.array([threshold]))
    np.testing.assert_array_equal(values <= rounded, values.astype(np.float64) <= threshold)


@pytest.mark.parametrize("decision", [0, 2, 4, 6, 8, 10])
@pytest.mark.parametrize(
    "threshold",
    [
        *("0", "-0.0", "1e-300", "-1e-300", "1e-40", "-1e-40", "1e-36", "1.0000000180025095e-35"),
        *("inf", "-inf", "1e300", "-1e300", "3.4028234663852886e+38", "0.1", "16777217", "1e-46"),
    ],
)
def test_each_rule_for_missing_values_at_each_threshold(decision, threshold):
    text = grow(np.array([[0.0], [1.0]] * 20), np.array([0.0, 1.0] * 20), 1, num_leaves=2)
    text = edited(text.model_to_string(), "threshold", threshold)
    text = edited(text, "decision_type", str(decision))
    assert_equal_scores(text, around(np.array([float(threshold)]))[:, None])


def test_one_feature_may_have_several_rules_for_missing_values():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 3)).astype(np.float32)
    text = grow(rows, rng.normal(size=500), 10, num_leaves=31).model_to_string()

    def other_rules(line: re.Match) -> str:
        return "decision_type=" + " ".join(
            str(rng.choice([0, 2, 4, 6, 8, 10])) for _ in line[1].split()
        )

    text = edited(text, "decision_type", other_rules)
    assert len(Forest.read(text).missing_code) == 15, "of each feature five"
    rows = rng.choice(around(thresholds_of(text)), size=(2000, 3))
    assert_equal_scores(text, rows)


def test_a_model_that_was_trained_on():
    rng = np.random.default_rng(0)
    rows, more = random_rows(rng, 400, 4), random_rows(rng, 400, 4)
    first = grow(rows, rng.normal(size=400), 4)
    both = lgb.train(
        {**SETTINGS, "zero_as_missing": True},
        lgb.Dataset(more, rng.normal(size=400)),
        4,
        init_model=first,
    )
    assert Forest.read(both.model_to_string()).n_trees == 8
    assert_equal_scores(both.model_to_string(), np.concatenate((rows, more)))


def test_more_than_255_thresholds_or_leaves_take_two_bytes():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 2)).astype(np.float32)
    label = np.sin(9 * rows[:, 0]) + rows[:, 1]
    wide = grow(rows, label, 3, max_bin=2000, num_leaves=200, min_data_in_bin=1).model_to_string()
    assert Forest.read(wide).missing_code.dtype == np.uint16
    assert_equal_scores(wide, rows)
    deep = grow(rows, label, 3, max_bin=63, num_leaves=700).model_to_string()
    assert len(Forest.read(deep).leaf_value) > 3 * 256
    assert_equal_scores(deep, rows)
    just = grow(rows, label, 3, max_bin=255, num_leaves=256).model_to_string()
    assert len(Forest.read(just).leaf_value) == 3 * 256
    assert Forest.read(just).missing_code.dtype == np.uint8
    assert_equal_scores(just, rows)


@pytest.mark.parametrize(("n_values", "code"), [(256, np.uint8), (257, np.uint16)])
def test_the_last_threshold_that_a_byte_can_tell(n_values, code):
    rows = np.arange(n_values, dtype=np.float32)[:, None]
    shape = {"num_leaves": n_values, "max_bin": 1000, "min_data_in_bin": 1}
    text = grow(rows, np.sin(rows[:, 0] * 99), 2, **shape).model_to_string()
    forest = Forest.read(text)
    assert len(forest.threshold) == n_values - 1
    assert forest.missing_code.dtype == code
    assert_equal_scores(text, np.append(rows, ODD)[:, None])


def test_trees_without_a_split():
    rows = np.ones((10, 2), np.float32)
    text = grow(rows, np.arange(10.0), 3).model_to_string()
    assert_equal_scores(text, np.array([[np.nan, 1], [0, -np.inf]], np.float32))


@pytest.fixture(scope="module")
def model() -> str:
    rng = np.random.default_rng(1)
    rows = random_rows(rng, 800, 5)
    return grow(rows, rng.normal(size=800), 20, num_leaves=31).model_to_string()


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 600])
def test_a_row_has_the_same_score_in_any_company(model, size):
    forest = Forest.read(model)
    rows = random_rows(np.random.default_rng(2), 600, 5)
    together = forest.predict(rows)
    np.testing.assert_array_equal(forest.predict(rows[:size]), together[:size])
    np.testing.assert_array_equal(forest.predict(rows[600 - size :]), together[600 - size :])
    np.testing.assert_array_equal(forest.predict(rows[::-2]), together[::-2])


def test_threads_share_a_forest(model):
    forest = Forest.read(model)
    rows = random_rows(np.random.default_rng(2), 5000, 5)
    parts = np.array_split(rows, 9)
    with ThreadPoolExecutor(4) as pool:
        scores = np.concatenate(list(pool.map(forest.predict, parts)))
    np.testing.assert_array_equal(scores, forest.predict(rows))


def test_rows_of_another_width_are_an_error(model):
    with pytest.raises(ConfigError, match=r"shape \(3, 4\) cannot be scored.* 5 columns"):
        Forest.read(model).predict(np.zeros((3, 4), np.float32))


@pytest.mark.parametrize(
    ("line", "damage"),
    [
        ("left_child", "left_child=0 0"),
        ("left_child", "left_child=x"),
        ("right_child", "right_child=900"),
        ("split_feature", "split_feature=5"),
        ("threshold", "threshold=nan"),
        ("leaf_value", "leaf_value=1"),
        ("decision_type", ""),
        ("max_feature_idx", ""),
        ("end of trees", ""),
    ],
)
def test_damaged_text_is_told(model, line, damage):
    text = re.sub(f"^{line}.*$", damage, model, count=1, flags=re.MULTILINE)
    with pytest.raises(ModelFormatError, match="the reranker's trees cannot be read"):
        Forest.read(text)


def test_nodes_in_a_circle_are_told():
    text = grow(np.arange(9.0)[:, None], np.arange(9.0), 1, num_leaves=4).model_to_string()
    text = edited(edited(text, "left_child", "-1 2 1"), "right_child", "-2 -3 -4")
    with pytest.raises(ModelFormatError, match="nodes hang on no other"):
        Forest.read(text)


def unsupported(kind: str) -> lgb.Booster:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 5, 300), rng.normal(size=300)], axis=1)
    label = (rows[:, 0] == 2) + (rows[:, 1] > 0)
    if kind == "categorical":
        return grow(rows, label, data={"categorical_feature": [0]}, min_data_per_group=1)
    keywords = {
        "linear": {"linear_tree": True},
        "classes": {"objective": "multiclass", "num_class": 3},
        "random forest": {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
    }
    return grow(rows, label, **keywords[kind])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("categorical", "they have categorical splits"),
        ("linear", "their leaves are linear models"),
        ("classes", "several scores to a row"),
        ("random forest", "their mean counts"),
    ],
)
def test_what_is_not_supported_is_refused(kind, reason):
    with pytest.raises(UnsupportedTreesError, match=reason):
        Forest.read(unsupported(kind).model_to_string())


def test_lightgbm_scores_what_is_refused_and_that_is_told(caplog):
    text = unsupported("categorical").model_to_string()
    with caplog.at_level(logging.WARNING):
        fitted = FittedLambdaRank(text, ("Column_0", "Column_1"))
    assert "scored by LightGBM, many times slower: they have categorical splits" in caplog.text
    rows = np.array([[2, 0.5], [1, -0.5], [np.nan, np.nan]], np.float32)
    expected = oracle(text, rows).astype(np.float32)
    assert len(set(expected)) > 1
    for n_threads in (1, 2):
        np.testing.assert_array_equal(fitted.predict(rows, n_threads=n_threads), expected)


def test_the_ranker_scores_by_the_forest(model, monkeypatch):
    names = tuple(f"Column_{i}" for i in range(5))
    fitted = FittedLambdaRank(model, names)
    rows = random_rows(np.random.default_rng(2), 1000, 5)
    expected = oracle(model, rows).astype(np.float32)
    monkeypatch.setattr(lgb.Booster, "predict", None)
    for n_threads in (0, 1, 2, 3):
        np.testing.assert_array_equal(fitted.predict(rows, n_threads=n_threads), expected)


# ------------------------------------------------------------------- the cascade


def test_a_cascade_has_the_exact_scores_of_the_best_by_the_first_trees(model):
    forest = Forest.read(model)
    rows = random_rows(np.random.default_rng(2), 1000, 5)
    indptr = np.array([0, 0, 1, 8, 300, 300, 1000])
    exact = forest.predict(rows)
    prefix = lgb.Booster(model_str=model).predict(rows, raw_score=True, num_iteration=4)
    prefix = prefix.astype(np.float32)
    scores = forest.predict_top(rows, indptr, n_trees=4, n_best=10)
    chosen = ~np.isnan(scores)
    np.testing.assert_array_equal(scores[chosen], exact[chosen])
    for start, stop in pairwise(indptr):
        best = np.argsort(-prefix[start:stop], kind="stable")[:10]
        np.testing.assert_array_equal(np.flatnonzero(chosen[start:stop]), np.sort(best))


def test_a_cascade_of_everything_is_exact(model):
    fitted = FittedLambdaRank(model, tuple(f"Column_{i}" for i in range(5)))
    rows = random_rows(np.random.default_rng(2), 600, 5)
    indptr = np.array([0, 200, 600])
    exact = fitted.predict(rows)
    for keywords in ({"n_trees": 1, "n_best": 400}, {"n_trees": 10**6, "n_best": 10**4}):
        np.testing.assert_array_equal(fitted.predict_top(rows, indptr, **keywords), exact)


def test_a_cascade_of_trees_that_lightgbm_scores_is_exact():
    text = unsupported("categorical").model_to_string()
    fitted = FittedLambdaRank(text, ("Column_0", "Column_1"))
    rows = np.array([[2, 0.5], [1, -0.5]], np.float32)
    np.testing.assert_array_equal(
        fitted.predict_top(rows, np.array([0, 2]), n_trees=1, n_best=1), fitted.predict(rows)
    )


@pytest.mark.parametrize("keywords", [{"n_trees": 0, "n_best": 5}, {"n_trees": 5, "n_best": 0}])
def test_a_cascade_that_lists_nothing_is_an_error(model, keywords):
    with pytest.raises(ConfigError, match="=0 leaves nothing to list; give at least 1"):
        Forest.read(model).predict_top(np.zeros((3, 5), np.float32), np.array([0, 3]), **keywords)
