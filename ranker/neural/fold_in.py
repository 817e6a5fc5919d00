"""Vectors of users who took no part in the training, by least squares on the items' vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from features.arrays import AnyArray, Float32Array, Float64Array, Int64Array


@dataclass(frozen=True)
class Ridge:
    """The problem that each user's vector solves while the items' are held.

    ``min_w sum_i (t_i - o_i - w'x_i)^2 + c sum_j (t - o_j - w'x_j)^2 + l |w|^2`` over the user's
    events ``i`` and all items ``j`` that he did not take, as in Hu, Koren, Volinsky (ICDM 2008),
    eq. (4). For squared error this is what the training minimises, on average over its draws.

    Attributes
    ----------
    vectors : float32 array [n_places, d]
        ``x``.
    offsets : float32 array [n_places]
        ``o``: what the score holds besides the inner product.
    gram : float64 array [d + 2, d + 1]
        Of :meth:`gram_of`.
    other_target : float
        ``t`` of items that were not taken.
    n_negatives : int
        For each event; ``c`` is ``n_negatives`` times the events, spread over the other items. 0
        for ratings.
    regularization : float
        ``l`` of one example.
    """

    vectors: Float32Array
    offsets: Float32Array
    gram: Float64Array
    other_target: float
    n_negatives: int
    regularization: float

    @staticmethod
    def gram_of(vectors: Float32Array, offsets: Float32Array) -> Float64Array:
        """Products of all items' vectors with each other and with the offsets, and the sums.

        float64 [d + 2, d + 1]: the rows are those of the vectors, of the offsets, of the sums.
        """
        with threadpool_limits(1, "blas"):
            whole = np.column_stack((vectors, offsets)).astype(np.float64)
            gram: Float64Array = whole.T @ whole
            return np.vstack((gram, whole.sum(0)[None]))

    def solve(
        self, indptr: Int64Array, places: Int64Array, targets: AnyArray, users: Int64Array
    ) -> Float32Array:
        """Vectors of some users, float32 [len(users), d].

        Parameters
        ----------
        indptr : int64 array
            Events of each user.
        places : int64 array [n_events]
            Places of the events' items, -1 for others, which are passed over.
        targets : float array [n_events]
            ``t`` of the events.
        users : int64 array
        """
        width = self.vectors.shape[1]
        out = np.zeros((len(users), width), np.float32)
        # Each user's problem is set up and solved by itself, so that nobody's company matters.
        with threadpool_limits(1, "blas"):
            for row, user in enumerate(users):
                events = slice(indptr[user], indptr[user + 1])
                is_known = places[events] >= 0
                if is_known.any():
                    out[row] = self._one(places[events][is_known], targets[events][is_known])
        return out

    def _one(self, places: Int64Array, targets: AnyArray) -> Float64Array:
        x = self.vectors[places].astype(np.float64)
        left = x.T @ x
        right = x.T @ (targets - self.offsets[places])
        taken = np.unique(places)
        n_others = len(self.vectors) - len(taken)
        if self.n_negatives and n_others:
            x, offsets = self.vectors[taken].astype(np.float64), self.offsets[taken]
            weight = self.n_negatives * len(places) / n_others
            left += weight * (self.gram[:-2, :-1] - x.T @ x)
            rest = self.other_target * (self.gram[-1, :-1] - x.sum(0))
            right += weight * (rest - self.gram[-2, :-1] + x.T @ offsets)
        strength = self.regularization * len(places) * (1 + self.n_negatives)
        left[np.diag_indices(len(left))] += max(strength, 1e-6)
        solved: Float64Array = np.asarray(np.linalg.solve(left, right), np.float64)
        return solved
