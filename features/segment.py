"""How popular the candidate is among users of the same kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.choice import Choice, choose_columns
from features.codes import USER_CODE, Codes
from features.decay import Length, decay_weights, length_ticks
from features.history import History
from features.kernel import kernel


@dataclass(frozen=True)
class SegmentShare:
    """Share and rank of the item in the events of the users with the same attribute as the user.

    The share is ``(n(i, s) + smoothing * p(i)) / (n(s) + smoothing)``: n counts events of the
    user's segment s, old ones fading, p is the item's share of all events. A user whose segment is
    unknown is one of everybody. The rank is among the items that the segment took.

    Parameters
    ----------
    columns : tuple of str, optional
        Columns of the user table: text, categories, integers or booleans. Default: all such columns
        whose values most users share with others.
    smoothing : float
        Events of everybody that are added to those of each segment.
    fading : str, int or float
        Half-life of an event, on a clock that compares users. As a share of the log: a float.
    max_columns : int
        Of the default columns, the first so many.
    """

    columns: tuple[str, ...] | None = None
    smoothing: float = 200.0
    fading: Length = 1 / 12
    max_columns: int = 4

    def choose(self, context: Context) -> Choice:
        """The columns, and why these; see :class:`features.block.ChoosesColumns`."""
        return choose_columns(context.users, self.columns, USER_CODE, self.max_columns)

    def fit(self, context: Context) -> FittedSegmentShare:
        """Count the events of each segment by item.

        Raises
        ------
        ConfigError
            If a column does not exist or holds no names.
        """
        history, users = context.history, context.users
        columns = self.choose(context).columns
        if users is None:
            return FittedSegmentShare({}, np.empty(0))
        weight = np.ones(history.n_events)
        if history.clock.is_comparable:
            weight = decay_weights(history, length_ticks(history, self.fading)).astype(np.float64)
        total = np.bincount(history.item, weight, history.n_items).astype(np.float64)
        attributes = {
            name: _Segments.of(users[name], history, weight, total, self.smoothing)
            for name in columns
        }
        return FittedSegmentShare(attributes, total / max(total.sum(), 1e-30))


@dataclass(frozen=True)
class FittedSegmentShare:
    """The block at an instant."""

    attributes: dict[str, _Segments]
    share: Float64Array

    @property
    def features(self) -> tuple[Feature, ...]:
        """Three columns an attribute of users."""
        kinds = (
            ("share", "share", "share of the item in the events of users of the same {}, smoothed"),
            ("ratio", "ratio", "that share over the item's share of all events"),
            ("rank", "rank", "rank by that share among the items that users of the same {} took"),
        )
        return tuple(
            Feature(f"segment_{name}_{kind}", "segment", unit, meaning.format(name))
            for name in self.attributes
            for kind, unit, meaning in kinds
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        for index, segments in enumerate(self.attributes.values()):
            _fill_segment(
                segments.segments_of(history.row),
                segments.indptr,
                segments.item,
                segments.share,
                segments.rank,
                segments.weight_of_all,
                self.share,
                candidates.indptr,
                candidates.item,
                out[:, 3 * index : 3 * index + 3],
            )


@dataclass(frozen=True)
class _Segments:
    """What the users of each value of an attribute took; the segment behind the last is everybody.

    Attributes
    ----------
    code : int32 array [n_users]
        Segment of each user of the snapshot, -1 = unknown.
    indptr : int64 array [n_segments + 1]
    item : int32 array
        Items that the segment took, ascending.
    share, rank : float32 array
        Of each of them.
    weight_of_all : float64 array [n_segments]
        What the smoothing leaves of the item's share of all events, where a segment never took it.
    """

    code: Int32Array
    indptr: Int64Array
    item: Int32Array
    share: Float32Array
    rank: Float32Array
    weight_of_all: Float64Array

    @classmethod
    def of(
        cls,
        column: pl.Series,
        history: History,
        weight: Float64Array,
        total: Float64Array,
        smoothing: float,
    ) -> _Segments:
        codes = Codes.of(column)
        everybody, code = codes.n_codes, codes.first
        of_event = code[history.user]
        known = of_event >= 0
        cell, place = np.unique(
            of_event[known].astype(np.int64) * history.n_items + history.item[known],
            return_inverse=True,
        )
        taken = np.unique(history.item)
        segment, item = np.divmod(cell, max(history.n_items, 1))
        segment = np.concatenate((segment, np.full(len(taken), everybody)))
        item = np.concatenate((item, taken))
        of_cell = np.bincount(place, weight[known], minlength=len(cell))
        count = np.concatenate((of_cell, total[taken]))
        share = total / max(total.sum(), 1e-30)
        n_segments = everybody + 1
        size = np.bincount(segment, count, minlength=n_segments)
        scale = 1.0 / np.maximum(size + smoothing, 1e-30)
        value = count + smoothing * share[item]
        order = np.lexsort((-value, segment))
        lengths = np.bincount(segment, minlength=n_segments)
        indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        # Equal values share the best rank: that of the first of them.
        is_first = np.ones(len(order), bool)
        is_first[1:] = (np.diff(segment[order]) != 0) | (np.diff(value[order]) != 0)
        first = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
        rank = np.empty(len(order), np.float32)
        rank[order] = 1 + first - indptr[segment[order]]
        return cls(
            code,
            indptr,
            item.astype(np.int32),
            (value * scale[segment]).astype(np.float32),
            rank,
            smoothing * scale,
        )

    def segments_of(self, row: Int32Array) -> Int32Array:
        """The segment of each user; strangers are everybody."""
        everybody = np.int32(len(self.indptr) - 2)
        if not len(self.code):
            return np.full(len(row), everybody, np.int32)
        code = np.where(row >= 0, self.code[np.maximum(row, 0)], np.int32(-1))
        return np.where(code >= 0, code, everybody).astype(np.int32)


@kernel
def _fill_segment(
    segment_of: Int32Array,
    indptr: Int64Array,
    item: Int32Array,
    share: Float32Array,
    rank: Float32Array,
    weight_of_all: Float64Array,
    share_of_all: Float64Array,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    for user in range(len(segment_of)):
        segment = segment_of[user]
        start, stop = indptr[segment], indptr[segment + 1]
        for row in range(row_indptr[user], row_indptr[user + 1]):
            overall = share_of_all[row_item[row]]
            if not overall > 0.0:
                continue  # an item without events is not unpopular but unknown
            at = start + np.searchsorted(item[start:stop], row_item[row])
            if at < stop and item[at] == row_item[row]:
                out[row, 0] = share[at]
                out[row, 2] = rank[at]
            else:
                out[row, 0] = weight_of_all[segment] * overall
            out[row, 1] = out[row, 0] / overall
