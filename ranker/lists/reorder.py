"""Steps that choose another order: what they are given, and what they give back."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

import numpy as np

from features.arrays import Int64Array
from features.history import History
from ranker.lists.caps import Caps
from ranker.lists.context import ListContext
from ranker.lists.pool import Pool
from ranker.lists.step import Step


class BoundReorder(Protocol):
    """A reordering step that knows its snapshot."""

    def order(self, pool: Pool, history: History, k: int, caps: Caps) -> Int64Array:
        """The rows of the pool in their new order, int64 [n_rows].

        At the head of each user's rows stand up to ``k`` that the caps allow together, with all
        reserved ones; the others follow in the order that they had.
        """


class Reorder(Step):
    """A step that puts the pool into another order."""

    @abstractmethod
    def bind(self, context: ListContext) -> BoundReorder:
        """Look up what the step needs of a snapshot."""


def longest(indptr: Int64Array) -> int:
    """The most rows of a user."""
    return int(np.diff(indptr).max(initial=0))
