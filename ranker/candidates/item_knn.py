"""Items similar by who took them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight
from scipy import sparse

from features.arrays import AnyArray, Float32Array, Int32Array, Int64Array
from features.decay import Length, length_ticks
from features.errors import ConfigError
from features.history import History
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.growth import Growth
from ranker.candidates.nearest import nearest_to_each
from ranker.candidates.neighbours import reach, renewed, renumbered, rows_of, with_rows
from ranker.candidates.similar import SimilarityGenerator
from ranker.parallel import n_cores

_WEIGHTINGS = ("bm25", "cosine", "tfidf")
_RUN = 256  # items whose similarities to all others are in memory at a time
_MANY = 0.25  # share of the items that changed, from which on to begin anew is as fast
_NOTHING = 1e-12  # a weight that is a difference of two equal logarithms


@dataclass
class ItemKNN(SimilarityGenerator):
    """Item-based nearest neighbours over the users-by-items matrix, which is binary.

    Sarwar et al.: Item-based collaborative filtering recommendation algorithms (WWW 2001). The
    similarity of two items is the inner product of their columns, weighted as by the library
    implicit, and shrunk by ``n / (n + shrink)``, n being the users who took both.

    Parameters
    ----------
    weighting : "cosine", "tfidf" or "bm25"
        How a cell of the matrix counts in the similarity.
    neighbours : int
        Each item is proposed by so many others, those that are most similar to it.
    half_life : str, int or float, optional
        Age at which a user's event counts half when he is served. As a share of the log: a float.
        None: all his events count the same.
    shrink : float
        Users in common at which a similarity counts half.
    bm25_k1, bm25_b : float
        Of ``weighting="bm25"``: how soon a cell is saturated, and how much an item's popularity
        counts against it, in [0, 1] (Robertson, Zaragoza: The probabilistic relevance framework,
        2009, eq. 3.15).

    Raises
    ------
    ConfigError
        By ``fit``, if the weighting is not known or a number out of its range.
    """

    weighting: Literal["cosine", "tfidf", "bm25"] = "cosine"
    neighbours: int = 100
    half_life: Length | None = 1 / 6
    shrink: float = 0.0
    bm25_k1: float = 1.2
    bm25_b: float = 0.75

    learned: ClassVar[tuple[str, ...]] = ("similarity_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Compute the similarities; attributes are not used."""
        self._check()
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        weighted = self._weighted(_binary(history).T)
        nearest = nearest_to_each(weighted, weighted.T.tocsr(), self.neighbours, shrink=self.shrink)
        # The other way round: an item is proposed by its own neighbours. If each proposed its
        # neighbours instead, the popular items would take up the places in most neighbourhoods.
        self.similarity_: sparse.csr_matrix = nearest.T.tocsr()
        self.similarity_.sort_indices()

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """Look for neighbours again where they can be others; the same as a fit anew."""
        # By the other weightings each event changes the weight of every cell.
        if self.weighting != "cosine":
            return super().refreshed(growth, items=items, users=users)
        matrix = _binary(growth.after)
        weighted = self._weighted(matrix.T)
        index = weighted.T.tocsr()
        n_takers = np.bincount(matrix.indices, minlength=matrix.shape[1])
        before = _binary(growth.before)
        is_changed = n_takers > growth.of_items(
            np.bincount(before.indices, minlength=before.shape[1])
        )
        if is_changed.sum() > _MANY * len(is_changed):
            return super().refreshed(growth, items=items, users=users)
        nearest = renumbered(self.similarity_, growth).T.tocsr()
        is_old = is_changed[nearest.indices]
        near = reach(nearest, self.neighbours)
        pairs = self._pairs_with(np.flatnonzero(is_changed), weighted, index, near)
        nearest, is_unknown = renewed(nearest, is_old, *pairs, self.neighbours)
        rows = np.flatnonzero(is_changed | is_unknown).astype(np.int32)
        found = nearest_to_each(weighted, index, self.neighbours, shrink=self.shrink, rows=rows)
        later = self.unfitted(0)
        later.half_life_ticks_ = self.half_life_ticks_
        later.similarity_ = with_rows(nearest, rows, found).T.tocsr()
        later.similarity_.sort_indices()
        return later

    def _pairs_with(
        self,
        changed: Int64Array,
        weighted: sparse.csr_matrix,
        index: sparse.csr_matrix,
        near: Float32Array,
    ) -> tuple[Int32Array, Int32Array, Float32Array]:
        """All items that are near enough to some: item, which of those, similarity."""

        def run(first: int) -> tuple[Int32Array, Int32Array, Float32Array]:
            rows = changed[first : first + _RUN]
            product = weighted[rows] @ index
            if self.shrink:
                both = weighted[rows].astype(bool).astype(float) @ index.astype(bool).astype(float)
                for matrix in (product, both):
                    matrix.sort_indices()
                product.data *= both.data / (both.data + self.shrink)
            similarity = product.data.astype(np.float32)
            is_near = similarity >= near[product.indices]
            to = rows[rows_of(product)[is_near]].astype(np.int32)
            return product.indices[is_near], to, similarity[is_near]

        with ThreadPoolExecutor(n_cores()) as pool:
            found = list(pool.map(run, range(0, len(changed), _RUN)))
        nothing = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
        item, to, similarity = map(np.concatenate, zip(nothing, *found, strict=True))
        return item, to, similarity

    def _weighted(self, items: sparse.csc_matrix) -> sparse.csr_matrix:
        """Items by users, float64."""
        if self.weighting == "bm25":
            weighted = bm25_weight(items, K1=self.bm25_k1, B=self.bm25_b)
        elif self.weighting == "tfidf":
            # A user of all items but one has the weight log(1), which implicit subtracts to 0 or,
            # by the processor, to the last bit; an item that only such users took has no norm, and
            # is similar to nothing.
            cells = tfidf_weight(items)
            cells.data[np.abs(cells.data) < _NOTHING] = 0
            with np.errstate(invalid="ignore"):
                weighted = normalize(cells)
        else:
            weighted = normalize(items)
        weighted = sparse.csr_matrix(weighted, dtype=np.float64)
        weighted.data = np.nan_to_num(weighted.data)
        return weighted

    def _check(self) -> None:
        if self.weighting not in _WEIGHTINGS:
            raise ConfigError(
                f"weighting={self.weighting!r} is not known; expected one of {list(_WEIGHTINGS)}"
            )
        check_count(neighbours=self.neighbours)
        check_from_zero(shrink=self.shrink, bm25_k1=self.bm25_k1)
        if not 0 <= self.bm25_b <= 1:
            raise ConfigError(f"bm25_b={self.bm25_b}; expected a number from 0 to 1")


def _binary(history: History) -> sparse.csr_matrix:
    """Users by items: whether a user took an item."""
    matrix = history.matrix()
    matrix.data = np.ones_like(matrix.data)
    return matrix
