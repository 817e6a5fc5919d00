"""Metrics beside accuracy against loops over sets, names with depths, and ties."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from features.errors import ConfigError, SchemaError
from ranker.evaluation import (
    METRICS,
    evaluate,
    evaluate_per_user,
    gini,
    lorenz,
    lorenz_curve,
    parse_metric,
    rank_by_score,
)
from tests.evaluation.test_evaluate import LISTS, PAIRS, lists_frame, pairs_frame, to_text

NAMES = [
    "average_popularity",
    "new_item_share",
    "repetition",
    "serendipity",
    "overlap",
    "intra_list_diversity",
]
VECTORS = np.random.default_rng(5).normal(size=(6, 3)).astype(np.float32)  # none for items 6, 7
EMBEDDING = (pl.Series(range(6)), VECTORS)


def oracle(name, items, relevant, user, train, other, k) -> float:
    items, other = items[:k], other[:k]
    takers = {item: len({u for u, i in train if i == item}) for item in range(8)}
    popular = sorted({*range(8)}, key=lambda item: (-takers[item], item))
    share = {
        "average_popularity": [takers[i] for i in items],
        "new_item_share": [takers[i] == 0 for i in items],
        "repetition": [(user, i) in train for i in items],
    }
    if name in share:
        return sum(share[name]) / len(items) if items else 0.0
    if name == "serendipity":
        return sum(i in relevant and i not in popular[:k] for i in items) / k
    if name == "overlap":
        return len({*items} & {*other}) / max(len(items), len(other), 1)
    unit = VECTORS.astype(float) / np.linalg.norm(VECTORS.astype(float), axis=1, keepdims=True)
    pairs = list(combinations([i for i in items if i < 6], 2))
    return float(np.mean([(1 - unit[a] @ unit[b]) / 2 for a, b in pairs])) if pairs else 0.0


@given(lists=LISTS, other=LISTS, test=PAIRS, train=PAIRS, text=st.booleans())
@settings(max_examples=50, deadline=None)
def test_equals_loops_over_sets(lists, other, test, train, text):
    # All items are listed by somebody, so that the popular list of the oracle has the same ones.
    lists = {**lists, 99: list(range(8))}
    frames = [lists_frame(lists), pairs_frame(test), pairs_frame(train), lists_frame(other)]
    embedding = EMBEDDING
    if text:
        frames = [to_text(frame) for frame in frames]
        embedding = (pl.Series([f"id-{i}" for i in range(6)]), VECTORS)
    recommended, truth, past, others = frames
    found = evaluate_per_user(
        recommended,
        truth,
        k=[1, 3, 9],
        metrics=NAMES,
        train=past,
        other=others,
        embedding=embedding,
    )
    users = sorted({user for user, _ in test})
    expected = [
        oracle(
            name,
            list(lists.get(u, [])),
            {i for v, i in test if v == u},
            u,
            set(train),
            list(other.get(u, [])),
            k,
        )
        for name in NAMES
        for k in (1, 3, 9)
        for u in users
    ]
    assert found["value"].to_list() == pytest.approx(expected, abs=1e-6)
    gini_found = evaluate(recommended, truth, k=2, metrics="gini", train=past)
    counts = [
        sum(item in lists.get(u, [])[:2] for u in users) for item in {item for _, item in train}
    ]
    differences = sum(abs(a - b) for a in counts for b in counts)
    total = 2 * len(counts) * sum(counts)
    assert gini_found["mean"][0] == pytest.approx(differences / total if total else 0.0)
    assert gini_found["ci_low"][0] is None


@given(seed=st.integers(0, 9999), n_items=st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_agrees_with_scikit_learn_where_the_whole_catalogue_is_ranked(seed, n_items):
    rng = np.random.default_rng(seed)
    label = rng.random(n_items) < 0.4
    label[:2] = [True, False]
    score = rng.permutation(n_items)
    hits = label[np.argsort(-score)][None, :]
    n_relevant = np.array([label.sum()])
    expected = roc_auc_score(label, score)
    assert METRICS["auc"](hits, n_relevant, k=n_items)[0] == pytest.approx(expected)
    k = int(rng.integers(1, n_items + 1))
    ndcg = ndcg_score(label[None, :], score[None, :], k=k)
    assert METRICS["ndcg"](hits, n_relevant, k=k)[0] == pytest.approx(ndcg)


@pytest.mark.parametrize(
    ("name", "k", "expected"),
    [
        ("r_precision", 5, 1 / 3),
        ("r_precision", 1, 0.0),
        ("auc", 5, (2 + 1) / (3 * 3)),  # hits at 2 and 4 of 5 places, the third is not listed
        ("auc", 2, 0.0),
    ],
)
def test_values_worked_out_by_hand(name, k, expected):
    hits = np.array([[False, True, False, True, False]])
    assert METRICS[name](hits, np.array([3]), k=k)[0] == pytest.approx(expected)


def test_a_name_may_carry_its_depth():
    lists, test = lists_frame({1: [3, 4, 5]}), pairs_frame([(1, 5)])
    found = evaluate(lists, test, metrics=["mrr@3", "recall", "mrr@2", "mrr@3"], k=[1, 3])
    assert found.select("metric", "k", "mean").rows() == [
        ("mrr", 3, pytest.approx(1 / 3)),
        ("recall", 1, 0.0),
        ("recall", 3, 1.0),
        ("mrr", 2, 0.0),
    ]
    assert parse_metric("recall_capped@20") == ("recall_capped", 20)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("ndcg@", "depth ''; expected a whole number"),
        ("ndcg@0", "depth '0'"),
        ("ndcg@-3", "depth '-3'"),
        ("ndcg@1.5", "depth '1.5'"),
        ("ndgc@5", "unknown metric 'ndgc'.*'ndcg'"),
        ("gini", "gini is how unequally.*pass train="),
        ("overlap@5", "overlap is the share.*pass other="),
        ("intra_list_diversity", "pass embedding="),
        *((name, rf"{name} is .*pass train=") for name in NAMES[:4]),
    ],
)
def test_bad_names_and_missing_tables(metric, message):
    lists, test = lists_frame({1: [3]}), pairs_frame([(1, 5)])
    with pytest.raises(ConfigError, match=message):
        evaluate(lists, test, metrics=metric)
    if metric == "gini":
        with pytest.raises(ConfigError, match="not a value of a user: use evaluate"):
            evaluate_per_user(lists, test, metrics=metric, train=test)


def test_an_embedding_that_does_not_fit():
    lists, test = lists_frame({1: [3]}), pairs_frame([(1, 5)])
    with pytest.raises(ConfigError, match="2 ids, 1 of them distinct, and 6 vectors"):
        evaluate(
            lists, test, metrics="intra_list_diversity", embedding=(pl.Series([1, 1]), VECTORS)
        )


# ---------------------------------------------------------------------- ties


@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_ties_are_broken_by_item_and_never_by_row_or_label(scores, seed):
    frame = pl.DataFrame({"user_id": 1, "item_id": range(len(scores)), "score": scores})
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=seed)
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    found = rank_by_score(mixed)
    assert found["item_id"].to_list() == expected
    assert found["rank"].to_list() == list(range(1, len(scores) + 1))


def test_trap_a_constant_score_is_no_perfect_list():
    n = 200
    flat = pl.DataFrame({"user_id": 1, "item_id": range(n), "score": 0.0})
    late = pl.DataFrame({"user_id": 1, "item_id": [n - 1]})
    positives_first = flat.sort((pl.col("item_id") == n - 1), descending=True)
    assert evaluate(rank_by_score(positives_first), late, metrics="ndcg")["mean"][0] == 0.0


def test_bad_scores():
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "score": [0.1, float("nan")]})
    with pytest.raises(SchemaError, match="score is NaN in 1 rows"):
        rank_by_score(frame)
    with pytest.raises(SchemaError, match="'score' is missing"):
        rank_by_score(frame.drop("score"))
    with pytest.raises(SchemaError, match="score has dtype String"):
        rank_by_score(frame.with_columns(pl.col("score").cast(pl.String)))
    with pytest.raises(SchemaError, match="score is null in 2 of 2"):
        rank_by_score(frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("score")))


# ---------------------------------------------------------------------- exposure


@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_gini_is_twice_the_area_above_the_lorenz_curve(counts):
    items, places = lorenz(counts)
    assert gini(counts) == pytest.approx(1 - 2 * np.trapezoid(places, items), abs=1e-12)
    assert (np.diff(places) >= -1e-12).all()
    assert (places[0], places[-1]) == (0.0, pytest.approx(1.0))
    assert 0 <= gini(counts) < 1


def test_lorenz_of_lists():
    lists = lists_frame({1: [1, 2], 2: [1, 3], 3: [1, 9]})
    curve = lorenz_curve(lists, pairs_frame([(1, 1), (1, 2), (2, 3), (2, 4)]), k=2)
    assert curve["places"].to_list() == pytest.approx([0, 0, 1 / 5, 2 / 5, 1])
    assert lorenz_curve(lists, pairs_frame([(1, i) for i in range(5000)])).height == 1001
    with pytest.raises(ConfigError, match="k is 0"):
        lorenz_curve(lists, pairs_frame([(1, 1)]), k=0)


@pytest.mark.parametrize("counts", [[], [1, -1], [float("nan")], [[1, 2]]])
def test_counts_that_cannot_be(counts):
    for function in (gini, lorenz):
        with pytest.raises(ConfigError, match="one finite number of at least 0"):
            function(counts)


def test_repeats_are_found_in_whatever_order_the_rows_stand():
    lists = lists_frame({user: [1, 2, 3] for user in range(4)})
    test = pairs_frame([(1, 2)])
    for column in ("item_id", "rank"):
        bad = lists.with_columns(
            pl.when(pl.int_range(pl.len()) == 5).then(1).otherwise(column).alias(column)
        )
        for frame in (bad, bad.sample(fraction=1.0, shuffle=True, seed=1)):
            with pytest.raises(SchemaError, match=rf"1 \(user_id, {column}\) pairs occur more"):
                evaluate(frame, test)
