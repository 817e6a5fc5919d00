"""Candidates with features and labels: what a reranker learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from features.arrays import BoolArray, Float32Array, Int8Array, Int32Array, Int64Array
from ranker.topk import top_rows


@dataclass(frozen=True)
class LabelledTable:
    """Rows of one query group (a user in a label window) after another.

    Attributes
    ----------
    features : float32 array [n_rows, n_features]
    label : int8 array [n_rows]
        1 = the user took the item in the label window.
    indptr : int64 array [n_groups + 1]
    n_relevant : int64 array [n_groups]
        Items that the user took in the window, those that nobody proposed included.
    rank : int32 array [n_rows, n_sources]
        Ranks by the sources, 0 = not proposed.
    is_cold : bool array [n_groups]
        The user had no events before the window.
    """

    features: Float32Array
    label: Int8Array
    indptr: Int64Array
    n_relevant: Int64Array
    rank: Int32Array
    is_cold: BoolArray

    @property
    def n_groups(self) -> int:
        """Number of query groups."""
        return len(self.indptr) - 1

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.label)

    @classmethod
    def concatenate(cls, tables: Iterable[LabelledTable]) -> LabelledTable:
        """All groups of all tables, of which there must be one; they may come one by one."""
        features = np.zeros((0, 0), np.float32)
        others = []
        for table in tables:
            start = len(features)
            # Grown in place, since the features of all parts and their copy would be twice as much.
            features.resize((start + table.n_rows, table.features.shape[1]), refcheck=False)
            features[start:] = table.features
            others.append(dataclasses.replace(table, features=table.features[:0].copy()))
        lengths = np.concatenate([np.diff(table.indptr) for table in others])
        return cls(
            features=features,
            label=np.concatenate([table.label for table in others]),
            indptr=np.concatenate(([0], np.cumsum(lengths))),
            n_relevant=np.concatenate([table.n_relevant for table in others]),
            rank=np.concatenate([table.rank for table in others]),
            is_cold=np.concatenate([table.is_cold for table in others]),
        )

    def take(self, is_kept: BoolArray) -> LabelledTable:
        """The rows marked, with groups that have none left dropped."""
        counts = np.concatenate(([0], np.cumsum(is_kept)))
        lengths = counts[self.indptr[1:]] - counts[self.indptr[:-1]]
        return LabelledTable(
            features=self.features[is_kept],
            label=self.label[is_kept],
            indptr=np.concatenate(([0], np.cumsum(lengths[lengths > 0]))),
            n_relevant=self.n_relevant[lengths > 0],
            rank=self.rank[is_kept],
            is_cold=self.is_cold[lengths > 0],
        )

    def groups(self, is_kept: BoolArray) -> LabelledTable:
        """The groups marked, whole; one without any row is a group too."""
        lengths = np.diff(self.indptr)
        rows = np.repeat(is_kept, lengths)
        return LabelledTable(
            features=self.features[rows],
            label=self.label[rows],
            indptr=np.concatenate(([0], np.cumsum(lengths[is_kept]))),
            n_relevant=self.n_relevant[is_kept],
            rank=self.rank[rows],
            is_cold=self.is_cold[is_kept],
        )

    def hits(self, scores: Float32Array, k: int) -> BoolArray:
        """Whether each of the k best rows by ``scores`` is relevant, bool [n_groups, k]."""
        place, _ = top_rows(np.asarray(scores, np.float32), self.indptr, k)
        rows = np.minimum(self.indptr[:-1, None] + np.maximum(place, 0), max(self.n_rows - 1, 0))
        return (place >= 0) & (self.label[rows] > 0) if self.n_rows else place >= 0
