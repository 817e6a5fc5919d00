"""Small catalogues, candidates and contexts for policies, and what a rule means in plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from features.candidates import Candidates
from features.history import History
from ranker.lists import Policy
from ranker.lists.apply import BoundPolicy
from ranker.lists.context import ListContext
from ranker.lists.topk import Lists
from tests.logs import history_from


@dataclass
class FakeSource:
    item_vectors: np.ndarray | None
    similarity: None = None

    def user_vectors(self, history: History) -> None:
        return None


def candidates_of(proposed: list[list[int]], history: History) -> Candidates:
    """Candidates of one source, ascending within a user."""
    rows = [sorted(items) for items in proposed]
    n_rows = sum(map(len, rows))
    return Candidates(
        users=history.users,
        items=history.items,
        sources=("own",),
        indptr=np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64),
        item=np.array([item for row in rows for item in row], np.int32),
        score=np.ones((n_rows, 1), np.float32),
        rank=np.ones((n_rows, 1), np.int32),
    )


@dataclass
class Case:
    """One catalogue, its users, and what is proposed to them."""

    seen: list[list[int]]
    proposed: list[list[int]]
    scores: np.ndarray  # of the candidates, ascending by item within a user
    items: pl.DataFrame
    users: pl.DataFrame | None = None
    vectors: np.ndarray | None = None
    fill: list[int] | None = None
    random_state: int = 0

    @property
    def n_items(self) -> int:
        return self.items.height

    @property
    def history(self) -> History:
        return history_from(self.seen, self.n_items)

    @property
    def context(self) -> ListContext:
        fill = list(range(self.n_items)) if self.fill is None else self.fill
        return ListContext(
            history=self.history,
            items=self.items,
            users=self.users,
            sources={"vectors": FakeSource(self.vectors), "own": FakeSource(None)},
            fill=np.array(fill, np.int32),
            random_state=self.random_state,
        )

    def lists(self, policy: Policy, k: int, *, exclude_seen: bool = False) -> Lists:
        candidates = candidates_of(self.proposed, self.history)
        scores = self.scores.astype(np.float32)
        return BoundPolicy.of(policy, self.context).lists(
            candidates, scores, self.history, k, exclude_seen=exclude_seen
        )

    def items_of(self, policy: Policy, k: int, **keywords: Any) -> list[list[int]]:
        return [
            [i for i in row if i >= 0] for row in self.lists(policy, k, **keywords).item.tolist()
        ]

    def ranked(self, user: int) -> list[tuple[int, float]]:
        """The candidates of a user, best first, with their scores."""
        before = sum(len(items) for items in self.proposed[:user])
        items = sorted(self.proposed[user])
        scores = self.scores[before : before + len(items)].astype(np.float32)
        pairs = [(i, float(s)) for i, s in zip(items, scores, strict=True) if not np.isnan(s)]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def one_user(scores: list[float], items: pl.DataFrame, **keywords: Any) -> Case:
    """A user without events to whom the first items are proposed, with these scores."""
    return Case(
        seen=[[]],
        proposed=[list(range(len(scores)))],
        scores=np.array(scores),
        items=items,
        **keywords,
    )


def catalogue(n_items: int, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"item_id": range(n_items), **columns})


def relevance(scores: list[float]) -> np.ndarray:
    """From 1 for the first to 0 for the last."""
    values = np.array(scores, np.float32).astype(float)
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.ones(len(values))


def similarities(vectors: np.ndarray) -> np.ndarray:
    """(1 + cosine) / 2, and 1 of each item with itself."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    matrix = (1 + unit @ unit.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return matrix
