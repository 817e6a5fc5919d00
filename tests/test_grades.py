"""What events are worth as labels."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from features.history import LogFacts
from features.schema import check_interactions
from ranker import LambdaRank, LastInteractions
from ranker.grades import check_grades, label_pairs, with_grades
from ranker.holdout import LabelWindows, RandomHoldout
from ranker.labelling import mark_relevant
from tests.logs import make_log
from tests.recommenders import small

EVENTS = pl.DataFrame(
    {
        "user_id": [1, 1, 1, 2, 2],
        "item_id": [7, 7, 8, 7, 9],
        "timestamp": [1, 2, 30, 40, 90],
        "event": ["view", "order", "view", "cart", None],
    }
)
GRADES = {"view": 0, "cart": 1, "order": 4}


def test_grades_by_name():
    graded = with_grades(EVENTS, GRADES)
    assert graded["grade"].to_list() == [0, 4, 0, 1, 0]
    assert graded.schema["grade"] == pl.Int8
    assert label_pairs(graded).rows() == [(1, 7, 4), (2, 7, 1)], "the highest of each pair"
    assert with_grades(EVENTS, {"cart": 2})["grade"].to_list() == [0, 0, 0, 2, 0]
    assert with_grades(EVENTS, None) is EVENTS
    assert label_pairs(EVENTS).rows() == [(1, 7), (1, 8), (2, 7), (2, 9)]


def test_grades_by_weight():
    log = EVENTS.with_columns(pl.Series("weight", [0, 5, 3, 1, 30], dtype=pl.Float32))
    assert with_grades(log, "weight")["grade"].to_list() == [0, 5, 3, 1, 30]


@pytest.mark.parametrize(
    ("grades", "message"),
    [
        ("rating", r"grades='rating'; expected a grade for each name"),
        ({}, r"grades=\{\}; expected a grade"),
        ({"view": 31}, r"grades has \{'view': 31\}; expected whole numbers from 0 to 30"),
        ({"view": -1}, r"\{'view': -1\}"),
        ({"view": 1.5}, r"\{'view': 1.5\}.*LambdaRank\(label_gain"),
        ({"view": True}, r"\{'view': True\}"),
        ({"view": 0}, r"has no grade above 0: nothing would be a label"),
        (3, r"grades=3"),
    ],
)
def test_grades_that_cannot_be(grades, message):
    with pytest.raises(ConfigError, match=message):
        check_grades(grades)
    with pytest.raises(ConfigError, match=message):
        small(grades=grades).fit(make_log("datetime"))


@pytest.mark.parametrize(
    ("log", "grades", "message"),
    [
        (EVENTS, "weight", "needs a column weight"),
        (EVENTS.drop("event"), GRADES, "need a column event"),
        (
            EVENTS,
            {"orders": 1},
            r"grades has 'orders', but .*'cart', 'order'.*; the nearest is 'order'",
        ),
        (
            EVENTS.with_columns(weight=pl.Series([0.5, 1, 31, 2, 2], dtype=pl.Float32)),
            "weight",
            r"weight has 2 values that are no grades, such as \[0.5, 31.0\]; .*round them",
        ),
    ],
)
def test_grades_that_do_not_fit_the_log(log, grades, message):
    with pytest.raises(ConfigError, match=message):
        with_grades(log, grades)


@pytest.mark.parametrize(
    ("clock", "holdout"),
    [
        ("datetime", LabelWindows("14d", 2)),
        ("sequence", LastInteractions(n=2)),
        ("none", RandomHoldout(0.3, 2)),
    ],
)
def test_events_of_grade_0_are_known_and_are_no_labels(clock, holdout):
    log = check_interactions(make_log(clock))
    facts = LogFacts.of(log)
    folds = holdout.folds(with_grades(log, {"cart": 3}), facts, random_state=0)
    carts = log.filter(pl.col("event") == "cart").select("user_id", "item_id").unique()
    assert folds
    for fold in folds:
        assert set(fold.labels["grade"]) == {3}
        assert fold.labels.join(carts, on=["user_id", "item_id"], how="anti").is_empty()
        assert (fold.history["event"] == "view").any()
        assert fold.is_known.dtype == np.bool_


def test_labels_are_the_grades_and_unknown_items_count():
    from tests.test_training import DEPTHS, SNAPSHOT, label

    labels = pl.DataFrame(
        {"user_id": ["u000"] * 3, "item_id": ["i000", "i001", "new item"], "grade": [5, 2, 3]},
        schema_overrides={"grade": pl.Int8},
    )
    table = label(labels=labels)
    history = SNAPSHOT.history.select(pl.Series(["u000"]))
    candidates = SNAPSHOT.candidates(history, DEPTHS, exclude_seen=False)
    item = candidates.frame()["item_id"].to_list()
    expected = [{"i000": 5, "i001": 2}.get(one, 0) for one in item]
    assert table.label.tolist() == expected
    assert mark_relevant(candidates, labels)[1].tolist() == [3]
    assert table.relevant.shape == (1, 5, 3)
    assert table.relevant.sum(axis=2).tolist() == [[0, 1, 1, 0, 1]]
    assert table.n_relevant.tolist() == [3]
    assert table.relevant[0, 2].tolist() == [1, 0, 0], "an item that nobody knows is cold"


def test_a_label_gain_for_each_grade():
    log = make_log("datetime")
    recommender = small(
        grades={"view": 1, "cart": 2},
        reranker=LambdaRank(n_trees=5, min_rows_in_leaf=5, label_gain=(0, 1, 1)),
    ).fit(log)
    assert "[label_gain: 0,1,1]" in recommender._state.model.text
    other = small(grades={"view": 1, "cart": 2}, reranker=LambdaRank(n_trees=5, min_rows_in_leaf=5))
    assert other.fit(log).gate_.ndcg != recommender.gate_.ndcg
    with pytest.raises(ConfigError, match=r"for grades up to 1, and a label has grade 2"):
        small(grades={"cart": 2}, reranker=LambdaRank(label_gain=(0, 1))).fit(log)


@pytest.mark.parametrize("objective", ["lambdarank", "rank_xendcg", "binary"])
def test_every_objective_takes_grades(objective):
    reranker = LambdaRank(objective=objective, n_trees=5, min_rows_in_leaf=5)
    recommender = small(grades={"view": 1, "cart": 30}, reranker=reranker)
    recommender.fit(make_log("datetime"))
    assert f"reranker: {objective}" in "\n".join(recommender.choices_)


@pytest.mark.parametrize(
    ("clock", "holdout"),
    [
        ("datetime", LabelWindows("7d", n_windows=6, n_validation=3)),
        ("none", RandomHoldout(0.1, 4)),
    ],
)
def test_a_grade_that_one_fold_alone_has(clock, holdout, tmp_path):
    log = make_log(clock).with_row_index()
    rare = pl.col("index") == (480 if clock == "datetime" else 7)
    log = log.with_columns(event=pl.when(rare).then(pl.lit("order")).otherwise("event"))
    grades = {"view": 1, "cart": 2, "order": 9}
    recommender = small(clock=clock, holdout=holdout, grades=grades).fit(log)
    assert recommender.gate_ is not None
    assert recommender.recommend(k=3).height == 120


@pytest.mark.parametrize("item", ["i003", "nobody proposed it"])
def test_a_grade_without_a_gain_in_the_freshest_labels_is_named(item):
    log = make_log("datetime")
    last = log.tail(1).with_columns(item_id=pl.lit(item), weight=3.0)
    log = pl.concat([log.with_columns(weight=pl.lit(1.0)), last])
    reranker = LambdaRank(n_trees=5, min_rows_in_leaf=5, label_gain=(0, 1, 3))
    with pytest.raises(ConfigError, match=r"label_gain has 3 values, .* a label has grade 3"):
        small(grades="weight", reranker=reranker).fit(log)


def test_grades_of_numpy():
    check_grades({"view": np.int64(0), "cart": np.int8(2)})
    with pytest.raises(ConfigError, match="from 0 to 30"):
        check_grades({"view": np.float64(1.0)})
