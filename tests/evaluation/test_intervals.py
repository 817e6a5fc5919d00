"""Bootstrap intervals: known cases, coverage, determinism, memory, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from ranker.evaluation import (
    Interval,
    PairedInterval,
    bootstrap_interval,
    bootstrap_intervals,
    intervals,
    paired_interval,
)

UNIT = st.floats(0, 1, allow_nan=False)


def oracle(values, n_resamples, seed):
    """Percentile bootstrap with one gather per resample."""
    rng = np.random.default_rng(seed)
    ordered = np.sort(np.asarray(values))
    n = len(ordered)
    means = [ordered[rng.integers(n, size=n)].mean() for _ in range(n_resamples)]
    return np.quantile(means, [0.025, 0.975])


@given(values=st.lists(UNIT, min_size=1, max_size=40), seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_equals_the_plain_bootstrap(values, seed):
    found = bootstrap_interval(values, n_resamples=50, random_state=seed)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    np.testing.assert_allclose([found.low, found.high], oracle(values, 50, seed), atol=1e-12)


@pytest.mark.parametrize("values", [[0.3], [0.1] * 7, [0.0] * 3, [1 / 3] * 1000])
def test_equal_values_have_no_width(values):
    assert bootstrap_interval(values) == Interval(values[0], values[0], values[0])


def test_many_users_reach_the_normal_interval():
    values = np.random.default_rng(1).random(20_000)
    found = bootstrap_interval(values, n_resamples=500)
    half_width = 1.96 * values.std() / np.sqrt(len(values))
    assert found.high - found.low == pytest.approx(2 * half_width, rel=0.15)
    assert found.low < values.mean() < found.high


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(7)
    columns = rng.random((150, 400)) ** 3  # 400 studies of 150 users, true mean 1/4
    found = bootstrap_intervals(columns, confidence=0.9, n_resamples=300)
    share = np.mean([i.low <= 0.25 <= i.high for i in found])
    assert 0.85 <= share <= 0.95


def test_the_order_of_users_does_not_matter_and_the_seed_does():
    rng = np.random.default_rng(3)
    values = rng.random(500)
    found = bootstrap_interval(values, random_state=5)
    assert found == bootstrap_interval(rng.permutation(values), random_state=5)
    assert found != bootstrap_interval(values, random_state=6)


def test_columns_together_equal_columns_alone():
    values = np.random.default_rng(2).random((200, 3))
    for together, column in zip(bootstrap_intervals(values), values.T, strict=True):
        alone = bootstrap_interval(column)
        assert vars(together) == pytest.approx(vars(alone), abs=1e-12)


def test_the_block_size_does_not_change_the_result(monkeypatch):
    values = np.random.default_rng(2).random(101)
    whole = bootstrap_interval(values)
    for cells in (1, 500, 4_321):
        monkeypatch.setattr(intervals, "_BLOCK_CELLS", cells)
        assert vars(bootstrap_interval(values)) == pytest.approx(vars(whole), abs=1e-12)


def test_higher_confidence_is_wider():
    values = np.random.default_rng(2).random(100)
    narrow = bootstrap_interval(values, confidence=0.5)
    wide = bootstrap_interval(values, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, r"values has shape \(0,\)"),
        ([[1.0]], {}, r"values has shape \(1, 1\)"),
        ([0.1, float("nan"), float("inf")], {}, "2 values that are not finite"),
        ([0.1], {"confidence": 1.0}, "confidence is 1.0"),
        ([0.1], {"confidence": 95}, "confidence is 95"),
        ([0.1], {"n_resamples": 0}, "n_resamples=0; expected a whole number"),
    ],
)
def test_bad_input(values, options, message):
    with pytest.raises(ConfigError, match=message):
        bootstrap_interval(values, **options)


def test_paired_is_far_narrower_than_the_two_alone():
    rng = np.random.default_rng(4)
    easy = rng.random(300)
    a, b = easy + 0.01 + rng.normal(0, 0.01, 300), easy
    found = paired_interval(a, b)
    assert 0 < found.low < found.difference < found.high
    assert found.p_value == pytest.approx(2 / 1001)
    assert bootstrap_interval(a).low < bootstrap_interval(b).high


def test_paired_is_antisymmetric_in_sign():
    rng = np.random.default_rng(4)
    a, b = rng.random(400), rng.random(400)
    forth, back = paired_interval(a, b), paired_interval(b, a)
    assert forth.difference == pytest.approx(-back.difference, abs=1e-12)
    assert forth.low == pytest.approx(-back.high, abs=0.005)
    assert forth.p_value == pytest.approx(back.p_value, abs=0.06)


@pytest.mark.parametrize("apart", [[1 / 3] * 2, [0.3], [0.1, 0.1, 0.1, -0.3]])
def test_rounding_takes_no_side(apart):
    # Resamples without a user that differs, or in which those that do cancel, are exactly zero.
    differences, nothing = np.zeros(60), np.zeros(60)
    differences[: len(apart)] = apart
    forth, back = paired_interval(differences, nothing), paired_interval(nothing, differences)
    assert back.low <= 0.0 <= back.high
    assert forth.p_value == pytest.approx(back.p_value, abs=0.1)
    if min(apart) > 0:
        assert (forth.low, back.high) == (0.0, 0.0)


def test_columns_are_checked_like_one():
    with pytest.raises(ConfigError, match=r"values has shape \(0, 3\)"):
        bootstrap_intervals(np.empty((0, 3)))
    with pytest.raises(ConfigError, match="differences has 1 values that are not finite"):
        intervals.paired_intervals(np.array([[0.1, np.nan]]))


def test_equal_systems_differ_by_nothing():
    values = np.random.default_rng(4).random(50)
    assert paired_interval(values, values) == PairedInterval(0.0, 0.0, 0.0, 1.0)


def test_p_value_is_even_where_nothing_is_to_be_found():
    rng = np.random.default_rng(11)
    p_values = [
        paired_interval(rng.normal(size=80), rng.normal(size=80), n_resamples=200).p_value
        for _ in range(200)
    ]
    assert 0.4 < np.mean(p_values) < 0.6
    assert np.mean(np.array(p_values) < 0.1) < 0.17


def test_paired_users_must_be_the_same():
    with pytest.raises(ConfigError, match="a has 2 users and b has 3"):
        paired_interval([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(ConfigError, match="b has 1 values that are not finite"):
        paired_interval([0.1], [float("nan")])
