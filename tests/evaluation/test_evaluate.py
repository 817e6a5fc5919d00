"""`evaluate` against loops over dictionaries, its denominators, and every bad frame."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import ConfigError, SchemaError
from ranker.evaluation import METRICS, bootstrap_interval, evaluate, evaluate_per_user
from tests.evaluation.oracle import metric_value

IDS = st.integers(0, 7)
PAIRS = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=30)
LISTS = st.dictionaries(IDS, st.permutations(range(8)).map(lambda p: p[: 1 + p[0]]), max_size=8)


def pairs_frame(pairs) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"user_id": pl.Int64, "item_id": pl.Int64}, orient="row")


def lists_frame(lists) -> pl.DataFrame:
    rows = [(u, item, rank) for u, items in lists.items() for rank, item in enumerate(items, 1)]
    schema = {"user_id": pl.Int64, "item_id": pl.Int64, "rank": pl.UInt32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def to_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Ids as text that sorts as the numbers do."""
    return frame.with_columns(pl.format("id-{}", c).alias(c) for c in ("user_id", "item_id"))


@given(lists=LISTS, test=PAIRS, train=PAIRS, exclude_seen=st.booleans())
@settings(max_examples=60, deadline=None)
def test_equals_loops_over_users(lists, test, train, exclude_seen):
    seen = set(train) if exclude_seen else set()
    relevant: dict[int, set[int]] = {}
    for user, item in set(test) - seen:
        relevant.setdefault(user, set()).add(item)
    options = {"k": [1, 3, 20], "metrics": list(METRICS), "exclude_seen": exclude_seen}
    frames = (lists_frame(lists), pairs_frame(test))
    if not relevant:
        with pytest.raises(SchemaError, match="exclude_seen leaves no user"):
            evaluate(*frames, train=pairs_frame(train), **options)
        return
    per_user = evaluate_per_user(*frames, train=pairs_frame(train), **options)
    hits = {user: [i in relevant[user] for i in lists.get(user, [])] for user in relevant}
    expected = [
        (user, name, k, metric_value(name, hits[user], len(relevant[user]), k))
        for name in METRICS
        for k in (1, 3, 20)
        for user in sorted(relevant)
    ]
    assert per_user.columns == ["user_id", "metric", "k", "value"]
    assert per_user.drop("value").rows() == [row[:3] for row in expected]
    assert per_user["value"].to_list() == pytest.approx([row[3] for row in expected], rel=1e-12)


def test_the_summary_is_the_mean_and_interval_of_the_values_per_user():
    lists = {user: [(user * j) % 11 for j in range(1, 6)] for user in range(1, 40) if user % 11}
    test = [(user, item) for user in range(40) for item in range(11) if (user + item) % 3]
    options = {"k": [1, 3, 20], "metrics": list(METRICS)}
    frames = (lists_frame(lists), pairs_frame(test))
    summary = evaluate(*frames, random_state=3, **options)
    cells = evaluate_per_user(*frames, **options).group_by("metric", "k", maintain_order=True)
    for row, ((name, k), cell) in zip(summary.rows(), cells, strict=True):
        interval = bootstrap_interval(cell["value"].to_numpy(), random_state=3)
        assert row[:2] == (name, k)
        assert row[2:5] == pytest.approx((interval.mean, interval.low, interval.high), abs=1e-12)
        assert row[5] == 40


@given(lists=LISTS, test=PAIRS, train=PAIRS)
@settings(max_examples=60, deadline=None)
def test_coverage_equals_a_loop(lists, test, train):
    summary = evaluate(
        lists_frame(lists),
        pairs_frame(test),
        k=[1, 4],
        metrics="coverage",
        train=pairs_frame(train),
    )
    users, catalogue = {user for user, _ in test}, {item for _, item in train}
    for row, k in zip(summary.rows(), (1, 4), strict=True):
        shown = {item for user in users for item in lists.get(user, [])[:k]} & catalogue
        assert row == ("coverage", k, len(shown) / len(catalogue), None, None, len(users))


def example():
    lists = {1: [10, 11, 12], 2: [12, 10], 3: [11], 9: [10]}
    test = [(1, 11), (1, 11), (1, 99), (2, 12), (4, 10)]
    return lists_frame(lists), pairs_frame(test)


