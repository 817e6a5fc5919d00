"""Ids of items that a policy names: checked, and turned into row numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from features.arrays import Int32Array
from features.errors import ConfigError, SchemaError
from features.ids import Ids
from features.problems import range_problems
from features.schema import canonical_ids, refuse_other_frames

_TEXT = (pl.String, pl.Categorical, pl.Enum)


def frame_of(
    step: object,
    argument: str,
    items: Any,
    columns: tuple[str, ...],
    keys: tuple[str, ...] = ("item_id", "user_id"),
) -> pl.DataFrame:
    """What a caller gave as items, as a frame with ``item_id``, and with ids as Int64 or String.

    Parameters
    ----------
    step : object
    argument : str
    items : Series, sequence, DataFrame or LazyFrame
        Ids, or a frame with some of ``columns``.
    columns : tuple of str
        Those that a frame may have.
    keys : tuple of str
        Those among them that hold ids, never null.

    Raises
    ------
    SchemaError
        With every problem of the ids.
    """
    where = f"{argument} of {type(step).__name__}"
    if isinstance(items, Mapping):
        raise ConfigError(
            f"{where} is a {type(items).__name__}, of which only the keys would be read; expected "
            f"ids, or a frame with {' and '.join(columns[:2])}, one row for each of them"
        )
    refuse_other_frames(items, where)
    if isinstance(items, pl.LazyFrame):
        try:
            items = items.collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ConfigError(f"{where} cannot be read: {error}") from error
    if not isinstance(items, pl.DataFrame):
        items = _series(where, items).alias("item_id").to_frame()
    if "item_id" not in items.columns:
        raise SchemaError(where, [f"column 'item_id' is missing; there are {items.columns}"])
    problems = []
    frame: pl.DataFrame = items.select(name for name in columns if name in items.columns)
    for key in set(keys) & set(frame.columns):
        ids = frame[key]
        if not (ids.dtype.is_integer() or ids.dtype in _TEXT or ids.dtype == pl.Null):
            problems.append(f"{key} is {ids.dtype}; expected integers or text, as in the log")
        elif ids.null_count():
            problems.append(f"{key} is null in {ids.null_count()} of {len(ids)} rows; drop them")
        elif beyond := range_problems(frame, key, "no such id is in a log"):
            problems += beyond
        else:
            frame = frame.with_columns(canonical_ids(ids))
    if problems:
        raise SchemaError(where, sorted(problems))
    return frame


def only_columns(step: object, argument: str, items: object, columns: tuple[str, ...]) -> None:
    """Make sure that a frame of ids has no other columns.

    Passed over, a rule for some (a column of households, say) would be one for everybody.

    Raises
    ------
    SchemaError
        With the columns that mean nothing.
    """
    if not isinstance(items, pl.DataFrame | pl.LazyFrame):
        return
    if unknown := [name for name in items.collect_schema() if name not in columns]:
        names = ", ".join(map(repr, unknown))
        raise SchemaError(
            f"{argument} of {type(step).__name__}",
            [
                (
                    f"column {names} has no meaning here; expected "
                    f"{', '.join(map(repr, columns))} alone: rename it, or leave it out by "
                    f".drop({names})"
                )
            ],
        )


def rows_of(step: object, column: str, ids: pl.Series, known: Ids) -> Int32Array:
    """Row numbers of ids, -1 for those that are not known.

    Raises
    ------
    SchemaError
        If they are numbers where the log has text, or the other way round.
    """
    if len(ids) and ids.dtype != known.values.dtype:
        raise SchemaError(
            str(step),
            [
                (
                    f"{column}: ids are {ids.dtype} (such as {ids[0]!r}), those of the log are "
                    f"{known.values.dtype} (such as {known.values[0]!r}); cast them to that"
                )
            ],
        )
    return known.encode(ids.cast(known.values.dtype))


def _series(where: str, ids: Any) -> pl.Series:
    if isinstance(ids, pl.Series):
        return ids
    if isinstance(ids, str | bytes) or not hasattr(ids, "__iter__"):
        raise ConfigError(f"{where}: {ids!r} is no list of ids; expected several, as a list")
    listed = list(ids)
    try:
        series = pl.Series(listed, dtype=None if listed else pl.String)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        kinds = sorted({type(one).__name__ for one in listed})
        raise ConfigError(
            f"{where} holds {' and '.join(kinds)}; expected ids of one kind"
        ) from None
    return series
