"""Timestamps that files hold as text or as numbers."""

from __future__ import annotations

from typing import Literal, TypeAlias

import polars as pl

from features.errors import SchemaError

TimestampUnit: TypeAlias = Literal["s", "ms", "us"]

_ISO = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)? ?(Z|UTC|[+-]\d{2}:?\d{2})?)?$"
_YEAR_2200 = 7_258_118_400  # seconds since 1970
_SHOWN = 3  # offending values quoted in a message


def timestamp_parser(
    scan: pl.LazyFrame, column: str, unit: TimestampUnit | None, *, table: str
) -> pl.Expr:
    """What turns ISO 8601 text into Date or Datetime, and numbers into Datetime with a unit.

    The values are looked at in a stream: first for their form, then for those that have none.

    Parameters
    ----------
    scan : LazyFrame
    column : str
        Of anything; what is neither text nor, with a unit, a number stays as it is.
    unit : {"s", "ms", "us"} or None
        What the numbers count, from 1970.
    table : str
        Name of the table for messages.

    Raises
    ------
    SchemaError
        With the values that cannot be understood.
    """
    dtype = scan.collect_schema()[column]
    if unit is not None:
        return _from_epoch(scan, column, unit, table=table)
    if dtype != pl.String:
        return pl.col(column)
    parts = pl.col(column).str.strip_chars().str.extract_groups(_ISO).struct
    day, minute, second, zone = (parts.field(str(number)) for number in range(1, 5))
    counts = [part.count().alias(name) for name, part in (("d", day), ("m", minute), ("z", zone))]
    n_days, n_minutes, n_zones, n_rows = _collected(scan.select(*counts, pl.len())).row(0)
    if n_minutes == 0 and n_days:
        parsed = day.str.to_date("%Y-%m-%d", strict=False)
    else:
        whole = day + "T" + minute.fill_null("00:00") + second.fill_null(":00")
        offset = zone.str.replace("Z|UTC", "+0000")
        parsed = (whole + offset if n_zones else whole).str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.f" + ("%z" if n_zones else ""), time_unit="us", strict=False
        )
    is_bad = parsed.is_null() & pl.col(column).is_not_null()
    n_bad = _collected(scan.select(is_bad.sum())).item()
    if n_bad:
        bad = _collected(scan.filter(is_bad).select(column).head(_SHOWN))[column]
        problem = (
            f"{column}: {n_bad} of {n_rows} values are not ISO 8601 text"
            f"{_examples(bad)}; expected '2024-01-31', '2024-01-31 18:30:00' or "
            f"'2024-01-31T18:30:00Z', with a time zone in all rows or in none"
        )
        raise SchemaError(table, [problem])
    return parsed.alias(column)


def _from_epoch(scan: pl.LazyFrame, column: str, unit: TimestampUnit, *, table: str) -> pl.Expr:
    dtype = scan.collect_schema()[column]
    timestamp = pl.col(column)
    if not dtype.is_numeric():
        first = _collected(scan.select(timestamp.drop_nulls()).head(_SHOWN))[column]
        problem = (
            f"timestamp: dtype {dtype}{_examples(first)}, but "
            f"timestamp_unit={unit!r} needs numbers; leave timestamp_unit out"
        )
        raise SchemaError(table, [problem])
    per_second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    ends = _collected(scan.select(timestamp.min().alias("first"), timestamp.max().alias("last")))
    first, last = ends.row(0)
    if isinstance(last, int | float) and last > _YEAR_2200 * per_second:
        problem = (
            f"timestamp: {last!r} in the unit {unit!r} lies after the year 2200; the unit is "
            f"probably smaller ('ms' or 'us')"
        )
        raise SchemaError(table, [problem])
    if isinstance(first, int | float) and first < -_YEAR_2200 * per_second:
        problem = f"timestamp: {first!r} in the unit {unit!r} lies before 1740; drop such rows"
        raise SchemaError(table, [problem])
    scale = 10**6 // per_second
    if dtype.is_integer():  # widened first: seconds in Int32 would overflow
        microseconds = timestamp.cast(pl.Int64) * scale
    else:
        microseconds = (timestamp.cast(pl.Float64).fill_nan(None) * scale).round().cast(pl.Int64)
    return microseconds.cast(pl.Datetime("us"))


def _collected(scan: pl.LazyFrame) -> pl.DataFrame:
    return scan.collect(engine="streaming")


def _examples(values: pl.Series) -> str:
    shown = ", ".join(repr(value) for value in values.drop_nulls().head(_SHOWN).to_list())
    return f" (such as {shown})" if shown else ""
