"""Items similar by what they are: they are found from the day they enter the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.arrays import AnyArray, Float32Array, Int32Array
from features.columns import check_columns, column_names, listing
from features.decay import Length, length_ticks
from features.errors import ConfigError
from features.history import History
from features.tfidf import tfidf, unit_rows, word_counts
from features.vectors import is_vector, ready_made
from features.words import word_columns
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.content_table import need_items, report_unknown
from ranker.candidates.retrieval import top_by_vectors
from ranker.candidates.select import GROUP, BestSoFar, mask_seen
from ranker.candidates.vectors import VectorGenerator, mean_rows, recency_shares

_BLOCK = 128  # users whose scores of a tile of items stand in memory at a time
_TILE = 16_384


@dataclass(kw_only=True)
class TextSimilarity(Generator):
    """Cosine similarity of words weighted by TF-IDF between the user's items and all items.

    Text counts by its words; tags, genres and other lists by their values. Users may stand beside
    the words, so that items are similar by content and by who took them: each item's row is
    ``[words, interactions_weight * users]``, both parts in TF-IDF and of length one (the hybrid
    item-kNN of Ferrari Dacrema, Cremonesi, Jannach: Are we really making much progress?, RecSys
    2019, without a limit of neighbours). Items without events are found by their words.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns of the item table. Default: all texts, lists of values and categories.
    interactions_weight : float
        How much who took an item counts beside what it is; 0 = not at all.
    factors : int, optional
        Reduce the rows to so many dimensions by a truncated SVD (latent semantic analysis,
        Deerwester et al. 1990). Default: no reduction, which is exact and has no embeddings.
    half_life : str, int or float
        Age at which a user's event counts half when he is served. As a share of the log: a float.
    max_events : int, optional
        Propose only items with at most so many events: a quota for new ones, in the form of a
        source with a depth of its own. Default: all.
    random_state : int, optional
        Of the SVD. Default: 0, or what the engine derives from its own.
    """

    columns: Sequence[str] | None = None
    interactions_weight: float = 0.0
    factors: int | None = None
    half_life: Length = 1 / 6
    max_events: int | None = None
    random_state: int | None = None

    learned: ClassVar[tuple[str, ...]] = (
        *("data_", "indices_", "indptr_", "n_columns_", "half_life_ticks_", "vectors_", "old_"),
    )

    def __post_init__(self) -> None:
        """JSON knows no tuples."""
        self.columns = column_names(self.columns)

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        check_from_zero(interactions_weight=self.interactions_weight)
        if self.factors is not None:
            check_count(factors=self.factors)
        if self.max_events is not None:
            check_from_zero(max_events=self.max_events)
        table = need_items(self, items)
        chosen = word_columns(table, self.columns)
        parts = [word_counts(table[name]) for name in chosen]
        content = tfidf(sparse.hstack(parts, format="csr"))
        report_unknown(self, np.diff(content.indptr) > 0, f"words in {', '.join(chosen)}")
        matrix = content
        if self.interactions_weight:
            takers = history.matrix().T.tocsr()
            takers.data = np.ones_like(takers.data)
            takers = tfidf(takers) * np.float32(self.interactions_weight)
            matrix = unit_rows(sparse.hstack((content, takers), format="csr"))
        matrix.sort_indices()
        self.data_: Float32Array = matrix.data.astype(np.float32)
        self.indices_: AnyArray = matrix.indices
        self.indptr_: AnyArray = matrix.indptr
        self.n_columns_: AnyArray = np.array(matrix.shape[1])
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        self.vectors_: Float32Array = self._reduce(matrix)
        limit = history.n_events if self.max_events is None else self.max_events
        self.old_: AnyArray = np.flatnonzero(
            np.bincount(history.item, minlength=history.n_items) > limit
        )

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest positive mean cosines; nothing for users none of whose items has words."""
        reduced = self.user_vectors(history)
        rows = np.setdiff1d(np.arange(history.n_items, dtype=np.int32), self.old_)
        if reduced is None:
            return self._by_words(history, rows, n, exclude_seen=exclude_seen)
        found = top_by_vectors(
            *(reduced, self.vectors_[rows], rows, history, n),
            exclude_seen=exclude_seen,
            users=np.flatnonzero(reduced.any(axis=1)),
        )
        is_unlike = ~(found.score > 0)
        found.item[is_unlike], found.score[is_unlike] = -1, np.nan
        return found

    def _by_words(
        self, history: History, rows: Int32Array, n: int, *, exclude_seen: bool
    ) -> Retrieved:
        """Exact products of sparse rows, a tile of items and a block of users at a time."""
        found, depth = Retrieved.empty(history.n_users, n), min(n, len(rows))
        if not depth:
            return found
        position = np.full(history.n_items, -1, np.int32)
        position[rows] = np.arange(len(rows), dtype=np.int32)
        matrix = self._matrix()
        profiles = recency_shares(history, float(self.half_life_ticks_)) @ matrix
        best = BestSoFar(history.n_users, depth, len(rows))
        for first in range(0, len(rows), _TILE):
            tile_rows = rows[first : first + _TILE]
            width = -(-len(tile_rows) // GROUP) * GROUP
            padded = np.concatenate((tile_rows, np.zeros(width - len(tile_rows), np.int32)))
            tile = matrix[tile_rows].T.tocsr()
            for start in range(0, history.n_users, _BLOCK):
                part = history.rows(start, min(start + _BLOCK, history.n_users))
                users = slice(start, start + part.n_users)
                scores = np.full((part.n_users, width), -np.inf, np.float32)
                scores[:, : len(tile_rows)] = (profiles[users] @ tile).toarray()
                scores[scores <= 0.0] = -np.inf
                if exclude_seen:
                    mask_seen(scores, position, first, part.indptr, part.item)
                best.offer(users, scores, padded)
        lists = best.lists()
        found.item[:, :depth], found.score[:, :depth] = lists.item, lists.score
        return found

    @property
    def item_vectors(self) -> Float32Array | None:
        """Reduced rows, float32 [n_items, factors], or None without reduction."""
        vectors: Float32Array = self._get("vectors_")
        return None if self.factors is None else vectors

    def user_vectors(self, history: History) -> Float32Array | None:
        """Recency-weighted means of the users' items, or None without reduction."""
        vectors: Float32Array = self._get("vectors_")
        if self.factors is None:
            return None
        return mean_rows(recency_shares(history, float(self.half_life_ticks_)), vectors)

    def _matrix(self) -> sparse.csr_matrix:
        shape = (len(self.indptr_) - 1, int(self.n_columns_))
        return sparse.csr_matrix((self.data_, self.indices_, self.indptr_), shape=shape)

    def _reduce(self, matrix: sparse.csr_matrix) -> Float32Array:
        if self.factors is None:
            return np.zeros((matrix.shape[0], 0), np.float32)
        vectors = np.zeros((matrix.shape[0], self.factors), np.float32)
        n = min(self.factors, min(matrix.shape) - 1)
        if n > 0 and matrix.nnz:
            # It imports pandas where that is installed: only who reduces pays for that.
            from sklearn.decomposition import TruncatedSVD

            svd = TruncatedSVD(n, random_state=self.random_state or 0)
            with threadpool_limits(1, "blas"):  # several round in another way
                vectors[:, :n] = svd.fit_transform(matrix)
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-6)
        return vectors