def test_values_worked_out_by_hand():
    lists, test = example()
    found = evaluate(lists, test, k=[1, 10], metrics=["recall", "mrr", "hit_rate"])
    assert found.select("metric", "k", "mean", "n_users").rows() == [
        ("recall", 1, pytest.approx((0 + 1 + 0) / 3), 3),
        ("recall", 10, pytest.approx((1 / 2 + 1 + 0) / 3), 3),  # the unknown item 99 is a miss
        ("mrr", 1, pytest.approx(1 / 3), 3),
        ("mrr", 10, pytest.approx((1 / 2 + 1 + 0) / 3), 3),
        ("hit_rate", 1, pytest.approx(1 / 3), 3),
        ("hit_rate", 10, pytest.approx(2 / 3), 3),
    ]


def test_users_without_a_list_count_and_users_without_a_test_do_not():
    lists, test = example()
    per_user = evaluate_per_user(lists, test, metrics="hit_rate")
    assert per_user.select("user_id", "value").rows() == [(1, 1.0), (2, 1.0), (4, 0.0)]


def test_an_empty_frame_of_lists_is_worth_nothing():
    lists, test = example()
    found = evaluate(lists.clear(), test, train=test)
    assert found["mean"].to_list() == [0.0] * 6
    assert found["n_users"].to_list() == [3] * 6


def test_the_default_has_coverage_only_where_the_catalogue_is_known():
    lists, test = example()
    assert evaluate(lists, test)["metric"].to_list() == ["ndcg", "recall", "map", "mrr", "hit_rate"]
    assert evaluate(lists, test, train=test)["metric"].to_list()[-1] == "coverage"
    per_user = evaluate_per_user(lists, test, train=test)
    assert "coverage" not in per_user["metric"].unique().to_list()


def test_schema_of_the_results():
    lists, test = example()
    assert evaluate(lists, test, k=5, train=test).schema == {
        "metric": pl.String,
        "k": pl.Int64,
        "mean": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "n_users": pl.Int64,
    }
    narrow = test.with_columns(pl.col("user_id").cast(pl.Int16))
    assert evaluate_per_user(lists, narrow).schema == {
        "user_id": pl.Int16,
        "metric": pl.String,
        "k": pl.Int64,
        "value": pl.Float64,
    }


def test_a_gap_between_ranks_is_a_miss():
    lists, test = example()
    moved = lists.with_columns(pl.col("rank") + 1)
    found = evaluate(moved, test, k=2, metrics="mrr")
    assert found["mean"][0] == pytest.approx((0 + 1 / 2 + 0) / 3)


