"""Columns of ready-made embeddings."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.arrays import BoolArray, Float32Array


def is_vector(dtype: pl.DataType) -> bool:
    """Whether the values are flat rows of numbers."""
    return (
        isinstance(dtype, pl.List | pl.Array)
        and isinstance(dtype.inner, pl.DataType)
        and dtype.inner.is_numeric()
    )


def ready_made(column: pl.Series) -> tuple[Float32Array, BoolArray]:
    """Embeddings as a matrix, and which of them can be used.

    Parameters
    ----------
    column : Series
        Array or List of numbers.

    Returns
    -------
    vectors : float32 array [n_rows, n]
        Of the commonest length; zeros where they cannot be used.
    is_usable : bool array [n_rows]
        The length is the commonest, all numbers are finite and one of them is not zero.
    """
    lists = column.cast(pl.List(pl.Float32))
    lengths = lists.list.len().fill_null(0)
    known = lengths.filter(lengths > 0)
    width = int(known.mode().max()) if len(known) else 0  # type: ignore[arg-type]
    is_usable = (lengths == width).to_numpy().copy() & (width > 0)
    vectors = np.zeros((len(column), width), np.float32)
    if is_usable.any():
        flat = lists.filter(pl.Series(is_usable)).explode().cast(pl.Float32)
        vectors[is_usable] = flat.to_numpy().reshape(-1, width)
    is_usable &= np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    vectors[~is_usable] = 0.0
    return vectors, is_usable
