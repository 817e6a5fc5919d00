"""What a frame must look like: what is accepted, what it becomes, and each problem's own words."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from features.errors import RankerError, SchemaError
from features.schema import (
    canonical_ids,
    check_id_dtypes,
    check_interactions,
    check_items,
    check_users,
)
from tests.features.logs import logs

NOON = dt.datetime(2024, 5, 1, 12)
LOG = pl.DataFrame(
    {
        "user_id": [1, 1, 2],
        "item_id": ["a", "b", "a"],
        "timestamp": [NOON, NOON, NOON + dt.timedelta(days=1)],
        "weight": [1.0, 0.5, 2.0],
        "event": ["buy", "view", "buy"],
        "store": [7, 7, 8],
    }
)
KNOWN = ["user_id", "item_id", "weight", "event", "timestamp"]


def with_column(name, values, dtype=None) -> pl.DataFrame:
    return LOG.with_columns(pl.Series(name, values, dtype=dtype))


# --- What is accepted ---------------------------------------------------------------------------


def test_canonical_form():
    checked = check_interactions(LOG)
    assert checked.schema == {
        "user_id": pl.Int64,
        "item_id": pl.String,
        "timestamp": pl.Datetime("us"),
        "weight": pl.Float32,
        "event": pl.String,
    }
    assert_frame_equal(checked, LOG.drop("store"), check_dtypes=False)


@given(log=logs())
@settings(max_examples=30, deadline=None)
def test_the_canonical_form_of_a_canonical_form_is_itself(log):
    frame = log.frame()
    assert_frame_equal(check_interactions(frame), frame, check_column_order=False)


def test_only_the_ids_are_needed():
    assert check_interactions(LOG.select("store", "item_id", "user_id")).columns == KNOWN[:2]


def test_equal_rows_are_separate_events():
    assert check_interactions(pl.concat([LOG, LOG])).height == 2 * LOG.height


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 1, 2], pl.Int8),
        ([1, 1, 2], pl.UInt64),
        ([0, 0, 2**63 - 1], pl.UInt64),
        ([1, -(2**63), 2], pl.Int128),
        (["x", "x", "y"], pl.Categorical),
        (["x", "x", "y"], pl.Enum(["y", "x"])),
        (["x", "", "y"], pl.String),
    ],
)
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_any_integer_or_text_is_an_id(column, values, dtype):
    checked = check_interactions(with_column(column, values, dtype))
    assert checked[column].dtype == (pl.Int64 if dtype.is_integer() else pl.String)
    assert checked[column].to_list() == values


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_datetimes_become_microseconds(unit):
    frame = LOG.with_columns(pl.col("timestamp").dt.cast_time_unit(unit))
    checked = check_interactions(frame)["timestamp"]
    assert checked.dtype == pl.Datetime("us")
    assert checked.to_list() == LOG["timestamp"].to_list()


@pytest.mark.parametrize(
    ("zone", "hours"), [("UTC", 0), ("Asia/Tokyo", -9), ("America/New_York", 4)]
)
def test_a_time_zone_is_brought_to_utc(zone, hours):
    aware = LOG.with_columns(pl.col("timestamp").dt.replace_time_zone(zone))
    checked = check_interactions(aware)["timestamp"]
    assert checked.dtype == pl.Datetime("us")
    assert checked[0] == NOON + dt.timedelta(hours=hours)


def test_a_clock_that_is_put_back_keeps_the_order_of_instants():
    # The hour from two to three passes twice on that night.
    instants = pl.Series([dt.datetime(2024, 10, 27, 0, 30), dt.datetime(2024, 10, 27, 1, 30)])
    local = instants.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": local})
    assert frame["timestamp"].dt.hour().to_list() == [2, 2]
    assert check_interactions(frame)["timestamp"].to_list() == instants.to_list()


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt32, pl.UInt64, pl.Int64])
def test_whole_numbers_are_timestamps(dtype):
    checked = check_interactions(with_column("timestamp", [3, 1, 2], dtype))["timestamp"]
    assert (checked.dtype, checked.to_list()) == (pl.Int64, [3, 1, 2])


def test_a_date_stays_a_date():
    frame = LOG.with_columns(pl.col("timestamp").dt.date())
    assert check_interactions(frame)["timestamp"].dtype == pl.Date


@pytest.mark.parametrize("dtype", [pl.Int16, pl.UInt8, pl.Float64, pl.Decimal(10, 2)])
def test_any_number_is_a_weight(dtype):
    checked = check_interactions(with_column("weight", [0, 1, 7], dtype))["weight"]
    assert (checked.dtype, checked.to_list()) == (pl.Float32, [0.0, 1.0, 7.0])


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["view", "buy"])])
def test_events_become_text(dtype):
    checked = check_interactions(LOG.with_columns(pl.col("event").cast(dtype)))["event"]
    assert (checked.dtype, checked.to_list()) == (pl.String, LOG["event"].to_list())


@pytest.mark.parametrize("check", [check_interactions, check_items, check_users])
def test_a_lazy_frame_is_collected_and_the_callers_frame_stays(check):
    frame = LOG.unique("user_id", keep="last", maintain_order=True)
    frame = frame.with_columns(pl.col("user_id", "item_id").cast(pl.String).cast(pl.Categorical))
    before = frame.clone()
    eager, lazy = check(frame), check(frame.lazy())
    assert isinstance(lazy, pl.DataFrame)
    assert_frame_equal(eager, lazy)
    assert_frame_equal(frame, before)
    assert frame.schema["user_id"] == pl.Categorical


@pytest.mark.parametrize(("check", "key"), [(check_items, "item_id"), (check_users, "user_id")])
def test_attributes_are_kept_as_they_are(check, key):
    table = pl.DataFrame(
        {
            "price": [1.5, None, float("nan")],
            key: pl.Series([3, 1, 2], dtype=pl.UInt16),
            "tags": [["x"], [], None],
        }
    )
    checked = check(table)
    assert checked.schema == table.schema | {key: pl.Int64}
    assert_frame_equal(checked, table.sort(key), check_dtypes=False)
    assert_frame_equal(check(table.reverse()), checked)
    assert check(table.clear()).height == 0
    assert check(table.select(key)).columns == [key]


# --- What is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            LOG.rename({"user_id": "userid"}),
            (
                "user_id: no such column among ['userid', 'item_id', 'timestamp', 'weight', "
                "'event', 'store']; the nearest is 'userid'; rename yours to 'user_id', "
                "for instance with rename({'yours': 'user_id'})"
            ),
        ),
        (
            LOG.select("user_id"),
            "item_id: no such column among ['user_id']; rename yours to 'item_id'",
        ),
        (LOG.rename({"item_id": "product"}), "among ['user_id', 'product', "),
        (
            with_column("user_id", [None, 1, None]),
            "user_id: 2 of 3 values are null (first at rows 0, 2); drop or fill those rows",
        ),
        (with_column("item_id", ["a", None, "b"]), "item_id: 1 of 3 values are null (first at"),
        (
            with_column("user_id", [1.0, 2.5, float("nan")]),
            (
                "user_id: dtype Float64 cannot be an id (such as 1.0, 2.5, nan); cast it to "
                "Int64 or String"
            ),
        ),
        (with_column("item_id", [[1], [2], []]), "item_id: dtype List(Int64) cannot be an id"),
        (with_column("item_id", [True, False, True]), "item_id: dtype Boolean cannot be an id"),
        (with_column("user_id", [None] * 3), "user_id: dtype Null cannot be an id; cast it"),
        (
            with_column("user_id", [1, 2, 2**63], pl.UInt64),
            (
                "user_id: 1 values do not fit Int64 (such as 9223372036854775808); cast the "
                "column to String"
            ),
        ),
        (
            with_column("item_id", [2**100, 2, -(2**90)], pl.Int128),
            "item_id: 2 values do not fit Int64 (such as 1267650600228229401496703205376, -12379",
        ),
        (
            with_column("timestamp", ["2024-05-01", "2024-05-02", None]),
            (
                "timestamp: dtype String (such as '2024-05-01', '2024-05-02'); expected Datetime, "
                "Date or Int64 (a clock or a position): parse text with "
                "str.to_datetime(), or leave the column out"
            ),
        ),
        (with_column("timestamp", [1.5, 2.0, 3.0]), "timestamp: dtype Float64 (such as 1.5, 2.0"),
        (with_column("timestamp", [dt.time(1)] * 3), "timestamp: dtype Time (such as datetime.t"),
        (
            with_column("timestamp", [NOON, None, None]),
            "timestamp: 2 of 3 values are null (first at rows 1, 2); drop or fill those rows",
        ),
        (with_column("timestamp", [None, 1, 2]), "timestamp: 1 of 3 values are null"),
        (
            with_column("timestamp", [1, 2, 2**64 - 1], pl.UInt64),
            (
                "timestamp: 1 values do not fit Int64 (such as 18446744073709551615); count in a "
                "larger unit"
            ),
        ),
        (
            with_column("weight", [float("inf"), float("-inf"), 1.0]),
            (
                "weight: 2 values are infinite, not a number, negative or above the range of "
                "Float32 (such as inf, -inf); clip or drop those rows"
            ),
        ),
        (with_column("weight", [float("nan"), 1.0, 1.0]), "weight: 1 values are infinite, not a"),
        (
            with_column("weight", [0.0, -0.5, 1.0]),
            "negative or above the range of Float32 (such as -0.5); clip",
        ),
        (with_column("weight", [0, -3, 1]), "(such as -3.0); clip or drop those rows"),
        (with_column("weight", [1e39, 1.0, 1.0]), "(such as 1e+39); clip or drop those rows"),
        (with_column("weight", [1.0, None, 1.0]), "weight: 1 of 3 values are null (first at ro"),
        (
            with_column("weight", ["1", "2", "3"]),
            "weight: dtype String; expected a number, cast it to Float32",
        ),
        (with_column("weight", [True] * 3), "weight: dtype Boolean; expected a number"),
        (with_column("event", [1, 2, 3]), "event: dtype Int64; expected String, such as 'view'"),
        (with_column("event", ["buy", None, "buy"]), "event: 1 of 3 values are null"),
        (LOG.clear(), "the frame has no rows; at least one interaction is needed"),
    ],
)
def test_each_problem_of_interactions_has_its_own_words(frame, message):
    for given_frame in (frame, frame.lazy()):
        with pytest.raises(SchemaError) as caught:
            check_interactions(given_frame)
        assert caught.value.table == "interactions"
        assert len(caught.value.problems) == 1
        assert message in caught.value.problems[0]


def test_all_problems_of_interactions_are_named_at_once():
    frame = pl.DataFrame(
        {
            "user_id": [1.5, 2.0, 2.5],
            "Item": ["a", "b", "c"],
            "timestamp": [1, None, 3],
            "weight": [1.0, float("nan"), None],
            "event": [1, 2, 3],
        }
    )
    with pytest.raises(SchemaError) as caught:
        check_interactions(frame)
    heads = [problem.split(";")[0].split(" (")[0] for problem in caught.value.problems]
    assert heads == [
        "user_id: dtype Float64 cannot be an id",
        "item_id: no such column among ['user_id', 'Item', 'timestamp', 'weight', 'event']",
        "timestamp: 1 of 3 values are null",
        "weight: 1 of 3 values are null",
        "weight: 1 values are infinite, not a number, negative or above the range of Float32",
        "event: dtype Int64",
    ]
    text = str(caught.value)
    assert text.startswith("interactions: 6 problems\n  - user_id: dtype Float64")
    assert text.count("\n  - ") == 6


def test_a_frame_of_nothing():
    with pytest.raises(SchemaError, match="interactions: 3 problems") as caught:
        check_interactions(pl.DataFrame())
    assert caught.value.problems[2] == "the frame has no rows; at least one interaction is needed"


@pytest.mark.parametrize(
    ("table", "check", "key"),
    [("items", check_items, "item_id"), ("users", check_users, "user_id")],
)
class TestBadAttributes:
    def problems(self, table, check, frame):
        with pytest.raises(SchemaError) as caught:
            check(frame)
        assert caught.value.table == table
        return list(caught.value.problems)

    def test_ids_in_more_than_one_row(self, table, check, key):
        frame = pl.DataFrame({key: [5, 1, 2, 1, 5, 5, 7, 7, 3, 3]})
        assert self.problems(table, check, frame) == [
            (
                f"{key}: 4 ids stand in more than one row (such as 5, 1, 7); keep one row per id, "
                f"for instance with unique(subset={key!r})"
            )
        ]

    def test_null_and_repeated_ids_are_named_at_once(self, table, check, key):
        frame = pl.DataFrame({key: pl.Series(["a", None, "a", None], dtype=pl.Categorical)})
        found = self.problems(table, check, frame)
        assert found[0].startswith(f"{key}: 2 of 4 values are null (first at rows 1, 3)")
        assert found[1].startswith(f"{key}: 1 ids stand in more than one row (such as 'a')")
        assert len(found) == 2

    def test_no_ids(self, table, check, key):
        (problem,) = self.problems(table, check, pl.DataFrame({"id": [1]}))
        assert problem.startswith(f"{key}: no such column among ['id']")

    def test_ids_of_a_wrong_dtype(self, table, check, key):
        (problem,) = self.problems(table, check, pl.DataFrame({key: [1.0, 1.0]}))
        assert problem.startswith(f"{key}: dtype Float64 cannot be an id")


@pytest.mark.parametrize("check", [check_interactions, check_items, check_users])
@pytest.mark.parametrize("thing", [{"user_id": [1]}, [1, 2], None, LOG["user_id"]])
def test_something_else_than_a_frame(check, thing):
    with pytest.raises(SchemaError, match="expected a polars DataFrame or LazyFrame"):
        check(thing)


# --- Ids of several frames ----------------------------------------------------------------------


def test_ids_that_cannot_meet():
    numbers, text = pl.DataFrame({"item_id": [1]}), pl.DataFrame({"item_id": ["1"]})
    check_id_dtypes("item_id", interactions=numbers, items=numbers, test=None)
    check_id_dtypes("item_id", interactions=text, items=text)
    with pytest.raises(SchemaError) as caught:
        check_id_dtypes("item_id", interactions=numbers, items=text, test=None)
    assert str(caught.value) == (
        "interactions and items: 1 problem\n  - item_id is Int64 in interactions, String in items; "
        "cast them to one dtype, since no id of one meets the other"
    )


@pytest.mark.parametrize(
    ("ids", "dtype"),
    [
        (pl.Series("u", [1, 2], dtype=pl.UInt8), pl.Int64),
        (pl.Series("u", ["1", "2"], dtype=pl.Enum(["2", "1"])), pl.String),
        (pl.Series("u", ["1", "2"], dtype=pl.Categorical), pl.String),
    ],
)
def test_canonical_ids(ids, dtype):
    found = canonical_ids(ids)
    assert (found.dtype, found.name, found.to_list()) == (dtype, "u", ids.to_list())


def test_a_schema_error_is_caught_as_ours_and_as_a_value_error():
    assert issubclass(SchemaError, RankerError)
    assert issubclass(SchemaError, ValueError)
