"""Tables as they come: the stage chooses, describes and checks without stumbling."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from features.catalogue import all_blocks
from features.errors import SchemaError
from features.leaks import check_no_leak
from features.stage import FeatureStage, default_blocks
from tests.features.test_catalogue import odd_columns

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
USERS = range(6)
ZONES = ("Asia/Kolkata", "America/New_York", "UTC", "Pacific/Chatham")
COLUMNS = odd_columns(N)
BLOCKS = {"defaults": default_blocks(), "all": all_blocks()}


def works(items=None, users=None, log=LOG, blocks=None, as_of=None) -> FeatureStage:
    """Choose, compute and describe."""
    stage = FeatureStage.infer(log, items, users, blocks=blocks)
    snapshot = stage.snapshot(log, as_of, items=items, users=users)
    item = log["item_id"].unique().sort().gather([0, 1, 0, -1])
    user = log["user_id"].unique().sort().gather([0, 0, 1, 1])
    joined = snapshot.join(pl.DataFrame([user, item]))
    assert joined.height == 4
    assert snapshot.describe()["name"].to_list() == joined.columns[2:]
    assert not joined.select(pl.selectors.float().is_infinite().any()).row(0).count(True)
    return stage


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_of_any_kind(column, blocks):
    items = pl.DataFrame([pl.Series("item_id", IDS), COLUMNS[column]])
    users = pl.DataFrame([pl.Series("user_id", USERS), COLUMNS[column].head(len(USERS))])
    stage = works(items, users, blocks=blocks)
    check_no_leak(stage, LOG, items=items, users=users, n_instants=1)


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_all_of_them_together(blocks):
    works(pl.DataFrame([pl.Series("item_id", IDS), *COLUMNS.values()]), blocks=blocks)


def test_tables_without_a_single_value():
    """The dtypes are there, and so are the ids."""
    empty = {name: pl.Series([None] * N, dtype=column.dtype) for name, column in COLUMNS.items()}
    items = pl.DataFrame({"item_id": IDS} | empty)
    users = items.head(len(USERS)).select(pl.Series("user_id", USERS), pl.all().exclude("item_id"))
    stage = works(items, users, blocks=all_blocks())
    # Vectors are told by their dtype, all others by their values.
    chosen = {column for block in stage.blocks for column in getattr(block, "columns", ())}
    assert {COLUMNS[name].dtype.base_type() for name in chosen} <= {pl.List, pl.Array}
    bare = works(blocks=all_blocks())
    pairs = LOG.select("user_id", "item_id").unique().sort(pl.all())
    known = bare.snapshot(LOG).join(pairs)
    joined = stage.snapshot(LOG, items=items, users=users).join(pairs)
    assert joined.select(known.columns).equals(known)
    rest = joined.drop(known.columns)
    assert rest.null_count().row(0) == (joined.height,) * rest.width


@pytest.mark.parametrize(
    "n_items", [200_000, pytest.param(2_000_000, marks=pytest.mark.slow)], ids=["many", "a million"]
)
def test_a_category_of_very_many_values(n_items):
    ids = [*IDS, *(f"x{number}" for number in range(n_items - N))]
    items = pl.DataFrame({"item_id": ids}).with_columns(
        brand=pl.format("brand {}", pl.int_range(pl.len()) // 2)
    )
    stage = works(items, blocks=all_blocks())
    for block in ("AttributeAffinity", "AttributeEncoding", "UserBreadth", "WordSimilarity"):
        assert f"{block}(brand)" in stage.summary


def test_an_empty_table():
    works(pl.DataFrame(schema={"item_id": pl.String, "brand": pl.String}), blocks=all_blocks())


def test_zones_are_told_by_their_instant_and_not_by_their_clock():
    """The log, the versions of an item, its dates and the instant, each in another zone."""
    log = LOG.with_columns(pl.col("timestamp") + pl.duration(days=20_000))
    made = log["timestamp"].min()
    versions = pl.DataFrame(
        {
            "item_id": IDS * 2,
            "brand": ["old", "older"] * (N // 2) + ["new", "newer"] * (N // 2),
            "made": [made - dt.timedelta(days=n % 7) for n in range(2 * N)],
            "valid_from": [made] * N + [made + dt.timedelta(hours=150)] * N,
        }
    )
    as_of = made + dt.timedelta(hours=150, minutes=1)
    pairs = pl.DataFrame({"user_id": [1, 2], "item_id": ["i1", "i2"]})

    def told(zones, instant):
        columns = ("timestamp", "valid_from", "made")
        spelled = dict(zip(columns, zones, strict=False))
        frames = [
            frame.with_columns(
                pl.col(name).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
                for name, zone in spelled.items()
                if name in frame.columns
            )
            for frame in (log, versions)
        ]
        stage = FeatureStage.infer(*frames, blocks=all_blocks())
        return stage.snapshot(frames[0], instant, items=frames[1]).join(pairs)

    expected = told((), as_of)
    assert expected["attribute_made_age_days"].null_count() == 0
    for turn in range(len(ZONES)):
        zones = ZONES[turn:] + ZONES[:turn]
        aware = as_of.replace(tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
        shifted = aware + dt.timedelta(hours=5, minutes=30)
        assert told(zones, shifted).equals(expected)


LOGS = {
    "dates before 1970": LOG.with_columns(pl.col("timestamp").dt.date()),
    "nanoseconds before 1970": LOG.with_columns(pl.col("timestamp").dt.cast_time_unit("ns")),
    "a clock that runs up to zero": LOG.with_columns(timestamp=pl.int_range(pl.len()) * 7 - 2000),
    "the largest numbers": LOG.with_columns(
        timestamp=pl.int_range(pl.len()) * 7 + 2**62, user_id=2**63 - 1 - pl.col("user_id")
    ),
    "a zone": LOG.with_columns(pl.col("timestamp").dt.replace_time_zone("Pacific/Chatham")),
    "decimal weights": LOG.with_columns(weight=pl.lit(Decimal("2.50")).cast(pl.Decimal(10, 2))),
    "weights of zero": LOG.with_columns(weight=pl.lit(0)),
    "ids with NUL": LOG.with_columns(
        pl.col("item_id") + pl.lit("\0"), user_id=pl.lit("u\0") + pl.col("user_id").cast(pl.String)
    ),
    "events with NUL": LOG.with_columns(
        event=pl.Series(["a\0b", "a\0c", "", " "] * (LOG.height // 4))
    ),
    "many names of events": LOG.with_columns(
        event=pl.format("e{}", pl.int_range(pl.len()) // 10).cast(pl.Categorical)
    ),
    "one of everything": LOG.with_columns(user_id=pl.lit(1), event=pl.lit("x")),
    "other columns": LOG.hstack(
        [column.extend_constant(None, 160) for column in odd_columns(N).values()]
    ),
}


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("log", LOGS.values(), ids=LOGS)
def test_a_log_of_any_kind(log, blocks):
    items = pl.DataFrame({"item_id": log["item_id"].unique().sort()}).with_columns(
        brand=pl.int_range(pl.len()) % 3
    )
    if log["user_id"].n_unique() == 1:
        log = pl.concat([log, log.head(3).with_columns(user_id=pl.lit(2, log.schema["user_id"]))])
    check_no_leak(works(items, log=log, blocks=blocks), log, items=items, n_instants=1)


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "weight", "event"])
def test_a_log_with_nulls_everywhere(column):
    """An event without user, item or time is none: it is told which rows are meant."""
    log = LOG.with_columns(weight=pl.lit(1.0), event=pl.lit("x"))
    missing = pl.when(pl.int_range(pl.len()) % 50 != 3).then(pl.col(column))
    with pytest.raises(SchemaError, match=rf"{column}: 4 of 200 values are null \(first at rows 3"):
        works(log=log.with_columns(missing))
    nothing = pl.lit(None, log.schema[column]).alias(column)
    with pytest.raises(SchemaError, match=f"{column}: 200 of 200 values are null"):
        works(log=log.with_columns(nothing))
