"""Timestamps that files hold as text or as numbers."""

from __future__ import annotations

from typing import Literal, TypeAlias

import polars as pl

from features.errors import SchemaError

TimestampUnit: TypeAlias = Literal["s", "ms", "us"]

_ISO = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)? ?(Z|UTC|[+-]\d{2}:?\d{2})?)?$"
_YEAR_2200 = 7_258_118_400  # seconds since 1970
_SHOWN = 3  # offending values quoted in a message


def parse_timestamp(timestamp: pl.Series, unit: TimestampUnit | None, *, table: str) -> pl.Series:
    """Turn ISO 8601 text into Date or Datetime, and numbers into Datetime where a unit is given.

    Parameters
    ----------
    timestamp : Series
        Anything; what is neither text nor, with a unit, a number is returned as it is.
    unit : {"s", "ms", "us"} or None
        What the numbers count, from 1970.
    table : str
        Name of the table for messages.

    Raises
    ------
    SchemaError
        With the values that cannot be understood.
    """
    if unit is not None:
        return _from_epoch(timestamp, unit, table=table)
    if timestamp.dtype != pl.String:
        return timestamp
    text = timestamp.str.strip_chars()
    parts = text.str.extract_groups(_ISO).struct.unnest()
    day, minute, second, zone = parts.get_columns()
    if minute.null_count() == len(text) and day.null_count() < len(text):
        parsed = day.str.to_date("%Y-%m-%d", strict=False)
    else:
        whole = day + "T" + minute.fill_null("00:00") + second.fill_null(":00")
        has_zone = zone.null_count() < len(text)
        offset = zone.str.replace("Z|UTC", "+0000")
        parsed = (whole + offset if has_zone else whole).str.to_datetime(
            "%Y-%m-%dT%H:%M:%S%.f" + ("%z" if has_zone else ""), time_unit="us", strict=False
        )
    bad = timestamp.filter(parsed.is_null() & timestamp.is_not_null())
    if len(bad):
        problem = (
            f"{timestamp.name}: {len(bad)} of {len(timestamp)} values are not ISO 8601 text"
            f"{_examples(bad)}; expected '2024-01-31', '2024-01-31 18:30:00' or "
            f"'2024-01-31T18:30:00Z', with a time zone in all rows or in none"
        )
        raise SchemaError(table, [problem])
    return parsed.rename(timestamp.name)


def _from_epoch(timestamp: pl.Series, unit: TimestampUnit, *, table: str) -> pl.Series:
    if not timestamp.dtype.is_numeric():
        problem = (
            f"timestamp: dtype {timestamp.dtype}{_examples(timestamp)}, but "
            f"timestamp_unit={unit!r} needs numbers; leave timestamp_unit out"
        )
        raise SchemaError(table, [problem])
    per_second = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    last = timestamp.max()
    if isinstance(last, int | float) and last > _YEAR_2200 * per_second:
        problem = (
            f"timestamp: {last!r} in the unit {unit!r} lies after the year 2200; the unit is "
            f"probably smaller ('ms' or 'us')"
        )
        raise SchemaError(table, [problem])
    scale = 10**6 // per_second
    if timestamp.dtype.is_integer():  # widened first: seconds in Int32 would overflow
        microseconds = timestamp.cast(pl.Int64) * scale
    else:
        microseconds = (timestamp.cast(pl.Float64).fill_nan(None) * scale).round().cast(pl.Int64)
    return microseconds.cast(pl.Datetime("us"))


def _examples(values: pl.Series) -> str:
    shown = ", ".join(repr(value) for value in values.drop_nulls().head(_SHOWN).to_list())
    return f" (such as {shown})" if shown else ""
