"""The inverse of a large positive definite matrix, in place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import linalg
from threadpoolctl import threadpool_limits

from features.arrays import Float32Array, Float64Array
from ranker.parallel import n_cores

_BLOCK = 512
_TILE = 4096


def invert(matrix: Float32Array) -> None:
    """Replace the lower triangle of a positive definite matrix by that of its inverse.

    The sweep operator (Goodnight: A tutorial on the SWEEP operator, 1979) by blocks: nearly all of
    its work is products of tiles, each of which one thread computes, so that the result does not
    depend on the number of threads, as that of LAPACK's routines does.

    Parameters
    ----------
    matrix : float32 array [n, n], row-major
        Its upper triangle is not read and left without meaning.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is not positive definite.
    """
    n = len(matrix)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_cores()) as pool:
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            column = np.zeros((n, stop - start), np.float32)
            column[:start] = matrix[start:stop, :start].T
            column[stop:] = matrix[stop:, start:stop]
            pivot = _inverse_of_block(matrix[start:stop, start:stop])
            scaled = column @ pivot.astype(np.float32)

            def subtract(
                first: int, scaled: Float32Array = scaled, column: Float32Array = column
            ) -> None:
                end = min(first + _BLOCK, n)
                for left in range(0, end, _TILE):
                    right = min(left + _TILE, end)
                    matrix[first:end, left:right] -= scaled[first:end] @ column[left:right].T

            list(pool.map(subtract, range(0, n, _BLOCK)))
            matrix[start:stop, :start] = scaled[:start].T
            matrix[stop:, start:stop] = scaled[stop:]
            matrix[start:stop, start:stop] = -pivot
    np.negative(matrix, out=matrix)


def _inverse_of_block(block: Float32Array) -> Float64Array:
    lower = np.tril(block).astype(np.float64)
    whole = lower + np.tril(lower, -1).T
    inverse: Float64Array = linalg.cho_solve(
        linalg.cho_factor(whole, lower=True), np.eye(len(whole))
    )
    return inverse
