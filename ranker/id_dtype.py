"""Ids come back in the dtype in which the caller gave them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from features.errors import ConfigError, SchemaError
from features.problems import range_problems
from features.schema import canonical_ids, refuse_other_frames

_NAMED: dict[str, pl.DataType] = {
    str(dtype()): dtype()
    for dtype in (
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128),
        *(pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128),
        *(pl.String, pl.Categorical),
    )
}


def as_ids(ids: Any, argument: str) -> pl.Series:
    """What a caller gave as ids, as a Series.

    Parameters
    ----------
    ids : Series, array or sequence
    argument : str
        What the message calls them.

    Raises
    ------
    ConfigError
        If they are not several ids in an order, or of several kinds.
    """
    refuse_other_frames(ids, argument)
    if isinstance(ids, str | bytes):
        raise ConfigError(f"{argument} is the text {ids!r}; expected several ids, as a list")
    if isinstance(ids, pl.DataFrame | pl.LazyFrame):
        frame = "frame.collect()" if isinstance(ids, pl.LazyFrame) else "frame"
        raise ConfigError(
            f"{argument} is a {type(ids).__name__}; expected its column of ids, as in "
            f'{frame}["{argument.removesuffix("s")}"], or histories=frame for events'
        )
    if not hasattr(ids, "__len__") or not hasattr(ids, "__getitem__") or isinstance(ids, Mapping):
        raise ConfigError(
            f"{argument}={ids!r} is a {type(ids).__name__}; expected several ids in an order, "
            f"as a list or a Series"
        )
    try:
        return pl.Series(ids)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        kinds = sorted({type(one).__name__ for one in ids})
        raise ConfigError(
            f"{argument} holds {' and '.join(kinds)}, such as {list(ids)[:3]}; expected ids of "
            f"one kind, that of the log"
        ) from None


@dataclass(frozen=True)
class IdDtype:
    """Dtype of an id column outside; inside it is Int64 or String.

    Parameters
    ----------
    dtype : Polars dtype
    """

    dtype: pl.DataType

    def canonical(self, ids: pl.Series, column: str) -> pl.Series:
        """Ids given by the caller, in the form used inside.

        Raises
        ------
        SchemaError
            If they are null or of another kind than those of the fit.
        """
        if len(ids) == 0 or ids.dtype == pl.Null:
            ids = ids.cast(self.dtype)
        if ids.null_count():
            raise SchemaError(column, [f"{column}: {ids.null_count()} ids are null; drop them"])
        is_text = ids.dtype in (pl.String, pl.Categorical, pl.Enum)
        if not (ids.dtype.is_integer() or is_text) or is_text == self.dtype.is_integer():
            raise SchemaError(
                column,
                [
                    (
                        f"{column}: ids are {ids.dtype} (such as {ids[0]!r}), the model was fitted "
                        f"with {self.dtype}; cast them to that"
                    )
                ],
            )
        problems = range_problems(ids.to_frame(column), column, "such an id cannot be known")
        if problems:
            raise SchemaError(column, problems)
        return canonical_ids(ids).rename(column)

    def restore(self, ids: pl.Series) -> pl.Series:
        """Ids from inside, in the caller's dtype; as they are where one of them does not fit it."""
        found = ids.cast(self.dtype, strict=False)
        return ids if found.null_count() else found

    def holding(self, ids: pl.Series) -> IdDtype:
        """The dtype in which all these ids, as they are inside, can be given back."""
        return IdDtype(self.restore(ids).dtype)

    def to_json(self) -> str | list[str]:
        """The dtype's name, or the categories of an Enum."""
        if isinstance(self.dtype, pl.Enum):
            return list(self.dtype.categories)
        return "Categorical" if self.dtype == pl.Categorical else str(self.dtype)

    @classmethod
    def from_json(cls, value: Any) -> IdDtype:
        """From :meth:`to_json`."""
        return cls(pl.Enum(value) if isinstance(value, list) else _NAMED[value])
