"""A stand-in for a candidate source, where blocks are looked at without any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from features.arrays import Float32Array
from features.history import History

_N_USERS = 200  # enough for similarities other than zero, and a large log takes no longer
_N_FACTORS = 4


@dataclass(frozen=True)
class ExampleSource:
    """Items are similar by the users they share; their vectors are arbitrary.

    Attributes
    ----------
    similarity : CSR matrix [n_items, n_items]
    item_vectors : float32 array [n_items, 4]
    """

    similarity: sparse.csr_matrix | None
    item_vectors: Float32Array | None

    @classmethod
    def of(cls, history: History) -> ExampleSource:
        """Look at the first users."""
        few = history.rows(0, min(history.n_users, _N_USERS)).matrix()
        items, factors = np.arange(1.0, history.n_items + 1), np.arange(1.0, _N_FACTORS + 1)
        vectors = np.cos(np.outer(items, factors)).astype(np.float32)
        return cls(sparse.csr_matrix(few.T @ few), vectors)

    def user_vectors(self, history: History) -> Float32Array | None:
        """Weighted sums of the vectors of the users' items, float32 [n_users, 4]."""
        vectors: Float32Array = (history.matrix() @ self.item_vectors).astype(np.float32)
        return vectors
