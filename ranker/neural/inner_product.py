"""Users and items whose inner product, with biases, is the rating or the score."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from features.arrays import AnyArray, Float32Array, Int32Array
from features.history import History
from ranker.candidates.base import Retrieved
from ranker.candidates.predictor import RatingPredictor
from ranker.candidates.vectors import VectorGenerator
from ranker.neural.generator import NeuralGenerator, check_at_least

_RUN = 65_536  # pairs scored at a time


@dataclass(kw_only=True)
class InnerProduct(NeuralGenerator, VectorGenerator, RatingPredictor):
    """Base of the models whose score is ``mean + user bias + item bias + u'v``.

    The biases stand in the vectors, ``(u, mean + user bias, 1)`` and ``(v, 1, item bias)``, so
    that one inner product is the score.

    Parameters
    ----------
    factors : int
        Length of ``u`` and ``v``.
    """

    factors: int = 64

    learned: ClassVar[tuple[str, ...]] = (
        *("n_items_", "item_", "vectors_", "average_", "bounds_", "n_epochs_"),
    )

    @abstractmethod
    def _encode(self, history: History) -> Float32Array:
        """Vectors of users, float32 [n_users, factors + 2]; zeros without events of known items."""

    def _check(self) -> None:
        super()._check()
        check_at_least(self, factors=1)

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest scores; nothing for users without events of known items."""
        return self._nearest(self.user_vectors(history), history, n, exclude_seen=exclude_seen)

    def score_pairs(self, history: History, user: AnyArray, item: AnyArray) -> Float32Array:
        """Scores of pairs, float32 [n]; ratings stay within those of the log."""
        vectors = self.user_vectors(history)
        vectors = np.where(vectors.any(axis=1, keepdims=True), vectors, self.average_[0])
        place = self._places(item)
        out = np.empty(len(user), np.float32)
        for at in range(0, len(user), _RUN):
            rows = slice(at, at + _RUN)
            is_known = (place[rows] >= 0)[:, None]
            items = np.where(is_known, self.vectors_[place[rows]], self.average_[1])
            out[rows] = (vectors[user[rows]] * items).sum(1)
        return np.clip(out, *self.bounds_)

    @property
    def item_vectors(self) -> Float32Array:
        """Item embeddings, float32 [n_items, factors + 2]; zeros for items without events."""
        vectors = np.zeros((int(self._get("n_items_")), self.vectors_.shape[1]), np.float32)
        vectors[self.item_] = self.vectors_
        return vectors

    def user_vectors(self, history: History) -> Float32Array:
        """User embeddings by the users' events, float32 [n_users, factors + 2]."""
        return history.derived(self, self._get("vectors_"), self._encode)

    def _begin(self, history: History) -> None:
        self.n_items_: AnyArray = np.array(history.n_items)
        self.item_: Int32Array = np.unique(history.item)

    def _finish(
        self, items: Float32Array, item_bias: Float32Array, mean: float, bounds: tuple[float, float]
    ) -> None:
        """Keep the item vectors, and those of a user and an item of whom nothing is known."""
        one = np.ones(len(items), np.float32)
        self.vectors_: Float32Array = np.column_stack((items, one, item_bias)).astype(np.float32)
        average = np.zeros((2, self.vectors_.shape[1]), np.float32)
        average[0, -2:] = mean, 1.0
        average[1, -2] = 1.0
        self.average_: Float32Array = average
        self.bounds_: Float32Array = np.array(bounds, np.float32)

    def _places(self, item: AnyArray) -> AnyArray:
        """Places of item rows among ``item_``, -1 for others."""
        place = np.full(int(self.n_items_) + 1, -1)  # the last stands for row -1
        place[self.item_] = np.arange(len(self.item_))
        return place[item]