@given(lists=LISTS, test=PAIRS, seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_shuffled_rows_lazy_frames_and_text_ids_change_nothing(lists, test, seed):
    recommendations, truth = lists_frame(lists), pairs_frame(test)
    options = {"k": [2, 5], "train": truth}
    expected = evaluate(recommendations, truth, **options)
    shuffle = {"fraction": 1.0, "shuffle": True, "seed": seed}
    mixed, mixed_truth = recommendations.sample(**shuffle), truth.sample(**shuffle)
    assert_frame_equal(evaluate(mixed, mixed_truth, **options), expected, check_exact=True)
    lazy = evaluate(mixed.lazy(), mixed_truth.lazy(), k=[2, 5], train=truth.lazy())
    assert_frame_equal(lazy, expected, check_exact=True)
    text = evaluate(to_text(mixed), to_text(mixed_truth), k=[2, 5], train=to_text(truth))
    assert_frame_equal(text, expected, check_exact=True)


@pytest.mark.parametrize("dtype", [pl.Int16, pl.UInt64, pl.Categorical, pl.Enum(["1", "2", "4"])])
def test_ids_meet_across_dtypes_and_come_back_as_they_were(dtype):
    lists, test = example()
    typed = test.with_columns(pl.col("user_id").cast(pl.String).cast(dtype))
    if not dtype.is_integer():
        lists = lists.with_columns(pl.col("user_id").cast(pl.String))
    found = evaluate_per_user(lists, typed, metrics="mrr")
    assert found["user_id"].dtype == dtype
    assert found["value"].to_list() == [0.5, 1.0, 0.0]


def test_the_callers_frames_stay():
    lists, test = example()
    copies = lists.clone(), test.clone()
    evaluate(lists, test, train=test)
    assert_frame_equal(lists, copies[0])
    assert_frame_equal(test, copies[1])


def test_all_problems_of_the_lists_are_named_at_once():
    lists = pl.DataFrame(
        {
            "user_id": [1, 1, 1, None, 2],
            "item_id": [5, 5, 6, 7, 8],
            "rank": [1, 2, 2, -3, None],
        }
    )
    test = pl.DataFrame({"user_id": ["a"], "item_id": [5]})
    with pytest.raises(SchemaError) as caught:
        evaluate(lists, test)
    assert caught.value.table == "recommendations"
    mismatch = "user_id has dtype Int64 here and String in test, so no row could match: "
    assert list(caught.value.problems) == [
        "user_id is null in 1 of 5 rows; drop them",
        mismatch + 'cast one of them, as in pl.col("user_id").cast(pl.String)',
        "rank is null in 1 of 5 rows; drop them",
        "1 ranks are below 1, the least -3; the best rank is 1",
        "1 (user_id, item_id) pairs occur more than once, such as (1, 5); expected each once",
        "1 (user_id, rank) pairs occur more than once, such as (1, 2); expected each once",
    ]


LISTS_OK, TEST_OK = example()


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (
            LISTS_OK.drop("rank", "item_id"),
            "2 problems\n.*'item_id' is missing.*\n.*'rank' is miss",
        ),
        (LISTS_OK.with_columns(pl.col("rank").cast(pl.Float32)), "rank has dtype Float32"),
        (LISTS_OK.with_columns(pl.col("item_id").cast(pl.Float64)), "item_id has dtype Float64"),
        (LISTS_OK.with_columns(pl.lit([1]).alias("user_id")), "user_id has dtype List"),
        (
            LISTS_OK.with_columns(pl.lit(2**64 - 1, dtype=pl.UInt64).alias("user_id")),
            "beyond Int64",
        ),
        (LISTS_OK.with_columns(pl.col("rank") - 1), "4 ranks are below 1, the least 0"),
        (pl.concat([LISTS_OK] * 2), r"such as \(1, 10\), \(1, 11\), \(1, 12\)"),
        ({"user_id": [1]}, "is a dict; expected a polars DataFrame or LazyFrame"),
    ],
)
def test_bad_lists(lists, message):
    with pytest.raises(SchemaError, match=message):
        evaluate(lists, TEST_OK)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (TEST_OK.clear(), "has no rows"),
        (TEST_OK.drop("item_id"), "'item_id' is missing"),
        (
            TEST_OK.with_columns(pl.lit(None, dtype=pl.Int64).alias("user_id")),
            "null in 5 of 5 rows",
        ),
    ],
)
def test_bad_test_and_train(frame, message):
    with pytest.raises(SchemaError, match=f"test: 1 problem\n.*{message}"):
        evaluate(LISTS_OK, frame)
    with pytest.raises(SchemaError, match=f"train: 1 problem\n.*{message}"):
        evaluate(LISTS_OK, TEST_OK, train=frame)


def test_train_with_other_ids_than_test():
    with pytest.raises(SchemaError, match="train: 2 problems"):
        evaluate(LISTS_OK, TEST_OK, train=to_text(TEST_OK))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0; expected whole numbers"),
        ({"k": [10, -1]}, "expected whole numbers of at least 1"),
        ({"k": True}, "k is True"),
        ({"k": 2.5}, "k is 2.5"),
        ({"k": "10"}, "k is '10'"),
        ({"k": []}, "k is empty"),
        ({"metrics": []}, "metrics is empty"),
        (
            {"metrics": ["ndcg", "recal"]},
            "unknown metric 'recal'; the nearest known one is 'recall'",
        ),
        ({"metrics": "coverage"}, "coverage is the share of the catalogue.*pass train="),
        ({"exclude_seen": True}, "exclude_seen=True needs train="),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(LISTS_OK, TEST_OK, **options)


def test_coverage_is_no_value_of_a_user():
    with pytest.raises(ConfigError, match="use evaluate for it"):
        evaluate_per_user(LISTS_OK, TEST_OK, metrics=["ndcg", "coverage"], train=TEST_OK)


def test_repeated_metrics_and_depths_count_once():
    found = evaluate(LISTS_OK, TEST_OK, k=[5, 5, 1], metrics=["mrr", "mrr"])
    assert found.select("metric", "k").rows() == [("mrr", 5), ("mrr", 1)]
