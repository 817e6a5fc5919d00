"""Comparisons: tests against SciPy and enumeration, families of tests, segments, pictures."""

from __future__ import annotations

import builtins
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import permutation_test

from features.errors import ConfigError, MissingExtraError, SchemaError
from ranker import compare
from ranker.evaluation import (
    compare_over,
    comparison_chart,
    effect_size,
    evaluate_per_user,
    holm,
    lorenz_chart,
    lorenz_curve,
    permutation_p_value,
    user_segments,
)

N_USERS = 60
TEST = pl.DataFrame({"user_id": range(N_USERS), "item_id": [u % 7 for u in range(N_USERS)]})
TRAIN = pl.DataFrame(
    [(u, i) for u in range(N_USERS) for i in range(u % 12)],
    schema=["user_id", "item_id"],
    orient="row",
)


def lists(share: float) -> pl.DataFrame:
    """Lists of two, whose first item is right for the first users."""
    n_right = int(share * N_USERS)
    first = pl.when(pl.col("user_id") < n_right).then("item_id").otherwise(99)
    best = TEST.with_columns(first.alias("item_id"), rank=pl.lit(1))
    return pl.concat([best, TEST.with_columns(item_id=pl.lit(98, dtype=pl.Int64), rank=pl.lit(2))])


SYSTEMS = {"good": lists(0.8), "same": lists(0.8), "bad": lists(0.3)}


