"""Tables as they come: the stage chooses, describes and checks without stumbling."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from features.leaks import check_no_leak
from features.stage import FeatureStage

N = 40
RNG = np.random.default_rng(0)
IDS = [f"i{number}" for number in range(N)]
LOG = pl.DataFrame(
    {
        "user_id": RNG.integers(0, 6, 200),
        "item_id": RNG.choice(IDS, 200),
        "timestamp": [dt.datetime(1969, 12, 20) + dt.timedelta(hours=int(h)) for h in range(200)],
    }
)
COLUMNS = {
    "null": pl.Series([None] * N),
    "null text": pl.Series([None] * N, dtype=pl.String),
    "constant": pl.Series(["x"] * N),
    "unique": pl.Series(IDS),
    "struct": pl.Series([{"a": 1, "b": "x"}] * N),
    "list of structs": pl.Series([[{"a": 1}]] * N),
    "empty lists": pl.Series([[]] * N, dtype=pl.List(pl.String)),
    "lists with nulls": pl.Series(
        [["a", None], None, []] * (N // 4) + [["b"]] * (N - 3 * (N // 4))
    ),
    "decimal": pl.Series([Decimal("1.50"), Decimal("2.25")] * (N // 2)),
    "nul characters": pl.Series(["a\0b", "a\0c"] * (N // 2)),
    "empty text": pl.Series(["", " "] * (N // 2)),
    "binary": pl.Series([b"\0\xff"] * N),
    "boolean": pl.Series([True, False] * (N // 2)),
    "duration": pl.Series([dt.timedelta(days=1)] * N),
    "before 1970": pl.Series([dt.date(1923, 1, 1), dt.date(1969, 12, 31)] * (N // 2)),
    "time zone": pl.Series([dt.datetime(2024, 1, 1)] * N).dt.replace_time_zone("Asia/Kolkata"),
    "not finite": pl.Series([float("nan"), float("inf")] * (N // 2)),
    "categorical": pl.Series(["p", None] * (N // 2), dtype=pl.Categorical),
    "large numbers": pl.Series([2**64 - 1, 2**63] * (N // 2), dtype=pl.UInt64),
}


def works(items: pl.DataFrame) -> FeatureStage:
    """Choose, compute and describe."""
    stage = FeatureStage.infer(LOG, items)
    snapshot = stage.snapshot(LOG, items=items)
    pairs = pl.DataFrame({"user_id": [1, 1, 2, 99], "item_id": ["i1", "i2", "i1", "i39"]})
    joined = snapshot.join(pairs)
    assert joined.height == 4
    assert snapshot.describe()["name"].to_list() == joined.columns[2:]
    return stage


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_any_kind(column):
    items = pl.DataFrame({"item_id": IDS, column: COLUMNS[column]})
    check_no_leak(works(items), LOG, items=items, n_instants=1)


def test_all_of_them_together():
    works(pl.DataFrame({"item_id": IDS} | COLUMNS))


def test_a_category_of_very_many_values():
    ids = [*IDS, *(f"x{number}" for number in range(200_000))]
    brands = [f"brand {number // 2}" for number in range(len(ids))]
    stage = works(pl.DataFrame({"item_id": ids, "brand": brands}))
    assert "AttributeAffinity(brand)" in stage.summary


def test_an_empty_table():
    works(pl.DataFrame(schema={"item_id": pl.String, "brand": pl.String}))
