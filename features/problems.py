"""What is wrong with single columns; of a frame that is only scanned, counts are kept alone."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable

import polars as pl

from features.arrays import FrameLike
from features.clock import LONGEST

_COLUMNS = ("user_id", "item_id", "timestamp", "weight", "event")
_SHOWN = 3  # offending values quoted in a message
# Whole numbers of which each fits Int64: they need not be looked at.
_WITHIN_INT64 = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32)


def n_rows(frame: FrameLike) -> int:
    """Number of rows."""
    if isinstance(frame, pl.DataFrame):
        return frame.height
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def is_id(dtype: pl.DataType) -> bool:
    """Whether values of a dtype can be ids."""
    return dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)


def id_problems(frame: FrameLike, column: str) -> list[str]:
    """What is wrong with a column of ids."""
    schema = frame.collect_schema()
    if column not in schema:
        return [missing_column(column, schema.names())]
    dtype = schema[column]
    if not is_id(dtype):
        return [
            (
                f"{column}: dtype {dtype} cannot be an id{_first_values(frame, column)}; "
                f"cast it to Int64 or String"
            )
        ]
    return [
        *_null_problems(frame, column),
        *range_problems(frame, column, "cast the column to String"),
    ]


def timestamp_problems(frame: FrameLike) -> list[str]:
    """What is wrong with ``timestamp``, if there is one."""
    schema = frame.collect_schema()
    if "timestamp" not in schema:
        return []
    dtype = schema["timestamp"]
    if not (dtype.is_integer() or isinstance(dtype, pl.Datetime) or dtype == pl.Date):
        remedy = "parse text with str.to_datetime(), or leave the column out"
        if dtype.is_numeric():
            remedy = "cast to Int64, or, of seconds since 1970, polars.from_epoch makes times"
        return [
            (
                f"timestamp: dtype {dtype}{_first_values(frame, 'timestamp')}; expected "
                f"Datetime, Date or Int64 (a clock or a position): {remedy}"
            )
        ]
    nulls = _null_problems(frame, "timestamp")
    if not dtype.is_integer():
        return nulls + _year_problems(frame)
    beyond = range_problems(frame, "timestamp", "count in a larger unit")
    return nulls + (beyond or _span_problems(frame))


def weight_problems(frame: FrameLike) -> list[str]:
    """What is wrong with ``weight``, if there is one."""
    schema = frame.collect_schema()
    if "weight" not in schema:
        return []
    if not schema["weight"].is_numeric():
        return [f"weight: dtype {schema['weight']}; expected a number, cast it to Float32"]
    weight = pl.col("weight").cast(pl.Float64)
    is_bad = ~weight.is_finite() | (weight < 0) | (weight > 3.4e38)
    n_bad, bad = _where(frame, weight, is_bad)
    problems = _null_problems(frame, "weight")
    if n_bad:
        problems.append(
            f"weight: {n_bad} values are infinite, not a number, negative or above the range "
            f"of Float32{examples(bad)}; clip or drop those rows"
        )
    return problems


def event_problems(frame: FrameLike) -> list[str]:
    """What is wrong with ``event``, if there is one."""
    schema = frame.collect_schema()
    if "event" not in schema:
        return []
    dtype = schema["event"]
    if dtype not in (pl.String, pl.Categorical, pl.Enum):
        return [f"event: dtype {dtype}; expected String, such as 'view' or 'purchase'"]
    return _null_problems(frame, "event")


def range_problems(frame: FrameLike, column: str, remedy: str) -> list[str]:
    """Say so where whole numbers do not fit Int64; of other columns nothing is said."""
    dtype = frame.collect_schema()[column]
    if not dtype.is_integer() or dtype in _WITHIN_INT64:
        return []
    value = pl.col(column)
    is_beyond = value.is_not_null() & value.cast(pl.Int64, strict=False).is_null()
    n_beyond, beyond = _where(frame, value, is_beyond)
    if not n_beyond:
        return []
    return [f"{column}: {n_beyond} values do not fit Int64{examples(beyond)}; {remedy}"]


def missing_column(column: str, columns: Iterable[str]) -> str:
    """Say that there is no such column, what there is, and what may be it."""
    columns = list(columns)
    strangers = [name for name in columns if name not in _COLUMNS]
    near = difflib.get_close_matches(column, strangers, n=1, cutoff=0.5)
    hint = f"; the nearest is {near[0]!r}" if near else ""
    return (
        f"{column}: no such column among {columns}{hint}; rename yours to {column!r}, for "
        f"instance with rename({{'yours': {column!r}}})"
    )


def examples(values: pl.Series) -> str:
    """The first values, in brackets; nothing where there are none."""
    shown = ", ".join(repr(value) for value in values.head(_SHOWN).to_list())
    return f" (such as {shown})" if shown else ""


def _null_problems(frame: FrameLike, column: str) -> list[str]:
    is_null = pl.col(column).is_null()
    if isinstance(frame, pl.DataFrame):
        n_nulls = frame[column].null_count()  # is known, and need not be counted
    else:
        counted = frame.select(pl.col(column).null_count())
        n_nulls = int(counted.collect(engine="streaming").item())
    if not n_nulls:
        return []
    numbered = frame.lazy().with_row_index("row").filter(is_null).select("row").head(_SHOWN)
    rows = numbered.collect(engine="streaming")["row"].to_list()
    return [
        (
            f"{column}: {n_nulls} of {n_rows(frame)} values are null (first at rows "
            f"{', '.join(map(str, rows))}); drop or fill those rows"
        )
    ]


def _span_problems(frame: FrameLike) -> list[str]:
    """Say so where differences of whole numbers would not fit Int64."""
    time = pl.col("timestamp")
    ends = frame.lazy().select(time.min().alias("first"), time.max().alias("last"))
    first, last = ends.collect(engine="streaming").row(0)
    if first is None or (last - first < LONGEST and max(abs(first), abs(last)) < 2**63 - 2**32):
        return []
    return [
        (
            f"timestamp: values from {first} to {last} are too far from each other, or from 0, to "
            f"count with; drop those that stand for no time"
        )
    ]


def _year_problems(frame: FrameLike) -> list[str]:
    """Say so where a year is none that Python can tell, as that after 9999-12-31 is none."""
    dtype = frame.collect_schema()["timestamp"]
    unit = dtype.time_unit if isinstance(dtype, pl.Datetime) else None
    a_day = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400 * 10**9, None: 1}[unit]
    # Looked at as numbers: of one that does not fit microseconds Polars makes no text, and panics.
    count = pl.col("timestamp").to_physical().cast(pl.Int64)
    first, last = (
        (day.toordinal() - dt.date(1970, 1, 1).toordinal()) * a_day
        for day in (dt.date(1, 1, 1), dt.date(9999, 1, 1))
    )
    n_odd, odd = _where(frame, count, (count < first) | (count >= last))
    if not n_odd:
        return []
    unit_name = unit or "days"
    return [
        (
            f"timestamp: {n_odd} values are of no year from 1 to 9998{examples(odd)}, in "
            f"{unit_name} since 1970; drop those rows, unless they count in another unit"
        )
    ]


def _where(frame: FrameLike, value: pl.Expr, condition: pl.Expr) -> tuple[int, pl.Series]:
    """How many values meet a condition, and the first of them."""
    scan = frame.lazy()
    n = int(scan.select(condition.sum()).collect(engine="streaming").item())
    found = scan.filter(condition).select(value).head(_SHOWN if n else 0)
    return n, found.collect(engine="streaming").to_series()


def _first_values(frame: FrameLike, column: str) -> str:
    values = frame.lazy().select(pl.col(column).drop_nulls()).head(_SHOWN)
    return examples(values.collect(engine="streaming")[column])
