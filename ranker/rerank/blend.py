"""Two orders of the same lists as one, by their ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array, Float64Array, Int64Array
from features.candidates import FUSION_CONSTANT

BLEND = "blend"
"""Name of the lists that the second stage and the best first stage order together."""

WEIGHTS = (0.25, 0.5, 0.75)
"""What the second stage may weigh; with 0 and 1 one of the two serves alone."""


@dataclass(frozen=True)
class Blend:
    """How the two orders are put together.

    Attributes
    ----------
    system : str
        The first stage that is blended in.
    weight : float
        Of the second stage, between 0 and 1.
    """

    system: str
    weight: float

    def scores(
        self, two_stage: Float32Array, first_stage: Float32Array, indptr: Int64Array
    ) -> Float32Array:
        """Weighted reciprocal ranks: ``weight / (60 + rank) + (1 - weight) / (60 + rank)``.

        Ranks and not scores, which have neither a scale nor a zero in common.

        Parameters
        ----------
        two_stage, first_stage : float32 array [n_rows]
            NaN = in no list; equal scores stand in the order of the rows.
        indptr : int64 array [n_groups + 1]

        Returns
        -------
        float32 array [n_rows]
            NaN for rows that are in neither list.
        """
        total = self.weight * _reciprocal(two_stage, indptr)
        total += (1 - self.weight) * _reciprocal(first_stage, indptr)
        is_unlisted = np.isnan(two_stage) & np.isnan(first_stage)
        return np.where(is_unlisted, np.nan, total).astype(np.float32)


def candidate_blends(
    scores: Mapping[str, Float32Array], two_stage: str, first_stage: str, indptr: Int64Array
) -> dict[Blend, Float32Array]:
    """The scores of each blend that may be chosen."""
    blends = [Blend(first_stage, weight) for weight in WEIGHTS]
    return {blend: blend.scores(scores[two_stage], scores[first_stage], indptr) for blend in blends}


def _reciprocal(scores: Float32Array, indptr: Int64Array) -> Float64Array:
    group = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    order = np.lexsort((-scores, group))  # NaN comes last
    rank = np.empty(len(scores), np.int64)
    rank[order] = np.arange(len(scores)) - indptr[group] + 1
    return np.where(np.isnan(scores), 0.0, 1.0 / (FUSION_CONSTANT + rank))
