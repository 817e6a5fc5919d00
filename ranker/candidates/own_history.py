"""What the user took before, where things are taken again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from features.arrays import AnyArray
from features.decay import Length, decay_weights, length_ticks
from features.history import History
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.retrieval import top_of_own


@dataclass
class OwnHistory(Generator):
    """The user's own items by the decayed number of his events with them.

    Alone it lists seen items unless it is told not to, since it has no others.

    Parameters
    ----------
    half_life : str, int or float
        Age at which an event counts half. As a share of the log: a float.
    """

    half_life: Length = 1 / 6

    learned: ClassVar[tuple[str, ...]] = ("half_life_ticks_",)
    lists_seen: ClassVar[bool] = True

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Settle the half-life; nothing else is learned."""
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The own items; nothing at all where seen items are excluded."""
        half_life = float(self._get("half_life_ticks_"))
        if exclude_seen:
            return Retrieved.empty(history.n_users, n)
        return top_of_own(decay_weights(history, half_life), history, n)
