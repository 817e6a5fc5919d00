"""The nearest items of each item, brought up to date without looking at all pairs again."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from features.arrays import AnyArray, BoolArray, Float32Array, Int32Array
from ranker.candidates.growth import Growth


def renumbered(matrix: sparse.csr_matrix, growth: Growth) -> sparse.csr_matrix:
    """An item-item matrix of the earlier history in the row numbers of the later one."""
    n_items, lengths = growth.after.n_items, np.zeros(growth.after.n_items, np.int64)
    lengths[growth.item_row] = np.diff(matrix.indptr)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    cells = (matrix.data, growth.item_row[matrix.indices], indptr)
    return sparse.csr_matrix(cells, shape=(n_items, n_items))


def reach(nearest: sparse.csr_matrix, n_kept: int) -> Float32Array:
    """How near an item has to be to become a neighbour, float32 [n_items]: as the last one is."""
    near = np.full(nearest.shape[0], np.inf, np.float32)
    np.minimum.at(near, rows_of(nearest), nearest.data)
    near[np.diff(nearest.indptr) < n_kept] = 0.0
    return near


def rows_of(matrix: sparse.csr_matrix) -> Int32Array:
    """The row of each cell in store, int32 [n_cells]."""
    rows: Int32Array = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    return rows


def renewed(
    nearest: sparse.csr_matrix,
    is_old: BoolArray,
    row: Int32Array,
    item: Int32Array,
    value: Float32Array,
    n_kept: int,
) -> tuple[sparse.csr_matrix, BoolArray]:
    """The nearest items of each item after some similarities have changed.

    What was none of an item's ``n_kept`` neighbours was further away than the last of them. So the
    list is known as far as there are still ``n_kept`` items that are not further away than that.

    Parameters
    ----------
    nearest : CSR float32 [n_items, n_items]
        The former neighbours of each item, at most ``n_kept`` in a row.
    is_old : bool array [n_cells]
        The cells of ``nearest`` whose similarity has changed.
    row, item : int32 array [n]
        All pairs whose similarity has changed; those that are further away than the last neighbour
        may be left out.
    value : float32 array [n]
        Their similarities now, above zero.
    n_kept : int

    Returns
    -------
    nearest : CSR float32 [n_items, n_items]
    is_unknown : bool array [n_items]
        The rows of which that cannot be told: all pairs of these have to be looked at.
    """
    n_items, former = nearest.shape[0], rows_of(nearest)
    last, is_full = reach(nearest, n_kept), np.diff(nearest.indptr) == n_kept
    # Of those that are as near as the last neighbour, the first ones by number are neighbours.
    last_item = np.full(n_items, -1, np.int32)
    is_last = nearest.data == last[former]
    np.maximum.at(last_item, former[is_last], nearest.indices[is_last])
    is_near = (value > last[row]) | ((value == last[row]) & (item <= last_item[row]))
    kept = ~is_old
    row = np.concatenate((former[kept], row[is_near]))
    item = np.concatenate((nearest.indices[kept], item[is_near]))
    value = np.concatenate((nearest.data[kept], value[is_near]))
    lengths = np.bincount(row, minlength=n_items)
    crowded = np.flatnonzero(lengths[row] > n_kept)
    if len(crowded):
        order = crowded[np.lexsort((item[crowded], -value[crowded], row[crowded]))]
        starts = np.concatenate(([0], np.flatnonzero(np.diff(row[order])) + 1))
        place = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
        is_kept = np.ones(len(row), bool)
        is_kept[order[place >= n_kept]] = False
        row, item, value = row[is_kept], item[is_kept], value[is_kept]
    return _matrix(row, item, value, n_items), is_full & (lengths < n_kept)


def with_rows(
    matrix: sparse.csr_matrix, rows: Int32Array, values: sparse.csr_matrix
) -> sparse.csr_matrix:
    """The matrix with some of its rows replaced by those of ``values``, in their order."""
    is_replaced = np.zeros(matrix.shape[0], bool)
    is_replaced[rows] = True
    row = rows_of(matrix)
    kept = ~is_replaced[row]
    return _matrix(
        np.concatenate((row[kept], rows[rows_of(values)])),
        np.concatenate((matrix.indices[kept], values.indices)),
        np.concatenate((matrix.data[kept], values.data)),
        matrix.shape[0],
    )


def _matrix(row: AnyArray, item: AnyArray, value: AnyArray, n_items: int) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix((value, (row, item)), shape=(n_items, n_items))
    matrix.sort_indices()
    return matrix
