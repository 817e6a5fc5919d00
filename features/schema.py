"""What the input frames must look like; every problem of a frame is reported in one error."""

from __future__ import annotations

import polars as pl

from features.arrays import FrameLike
from features.errors import SchemaError
from features.problems import (
    event_problems,
    examples,
    id_problems,
    is_id,
    n_rows,
    range_problems,
    timestamp_problems,
    weight_problems,
)


def check_interactions(
    interactions: pl.DataFrame | pl.LazyFrame, table: str = "interactions"
) -> pl.DataFrame:
    """Validate interactions and bring them into canonical form.

    Parameters
    ----------
    interactions : DataFrame or LazyFrame
        ``user_id`` and ``item_id`` (any integer, String, Categorical or Enum; no null); optional
        ``timestamp`` (Datetime with or without a time zone, Date or integer; no null), ``weight``
        (finite, not negative) and ``event`` (String). Other columns are ignored. Equal rows are
        separate events and are all kept.
    table : str
        What messages call it.

    Returns
    -------
    DataFrame
        The known columns alone; Categorical and Enum became String, ``weight`` Float32,
        a Datetime is in microseconds and, with a time zone, in UTC; a Date stays a Date.

    Raises
    ------
    SchemaError
        With every problem of the frame: missing columns, unusable dtypes, nulls, infinite
        weights, no rows.
    """
    frame = _collect(interactions, table)
    problems = interaction_problems(frame)
    if problems:
        raise SchemaError(table, problems)
    return frame.select(canonical_columns(frame.schema))


def interaction_problems(frame: FrameLike) -> list[str]:
    """Everything that :func:`check_interactions` would refuse a frame for, a sentence each.

    A frame that is only scanned is read in a stream, a column at a time.
    """
    problems = [
        *id_problems(frame, "user_id"),
        *id_problems(frame, "item_id"),
        *timestamp_problems(frame),
        *weight_problems(frame),
        *event_problems(frame),
    ]
    if n_rows(frame) == 0:
        problems.append("the frame has no rows; at least one interaction is needed")
    return problems


def canonical_columns(schema: pl.Schema) -> list[pl.Expr]:
    """What brings interactions without a problem into canonical form."""
    optional = [name for name in ("timestamp", "weight", "event") if name in schema]
    return [
        *(_canonical_id(name, schema[name]) for name in ("user_id", "item_id")),
        *(_canonical_optional(name, schema[name]) for name in optional),
    ]


def check_pairs(pairs: pl.DataFrame | pl.LazyFrame, table: str) -> pl.DataFrame:
    """Validate the ids of pairs of user and item, whatever columns stand beside them.

    Parameters
    ----------
    pairs : DataFrame or LazyFrame
        ``user_id`` and ``item_id``; no row is needed.
    table : str
        What messages call it.

    Raises
    ------
    SchemaError
        With every problem of the ids.
    """
    frame = _collect(pairs, table)
    problems = [*id_problems(frame, "user_id"), *id_problems(frame, "item_id")]
    if problems:
        raise SchemaError(table, problems)
    return frame


