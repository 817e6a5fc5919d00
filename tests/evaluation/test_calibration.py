"""Shares of categories in lists against those in the past: the paper's formula, and bad tables."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError, SchemaError
from ranker.evaluation import evaluate, evaluate_per_user
from tests.evaluation.test_evaluate import LISTS, PAIRS, lists_frame, pairs_frame, to_text

GENRES = [["war"], ["war", "drama"], ["drama"], [], ["comedy"], ["comedy", "war", "drama"], ["war"]]
CATEGORIES = pl.DataFrame({"item_id": range(7), "genres": GENRES})  # item 7 is in no table


def genres_of(item: int) -> list[str]:
    return GENRES[item] if item < len(GENRES) else []


def shares(items: list[int], n: int) -> dict[str, float]:
    """Steck 2018, equations 2 and 3, all weights equal; of n items that have a category."""
    found: dict[str, float] = {}
    for item in items:
        for genre in genres_of(item):
            found[genre] = found.get(genre, 0.0) + 1 / len(genres_of(item)) / n
    return found


def oracle(past: list[int], items: list[int]) -> float:
    """Equations 6 and 7, a category at a time."""
    n_past, n_listed = (sum(bool(genres_of(item)) for item in part) for part in (past, items))
    p, q = shares(past, n_past), shares(items, n_listed)
    return sum(
        share * math.log(share / (0.99 * q.get(genre, 0.0) + 0.01 * share))
        for genre, share in p.items()
    )


@given(lists=LISTS, test=PAIRS, train=PAIRS, copies=st.integers(0, 3), text=st.booleans())
@settings(max_examples=60, deadline=None)
def test_equals_the_formula_of_the_paper(lists, test, train, copies, text):
    train = [*train, *train[:1] * copies]  # an item that was taken again counts again
    categories = CATEGORIES
    frames = [lists_frame(lists), pairs_frame(test), pairs_frame(train)]
    if text:
        frames = [to_text(frame) for frame in frames]
        ids = pl.format("id-{}", "item_id").alias("item_id")
        categories = categories.with_columns(ids)
    found = evaluate_per_user(
        *frames[:2], k=[1, 3, 9], metrics="miscalibration", train=frames[2], categories=categories
    )
    users = sorted({user for user, _ in test})
    expected = [
        oracle([i for v, i in train if v == user], list(lists.get(user, []))[:k])
        for k in (1, 3, 9)
        for user in users
    ]
    assert found["value"].to_list() == pytest.approx(expected, abs=1e-9)
    assert found["value"].min() >= -1e-12
    assert found["value"].max() <= math.log(100) + 1e-9


def test_values_worked_out_by_hand():
    past = pairs_frame([(1, 0), (1, 2), (2, 3), (3, 4)])
    lists = lists_frame({1: [2, 0], 2: [0], 3: [0]})
    test = pairs_frame([(1, 9), (2, 9), (3, 9)])
    found = evaluate_per_user(
        lists, test, k=2, metrics="miscalibration", train=past, categories=CATEGORIES
    )
    assert found["value"].to_list() == pytest.approx([0.0, 0.0, math.log(100)])
    table = evaluate(
        lists, test, metrics=["miscalibration@2"], train=past, categories=CATEGORIES.lazy()
    )
    assert table["mean"].item() == pytest.approx(math.log(100) / 3)


def test_a_list_like_the_past_is_calibrated_though_an_item_has_no_category():
    past = pairs_frame([(1, 0), (1, 3)])
    found = evaluate(
        lists_frame({1: [0, 3]}),
        pairs_frame([(1, 9)]),
        metrics="miscalibration",
        train=past,
        categories=CATEGORIES,
    )
    assert found["mean"].item() == pytest.approx(0.0)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Int32])
def test_a_category_may_be_a_text_or_a_number(dtype):
    categories = pl.DataFrame({"item_id": [1, 2], "kind": ["1", "2"]}).cast({"kind": dtype})
    found = evaluate(
        lists_frame({1: [1, 2]}),
        pairs_frame([(1, 5)]),
        k=2,
        metrics="miscalibration",
        train=pairs_frame([(1, 1)]),
        categories=categories,
    )
    assert found["mean"].item() == pytest.approx(math.log(1 / (0.99 * 0.5 + 0.01)))


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (CATEGORIES.with_columns(year=1), "expected item_id and one other"),
        (CATEGORIES.drop("item_id"), "expected item_id and one other"),
        (CATEGORIES.with_columns(genres=pl.lit(0.5)), "genres has dtype Float64; expected text"),
        (pl.concat([CATEGORIES, CATEGORIES.head(2)]), "2 rows repeat an item_id"),
        (
            CATEGORIES.with_columns(pl.col("item_id").cast(pl.String)),
            "String here and Int64 in test",
        ),
    ],
)
def test_bad_tables_are_told(categories, message):
    test = pairs_frame([(1, 5)])
    with pytest.raises(SchemaError, match=message):
        evaluate(
            lists_frame({1: [3]}), test, metrics="miscalibration", train=test, categories=categories
        )


def test_what_it_is_made_of_has_to_be_there():
    test = pairs_frame([(1, 5)])
    with pytest.raises(ConfigError, match="pass train="):
        evaluate(lists_frame({1: [3]}), test, metrics="miscalibration", categories=CATEGORIES)
    with pytest.raises(ConfigError, match="pass categories="):
        evaluate(lists_frame({1: [3]}), test, metrics="miscalibration", train=test)
