"""Matrix factorisation for implicit feedback by alternating least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import polars as pl
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.arrays import Float32Array, Int32Array
from features.decay import Length, decay_weights, length_ticks
from features.history import History
from ranker.arguments import check_above_zero, check_count, check_from_zero
from ranker.candidates.base import Retrieved
from ranker.candidates.growth import Growth
from ranker.candidates.vectors import VectorGenerator
from ranker.parallel import one_blas_thread


@dataclass
class ALS(VectorGenerator):
    """Implicit-feedback matrix factorisation (``R ~ U'V`` weighted by confidence).

    Hu, Koren, Volinsky: Collaborative filtering for implicit feedback datasets (ICDM 2008), by
    the library implicit. The confidence of a cell with events is ``alpha * log(1 + w)``, with
    ``w`` the decayed sum of their weights, and 1 of any other (the paper adds 1 to the former,
    implicit does not). Users are folded in by their events, eq. (4) of the paper, with the item
    factors held, whether they took part in the fit or not.

    Parameters
    ----------
    factors : int
    regularization : float
    alpha : float
        How much the confidence grows with the weight of the events, see above.
    iterations : int
    half_life : str, int or float
        Age at which an event counts half. As a share of the log: a float.
    random_state : int, optional
        Default: 0, or what the engine derives from its own.
    approximate : Approximate, optional
        Search a large catalogue by a graph. Default: always exactly.
    """

    factors: int = 64
    regularization: float = 5.0
    alpha: float = 4.0
    iterations: int = 12
    half_life: Length = 1 / 4
    random_state: int | None = None

    learned: ClassVar[tuple[str, ...]] = ("item_", "vectors_", "n_items_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Factorise the users-by-items matrix; attributes are not used."""
        check_count(factors=self.factors, iterations=self.iterations)
        check_from_zero(regularization=self.regularization)
        check_above_zero(alpha=self.alpha)
        self.half_life_ticks_ = np.array(length_ticks(history, self.half_life))
        self.n_items_ = np.array(history.n_items)
        self.item_: Int32Array = np.unique(history.item)
        # implicit warm-starts a model that is fitted twice, so that each fit gets a new one. It
        # needs an int as random_state (a RandomState crashes it) and one BLAS thread, about which
        # it warns when it is made.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                iterations=self.iterations,
                random_state=self.random_state or 0,
                dtype=np.float32,
            )
            model.fit(self._confidence(history), show_progress=False)
        self.vectors_: Float32Array = np.asarray(model.item_factors)

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """Solve once for the items with new events, from users folded in; the others stay.

        The factors move away from those of a new fit as events come in and old ones fade; how far
        is seen by the lists of both.
        """
        history, later = growth.after, self.unfitted(0)
        later.half_life_ticks_ = self.half_life_ticks_
        later.n_items_ = np.array(history.n_items)
        later.item_ = np.unique(history.item)
        later.vectors_ = np.zeros((len(later.item_), self.factors), np.float32)
        kept = np.searchsorted(later.item_, growth.item_row[self.item_])
        later.vectors_[kept] = self.vectors_
        changed = np.flatnonzero(growth.is_item_changed[later.item_])
        confidence = later._confidence(history)
        with one_blas_thread():
            solver = later._solver()
            solver.user_factors = solver.recalculate_user(np.arange(history.n_users), confidence)
            takers = confidence[:, changed].T.tocsr()
            # A copy, so that nothing that follows from the former vectors is taken for theirs.
            later.vectors_ = later.vectors_.copy()
            later.vectors_[changed] = solver.recalculate_item(np.arange(len(changed)), takers)
        later._index(history)
        return later

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest inner products; nothing for users without events."""
        return self._nearest(self.user_vectors(history), history, n, exclude_seen=exclude_seen)

    @property
    def item_vectors(self) -> Float32Array:
        """Item factors, float32 [n_items, factors]; zeros for items without events."""
        vectors = np.zeros((int(self._get("n_items_")), self.factors), np.float32)
        vectors[self.item_] = self.vectors_
        return vectors

    def user_vectors(self, history: History) -> Float32Array:
        """User factors by the users' events, float32 [n_users, factors]."""
        return history.derived(self, self._get("vectors_"), self._fold_in)

    def _fold_in(self, history: History) -> Float32Array:
        if not history.n_users:
            return np.zeros((0, self.factors), np.float32)
        with one_blas_thread():
            users = np.arange(history.n_users)
            vectors = self._solver().recalculate_user(users, self._confidence(history))
        return np.asarray(vectors, np.float32).reshape(history.n_users, self.factors)

    def _solver(self) -> AlternatingLeastSquares:
        """Solves for users; keeps the items' Gram matrix from one call to the next."""
        solver = getattr(self, "_solver_of_users", None)
        if solver is None or solver.item_factors is not self.vectors_:
            solver = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                alpha=self.alpha,
                num_threads=1,
                dtype=np.float32,
            )
            solver.item_factors = self.vectors_
            self._solver_of_users = solver
        return solver

    def _confidence(self, history: History) -> sparse.csr_matrix:
        half_life = float(self.half_life_ticks_)
        matrix = history.matrix(history.weight * decay_weights(history, half_life))[:, self.item_]
        matrix.data = np.log1p(matrix.data)
        return matrix.tocsr()
