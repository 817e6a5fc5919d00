"""Which columns of an attribute table a block reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from features.errors import ConfigError

KEYS = ("item_id", "user_id")
_NAMES = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)


def is_code(dtype: object) -> bool:
    """Whether values are names: text, categories, booleans, integers."""
    return isinstance(dtype, pl.DataType) and (dtype.is_integer() or dtype in _NAMES)


def is_codes(dtype: object) -> bool:
    """Whether values are names or lists of names."""
    return is_code(dtype) or (isinstance(dtype, pl.List) and is_code(dtype.inner))


def column_names(columns: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names of columns as a tuple; a single text is one name, not its letters."""
    return (columns,) if isinstance(columns, str) else None if columns is None else tuple(columns)


def check_columns(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Make sure that columns exist.

    Raises
    ------
    ConfigError
        With those that do not.
    """
    if isinstance(columns, str):
        raise ConfigError(f"columns={columns!r} is a single text; expected a tuple: ({columns!r},)")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        whose = "users" if "user_id" in table.columns else "items"
        raise ConfigError(
            f"{whose} have no column {', '.join(map(repr, missing))}; {listing(table)}"
        )


def named_columns(
    table: pl.DataFrame,
    columns: Sequence[str],
    is_usable: Callable[[pl.DataType], bool],
    expected: str,
) -> list[str]:
    """Columns that somebody named, once it is sure that they exist and can be used.

    Raises
    ------
    ConfigError
        With those that do not or cannot.
    """
    check_columns(table, columns)
    wrong = [name for name in columns if not is_usable(table.schema[name])]
    if wrong:
        listed = ", ".join(f"{name} ({table.schema[name]})" for name in wrong)
        raise ConfigError(f"columns cannot be used: {listed}; expected {expected}")
    return list(columns)


def listing(table: pl.DataFrame) -> str:
    """The columns that there are, for messages."""
    names = ", ".join(
        f"{name} ({dtype})" for name, dtype in table.schema.items() if name not in KEYS
    )
    return f"there are {names}" if names else "there are no columns but the id"
