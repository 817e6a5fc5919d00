"""What is taken now, by whether people of the user's taste take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import AnyArray, Int64Array
from features.decay import Length, length_ticks
from features.history import History
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.nearest import nearest
from ranker.candidates.similar import SimilarityGenerator


@dataclass
class Audience(SimilarityGenerator):
    """Items that are taken now, by what else their takers took, however long ago.

    ``s(a, b) = sum_u n(u) ** -activity / ((n(a) + shrink) ** discount * (n(b) + shrink))`` over the
    users u who took both, n being numbers of distinct users and items: which part of the audience
    of b knows a, active users and much-taken a counting less. Only current items b are proposed; so
    a fit costs what their takers took, however large the catalogue. A user's score of b is the sum
    of s(a, b) over his events with items a.

    What is new within the hour has no words in common with the past, but readers.

    Parameters
    ----------
    window : str, int or float
        An item is current if it was taken within this time; as a share of the log: a float.
        Without a clock that compares users all are.
    n_current : int
        Of the current items, those with the most events in the window.
    neighbours : int
        Items a kept of each b: those with the largest s.
    shrink : float
        Users added to those of each item, so that a few chance takers say little.
    discount : float
        How much it counts against a that many took it; 0: not at all.
    activity : float
        How much it counts against a user that he took many items.
    half_life : str, int or float, optional
        Age at which a user's event counts half when he is served. As a share of the log: a float.
        None: all his events count the same.

    Raises
    ------
    ConfigError
        By ``fit``, if a number is out of its range.
    """

    window: Length = 1 / 48
    n_current: int = 500
    neighbours: int = 2000
    shrink: float = 10.0
    discount: float = 0.5
    activity: float = 1.0
    half_life: Length | None = None

    learned: ClassVar[tuple[str, ...]] = ("similarity_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Look at the takers of the current items; attributes are not used."""
        self._check()
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        current = self._current(history)
        taken = history.matrix()
        taken.data = np.ones(taken.nnz)
        n_taken = np.maximum(np.diff(taken.indptr), 1.0)
        n_takers = np.bincount(taken.indices, minlength=history.n_items) + self.shrink
        n_takers = np.maximum(n_takers, 1.0)  # of items without events there is no cell
        takers = taken.T.tocsr()[current]
        takers.data /= np.repeat(n_takers[current], np.diff(takers.indptr))
        others = taken
        others.data = np.repeat(n_taken**-self.activity, np.diff(taken.indptr))
        others.data *= n_takers[others.indices] ** -self.discount
        n_kept = min(self.neighbours, history.n_items)
        item, value = nearest(takers, others, n_kept, own=current.astype(np.int32))
        kept = item >= 0
        column = np.repeat(current, np.count_nonzero(kept, axis=1))
        shape = (history.n_items, history.n_items)
        self.similarity_: sparse.csr_matrix = sparse.csr_matrix(
            (value[kept], (item[kept], column)), shape
        )
        self.similarity_.sort_indices()

    def _current(self, history: History) -> Int64Array:
        """Rows of the current items, ascending."""
        item = history.item
        if history.clock.is_comparable:
            age = history.as_of - history.time
            item = item[age <= length_ticks(history, self.window)]
        count = np.bincount(item, minlength=history.n_items)
        most = np.lexsort((np.arange(len(count)), -count))[: self.n_current]
        return np.sort(most[count[most] > 0])

    def _check(self) -> None:
        check_count(n_current=self.n_current, neighbours=self.neighbours)
        check_from_zero(shrink=self.shrink, discount=self.discount, activity=self.activity)
