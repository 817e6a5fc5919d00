"""Rows of a table, written where they are wanted."""

from __future__ import annotations

from features.arrays import Float32Array, Int32Array
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