def check_items(items: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Validate a table of item attributes: ``item_id`` without null or duplicate, any others.

    Rows come back in order of ids, so that what is chosen by the first of them depends on no other.
    With a column ``valid_from`` (Datetime, Date or integer, as the log's timestamps) there may be
    several rows of an item, each valid from its time on; null means from the beginning.

    Raises
    ------
    SchemaError
        With every problem of the frame.
    """
    return _check_attributes(items, "items", "item_id")


def check_users(users: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Validate a table of user attributes: ``user_id`` without null or duplicate, any others.

    ``valid_from`` as in :func:`check_items`.

    Raises
    ------
    SchemaError
        With every problem of the frame.
    """
    return _check_attributes(users, "users", "user_id")


def check_id_dtypes(column: str, **frames: pl.DataFrame | None) -> None:
    """Make sure that the ids of several canonical frames can be compared at all.

    Raises
    ------
    SchemaError
        If one frame has text and another numbers in ``column``.
    """
    kinds = {name: frame.schema[column] for name, frame in frames.items() if frame is not None}
    if len({dtype.is_integer() for dtype in kinds.values()}) > 1:
        listed = ", ".join(f"{dtype} in {name}" for name, dtype in kinds.items())
        raise SchemaError(
            " and ".join(kinds),
            [f"{column} is {listed}; cast them to one dtype, since no id of one meets the other"],
        )


def canonical_ids(ids: pl.Series) -> pl.Series:
    """Return ids as Int64 or String (Categorical and Enum become String)."""
    return ids.cast(pl.Int64 if ids.dtype.is_integer() else pl.String)


def check_same_schema(table: str, new: pl.DataFrame, fitted: pl.DataFrame) -> pl.DataFrame:
    """Make sure that an attribute table can stand in for the one of the fit.

    Parameters
    ----------
    table : str
        ``"items"`` or ``"users"``.
    new, fitted : DataFrame
        Canonical. New values are no matter, nor are further columns.

    Returns
    -------
    DataFrame
        ``new``; a column without any value has the dtype of the fit.

    Raises
    ------
    SchemaError
        With every column that is missing or of another kind: text in place of numbers, fractions
        in place of whole numbers, a list in place of single values.
    """
    problems: list[str] = []
    empty: list[pl.Expr] = []
    for column, dtype in fitted.schema.items():
        if column not in new.columns:
            problems.append(
                f"{column}: the column is missing, but the model was fitted with it ({dtype}); add "
                f"it, with nulls if nothing is known, or fit again"
            )
            continue
        other = new.schema[column]
        if other == pl.Null:
            empty.append(pl.col(column).cast(dtype))
        elif _kind(other) != _kind(dtype) and dtype != pl.Null:
            problems.append(
                f"{column}: dtype {other}{examples(new[column].drop_nulls())}, but the model was "
                f"fitted with {dtype}; cast it to that, or fit again"
            )
    if problems:
        raise SchemaError(table, problems)
    return new.with_columns(empty)


def check_same_clock(**frames: pl.DataFrame | None) -> None:
    """Make sure that times in several canonical frames can be compared at all.

    They stand in ``timestamp``, of items and users in ``valid_from``.

    Raises
    ------
    SchemaError
        If one is a whole number and another a date.
    """
    kinds: dict[str, pl.DataType] = {}
    for name, frame in frames.items():
        column = "valid_from" if name in ("items", "users") else "timestamp"
        if frame is not None and column in frame.columns:
            kinds[f"{column} of {name}"] = frame.schema[column]
    if len({dtype.is_integer() for dtype in kinds.values()}) > 1:
        listed = ", ".join(f"{dtype} in {name}" for name, dtype in kinds.items())
        raise SchemaError(
            " and ".join(kinds),
            [f"times are {listed}; bring them to one kind, since no time of one meets the other"],
        )


def check_tables(
    log: pl.DataFrame, items: FrameLike | None, users: FrameLike | None, *, zone: str | None
) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """Check attribute tables, and that their ids and times are of the log's kind and zone.

    Parameters
    ----------
    log : DataFrame
        Canonical interactions.
    items, users : DataFrame or LazyFrame, optional
    zone : str or None
        That of the log's timestamps, see :func:`time_zone`.

    Returns
    -------
    items, users : DataFrame or None
        Canonical.

    Raises
    ------
    SchemaError
        With every problem of a frame.
    """
    item_table = None if items is None else check_items(items)
    user_table = None if users is None else check_users(users)
    check_id_dtypes("item_id", interactions=log, items=item_table)
    check_id_dtypes("user_id", interactions=log, users=user_table)
    check_same_clock(interactions=log, items=item_table, users=user_table)
    check_same_zone(zone, items=items, users=users)
    return item_table, user_table


def check_same_zone(zone: str | None, **tables: FrameLike | None) -> None:
    """Make sure that ``valid_from`` of attribute tables is not an hour of another time zone.

    Parameters
    ----------
    zone : str or None
        That of the log's timestamps, if it is another than UTC.
    tables : DataFrame or LazyFrame
        As the caller gave them.

    Raises
    ------
    SchemaError
        If the log's times were of a zone and those of a table name none.
    """
    for name, table in tables.items():
        dtype = None if table is None else table.collect_schema().get("valid_from")
        if zone not in (None, "UTC") and isinstance(dtype, pl.Datetime) and not dtype.time_zone:
            problem = (
                f"valid_from names no time zone, timestamp of interactions is of {zone}; say of "
                f"which it is, as in pl.col('valid_from').dt.replace_time_zone('{zone}')"
            )
            raise SchemaError(name, [problem])


def _kind(dtype: pl.DataType) -> str:
    """What values of a dtype have in common with those of others."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "fraction"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if isinstance(dtype, pl.List | pl.Array):
        return f"list of {_kind(dtype.inner)}"  # type: ignore[arg-type]  # a class in theory
    if isinstance(dtype, pl.Datetime | pl.Date):
        return "time"
    return str(dtype).lower()


def _check_attributes(frame: pl.DataFrame | pl.LazyFrame, table: str, key: str) -> pl.DataFrame:
    frame = _collect(frame, table)
    has_versions = "valid_from" in frame.columns
    names = [key, "valid_from"] if has_versions else [key]
    problems = [*id_problems(frame, key), *_validity_problems(frame)]
    if key in frame.columns and is_id(frame.schema[key]):
        rows = frame.select(names).drop_nulls(key)
        repeated = rows.filter(rows.is_duplicated())[key]
        if len(repeated):
            what = "several rows from the same time on" if has_versions else "more than one row"
            problems.append(
                f"{key}: {repeated.n_unique()} ids stand in {what}"
                f"{examples(repeated.unique(maintain_order=True))}; keep one row per id, for "
                f"instance with unique(subset={names if has_versions else key!r})"
            )
    problems += [
        f"{name}: dtype {dtype} cannot be written down, and a model is saved with its tables; drop "
        f"the column, or turn it into text"
        for name, dtype in frame.schema.items()
        if _is_unwritable(dtype)
    ]
    if problems:
        raise SchemaError(table, problems)
    canonical = [_canonical_id(key, frame.schema[key])]
    if has_versions:
        canonical.append(_canonical_optional("valid_from", frame.schema["valid_from"]))
    return frame.with_columns(canonical).sort(names)


def _is_unwritable(dtype: pl.DataType, *, is_nested: bool = False) -> bool:
    """Whether it holds objects of Python, or bytes within lists or structs."""
    if isinstance(dtype, pl.List | pl.Array):
        return _is_unwritable(dtype.inner, is_nested=True)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return any(_is_unwritable(one.dtype, is_nested=True) for one in dtype.fields)  # type: ignore[arg-type]
    return dtype == pl.Object or (is_nested and dtype == pl.Binary)


def _validity_problems(frame: pl.DataFrame) -> list[str]:
    if "valid_from" not in frame.columns:
        return []
    dtype = frame.schema["valid_from"]
    if dtype.is_integer() or isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        return range_problems(frame, "valid_from", "count in a larger unit")
    return [
        (
            f"valid_from: dtype {dtype}{examples(frame['valid_from'].drop_nulls())}; expected the "
            f"time since when a row holds, Datetime, Date or integer as the log's timestamps: "
            f"parse text with str.to_datetime(), or rename the column if it means something else"
        )
    ]


def refuse_other_frames(value: object, name: str) -> None:
    """Make sure that something is no frame of another library: as a sequence, it is its columns.

    Raises
    ------
    SchemaError
        With the way to make a frame of Polars of it.
    """
    if type(value).__name__ in ("DataFrame", "LazyFrame", "Table"):
        check_is_frame(value, name)


def check_is_frame(frame: object, table: str) -> None:
    """Make sure that something is a Polars frame.

    Raises
    ------
    SchemaError
        With the way to make one of it.
    """
    if isinstance(frame, pl.DataFrame | pl.LazyFrame):
        return
    kind = f"{type(frame).__module__}.{type(frame).__name__}".removeprefix("builtins.")
    makers = {"pandas": "from_pandas", "pyarrow": "from_arrow"}
    make = makers.get(kind.split(".")[0], "DataFrame")
    raise SchemaError(
        table,
        [f"is a {kind}; expected a polars DataFrame or LazyFrame: polars.{make}(...) makes one"],
    )


def time_zone(schema: pl.Schema) -> str | None:
    """The time zone of ``timestamp``, as the caller gave it; None if it names none."""
    dtype = schema.get("timestamp")
    return dtype.time_zone if isinstance(dtype, pl.Datetime) else None


def time_columns(schema: pl.Schema) -> list[str]:
    """Columns of dates and times that are not called ``timestamp``."""
    return [
        name
        for name, dtype in schema.items()
        if name != "timestamp" and (isinstance(dtype, pl.Datetime) or dtype == pl.Date)
    ]


def _collect(frame: pl.DataFrame | pl.LazyFrame, table: str) -> pl.DataFrame:
    check_is_frame(frame, table)
    return frame.lazy().collect()


def _canonical_id(column: str, dtype: pl.DataType) -> pl.Expr:
    return pl.col(column).cast(pl.Int64 if dtype.is_integer() else pl.String)


def _canonical_optional(column: str, dtype: pl.DataType) -> pl.Expr:
    expression = pl.col(column)
    if column == "weight":
        return expression.cast(pl.Float32)
    if column == "event":
        return expression.cast(pl.String)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            expression = expression.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return expression.dt.cast_time_unit("us")
    return expression.cast(pl.Int64) if dtype.is_integer() else expression
