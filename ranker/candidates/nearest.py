"""The nearest rows of one sparse matrix to each row of another, exactly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse

from features.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from features.kernel import kernel
from ranker.parallel import n_cores
from ranker.topk import keep_best

_RUN = 512  # items whose neighbours are looked for at a time


def nearest_to_each(
    queries: sparse.csr_matrix,
    index: sparse.csr_matrix,
    n_kept: int,
    *,
    shrink: float = 0.0,
    rows: Int32Array | None = None,
) -> sparse.csr_matrix:
    """The nearest other items of each item, on all cores.

    Parameters
    ----------
    queries : CSR float64 [n_items, n_columns]
    index : CSR float64 [n_columns, n_items]
        The same items, transposed; their values may differ.
    n_kept, shrink
        As in :func:`nearest`.
    rows : int32 array [n_rows], optional
        The items of which neighbours are wanted. Default: all.

    Returns
    -------
    CSR float32 [n_rows, n_items]
    """
    n_items = queries.shape[0]
    wanted = np.arange(n_items, dtype=np.int32) if rows is None else rows

    def run(first: int) -> sparse.csr_matrix:
        own = wanted[first : first + _RUN]
        item, value = nearest(queries[own], index, n_kept, shrink=shrink, own=own)
        kept = item >= 0
        indptr = np.concatenate(([0], np.cumsum(np.count_nonzero(kept, axis=1))))
        return sparse.csr_matrix((value[kept], item[kept], indptr), (len(item), n_items))

    # Runs of items are independent, and so is the result of threads.
    with ThreadPoolExecutor(n_cores()) as pool:
        found = list(pool.map(run, range(0, len(wanted), _RUN)))
    if not found:
        return sparse.csr_matrix((0, n_items), dtype=np.float32)
    nearest_rows = sparse.vstack(found, format="csr")
    nearest_rows.sort_indices()
    return nearest_rows


def nearest(
    queries: sparse.csr_matrix,
    index: sparse.csr_matrix,
    n_kept: int,
    *,
    shrink: float = 0.0,
    own: Int32Array | None = None,
    below: float = np.inf,
) -> tuple[Int32Array, Float32Array]:
    """The rows with the largest inner products with each query, of those above zero.

    The product is multiplied by ``n / (n + shrink)``, where n counts the columns in which both
    rows have a cell (Bell, Koren: Scalable collaborative filtering with jointly derived
    neighborhood interpolation weights, ICDM 2007, section 4): similarities that rest on few
    observations are drawn to zero.

    Parameters
    ----------
    queries : CSR float64 [n_queries, n_columns]
    index : CSR float64 [n_columns, n_rows]
        The rows among which to look, transposed: for each column the rows that have it.
    n_kept : int
    shrink : float
    own : int32 array [n_queries], optional
        Where queries are rows of the index themselves: their numbers, so that none is its own
        neighbour.
    below : float
        Rows whose product with a query is this or larger are none of its neighbours.

    Returns
    -------
    row : int32 array [n_queries, n_kept]
        Best first, equal ones by number; -1 behind the last.
    value : float32 array [n_queries, n_kept]
        0 behind the last.
    """
    rows = np.full((queries.shape[0], n_kept), -1, np.int32)
    values = np.zeros((queries.shape[0], n_kept), np.float32)
    _nearest(
        queries.indptr.astype(np.int64, copy=False),
        queries.indices,
        queries.data,
        index.indptr.astype(np.int64, copy=False),
        index.indices,
        index.data,
        index.shape[1],
        float(shrink),
        np.full(queries.shape[0], -1, np.int32) if own is None else own,
        float(below),
        rows,
        values,
    )
    return rows, values


@kernel
def _nearest(
    indptr: Int64Array,
    column: Int32Array,
    value: Float64Array,
    index_indptr: Int64Array,
    index_row: Int32Array,
    index_value: Float64Array,
    n_rows: int,
    shrink: float,
    own: Int32Array,
    below: float,
    out_row: Int32Array,
    out_value: Float32Array,
) -> None:
    total = np.zeros(n_rows, np.float64)
    count = np.zeros(n_rows, np.int32)
    touched = np.empty(n_rows + 1, np.int32)  # the last place is written to and never counts
    similarity = np.empty(n_rows, np.float32)
    for query in range(len(indptr) - 1):
        n_touched = 0
        for at in range(indptr[query], indptr[query + 1]):
            for place in range(index_indptr[column[at]], index_indptr[column[at] + 1]):
                row = index_row[place]
                touched[n_touched] = row
                n_touched += count[row] == 0  # no branch: it would be guessed wrong half the time
                count[row] += 1
                total[row] += value[at] * index_value[place]
        for at in range(n_touched):
            row = touched[at]
            similarity[at] = total[row] * (count[row] / (count[row] + shrink))
            if row == own[query] or total[row] >= below:
                similarity[at] = 0.0
            total[row] = 0.0
            count[row] = 0
        keep_best(touched, similarity, n_touched, out_row[query], out_value[query])
