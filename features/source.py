"""What the candidate's sources said of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array
from features.block import Context, Feature
from features.candidates import Candidates, fuse_ranks
from features.history import History


@dataclass(frozen=True)
class SourceScores:
    """Score, rank and percentile of each source, their number and their rank fusion."""

    def fit(self, context: Context) -> FittedSourceScores:
        """Take the names of the sources."""
        return FittedSourceScores(tuple(context.sources))


@dataclass(frozen=True)
class FittedSourceScores:
    """The block at an instant."""

    sources: tuple[str, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Three columns a source, then three of all together; none without sources."""
        if not self.sources:
            return ()
        each = (
            ("score", "score", "score"),
            ("rank", "rank", "rank"),
            ("percentile", "share", "rank over the number of its proposals to the user"),
        )
        single = tuple(
            Feature(f"{name}_{kind}", "source", unit, f"{meaning} by {name}", about=name)
            for name in self.sources
            for kind, unit, meaning in each
        )
        return (
            *single,
            Feature("n_sources", "source", "count", "sources that proposed the item"),
            Feature("best_rank", "source", "rank", "best rank among the sources"),
            Feature("fusion", "source", "score", "reciprocal rank fusion of the sources"),
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        if not self.sources:
            return
        rank = np.where(candidates.rank > 0, candidates.rank, np.nan).astype(np.float32)
        n_sources = rank.shape[1]
        out[:, 0 : 3 * n_sources : 3] = candidates.score
        out[:, 1 : 3 * n_sources : 3] = rank
        starts = candidates.indptr[:-1][candidates.lengths > 0]
        if len(starts):
            proposed = np.add.reduceat(candidates.rank > 0, starts, axis=0, dtype=np.int32)
            per_row = np.repeat(
                np.maximum(proposed, 1), candidates.lengths[candidates.lengths > 0], axis=0
            )
            out[:, 2 : 3 * n_sources : 3] = rank / per_row
        out[:, -3] = candidates.n_sources
        out[:, -2] = np.fmin.reduce(rank, axis=1)  # NaN only where all are
        out[:, -1] = fuse_ranks(candidates.rank)