@dataclass(kw_only=True)
class EmbeddingSimilarity(VectorGenerator):
    """Cosine similarity of ready-made item embeddings, such as those of a language model.

    Rows with null, NaN, infinity or nothing but zeros are reported, and their items not proposed.

    Parameters
    ----------
    column : str, optional
        Array or List of floats in the item table. Default: the first such column.
    centre : bool
        Take the mean embedding off, so that what all items share makes none similar.
    half_life : str, int or float
        Age at which a user's event counts half when he is served. As a share of the log: a float.
    """

    column: str | None = None
    centre: bool = False
    half_life: Length = 1 / 6

    learned: ClassVar[tuple[str, ...]] = ("n_items_", "item_", "vectors_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        table = need_items(self, items)
        name = vector_column(table, self.column)
        vectors, is_usable = ready_made(table[name])
        if self.centre and is_usable.any():
            vectors[is_usable] -= vectors[is_usable].mean(axis=0)
            is_usable &= vectors.any(axis=1)
        report_unknown(self, is_usable, f"finite embedding other than zero in {name}")
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        self.n_items_: AnyArray = np.array(len(vectors))
        self.item_: Int32Array = np.flatnonzero(is_usable).astype(np.int32)
        kept = vectors[self.item_]
        self.vectors_: Float32Array = kept / np.linalg.norm(kept, axis=1, keepdims=True)

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest mean cosines; nothing for users none of whose items has content."""
        return self._nearest(self.user_vectors(history), history, n, exclude_seen=exclude_seen)

    @property
    def item_vectors(self) -> Float32Array:
        """Item embeddings, float32 [n_items, n]; zeros for items without content."""
        kept: Float32Array = self._get("vectors_")
        vectors = np.zeros((int(self.n_items_), kept.shape[1]), np.float32)
        vectors[self.item_] = kept
        return vectors

    def user_vectors(self, history: History) -> Float32Array:
        """Recency-weighted means of the users' items, float32 [n_users, n]."""
        return history.derived(self, self._get("vectors_"), self._mean)

    def _mean(self, history: History) -> Float32Array:
        weights = recency_shares(history, float(self.half_life_ticks_))
        return mean_rows(weights[:, self.item_], self.vectors_)


def vector_column(table: pl.DataFrame, column: str | None) -> str:
    """The column of embeddings: the one named, or the first that there is.

    Raises
    ------
    ConfigError
        If it does not exist or holds no numbers, or if there is none.
    """
    if column is not None:
        check_columns(table, [column])
        if not is_vector(table.schema[column]):
            raise ConfigError(
                f"{column} is {table.schema[column]}; expected an Array or List of numbers"
            )
        return column
    for name, dtype in table.schema.items():
        if is_vector(dtype) and dtype.inner.is_float():  # type: ignore[attr-defined]
            return name
    raise ConfigError(f"no column of items holds embeddings; {listing(table)}")
