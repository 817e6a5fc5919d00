"""Candidates with features and labels: what a reranker learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from features.arrays import (
    BoolArray,
    Float32Array,
    Int8Array,
    Int16Array,
    Int32Array,
    Int64Array,
)
from ranker.topk import top_rows

_BY_ROW = ("label", "rank", "temperature", "position")
_BY_GROUP = ("relevant", "n_events", "user")


@dataclass(frozen=True)
class LabelledTable:
    """Rows of one query group (a user in a label window) after another.

    Attributes
    ----------
    features : float32 array [n_rows, n_features]
    label : int8 array [n_rows]
        The grade of what the user did with the item in the label window: 0 = did not take it,
        1 = took it; up to 30 where events have grades.
    indptr : int64 array [n_groups + 1]
    relevant : int64 array [n_groups, n_grades, n_temperatures]
        Items that the user took in the window, by grade (from 1) and temperature, those that
        nobody proposed included.
    rank : int32 array [n_rows, n_sources]
        Ranks by the sources, 0 = not proposed.
    temperature : int8 array [n_rows]
        How often the item was taken by then, an index into
        :data:`ranker.rerank.temperature.TEMPERATURES`.
    n_events : int64 array [n_groups]
        Of the user before the window.
    position : int16 array [n_rows]
        Where the item stood when it was shown to the user in the window, 1 = first; 0 = it was
        not shown, or nothing is known of it.
    user : int64 array [n_groups]
        A number of the user, the same in all windows of a fit.
    """

    features: Float32Array
    label: Int8Array
    indptr: Int64Array
    relevant: Int64Array
    rank: Int32Array
    temperature: Int8Array
    n_events: Int64Array
    position: Int16Array
    user: Int64Array

    @property
    def n_groups(self) -> int:
        """Number of query groups."""
        return len(self.indptr) - 1

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.label)

    @property
    def n_relevant(self) -> Int64Array:
        """Number of items that the user took in the window, int64 [n_groups]."""
        n_relevant: Int64Array = self.relevant.sum(axis=(1, 2))
        return n_relevant

    @property
    def is_cold(self) -> BoolArray:
        """Whether the user had no events before the window, bool [n_groups]."""
        is_cold: BoolArray = self.n_events == 0
        return is_cold

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
        n_grades = max(table.relevant.shape[1] for table in others)
        others = [table._with_grades(n_grades) for table in others]
        return cls(
            features=features,
            indptr=np.concatenate(([0], np.cumsum(lengths))),
            **{
                name: np.concatenate([getattr(table, name) for table in others])
                for name in (*_BY_ROW, *_BY_GROUP)
            },
        )

    def _with_grades(self, n_grades: int) -> LabelledTable:
        """With room for so many grades, the highest of which nobody may have given here."""
        missing = n_grades - self.relevant.shape[1]
        if not missing:
            return self
        relevant = np.pad(self.relevant, ((0, 0), (0, missing), (0, 0)))
        return dataclasses.replace(self, relevant=relevant)

    def take(self, is_kept: BoolArray) -> LabelledTable:
        """The rows marked, with groups that have none left dropped."""
        counts = np.concatenate(([0], np.cumsum(is_kept)))
        lengths = counts[self.indptr[1:]] - counts[self.indptr[:-1]]
        return self._part(is_kept, lengths > 0, lengths[lengths > 0])

    def groups(self, is_kept: BoolArray) -> LabelledTable:
        """The groups marked, whole; one without any row is a group too."""
        lengths = np.diff(self.indptr)
        return self._part(np.repeat(is_kept, lengths), is_kept, lengths[is_kept])

    def _part(self, rows: BoolArray, groups: BoolArray, lengths: Int64Array) -> LabelledTable:
        return LabelledTable(
            features=self.features[rows],
            indptr=np.concatenate(([0], np.cumsum(lengths))),
            **{name: getattr(self, name)[rows] for name in _BY_ROW},
            **{name: getattr(self, name)[groups] for name in _BY_GROUP},
        )

    def top(self, scores: Float32Array, k: int) -> Int64Array:
        """Numbers of the k best rows of each group by ``scores``, int64 [n_groups, k]; -1 = none.

        Equal scores stand in the order of their rows; rows of score NaN are in no list.
        """
        place, _ = top_rows(np.asarray(scores, np.float32), self.indptr, k)
        return np.where(place >= 0, self.indptr[:-1, None] + place, -1)

    def hits(self, scores: Float32Array, k: int) -> BoolArray:
        """Whether each of the k best rows by ``scores`` is relevant, bool [n_groups, k]."""
        rows = self.top(scores, k)
        if not self.n_rows:
            return rows >= 0
        return (rows >= 0) & (self.label[rows] > 0)
