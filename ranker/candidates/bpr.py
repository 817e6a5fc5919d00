"""Matrix factorisation that learns to put what was taken before what was not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from implicit.cpu.bpr import BayesianPersonalizedRanking
from threadpoolctl import threadpool_limits

from features.arrays import AnyArray, Float32Array, Int32Array
from features.decay import Length, length_ticks
from features.history import History
from ranker.arguments import check_above_zero, check_count, check_from_zero
from ranker.candidates.base import Retrieved
from ranker.candidates.user_keys import find_rows, known_keys
from ranker.candidates.vectors import VectorGenerator, mean_rows, recency_shares


@dataclass(kw_only=True)
class BPR(VectorGenerator):
    """Bayesian personalised ranking, by the library implicit.

    Rendle et al.: BPR: Bayesian personalized ranking from implicit feedback (UAI 2009). A user
    whose events are those of a user of the fit has that user's vector. Any other is the mean of
    his items, each standing for the mean vector of the users who took it, with older events
    counting less.

    Parameters
    ----------
    factors : int
        One more is the item's bias.
    learning_rate, regularization : float
    iterations : int
    half_life : str, int or float
        Age at which an event of a new user counts half. As a share of the log: a float.
    random_state : int, optional
        Default: 0, or what the engine derives from its own.
    """

    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 60
    half_life: Length = 1 / 4
    random_state: int | None = None

    learned: ClassVar[tuple[str, ...]] = (
        *("item_", "vectors_", "n_items_", "half_life_ticks_"),
        *("keys_", "user_vectors_", "takers_"),
    )

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        check_count(factors=self.factors, iterations=self.iterations)
        check_from_zero(regularization=self.regularization)
        check_above_zero(learning_rate=self.learning_rate)
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        self.n_items_: AnyArray = np.array(history.n_items)
        self.item_: Int32Array = np.unique(history.item)
        self.keys_, rows = known_keys(history)
        matrix = history.matrix()[:, self.item_].tocsr()
        with threadpool_limits(1, "blas"):
            # Its threads write to the same vectors as they come: with one the result is certain.
            model = BayesianPersonalizedRanking(
                factors=self.factors,
                learning_rate=self.learning_rate,
                regularization=self.regularization,
                iterations=self.iterations,
                num_threads=1,
                random_state=self.random_state or 0,
            )
            model.fit(matrix, show_progress=False)
        self.vectors_: Float32Array = np.asarray(model.item_factors, np.float32)
        trained = np.asarray(model.user_factors, np.float32)
        self.user_vectors_: Float32Array = trained[rows]
        matrix.data = np.ones_like(matrix.data)
        n_takers = np.maximum(np.asarray(matrix.sum(0)).ravel(), 1.0)
        takers = (matrix.T @ trained.astype(np.float64)) / n_takers[:, None]
        self.takers_: Float32Array = np.zeros((history.n_items, trained.shape[1]), np.float32)
        self.takers_[self.item_] = takers

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest inner products; nothing for users without events."""
        return self._nearest(self.user_vectors(history), history, n, exclude_seen=exclude_seen)

    @property
    def item_vectors(self) -> Float32Array:
        """Item factors and bias, float32 [n_items, factors + 1]; zeros for items without events."""
        vectors = np.zeros((int(self._get("n_items_")), self.vectors_.shape[1]), np.float32)
        vectors[self.item_] = self.vectors_
        return vectors

    def user_vectors(self, history: History) -> Float32Array:
        """User factors by the users' events, and 1 for the bias, float32 [n_users, factors + 1]."""
        shares = recency_shares(history, float(self._get("half_life_ticks_")))
        vectors = mean_rows(shares, self.takers_)
        row = find_rows(history, self.keys_, np.arange(len(self.keys_)))
        vectors[row >= 0] = self.user_vectors_[row[row >= 0]]
        return vectors
