"""Generators that score by the inner product of a user's and an item's vector."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from features.arrays import AnyArray, BoolArray, Float32Array, FrameLike, Int32Array
from features.decay import decay_weights
from features.errors import ConfigError
from features.history import History
from ranker.candidates.approximate import Approximate, ItemGraph
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.retrieval import top_by_vectors

logger = logging.getLogger(__name__)

_N_SAMPLED = 256  # users on whom the graph is compared with the exact search
_DEPTH = 100


def recency_shares(history: History, half_life: float) -> sparse.csr_matrix:
    """Users by items: what share of the user's events, weighted by recency, an item has."""
    # Ages run from the user's last event, so that of a user who was long away something remains.
    last = history.now.copy()
    has_events = history.lengths > 0
    last[has_events] = history.time[history.indptr[1:][has_events] - 1]
    latest = dataclasses.replace(history, now=last)
    matrix = history.matrix(decay_weights(latest, half_life))
    total = np.asarray(matrix.sum(axis=1), np.float32).ravel()
    matrix.data /= np.repeat(total, np.diff(matrix.indptr))
    return matrix


def mean_rows(weights: sparse.csr_matrix, vectors: Float32Array) -> Float32Array:
    """``weights @ vectors`` in double precision; only rows of weight are copied for it."""
    used = np.unique(weights.indices)
    product = weights[:, used].astype(np.float64) @ vectors[used].astype(np.float64)
    mean: Float32Array = product.astype(np.float32)
    return mean


@dataclass(kw_only=True)
class VectorGenerator(Generator):
    """Base of the generators whose score is an inner product.

    ``_learn`` of a subclass sets ``vectors_``, float32 [n_vectors, n_factors], and ``item_``, the
    item row number of each, int32 and ascending.

    Parameters
    ----------
    approximate : Approximate, optional
        Search a large catalogue by a graph. Default: always exactly.
    min_events, max_events : int, optional
        Propose only items with at least, or at most, so many events: ``max_events=0`` is a quota
        for new ones, in the form of a source with a depth of its own, ``min_events=1`` leaves them
        out. Default: all.

    Attributes
    ----------
    graph_recall_ : float or None
        Share of the exact search's best 100 that the graph finds, over a sample of the users;
        None where the search is exact.
    """

    approximate: Approximate | None = None
    min_events: int | None = None
    max_events: int | None = None

    def fit(
        self,
        interactions: History | FrameLike,
        *,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
    ) -> Self:
        """See :meth:`Generator.fit`; builds the graph too, where one is wanted."""
        if self.approximate is not None and not isinstance(self.approximate, Approximate):
            raise ConfigError(
                f"approximate={self.approximate!r}; expected Approximate(), or None for the exact "
                f"search"
            )
        super().fit(interactions, items=items, users=users)
        self._index(interactions if isinstance(interactions, History) else self._known().history)
        return self

    def _index(self, history: History) -> None:
        """What follows from the vectors: which items may be proposed, and the graph."""
        self._graph: ItemGraph | None = None
        self.graph_recall_: float | None = None
        self._allowed: BoolArray | None = None
        if self.min_events is not None or self.max_events is not None:
            n_events = np.bincount(history.item, minlength=history.n_items)[self._get("item_")]
            most = np.inf if self.max_events is None else self.max_events
            self._allowed = (n_events >= (self.min_events or 0)) & (n_events <= most)
        vectors = self._proposed()[0]
        if self.approximate is not None and len(vectors) > self.approximate.above:
            self._graph = ItemGraph.build(vectors, self.approximate)
            self.graph_recall_ = self._measure_recall(history)

    def arrays(self) -> dict[str, AnyArray]:
        """Everything learned, the graph included."""
        arrays = super().arrays()
        if self._allowed is not None:
            arrays["allowed"] = self._allowed
        if self._graph is None or self.graph_recall_ is None:
            return arrays
        return arrays | {"graph": self._graph.array(), "recall": np.array(self.graph_recall_)}

    def restore(self, arrays: dict[str, AnyArray]) -> Self:
        """Take over what :meth:`arrays` gave."""
        super().restore(arrays)
        self._graph, self.graph_recall_ = None, None
        self._allowed = arrays.get("allowed")
        if "graph" in arrays and self.approximate is not None:
            n_factors = self._get("vectors_").shape[1]
            self._graph = ItemGraph.restore(arrays["graph"], n_factors, self.approximate)
            self.graph_recall_ = float(arrays["recall"])
        return self

    def _nearest(
        self, vectors: Float32Array, history: History, n: int, *, exclude_seen: bool
    ) -> Retrieved:
        """The largest inner products with users' vectors; nothing for those of whom it is zero."""
        return top_by_vectors(
            vectors,
            *self._proposed(),
            history,
            n,
            exclude_seen=exclude_seen,
            graph=self._graph,
            users=np.flatnonzero(vectors.any(axis=1)),
        )

    def _proposed(self) -> tuple[Float32Array, Int32Array]:
        """Vectors and rows of the items that may be proposed."""
        vectors, item = self._get("vectors_"), self._get("item_")
        if self._allowed is None:
            return vectors, item
        return vectors[self._allowed], item[self._allowed]

    def _measure_recall(self, history: History) -> float | None:
        active = np.flatnonzero(history.lengths)
        chosen = np.linspace(0, len(active) - 1, min(_N_SAMPLED, len(active))).astype(int)
        sample = history.select(history.users.decode(active[chosen]))
        vectors = self.user_vectors(sample)
        if vectors is None or not sample.n_users:
            return None
        learned = self._proposed()
        both = [
            top_by_vectors(vectors, *learned, sample, _DEPTH, exclude_seen=True, graph=graph)
            for graph in (self._graph, None)
        ]
        found, exact = ([row[row >= 0] for row in one.item] for one in both)
        n_found = sum(np.isin(*rows).sum() for rows in zip(exact, found, strict=True))
        recall = float(n_found / max(sum(map(len, exact)), 1))
        logger.info(
            "%s: a graph of %d items finds %.3f of the exact best %d, by %d users",
            *(type(self).__name__, len(learned[0]), recall, _DEPTH, sample.n_users),
        )
        return recall
