"""What blocks come down to whose features belong to items alone."""

from __future__ import annotations

from dataclasses import dataclass

from features.arrays import Float32Array
from features.block import Feature
from features.candidates import Candidates
from features.gather import gather
from features.history import History


@dataclass(frozen=True)
class FittedItems:
    """A block at an instant: one row per item.

    Attributes
    ----------
    features : tuple of Feature
    table : float32 array [n_items, n_features]
        By row number; NaN = unknown.
    """

    features: tuple[Feature, ...]
    table: Float32Array

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        gather(self.table, candidates.item, out)
