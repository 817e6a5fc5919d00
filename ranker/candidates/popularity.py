"""The most popular items, by default of late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from features.arrays import Float32Array, Int32Array
from features.decay import Length, decay_weights, length_ticks
from features.history import History
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.retrieval import top_of_list


@dataclass
class Popularity(Generator):
    """Items by the decayed number of their events; the score is the share of all events.

    A share, unlike a count, does not grow with the log, so that a reranker which learned on an
    early snapshot reads it the same way on a late one.

    Parameters
    ----------
    half_life : str, int or float
        Age at which an event counts half: ``"7d"``, a whole number on an integer clock, or a
        float, a share of the log. Without a clock that compares users all events count the same.
    window : str, int or float, optional
        Count only events younger than this, all the same.
    """

    half_life: Length = 1 / 48
    window: Length | None = None

    learned: ClassVar[tuple[str, ...]] = ("item_", "score_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Count events; attributes are not used."""
        weights = self._event_weights(history)
        recent = np.bincount(history.item, weights, minlength=history.n_items)
        total = np.bincount(history.item, minlength=history.n_items)
        order = np.lexsort((np.arange(history.n_items), -total, -recent)).astype(np.int32)
        self.item_: Int32Array = order[total[order] > 0]
        self.score_: Float32Array = (recent[self.item_] / max(recent.sum(), 1e-30)).astype(
            np.float32
        )

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The head of the list, for users without any event too."""
        return top_of_list(self._get("item_"), self.score_, history, n, exclude_seen=exclude_seen)

    def _event_weights(self, history: History) -> Float32Array:
        if not history.clock.is_comparable:
            return np.ones(history.n_events, np.float32)
        if self.window is None:
            return decay_weights(history, length_ticks(history, self.half_life))
        age = history.as_of - history.time
        return (age <= length_ticks(history, self.window)).astype(np.float32)
