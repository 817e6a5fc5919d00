"""The values of an attribute as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Int32Array, Int64Array
from features.columns import KEYS, is_code, is_codes, named_columns


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


def code_columns(table: pl.DataFrame, columns: Sequence[str] | None, max_columns: int) -> list[str]:
    """Columns of names: those asked for, or the first with values that rows share.

    Raises
    ------
    ConfigError
        If a column that was asked for does not exist or holds no names.
    """
    if columns is not None:
        expected = "text, categories, integers, booleans, or lists of them"
        return named_columns(table, columns, is_codes, expected)
    return shared_columns(table)[:max_columns]


def single_columns(table: pl.DataFrame) -> list[str]:
    """Columns with one name a row, that rows share: not lists."""
    return [name for name in shared_columns(table) if is_code(table.schema[name])]


def shared_columns(table: pl.DataFrame) -> list[str]:
    """Columns with values that rows share: not ids, titles and texts, and not constants.

    They hold text, categories, integers, or lists of these.
    """
    chosen = []
    for name, dtype in table.schema.items():
        inner = dtype.inner if isinstance(dtype, pl.List) else dtype
        if name in KEYS or not is_code(inner) or inner == pl.Boolean:
            continue
        values = (table[name].explode() if inner is not dtype else table[name]).drop_nulls()
        if 2 <= values.n_unique() <= len(values) / 2:
            chosen.append(name)
    return chosen
