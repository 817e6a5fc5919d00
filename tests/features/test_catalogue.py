"""Every block at once: odd tables, who is asked along, the order of rows, names."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.candidates import Candidates
from features.catalogue import all_blocks
from features.history import History, LogFacts
from features.ids import Ids
from features.stage import FeatureStage, default_blocks
from tests.features.logs import candidates_of, queries, worlds
from tests.features.test_similarity_block import FakeSource
from tests.features.test_stage import sources_for

NOON = dt.datetime(2024, 1, 1, 12)


def odd_columns(n: int) -> dict[str, pl.Series]:
    """Columns of every kind that tables of ours have ever had, and of some that they had not."""
    nothing = [None] * n
    rows = range(n)
    struct = pl.Struct({"width": pl.Int64, "name": pl.String})
    columns = {
        "null": pl.Series(nothing, dtype=pl.Null),
        "no_text": pl.Series(nothing, dtype=pl.String),
        "no_number": pl.Series(nothing, dtype=pl.Float64),
        "no_list": pl.Series(nothing, dtype=pl.List(pl.String)),
        "no_vector": pl.Series(nothing, dtype=pl.Array(pl.Float32, 3)),
        "no_date": pl.Series(nothing, dtype=pl.Date),
        "same_text": pl.Series(["same"] * n),
        "same_number": pl.Series([1.5] * n),
        "same_whole": pl.Series([7] * n),
        "every_value": pl.Series([f"value {row}" for row in rows]),
        "nul": pl.Series(["a\0b" if row % 2 else "a\0" for row in rows]),
        "blank": pl.Series(["" if row % 2 else " " for row in rows]),
        "kind": pl.Series([["x", "y", None][row % 3] for row in rows], dtype=pl.Categorical),
        "shelf": pl.Series([row % 2 for row in rows], dtype=pl.UInt8),
        "sold": pl.Series([row % 2 == 0 for row in rows]),
        "price": pl.Series(
            [[Decimal("0.01"), Decimal("99999999.99"), None][row % 3] for row in rows],
            dtype=pl.Decimal(38, 2),
        ),
        "not_finite": pl.Series([[np.nan, np.inf, -np.inf, 2.0][row % 4] for row in rows]),
        "huge": pl.Series([[1e308, -1e308, 3e38, 1e-44][row % 4] for row in rows]),
        "negative": pl.Series([[-1.0, 1.0][row % 2] for row in rows]),
        "large_whole": pl.Series([2**64 - 1 - row for row in rows], dtype=pl.UInt64),
        "old": pl.Series([dt.date(1066, 10, 14) + dt.timedelta(row) for row in rows]),
        "in_kolkata": pl.Series([NOON] * n).dt.replace_time_zone("Asia/Kolkata"),
        "in_new_york": pl.Series([NOON + dt.timedelta(hours=row) for row in rows])
        .dt.replace_time_zone("America/New_York")
        .dt.cast_time_unit("ns"),
        "length": pl.Series([dt.timedelta(minutes=row) for row in rows]),
        "opens": pl.Series([dt.time(row % 24) for row in rows]),
        "bytes": pl.Series([b"\0\xff"] * n),
        "tags": pl.Series([[[], ["x", None, "x"], None][row % 3] for row in rows]),
        "codes": pl.Series([[row % 2, None] for row in rows]),
        "grid": pl.Series([[[1.0], [2.0]] for _ in rows]),
        "ragged": pl.Series([[1.0] * (row % 3) for row in rows]),
        "zeros": pl.Series([[0.0, 0.0] for _ in rows]),
        "infinite": pl.Series([[np.inf, float(row)] for row in rows]),
        "box": pl.Series([{"width": row, "name": None} for row in rows], dtype=struct),
        "boxes": pl.Series([[{"width": row, "name": "a"}] for row in rows], dtype=pl.List(struct)),
    }
    return {name: series.alias(name) for name, series in columns.items()}


def table_of(ids, key: str) -> pl.DataFrame:
    return pl.DataFrame([pl.Series(key, ids), *odd_columns(len(ids)).values()])


def context_of(world):
    """A history with tables of all kinds of columns, and sources."""
    return Context(
        world.history,
        items=table_of(world.items, "item_id"),
        users=table_of(world.users, "user_id"),
        sources=sources_for(len(world.items)),
    )


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_odd_tables(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    context = context_of(world)
    tables = FeatureStage(blocks=all_blocks()).fit(context)
    table = tables.transform(query.history, query.candidates)
    assert table.shape == (query.candidates.n_rows, len(tables.names))
    assert not np.isinf(table).any()
    for place, user in enumerate(query.users):
        alone = tables.transform(
            world.history.select(pl.Series([user])),
            candidates_of(world.items, (user,), query.sources, query.proposals[place : place + 1]),
        )
        rows = slice(*query.candidates.indptr[place : place + 2])
        np.testing.assert_array_equal(alone, table[rows])


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_is_no_matter(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    context = context_of(world)
    stage = FeatureStage(blocks=all_blocks())
    shuffled = data.draw(st.permutations(world.log.events))
    again = History.build(
        world.log.frame(shuffled),
        users=world.history.users,
        items=world.history.items,
        facts=world.history.facts,
        as_of=world.as_of,
    )
    expected = stage.fit(context).transform(query.history, query.candidates)
    other = Context(again, items=context.items, users=context.users, sources=context.sources)
    found = stage.fit(other).transform(
        again.select(pl.Series(query.users, dtype=pl.Int64)), query.candidates
    )
    np.testing.assert_array_equal(found, expected)


def test_the_columns_are_the_same_in_every_snapshot():
    # Models learn from several snapshots: what a column is must not hang on the events so far.
    rows = [
        (u, "abcde"[(u * k) % 5], k, ["view", "buy"][k % 2]) for u in range(4) for k in range(9)
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")
    items, users = table_of(list("abcde"), "item_id"), table_of(range(4), "user_id")
    stage, facts = FeatureStage(blocks=all_blocks()), LogFacts.of(frame)
    features = []
    for as_of in (1, 5, 9):
        history = History.build(
            frame.filter(pl.col("timestamp") < as_of),
            users=Ids(users["user_id"]),
            items=Ids(items["item_id"]),
            facts=facts,
            as_of=as_of,
        )
        context = Context(history, items=items, users=users, sources=sources_for(5))
        features.append(stage.fit(context).features)
    assert features[0] == features[1] == features[2]
    assert {feature.family for feature in features[0]} >= {
        *("source", "history", "event", "similarity", "embedding", "content", "item"),
        *("conversion", "segment", "user", "breadth", "affinity", "encoding", "attribute", "cold"),
    }


@pytest.mark.parametrize(
    "n_items", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)], ids=["many", "a million"]
)
def test_a_category_with_very_many_values(n_items):
    ids = pl.Series("item_id", np.arange(n_items))
    items = pl.DataFrame(
        {
            "item_id": ids,
            "brand": (ids // 2).cast(pl.String),  # each value has two items
            "maker": (ids // 3).cast(pl.String),
        }
    )
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user_id": rng.integers(0, 50, 2_000),
            "item_id": rng.integers(0, n_items, 2_000),
            "timestamp": rng.integers(0, 500, 2_000),
        }
    )
    history = History.build(
        frame,
        users=Ids.sorted(frame["user_id"]),
        items=Ids(ids),
        facts=LogFacts.of(frame),
        as_of=500,
    )
    tables = FeatureStage(blocks=all_blocks()).fit(
        Context(history, items=items, sources={"one": FakeSource()})
    )
    some = rng.choice(n_items, 30, replace=False)
    users = tuple(history.users.values[:3])
    candidates = Candidates(
        users=Ids(pl.Series(users)),
        items=history.items,
        sources=("one",),
        indptr=np.arange(0, 91, 30),
        item=np.tile(np.sort(some), 3).astype(np.int32),
        score=np.ones((90, 1), np.float32),
        rank=np.ones((90, 1), np.int32),
    )
    table = tables.transform(history.select(pl.Series(users)), candidates)
    assert table.shape == (90, len(tables.names))
    assert not np.isinf(table).any()
    column = tables.names.index("encoding_brand_per_item_all")
    assert np.isfinite(table[:, column]).all()


def test_every_default_block_is_one_of_the_catalogue():
    kinds = [type(block) for block in all_blocks()]
    assert len(set(kinds)) == len(kinds)
    assert {type(block) for block in default_blocks()} <= set(kinds)
