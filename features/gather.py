"""Rows of a table, written where they are wanted."""

from __future__ import annotations

from features.arrays import Float32Array, Int32Array, Int64Array
from features.kernel import kernel


@kernel
def gather(table: Float32Array, rows: Int32Array, out: Float32Array) -> None:
    """``out[i] = table[rows[i]]``, without a copy on the way.

    Parameters
    ----------
    table : float32 array [n, n_features]
    rows : int32 array [n_rows]
    out : float32 array [n_rows, n_features]
        To be written; may be a part of a wider table.
    """
    for place in range(len(rows)):
        for column in range(table.shape[1]):
            out[place, column] = table[rows[place], column]


@kernel
def scatter(table: Float32Array, rows: Int64Array, columns: Float32Array) -> None:
    """``columns[:, rows[i]] = table[i]``: from rows to columns.

    Parameters
    ----------
    table : float32 array [n_rows, n_features]
    rows : int64 array [n_rows]
    columns : float32 array [n_features, n]
        To be written.
    """
    step = 64  # rows at a time, which stay in the cache while their columns are written
    for start in range(0, len(rows), step):
        for column in range(table.shape[1]):
            for place in range(start, min(start + step, len(rows))):
                columns[column, rows[place]] = table[place, column]
