"""Item-item weights in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import AnyArray, Float32Array, Int32Array
from features.decay import Length, decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from ranker.arguments import check_above_zero, check_count
from ranker.candidates.inverse import invert
from ranker.candidates.similar import SimilarityGenerator

_ROWS = 256  # rows of the dense matrix that are looked at together


@dataclass
class EASE(SimilarityGenerator):
    """The linear model ``X ~ X B`` whose diagonal is zero.

    Steck: Embarrassingly shallow autoencoders for sparse data (WWW 2019), eq. (8):
    ``P = (X'X + regularization I)^-1``, ``B = -P / diag(P)`` by columns. X is binary. The fit holds
    one dense float32 matrix of all items with events; of each of its rows the ``neighbours``
    weights of the largest size are kept, negative ones too.

    Parameters
    ----------
    regularization : float
    neighbours : int
        Weights kept of each item.
    max_items : int, optional
        Fit on so many of the most popular items; the others are not proposed. Default: all.
    half_life : str, int or float, optional
        Age at which a user's event counts half when he is served. As a share of the log: a float.
        Default: all of his items count the same, as in the paper.
    """

    regularization: float = 250.0
    neighbours: int = 400
    max_items: int | None = None
    half_life: Length | None = None

    learned: ClassVar[tuple[str, ...]] = ("similarity_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        check_above_zero(regularization=self.regularization)
        check_count(neighbours=self.neighbours)
        if self.max_items is not None:
            check_count(max_items=self.max_items)
        half_life = np.nan if self.half_life is None else length_ticks(history, self.half_life)
        self.half_life_ticks_: AnyArray = np.array(half_life)
        chosen = self._chosen(history)
        matrix = history.matrix()[:, chosen]
        matrix.data = np.ones_like(matrix.data)
        _check_memory(len(chosen))
        inverse = _inverse(matrix, self.regularization)
        self.similarity_ = _largest(inverse, chosen, self.neighbours, history.n_items)

    def _asked_weights(self, history: History) -> Float32Array:
        half_life = float(self._get("half_life_ticks_"))
        if np.isnan(half_life):
            return _first_of_each(history)
        return decay_weights(history, half_life)

    def _chosen(self, history: History) -> Int32Array:
        """Rows of the items that take part, ascending."""
        takers = np.diff(history.matrix().tocsc().indptr)
        chosen = np.flatnonzero(takers)
        if self.max_items is not None and len(chosen) > self.max_items:
            chosen = np.sort(np.lexsort((np.arange(len(takers)), -takers))[: self.max_items])
        return chosen.astype(np.int32)


def _check_memory(n: int) -> None:
    needed, available = 4 * n * n, _available_bytes()
    if available is None:
        return
    if needed > 0.9 * available:
        fitting = int((0.9 * available / 4) ** 0.5)
        raise ConfigError(
            f"EASE inverts a matrix of {n:,} x {n:,} items, which takes {needed / 2**30:.1f} GiB, "
            f"and {available / 2**30:.1f} GiB are free; fit on the most popular items "
            f"(max_items={fitting // 1000 * 1000}) or take ItemKNN instead"
        )


def _available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say (Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return next((1024 * n for n in kilobytes), None)


def _inverse(matrix: sparse.csr_matrix, regularization: float) -> Float32Array:
    """``(X'X + regularization I)^-1``, float32, whose lower triangle alone has a meaning."""
    n = matrix.shape[1]
    gram = np.zeros((n, n), np.float32)
    transposed = matrix.T.tocsr()
    for start in range(0, n, _ROWS):
        gram[start : start + _ROWS] = (transposed[start : start + _ROWS] @ matrix).toarray()
    gram[np.diag_indices(n)] += regularization
    try:
        invert(gram)
    except np.linalg.LinAlgError:
        raise ConfigError(
            f"X'X + {regularization} I cannot be inverted in single precision; raise regularization"
        ) from None
    return gram


def _largest(
    inverse: Float32Array, chosen: Int32Array, n_kept: int, n_items: int
) -> sparse.csr_matrix:
    """Rows of ``B = -P / diag(P)`` with the entries of the largest size, by row numbers."""
    n = len(chosen)
    n_kept = min(n_kept, max(n - 1, 1))
    diagonal = inverse.diagonal().copy()
    columns, values = np.empty((n, n_kept), np.int32), np.empty((n, n_kept), np.float32)
    for start in range(0, n, _ROWS):
        stop = min(start + _ROWS, n)
        rows = np.empty((stop - start, n), np.float32)
        rows[:, :start] = inverse[start:stop, :start]
        rows[:, stop:] = inverse[stop:, start:stop].T
        square = np.tril(inverse[start:stop, start:stop])
        rows[:, start:stop] = square + np.tril(square, -1).T
        rows /= -diagonal
        rows[np.arange(stop - start), np.arange(start, stop)] = 0.0
        # Ties by item: the order must not depend on how a partition falls.
        kept = np.argsort(-np.abs(rows), axis=1, kind="stable")[:, :n_kept]
        kept.sort(axis=1)
        columns[start:stop], values[start:stop] = kept, np.take_along_axis(rows, kept, 1)
    lengths = np.zeros(n_items, np.int64)
    lengths[chosen] = n_kept if n else 0
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    similarity = sparse.csr_matrix(
        (values.ravel(), chosen[columns.ravel()] if n else columns.ravel(), indptr),
        shape=(n_items, n_items),
    )
    similarity.eliminate_zeros()
    return similarity


def _first_of_each(history: History) -> Float32Array:
    """1 at the first of a user's events with an item, 0 at the others."""
    order = np.lexsort((history.item, history.user))
    is_first = np.ones(history.n_events, bool)
    same_user = history.user[order][1:] == history.user[order][:-1]
    is_first[1:] = ~(same_user & (history.item[order][1:] == history.item[order][:-1]))
    weights = np.zeros(history.n_events, np.float32)
    weights[order[is_first]] = 1.0
    return weights