@given(values=st.lists(st.integers(-5, 5), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_exact_test_is_an_enumeration_of_signs(values):
    means = [
        sum(s * v for s, v in zip(signs, values, strict=True))
        for signs in product((-1, 1), repeat=len(values))
    ]
    expected = sum(abs(mean) >= abs(sum(values)) for mean in means) / len(means)
    assert permutation_p_value(values) == pytest.approx(expected)


def test_agrees_with_scipy():
    differences = np.random.default_rng(3).normal(0.4, 1.0, 10)
    exact = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert permutation_p_value(differences) == pytest.approx(exact.pvalue)
    many = np.random.default_rng(3).normal(0.15, 1.0, 150)
    theirs = permutation_test(
        (many,), np.mean, permutation_type="samples", n_resamples=9999, rng=1
    ).pvalue
    assert permutation_p_value(many, n_resamples=9999) == pytest.approx(theirs, abs=0.02)


def test_p_values_are_even_where_nothing_is_to_be_found():
    rng = np.random.default_rng(0)
    found = [permutation_p_value(rng.normal(size=40), n_resamples=200) for _ in range(300)]
    assert 0.45 < np.mean(found) < 0.55
    assert 0.05 < np.mean(np.array(found) < 0.1) < 0.16


def test_metrics_that_need_more_than_lists_are_compared_too():
    ids = pl.Series("item_id", [*range(7), 98, 99])
    vectors = np.random.default_rng(0).normal(size=(len(ids), 3)).astype(np.float32)
    needs = {
        "train": TRAIN,
        "other": SYSTEMS["bad"],
        "embedding": (ids, vectors),
        "categories": pl.DataFrame({"item_id": ids, "genre": ids % 2}),
    }
    metrics = ["overlap", "intra_list_diversity", "miscalibration"]
    table = compare(SYSTEMS, TEST, metric=metrics, k=2, **needs)
    assert table["metric"].unique(maintain_order=True).to_list() == metrics
    for system, recommendations in SYSTEMS.items():
        alone = evaluate_per_user(recommendations, TEST, metrics=metrics, k=2, **needs)
        means = dict(alone.group_by("metric").agg(pl.col("value").mean()).rows())
        ours = table.filter(system=system)
        assert dict(ours.select("metric", "mean").rows()) == pytest.approx(means)


def test_the_order_of_users_decides_nothing():
    values = np.random.default_rng(1).normal(0.2, 1, 100)
    assert permutation_p_value(values) == permutation_p_value(values[::-1])
    assert permutation_p_value(np.zeros(5)) == 1.0


@given(p=st.lists(st.floats(0, 1), max_size=10))
@settings(max_examples=60, deadline=None)
def test_holm_rejects_what_the_procedure_of_steps_rejects(p):
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.5):
        rejected = set()
        for step, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (len(p) - step) > level:
                break
            rejected.add(int(i))
        assert {i for i in range(len(p)) if adjusted[i] <= level} == rejected


def test_the_table():
    table = compare(SYSTEMS, TEST, reference="good", metric=["hit_rate@1", "mrr"], k=2)
    assert table.select("metric", "k").unique(maintain_order=True).rows() == [
        ("hit_rate", 1),
        ("mrr", 2),
    ]
    bad = table.filter(system="bad", metric="mrr").row(0, named=True)
    assert (bad["reference_better"], bad["ties"], bad["system_better"]) == (30, 30, 0)
    values = {
        name: evaluate_per_user(SYSTEMS[name], TEST, k=2, metrics="mrr")["value"].to_numpy()
        for name in ("good", "bad")
    }
    apart = values["good"] - values["bad"]
    assert bad["difference"] == pytest.approx(apart.mean())
    assert bad["effect_size"] == pytest.approx(apart.mean() / apart.std(ddof=1))
    assert bad["p_permutation"] == permutation_p_value(apart)
    assert bad["n_users"] == N_USERS
    same = table.filter(system="same", metric="mrr").row(0, named=True)
    assert (same["p_permutation"], same["p_holm"], same["effect_size"]) == (1.0, 1.0, None)
    reference = table.filter(system="good", metric="mrr").row(0, named=True)
    assert reference["p_holm"] is None
    tested = table.drop_nulls("p_permutation")
    assert tested["p_holm"].to_list() == holm(tested["p_permutation"]).tolist()
    again = compare(SYSTEMS, TEST.reverse(), reference="good", metric=["hit_rate@1", "mrr"], k=2)
    assert again.equals(table)


def test_segments_add_up_and_are_a_family_of_their_own():
    users = TEST.select("user_id", country=pl.col("user_id").mod(3).cast(pl.String)).head(50)
    asked = ["history_length", "item_popularity", "country"]
    options = {"reference": "good", "metric": "mrr", "train": TRAIN, "users": users}
    table = compare(SYSTEMS, TEST, segments=asked, **options)
    whole = table.filter(segment="everybody", system="bad").row(0, named=True)
    for segment in asked:
        part = table.filter(segment=segment, system="bad")
        assert part["n_users"].sum() == N_USERS
        mean = (part["difference"] * part["n_users"]).sum() / N_USERS
        assert mean == pytest.approx(whole["difference"])
        assert part["reference_better"].sum() == whole["reference_better"]
    assert table.filter(segment="country")["level"].unique().sort().to_list() == [
        "0",
        "1",
        "2",
        "unknown",
    ]
    alone = compare(SYSTEMS, TEST, reference="good", metric="mrr")
    assert whole["p_holm"] == alone.filter(system="bad")["p_holm"].item()


def test_segments_leave_out_users_who_are_not_judged():
    train = pl.concat([TRAIN, TEST.head(10)])
    table = compare(
        SYSTEMS, TEST, metric="mrr", train=train, exclude_seen=True, segments=["history_length"]
    )
    judged = evaluate_per_user(SYSTEMS["bad"], TEST, train=train, exclude_seen=True, metrics="mrr")
    assert table.filter(segment="everybody")["n_users"][0] == judged.height < N_USERS
    assert table.filter(segment="history_length", system="bad")["n_users"].sum() == judged.height


def test_enum_users_keep_their_values():
    order = [str(u) for u in reversed(range(N_USERS))]  # an order that is not that of the text
    dtype = pl.Enum(order)

    def typed(frame):
        return frame.with_columns(pl.col("user_id").cast(pl.String).cast(dtype))

    systems = {name: typed(frame) for name, frame in SYSTEMS.items()}
    found = compare(
        systems, typed(TEST), metric="mrr", train=typed(TRAIN), segments=["history_length"]
    )
    plain = compare(SYSTEMS, TEST, metric="mrr", train=TRAIN, segments=["history_length"])
    assert found.select("level", "system", "n_users").equals(
        plain.select("level", "system", "n_users")
    )
    assert found["mean"].to_list() == pytest.approx(plain["mean"].to_list())


def test_history_and_popularity_of_users():
    train = pl.DataFrame(
        [(u, i) for u, n in ((1, 1), (2, 2), (3, 3), (4, 9), (5, 10), (6, 50)) for i in range(n)],
        schema=["user_id", "item_id"],
        orient="row",
    )
    test = pl.DataFrame({"user_id": range(7), "item_id": [0, 0, 0, 2, 5, 45, 99]})
    found = user_segments(test, ["history_length", "item_popularity"], train=train)
    assert found["history_length"].to_list() == [
        "0",
        "1-2",
        "1-2",
        "3-9",
        "3-9",
        "10-49",
        "50+",
    ]
    assert found["item_popularity"].to_list() == [
        "head",
        "head",
        "head",
        "middle",
        "middle",
        "tail",
        "tail",
    ]


def test_segments_are_made_of_what_counts():
    # Of users 0 to 5 the popular item counts, which the others have had: they are not judged.
    train = pl.DataFrame({"user_id": range(6, 30), "item_id": [0] * 24})
    rare = pl.DataFrame({"user_id": [*range(6)], "item_id": [*range(1, 7)]})
    train = pl.concat([train, rare])
    test = pl.concat([rare, pl.DataFrame({"user_id": range(30), "item_id": [0] * 30})])
    lists = test.unique("user_id").with_columns(rank=pl.lit(1))
    options = {"train": train, "exclude_seen": True, "segments": ["item_popularity"]}
    found = compare({"one": lists}, test, **options)
    assert dict(found.select("level", "n_users").iter_rows()) == {"everybody": 6, "head": 6}


def test_segments_count_once():
    options = {"reference": "good", "train": TRAIN}
    once = compare(SYSTEMS, TEST, segments=["history_length"], **options)
    twice = compare(SYSTEMS, TEST, segments=["history_length"] * 2, **options)
    assert_frame_equal(once, twice)


def test_differences_of_any_size_have_a_p_value():
    for size in (1e200, 1e-200):
        assert permutation_p_value(np.full(20, size)) == pytest.approx(2 * np.exp(-10))


def test_less_can_be_better():
    past = pl.DataFrame({"user_id": [1, 2, 2], "item_id": [1, 1, 2]})
    categories = pl.DataFrame({"item_id": [1, 2, 3], "kind": ["a", "b", "c"]})
    like_the_past = past.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user_id"))
    unlike = pl.DataFrame({"user_id": [1, 2], "item_id": 3, "rank": 1})
    table = compare(
        {"like": like_the_past, "unlike": unlike},
        past,
        reference="like",
        metric=["miscalibration", "repetition"],
        train=past,
        categories=categories,
    )
    for name in ("miscalibration", "repetition"):
        rows = table.filter(metric=name)
        assert rows["system"].to_list() == ["like", "unlike"]
        assert rows["reference_better"].to_list() == [None, 2]
        assert rows["system_better"].to_list() == [None, 0]
    assert table.filter(metric="miscalibration", system="unlike")["difference"].item() < 0
    panels = comparison_chart(table).to_dict()["vconcat"]
    titles = [panel["title"] for panel in panels]
    assert titles == ["miscalibration@10 (less is better)", "repetition@10"]


def test_many_tests_can_still_tell_what_is_certain():
    users = pl.DataFrame({"user_id": range(400), "item_id": 1})
    good, bad = (users.with_columns(item_id=pl.lit(i), rank=pl.lit(1)) for i in (1, 2))
    systems = {f"bad{i}": bad for i in range(80)} | {"good": good}
    table = compare(systems, users, reference="good", n_resamples=50)
    assert (table["p_holm"].drop_nulls() < 1e-6).all()


@pytest.mark.parametrize("n", [13, 16, 18])
def test_the_bound_is_never_below_the_exact_value(n):
    # Every sign of equal differences: the binomial tail is the exact value.
    differences = np.ones(n)
    found = permutation_p_value(differences, n_resamples=10)
    assert 2 / 2**n <= found == pytest.approx(2 * np.exp(-n / 2))


def test_data_sets_are_adjusted_together():
    one = compare(SYSTEMS, TEST, reference="good", metric="mrr")
    both = compare_over({"a": one, "b": one})
    tested = both.drop_nulls("p_permutation")
    assert both.columns == ["data", *one.columns]
    assert tested["p_holm"].to_list() == holm(tested["p_permutation"]).tolist()
    assert (tested["p_holm"] >= pl.concat([one, one]).drop_nulls("p_holm")["p_holm"]).all()
    with pytest.raises(ConfigError, match="comparisons is empty"):
        compare_over({})
    with pytest.raises(ConfigError, match="different columns"):
        compare_over({"a": one, "b": one.drop("metric")})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"segments": ["age"]}, ConfigError, "unknown segment 'age'.*users= .it has none"),
        ({"segments": "age"}, ConfigError, r"expected a list, as in \['age'\]"),
        ({"segments": ["history_length"]}, ConfigError, "made of train="),
        (
            {"segments": ["a"], "users": pl.concat([TEST, TEST]).rename({"item_id": "a"})},
            SchemaError,
            "60 rows repeat a user_id",
        ),
        (
            {"segments": ["a"], "users": TEST.with_columns(a="user_id")},
            ConfigError,
            "has 60 values among the test users; expected at most 50",
        ),
        (
            {"segments": ["a"], "users": TEST.select(pl.col("user_id").cast(pl.String), a=1)},
            SchemaError,
            "no row could match",
        ),
        ({"segments": ["a"], "users": TEST.select(a="user_id")}, SchemaError, "is missing"),
        ({"metric": "coverage", "train": TEST}, ConfigError, "use evaluate for it"),
        (
            {"segments": ["a"], "users": TEST.select("user_id", a=pl.concat_list("item_id"))},
            ConfigError,
            "has dtype List.Int64.; expected one value of a user",
        ),
        ({"reference": "none"}, ConfigError, "none of the systems"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        compare(SYSTEMS, TEST, **options)


def test_bad_differences():
    for values in ([], [float("nan")], [[1.0]]):
        with pytest.raises(ConfigError, match="one finite value for each user"):
            permutation_p_value(values)
    with pytest.raises(ConfigError, match="n_resamples=0; expected a whole"):
        permutation_p_value([1.0], n_resamples=0)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        holm([0.5, 1.5])
    assert effect_size(np.array([1.0])) is None


# ---------------------------------------------------------------------- pictures


def test_pictures_hold_the_numbers():
    table = compare(
        SYSTEMS,
        TEST,
        metric=["mrr", "hit_rate@1"],
        train=TRAIN,
        segments=["history_length"],
        reference="good",
    )
    spec = comparison_chart(table).to_dict()
    data = [
        spec["datasets"][panel["data"]["name"]]
        if "name" in panel["data"]
        else panel["data"]["values"]
        for panel in spec["vconcat"]
    ]
    assert all(len({row["panel"] for row in rows}) == 1 for rows in data)
    rows = [row for rows in data for row in rows]
    assert len(rows) == table.drop_nulls("difference").height
    assert {row["panel"] for row in rows} == {
        f"{segment}, {metric}"
        for segment in ("everybody", "history_length")
        for metric in ("mrr@10", "hit_rate@1")
    }
    bad = next(row for row in rows if row["system"] == "bad" and row["panel"].startswith("every"))
    assert bad["test"] == "told apart"
    curves = {name: lorenz_curve(SYSTEMS[name], TEST) for name in SYSTEMS}
    assert len(lorenz_chart(curves).to_dict()["layer"]) == 2


def test_pictures_of_nothing_and_without_altair(monkeypatch):
    table = compare(SYSTEMS, TEST)
    with pytest.raises(ConfigError, match="no columns difference_low"):
        comparison_chart(table.drop("difference_low"))
    with pytest.raises(ConfigError, match="the reference alone"):
        comparison_chart(compare({"good": SYSTEMS["good"]}, TEST))
    with pytest.raises(ConfigError, match="curves is empty"):
        lorenz_chart({})
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "altair":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'twostage-ranker\[plots\]'"):
        comparison_chart(table)
