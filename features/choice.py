"""Which columns of an attribute table a block reads without being told, and why these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from features.columns import KEYS, named_columns
from features.errors import ConfigError

_SHOWN = 4  # columns that are passed over for one reason, by name


@dataclass(frozen=True)
class Choice:
    """Columns that a block reads.

    Attributes
    ----------
    columns : tuple of str
    reason : str
        Why these, for people.
    others : mapping of parameter to str
        Further parameters of the block that go with the columns.
    """

    columns: tuple[str, ...]
    reason: str
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ColumnKind:
    """What a block looks for in a table.

    Parameters
    ----------
    whose : str
        ``"items"`` or ``"users"``.
    wanted : str
        What is true of the columns, after "with": ``"numbers or dates"``.
    expected : str
        The dtypes, for messages.
    is_usable : callable
        Whether a column of a dtype can be read, once it is named.
    why_not : callable
        Why a column is passed over if none is named; empty if it is not.
    """

    whose: str
    wanted: str
    expected: str
    is_usable: Callable[[pl.DataType], bool]
    why_not: Callable[[pl.Series], str]


def choose_columns(
    table: pl.DataFrame | None,
    named: Sequence[str] | None,
    kind: ColumnKind,
    max_columns: int | None = None,
) -> Choice:
    """The columns that somebody named, or the first that a block can make something of.

    Parameters
    ----------
    table : DataFrame or None
    named : sequence of str or None
    kind : ColumnKind
    max_columns : int, optional
        How many are chosen at most; all that were named are taken.

    Raises
    ------
    ConfigError
        If a column that was named does not exist or cannot be read, or there is no table for it.
    """
    if table is None:
        if named:
            raise ConfigError(
                f"columns={tuple(named)!r} are read of a table of {kind.whose}, and there is none; "
                f"give {kind.whose}=, or leave the block out"
            )
        return Choice((), f"there is no table of {kind.whose}")
    if named is not None:
        columns = tuple(named_columns(table, named, kind.is_usable, kind.expected))
        return Choice(columns, f"by {', '.join(columns)}, as named" if columns else "by no column")
    chosen: list[str] = []
    passed_over: dict[str, list[str]] = {}
    for column in table:
        if column.name in KEYS:
            continue
        reason = kind.why_not(column)
        if not reason and max_columns is not None and len(chosen) >= max_columns:
            reason = f"beyond the first {max_columns}"
        if reason:
            passed_over.setdefault(reason, []).append(column.name)
        else:
            chosen.append(column.name)
    told = f"by {', '.join(chosen)}," if chosen else f"no column of {kind.whose}"
    return Choice(tuple(chosen), f"{told} with {kind.wanted}{_passed_over(passed_over)}")


def spell(dtype: pl.DataType) -> str:
    """A dtype without what is inside of it: ``"Struct"``, ``"List of Float64"``."""
    name = dtype.base_type().__name__
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    return f"{name} of {spell(inner)}" if isinstance(inner, pl.DataType) else name


def _passed_over(columns: Mapping[str, Sequence[str]]) -> str:
    told = []
    for reason, names in columns.items():
        more = len(names) - _SHOWN
        listed = ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        told.append(f"{listed} ({reason})")
    return f"; not {', '.join(told)}" if told else ""
