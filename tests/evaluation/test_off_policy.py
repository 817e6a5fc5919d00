"""Off-policy estimates: published data, a world whose truth is known, and bad input."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import ConfigError, SchemaError
from ranker.evaluation import doubly_robust, ips, off_policy_table, snips

PROBABILITY = st.floats(0.05, 1.0)
ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), PROBABILITY, PROBABILITY, PROBABILITY, PROBABILITY),
    min_size=1,
    max_size=30,
)


@given(rows=ROWS)
@settings(max_examples=60, deadline=None)
def test_values_equal_their_formulas(rows):
    reward, propensity, target, q, q_target = map(list, zip(*rows, strict=True))
    weight = [t / p for t, p in zip(target, propensity, strict=True)]
    weighted = sum(w * r for w, r in zip(weight, reward, strict=True))
    options = {"n_resamples": 20}
    assert ips(reward, propensity, target, **options).value == pytest.approx(weighted / len(rows))
    normalised = snips(reward, propensity, target, **options)
    assert normalised.value == pytest.approx(weighted / sum(weight))
    assert min(reward) - 1e-9 <= normalised.value <= max(reward) + 1e-9
    corrected = sum(t + w * (r - p) for t, w, r, p in zip(q_target, weight, reward, q, strict=True))
    robust = doubly_robust(
        reward, propensity, target, expected_logged=q, expected_target=q_target, **options
    )
    assert robust.value == pytest.approx(corrected / len(rows))
    assert robust.largest_weight == pytest.approx(max(weight))
    squares = sum(w * w for w in weight)
    assert robust.effective_n == pytest.approx(sum(weight) ** 2 / squares)


def world(n: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, float]:
    """Impressions at two positions whose click rates are known."""
    rng = np.random.default_rng(seed)
    rates = np.array([[0.1, 0.05], [0.3, 0.2], [0.6, 0.4]])
    logged = np.array([[0.5, 0.6], [0.3, 0.2], [0.2, 0.2]])
    wanted = np.array([[0.1, 0.0], [0.2, 0.5], [0.7, 0.5]])
    position = np.arange(n) % 2
    item = np.array([rng.choice(3, p=logged[:, p]) for p in position])
    click = (rng.random(n) < rates[item, position]).astype(int)
    log = pl.DataFrame(
        {
            "page": np.arange(n) // 2,
            "item_id": item,
            "position": position,
            "click": click,
            "propensity": logged[item, position],
        }
    )
    grid = [(i, p) for i in range(3) for p in range(2)]
    keys = {"item_id": [i for i, _ in grid], "position": [p for _, p in grid]}
    target = pl.DataFrame(keys | {"probability": [wanted[cell] for cell in grid]})
    expected = pl.DataFrame(keys | {"expected_reward": [rates[cell] for cell in grid]})
    return log, target, expected, float((wanted * rates).sum(axis=0).mean())


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = dict.fromkeys(("ips", "snips", "dr"), 0)
    widths = dict.fromkeys(held, 0.0)
    for seed in range(60):
        log, target, expected, truth = world(400, seed)
        table = off_policy_table(log, target, expected=expected, n_resamples=200, cluster="page")
        for row in table.filter(pl.col("estimator") != "logged").iter_rows(named=True):
            held[row["estimator"]] += row["ci_low"] <= truth <= row["ci_high"]
            widths[row["estimator"]] += row["ci_high"] - row["ci_low"]
    assert all(50 <= n <= 60 for n in held.values()), held
    assert widths["dr"] < widths["ips"]
    assert widths["snips"] < widths["ips"]


def test_a_wrong_model_leaves_the_doubly_robust_estimate_right():
    log, target, expected, truth = world(20_000, 1)
    wrong = expected.with_columns(pl.lit(0.5).alias("expected_reward"))
    table = off_policy_table(log, target, expected=wrong, n_resamples=50)
    assert table.filter(estimator="dr")["value"].item() == pytest.approx(truth, abs=0.02)
    assert table.filter(estimator="logged")["value"].item() < truth - 0.1


def test_clusters_widen_the_interval_where_rewards_repeat():
    log = world(1000, 2)[0]
    repeated = pl.concat([log] * 4)
    options = {"reward": repeated["click"], "propensity": repeated["propensity"]}
    target = np.minimum(repeated["propensity"].to_numpy(), 0.3)
    alone = ips(**options, target=target)
    numbers = np.tile(np.arange(1000), 4)
    together = ips(**options, target=target, cluster=numbers)
    assert together.value == alone.value
    assert 1.6 < (together.high - together.low) / (alone.high - alone.low) < 2.4
    mixed = np.random.default_rng(0).permutation(4000)
    shuffled = ips(
        repeated["click"].to_numpy()[mixed],
        repeated["propensity"].to_numpy()[mixed],
        target[mixed],
        cluster=numbers[mixed],
    )
    assert (shuffled.low, shuffled.high) == pytest.approx((together.low, together.high))


def test_cut_weights():
    cut = ips([1, 1], [0.01, 0.5], [1.0, 0.5], largest_weight=10)
    assert (cut.value, cut.largest_weight) == (5.5, 10.0)


def test_without_context_probabilities_are_of_items():
    log = pl.DataFrame({"item_id": [1, 2, 1], "click": [1, 0, 0], "propensity": [0.5] * 3})
    target = pl.DataFrame({"item_id": [1], "probability": [1.0]})
    expected = pl.DataFrame({"item_id": [1, 2], "expected_reward": [0.5, 0.25]})
    table = off_policy_table(log, target, on=["item_id"], expected=expected)
    assert dict(table.select("estimator", "value").rows()) == pytest.approx(
        {
            "logged": 1 / 3,
            "ips": 2 / 3,
            "snips": 1 / 2,
            "dr": 0.5 + (2 * 0.5 + 0 - 2 * 0.5) / 3,
        }
    )


# What obp 0.4.1 (InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting,
# DoublyRobust) gives for the same arrays, and its 95 % intervals of 1,000 resamples, seed 0.
PUBLISHED = {
    "all": {
        "ips": (0.005035366932711512, 0.002758, 0.007716),
        "snips": (0.0052530721964214695, 0.002878, 0.008050),
        "dr": (0.005014320330754003, 0.002770, 0.007658),
    },
    "men": {
        "ips": (0.005656266700835461, 0.003055, 0.008688),
        "snips": (0.005739864701951365, 0.003100, 0.008816),
        "dr": (0.00568610515137038, 0.003141, 0.008669),
    },
    "women": {
        "ips": (0.0058056917829497874, 0.003520, 0.008259),
        "snips": (0.005833036087191038, 0.003537, 0.008298),
        "dr": (0.0059103151418371394, 0.003657, 0.008392),
    },
}


@pytest.mark.parametrize("campaign", PUBLISHED)
def test_open_bandit_as_obp_has_it(campaign):
    """Judge Thompson sampling, as often as it showed an item at a position, from random lists."""
    file = Path(os.environ.get("RANKER_DATA", "")) / "open-bandit" / "interactions.parquet"
    if not file.is_file():
        pytest.skip("set RANKER_DATA to a folder that holds open-bandit/interactions.parquet")
    data = pl.read_parquet(file).filter(campaign=campaign)
    log, shown = data.filter(policy="random"), data.filter(policy="bts")
    cells = ["item_id", "position"]
    of_position = pl.col("len").sum().over("position")
    target = shown.group_by(cells).len().with_columns(probability=pl.col("len") / of_position)
    grid = pl.DataFrame({"item_id": range(log["item_id"].max() + 1)}).join(
        pl.DataFrame({"position": [1, 2, 3]}), how="cross"
    )
    counts = log.group_by(cells).agg(pl.col("click").sum(), pl.len())
    expected = grid.join(counts, on=cells, how="left").with_columns(
        expected_reward=(pl.col("click").fill_null(0) + 10 * log["click"].mean())
        / (pl.col("len").fill_null(0) + 10)
    )
    table = off_policy_table(log, target, propensity="propensity_score", expected=expected)
    for name, (value, low, high) in PUBLISHED[campaign].items():
        row = table.filter(estimator=name).row(0, named=True)
        assert row["value"] == pytest.approx(value, rel=1e-12)
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high), abs=5e-4)
    assert table["value"][0] == pytest.approx(log["click"].mean())


GOOD = ([1.0, 0.0], [0.5, 0.5], [0.5, 0.5])


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (([], [], []), {}, "reward has shape"),
        (([1.0], [0.5, 0.5], [0.5]), {}, "propensity has shape .2,.; expected the 1 of reward"),
        (([1.0, np.nan], [0.5, 0.5], [0.5, 0.5]), {}, "reward has 1 values not finite"),
        (([1.0, 0.0], [0.0, 0.5], [0.5, 0.5]), {}, r"1 values outside \(0, 1\], such as 0.0"),
        (([1.0, 0.0], [0.5, 0.5], [0.5, 1.5]), {}, r"1 values outside \[0, 1\], such as 1.5"),
        (GOOD, {"cluster": [0.5, 1.0]}, "cluster has shape"),
        (GOOD, {"largest_weight": 0}, "largest_weight=0"),
        (GOOD, {"confidence": 95}, "confidence is 95"),
        (GOOD, {"n_resamples": 0}, "n_resamples=0"),
    ],
)
def test_bad_arrays(arrays, options, message):
    for function in (ips, snips):
        with pytest.raises(ConfigError, match=message):
            function(*arrays, **options)


def test_a_target_that_never_acts():
    with pytest.raises(ConfigError, match="target is 0 for every logged impression"):
        snips([1.0], [0.5], [0.0])
    assert ips([1.0], [0.5], [0.0]).value == 0.0


def test_bad_tables():
    log, target, expected, _ = world(50, 0)
    with pytest.raises(SchemaError, match=r"add up to .*, not to 1, in 2 of 2 combinations"):
        off_policy_table(log, target.with_columns(pl.col("probability") / 2))
    with pytest.raises(SchemaError, match="occur twice"):
        off_policy_table(log, pl.concat([target] * 2))
    with pytest.raises(SchemaError, match="column 'click' is missing"):
        off_policy_table(log.drop("click"), target)
    with pytest.raises(SchemaError, match="propensity is null in 50 of 50"):
        off_policy_table(log.with_columns(propensity=pl.lit(None, dtype=pl.Float64)), target)
    with pytest.raises(SchemaError, match=r"combinations of .* are missing"):
        off_policy_table(log, target, expected=expected.filter(pl.col("item_id") > 0))
    with pytest.raises(ConfigError, match="expected item_id among"):
        off_policy_table(log, target, on=["position"])
    with pytest.raises(SchemaError, match=r"impressions have \['position'\] without a row here"):
        off_policy_table(log, target.filter(position=log["position"][0]))
    odd = target.with_columns(
        probability=pl.when(pl.int_range(pl.len()) == 0).then(-0.5).otherwise("probability")
    )
    with pytest.raises(SchemaError, match=r"probability is -0\.5 in one of 1 rows"):
        off_policy_table(log, odd)
    rounded = target.with_columns(pl.col("probability") * (1 + 1e-15) - 1e-17)
    assert off_policy_table(log, rounded, n_resamples=5)["value"].is_finite().all()
    for column, table in (("probability", target), ("click", log), ("propensity", log)):
        text = table.with_columns(pl.lit("much").alias(column))
        arguments = (log, text) if table is target else (text, target)
        with pytest.raises(SchemaError, match=f"{column} has dtype String; expected numbers"):
            off_policy_table(*arguments)
    ids = target.with_columns(item_id=pl.lit("a"))
    with pytest.raises(
        SchemaError, match="item_id 'a' is no Int64, which item_id is in impressions"
    ):
        off_policy_table(log, ids.unique(["item_id", "position"]))


def test_columns_of_the_log_may_be_called_like_those_of_the_tables():
    log, target, expected, _ = world(200, 0)
    found = off_policy_table(log, target, expected=expected)
    renamed = log.rename({"propensity": "probability", "click": "expected_reward"})
    same = off_policy_table(
        renamed, target, expected=expected, propensity="probability", reward="expected_reward"
    )
    assert_frame_equal(found, same)
    by_position = off_policy_table(log, target, cluster="position", n_resamples=10)
    assert by_position["value"].to_list() == found["value"][:3].to_list()
