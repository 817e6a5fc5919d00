"""The values of an attribute as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Int32Array, Int64Array
from features.choice import ColumnKind, spell
from features.columns import is_code, is_codes


@dataclass(frozen=True)
class Codes:
    """The values of an attribute by row: those of row ``i`` are ``code[indptr[i]:indptr[i + 1]]``.

    Attributes
    ----------
    indptr : int64 array [n_rows + 1]
    code : int32 array
        Distinct within a row.
    n_codes : int

    Examples
    --------
    >>> genres = Codes.of(pl.Series([["war", "drama"], None, ["war"]]))
    >>> genres.indptr.tolist(), genres.code.tolist(), genres.n_codes
    ([0, 2, 2, 3], [0, 1, 1], 2)
    """

    indptr: Int64Array
    code: Int32Array
    n_codes: int

    @classmethod
    def of(cls, column: pl.Series) -> Codes:
        """Number the values in ascending order; null has none."""
        values = column.cast(pl.List(pl.String)) if column.dtype == pl.List else column
        if values.dtype != pl.List:
            values = values.cast(pl.String).reshape((len(values), 1)).arr.to_list()
        flat = (
            pl.DataFrame({"row": np.arange(len(values)), "value": values})
            .explode("value")
            .drop_nulls()
            .unique()
            .sort("row", "value")
        )
        code = flat["value"].rank("dense").cast(pl.Int32).to_numpy() - 1
        counts = np.bincount(flat["row"].to_numpy(), minlength=len(values))
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return cls(indptr, code.astype(np.int32), int(code.max(initial=-1)) + 1)

    @classmethod
    def each(cls, n_rows: int) -> Codes:
        """Every row is a value of its own."""
        rows = np.arange(n_rows, dtype=np.int32)
        return cls(np.arange(n_rows + 1, dtype=np.int64), rows, n_rows)

    @property
    def first(self) -> Int32Array:
        """The first value of each row, -1 where there is none, int32 [n_rows]."""
        found = np.full(len(self.indptr) - 1, -1, np.int32)
        is_known = self.indptr[1:] > self.indptr[:-1]
        found[is_known] = self.code[self.indptr[:-1][is_known]]
        return found


def why_not_shared(column: pl.Series) -> str:
    """Why values of a column do not tell kinds of rows apart; empty if they do.

    Text, categories, integers and lists of these do, if rows share them: ids, titles and texts do
    not, nor do constants.
    """
    dtype = column.dtype
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if not is_code(inner) or inner == pl.Boolean:
        return spell(dtype)
    values = (column.explode() if inner is not dtype else column).drop_nulls()
    n_values = values.n_unique()
    if n_values < 2:
        return "the same for all" if n_values else "nothing but null"
    return "" if n_values <= len(values) / 2 else "values are hardly shared"


def why_not_one_shared(column: pl.Series) -> str:
    """The same of columns with one value a row."""
    return why_not_shared(column) if is_code(column.dtype) else spell(column.dtype)


ITEM_CODES = ColumnKind(
    "items",
    "values that items share",
    "text, categories, integers, booleans, or lists of them",
    is_codes,
    why_not_shared,
)
ITEM_CODE = ColumnKind(
    "items",
    "values that items share",
    "text, categories, integers or booleans",
    is_code,
    why_not_one_shared,
)
USER_CODE = ColumnKind(
    "users",
    "values that users share",
    "text, categories, integers or booleans",
    is_code,
    why_not_one_shared,
)
