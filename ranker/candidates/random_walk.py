"""Items that short random walks over the log lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import AnyArray
from features.decay import Length, length_ticks
from features.history import History
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.nearest import nearest_to_each
from ranker.candidates.similar import SimilarityGenerator


@dataclass
class RandomWalk(SimilarityGenerator):
    """RP3beta: from the user's items to those who took them, and on to what else they took.

    Paudel, Christoffel, Newell, Bernstein: Updatable, accurate, diverse, and scalable
    recommendations for interactive applications (TiiS 2017). A step chooses among all neighbours
    alike; its probability counts by the power ``alpha``, and what is arrived at is divided by its
    popularity to the power ``beta``:
    ``s(a, b) = sum_u (n(a) n(u)) ** -alpha / n(b) ** beta`` over the users u who took both, n
    being numbers of distinct users and items. A user's score of b is the sum of s(a, b) over his
    events with items a.

    Parameters
    ----------
    alpha : float
        0: a step counts the same wherever it starts; 1: by its probability.
    beta : float
        How much popularity counts against an item; 0: not at all.
    neighbours : int
        Items kept that a walk from an item may end at: those with the largest s.
    half_life : str, int or float, optional
        Age at which a user's event counts half when he is served. As a share of the log: a float.
        None: all his events count the same.

    Raises
    ------
    ConfigError
        By ``fit``, if a number is out of its range.
    """

    alpha: float = 0.6
    beta: float = 0.2
    neighbours: int = 200
    half_life: Length | None = 1 / 6

    learned: ClassVar[tuple[str, ...]] = ("similarity_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Walk from every item; attributes are not used."""
        self._check()
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        matrix = history.matrix()
        matrix.data = np.ones(matrix.nnz)
        of_user = np.maximum(np.diff(matrix.indptr), 1.0) ** -self.alpha
        n_users = np.maximum(np.bincount(matrix.indices, minlength=history.n_items), 1.0)
        starts = sparse.csr_matrix(sparse.diags_array(n_users**-self.alpha) @ matrix.T)
        ends = sparse.csr_matrix(
            sparse.diags_array(of_user) @ matrix @ sparse.diags_array(n_users**-self.beta)
        )
        self.similarity_: sparse.csr_matrix = nearest_to_each(starts, ends, self.neighbours)

    def _check(self) -> None:
        check_count(neighbours=self.neighbours)
        check_from_zero(alpha=self.alpha, beta=self.beta)
