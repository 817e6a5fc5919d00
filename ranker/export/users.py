"""Whose lists are exported: ids as the caller gives them, in the model's dtype."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from features.errors import SchemaError


def unique_users(
    user_ids: pl.Series | Sequence[int] | Sequence[str] | None, known: pl.Series
) -> tuple[pl.Series, int]:
    """Return the users to export, sorted, each once, in the dtype of the model's own users.

    Parameters
    ----------
    user_ids : Series, sequence or None
        Ids, known to the model or not; None stands for ``known``.
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
        An id is null, or the ids are not of the model's kind (integers or strings).
    """
    series = known if user_ids is None else _as_series(user_ids, known.dtype)
    if series.null_count():
        raise _error(
            f"{series.null_count()} of {len(series)} ids are null; drop them (drop_nulls)."
        )
    users = _as_dtype(series, known.dtype).alias("user_id").unique().sort()
    return users, len(series) - len(users)


def _as_series(values: pl.Series | Sequence[int] | Sequence[str], dtype: pl.DataType) -> pl.Series:
    if isinstance(values, pl.Series):
        return values
    if isinstance(values, str | pl.DataFrame | pl.LazyFrame):
        raise _error(
            f"expected a Series or a sequence of ids, got a {type(values).__name__}; of a frame "
            "pass the column, of a single user a list of one."
        )
    ids = list(values)
    try:
        return pl.Series("user_id", ids) if ids else pl.Series("user_id", dtype=dtype)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise _error(f"the ids are not all of one kind ({error}); convert them first.") from error


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
