"""The stability index against plain Python, and what the report says of planted drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Feature
from features.drift import adversarial_auc, feature_drift, population_stability
from features.errors import ConfigError

VALUES = st.lists(
    st.one_of(
        st.just(math.nan), st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.floats(-9, 9, width=32)
    ),
    min_size=1,
    max_size=40,
)


def features(*names) -> tuple[Feature, ...]:
    return tuple(Feature(name, "test", "share", "a feature of a test") for name in names)


def index(then, now, n_bins=10) -> float:
    """The definition, row by row."""
    known = [value for value in then if not math.isnan(value)]
    edges = []
    if known:
        quantiles = np.quantile(np.array(known, np.float32), np.arange(1, n_bins) / n_bins)
        edges = sorted({float(np.float32(edge)) for edge in quantiles})
    bins = []
    for place, edge in enumerate(edges):
        near = 0.05 * abs(edge) if known.count(edge) >= 0.01 * len(known) else 0.0
        low, high = edge - near, edge + near
        if place > 0:
            low = max(low, (edges[place - 1] + edge) / 2)
        if place + 1 < len(edges):
            high = min(high, (edges[place + 1] + edge) / 2)
        bins.append((low, high))
    places = ["unknown", *range(2 * len(bins) + 1)]

    def shares(values):
        counts = dict.fromkeys(places, 0.5)
        for value in values:
            if math.isnan(value):
                counts["unknown"] += 1
            else:
                # Even: between two bins, odd: within one.
                counts[sum((low <= value) + (high < value) for low, high in bins)] += 1
        return [count / sum(counts.values()) for count in counts.values()]

    pairs = zip(shares(then), shares(now), strict=True)
    return sum((q - p) * math.log(q / p) for p, q in pairs)


@given(then=VALUES, now=VALUES, n_bins=st.integers(2, 12))
@settings(max_examples=150, deadline=None)
def test_the_index_is_its_definition(then, now, n_bins):
    one, two = np.array(then, np.float32), np.array(now, np.float32)
    found = population_stability(one, two, n_bins=n_bins)
    assert found == pytest.approx(index(one.tolist(), two.tolist(), n_bins), abs=1e-9)
    assert found >= -1e-12
    assert population_stability(one, one, n_bins=n_bins) == pytest.approx(0, abs=1e-12)


def test_drift_is_named_and_its_absence_too():
    rng = np.random.default_rng(0)
    then = rng.normal(size=(3000, 4)).astype(np.float32)
    now = rng.normal(size=(2000, 4)).astype(np.float32)
    quiet = feature_drift(then, now, features("a", "b", "c", "d"))
    assert quiet.worst() == []
    assert 0.45 < quiet.auc < 0.55
    assert "look much alike" in str(quiet)
    assert str(quiet).endswith("the worst: none")
    now[:, 1] += 1.0
    now[:1000, 3] = np.nan
    report = feature_drift(then, now, features("a", "b", "c", "d"))
    assert set(report.worst()) == {"b", "d"}
    assert report.auc > 0.8
    assert "look different" in str(report)
    assert "2 of 4 features have shifted much" in str(report)
    table = report.features
    assert table.columns[:3] == ["feature", "family", "psi"]
    assert table["psi"].is_sorted(descending=True)
    shares = dict(table.select("feature", "unknown_now").iter_rows())
    assert shares == {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.5}


def test_a_share_of_a_single_value_counts():
    then, now = np.zeros(1000, np.float32), np.zeros(1000, np.float32)
    now[:300] = 1.0
    assert population_stability(then, now) > 0.25
    assert population_stability(now, then) > 0.25


def test_a_common_value_that_hardly_moves_has_not_shifted():
    """Two brands: all rows have other values than before, and nearly the same ones."""
    then = np.where(np.arange(1000) < 700, 0.708, 0.292).astype(np.float32)
    now = np.where(np.arange(1000) < 700, 0.703, 0.297).astype(np.float32)
    assert population_stability(then, now) < 0.01
    assert population_stability(then, 0.8 * now) > 0.25
    # Shares of the two still count, and so does where rare values lie.
    assert population_stability(then, np.full_like(now, 0.703)) > 0.25
    spread = np.linspace(1, 1.04, 1000, dtype=np.float32)
    assert population_stability(spread, spread + np.float32(0.01)) > 0.1


def test_nothing_known_and_constant_columns():
    unknown, constant = np.full(50, np.nan, np.float32), np.ones(50, np.float32)
    then = np.stack([unknown, constant], axis=1)
    report = feature_drift(then, then.copy(), features("unknown", "constant"))
    assert report.features["psi"].to_list() == [0.0, 0.0]
    assert report.auc == 0.5
    assert report.features.sort("feature")["median_now"].to_list() == [1.0, None]
    assert adversarial_auc(then[:, :1], then[:, :1]) == 0.5


def test_what_tells_a_user_or_an_item_does_not_tell_the_time():
    """Each item has other features now than then, out of the same distribution."""
    rng = np.random.default_rng(1)
    user, item = rng.integers(0, 300, 6000), rng.integers(0, 100, 6000)
    noise = rng.normal(size=(2, 100, 3)).astype(np.float32)
    then, now = noise[0, item], noise[1, item]
    honest = adversarial_auc(then, now, [(user, user), (item, item)])
    assert 0.35 < honest < 0.65
    assert adversarial_auc(then, now, [(user, user)]) > 0.95, "the trees know the items"
    assert adversarial_auc(then, now) > 0.95
    assert adversarial_auc(then, now + 2, [(user, user), (item, item)]) > 0.85


def test_the_seed_settles_it():
    rng = np.random.default_rng(2)
    then, now = (rng.normal(size=(500, 3)).astype(np.float32) for _ in range(2))
    reports = [feature_drift(then, now, features("a", "b", "c"), random_state=4) for _ in range(2)]
    assert reports[0].auc == reports[1].auc


@pytest.mark.parametrize("shape", [(0, 2), (5, 3)])
def test_tables_that_do_not_fit(shape):
    good = np.zeros((5, 2), np.float32)
    with pytest.raises(ConfigError, match=r"now is a table of \(\d, \d\); expected at least a row"):
        feature_drift(good, np.zeros(shape, np.float32), features("a", "b"))
