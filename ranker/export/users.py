"""Whose lists are exported: ids as the caller gives them, in the model's dtype."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import polars as pl
import polars.selectors as cs

from features.errors import SchemaError
from features.schema import refuse_other_frames
from ranker.addresses import place, without_secrets
from ranker.query import Query

UserIds: TypeAlias = (
    pl.Series
    | pl.DataFrame
    | pl.LazyFrame
    | Query
    | str
    | os.PathLike[str]
    | Sequence[int]
    | Sequence[str]
)
_USER_ID = "user_id"


def unique_users(user_ids: UserIds | None, known: pl.Series) -> tuple[pl.Series, int]:
    """Return the users to export, sorted, each once, in the dtype of the model's own users.

    Parameters
    ----------
    user_ids : Series, sequence, frame, path, Query or None
        Ids, known to the model or not; of a frame, lazy or not, and of the Parquet files that a
        path, glob or address names, the column ``user_id`` alone is read, and of the answer to a
        query taken. None stands for ``known``.
    known : Series
        The model's users.

    Returns
    -------
    users : Series of shape (n_users,)
        Named ``user_id``.
    n_duplicates : int
        How many ids were left out because they had come before.

    Raises
    ------
    SchemaError
        An id is null, the ids are not of the model's kind (integers or strings), a frame has no
        column ``user_id``, or a file cannot be read.
    ConfigError, MissingExtraError
        As :meth:`ranker.query.Query.read`.
    """
    known = _plain(known)
    series = known if user_ids is None else as_series(user_ids, known.dtype)
    if series.null_count():
        raise _error(
            f"{series.null_count()} of {len(series)} ids are null; drop them (drop_nulls)."
        )
    users = _as_dtype(series, known.dtype).alias("user_id").unique().sort()
    return users, len(series) - len(users)


def plain_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Categorical and Enum columns as String: files are read where nobody knows the categories."""
    return frame.with_columns(cs.by_dtype(pl.Categorical, pl.Enum).cast(pl.String))


def _plain(series: pl.Series) -> pl.Series:
    return plain_text(series.to_frame()).to_series()


def as_series(values: UserIds, dtype: pl.DataType) -> pl.Series:
    """The ids of any source; ``dtype`` is that of an empty one."""
    if isinstance(values, pl.Series):
        return _plain(values)
    if isinstance(values, str | os.PathLike):
        name = f"the Parquet files {place(values)!r}"
        path = os.fspath(values)
        # Polars would take brackets in the name of a file that is there for a pattern.
        scan = pl.scan_parquet(path, glob=not Path(path).is_file())
        return _plain(_column(scan, name, values))
    if isinstance(values, Query):
        return _plain(_column(values.read().lazy(), str(values)))
    if isinstance(values, pl.DataFrame | pl.LazyFrame):
        return _plain(_column(values.lazy(), "the frame"))
    refuse_other_frames(values, "user_ids")
    if isinstance(values, bytes | Mapping) or not hasattr(values, "__iter__"):
        raise _error(f"{values!r} is no list of ids; give a sequence, a frame, a path or a Query.")
    ids = list(values)
    try:
        return pl.Series("user_id", ids) if ids else pl.Series("user_id", dtype=dtype)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise _error(f"the ids are not all of one kind ({error}); convert them first.") from error


def _column(frame: pl.LazyFrame, name: str, path: str | os.PathLike[str] = "") -> pl.Series:
    try:
        columns = frame.collect_schema().names()
        if _USER_ID in columns:
            return frame.select(_USER_ID).collect().to_series()
    except (OSError, pl.exceptions.PolarsError) as error:
        # Not chained: what Polars says of an address may hold a password.
        text = without_secrets(error, path)
        raise _error(f"{name} cannot be read ({text}); a path is of Parquet files.") from None
    raise _error(f"{name} has no column {_USER_ID!r} among {columns}; rename the one with the ids.")


def _as_dtype(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    if series.dtype == dtype or not len(series):
        return series.cast(dtype)
    # Only among integers: 7 is not the user "7".
    if not (series.dtype.is_integer() and dtype.is_integer()):
        first = series.item(0)
        raise _error(
            f"the ids are {series.dtype} (the first is {first!r}), and the model's users are "
            f"{dtype}; cast them: Series.cast(pl.{dtype})."
        )
    try:
        return series.cast(dtype)
    except pl.exceptions.InvalidOperationError as error:
        raise _error(
            f"the ids from {series.min()!r} to {series.max()!r} do not fit into {dtype}, the "
            "dtype of the model's users; leave out those that do not."
        ) from error


def _error(problem: str) -> SchemaError:
    return SchemaError("user_ids", [problem])
