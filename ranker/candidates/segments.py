"""What is popular among people of one kind, and among things of one kind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import AnyArray, Float32Array, Int32Array
from features.columns import column_names
from features.decay import Length, decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.retrieval import top_by_vectors
from ranker.candidates.similar import SimilarityGenerator

logger = logging.getLogger(__name__)

_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)
_MAX_VALUES = 100  # a column with more does not part people into segments
_ROWS = 4096
_MAX_CELLS = 2**28  # of items by segments, 1 GiB


@dataclass
class SegmentPopularity(Generator):
    """Popular items among users who share attributes; serves users without events too.

    The score is the mean over the columns of ``(n(i, s) + smoothing * p(i)) / (n(s) + smoothing)``:
    n counts decayed events of the user's segment s, p is the item's share of all events. An
    unknown value, or a stranger, stands for everybody.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns of the user table: text, integers or booleans. Default: all such columns with 2 to
        100 different values.
    smoothing : float
        Events of everybody that are added to those of each segment.
    half_life : str, int or float
        Age at which an event counts half. As a share of the log: a float.
    """

    columns: Sequence[str] | None = None
    smoothing: float = 200.0
    half_life: Length = 1 / 48

    learned: ClassVar[tuple[str, ...]] = ("item_", "vectors_", "codes_")

    def __post_init__(self) -> None:
        """JSON knows no tuples."""
        self.columns = column_names(self.columns)

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        check_from_zero(smoothing=self.smoothing)
        self.codes_, n_segments = _codes(_segment_columns(users, self.columns))
        self.item_: Int32Array = np.unique(history.item)
        if len(self.item_) * (n_segments + 1) > _MAX_CELLS:
            raise ConfigError(
                f"SegmentPopularity: {n_segments:,} segments of {len(self.item_):,} items do not "
                f"fit into memory; name columns= with fewer values"
            )
        weights = np.ones(history.n_events, np.float32)
        if history.clock.is_comparable:
            weights = decay_weights(history, length_ticks(history, self.half_life))
        counts = history.matrix(weights)[:, self.item_].astype(np.float64)
        share = np.asarray(counts.sum(0)).ravel()
        share /= max(share.sum(), 1e-30)
        vectors = np.empty((len(self.item_), n_segments + 1), np.float32)
        vectors[:, n_segments] = share
        for column in self.codes_.T:
            for segment in np.unique(column[column < n_segments]):
                n = np.asarray(counts[np.flatnonzero(column == segment)].sum(0)).ravel()
                smoothed = (n + self.smoothing * share) / (n.sum() + self.smoothing)
                vectors[:, segment] = smoothed
        self.vectors_: Float32Array = vectors

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The head of the list of the user's segments."""
        vectors = self._get("vectors_")
        users = np.zeros((history.n_users, vectors.shape[1]), np.float32)
        everybody = vectors.shape[1] - 1
        is_known = (history.row >= 0) & (history.row < len(self.codes_))
        users[~is_known, everybody] = 1.0
        for column in self.codes_[history.row[is_known]].T:
            users[np.flatnonzero(is_known), column] += np.float32(1 / self.codes_.shape[1])
        return top_by_vectors(
            *(users, vectors, self.item_, history, n),
            exclude_seen=exclude_seen,
            users=np.arange(history.n_users),
        )


@dataclass
class CategoryPopularity(SimilarityGenerator):
    """Popular items of the categories that the user took of late.

    Each event of the user speaks for the items that share a value with its item, by the item's
    decayed share of the events of that value.

    Parameters
    ----------
    column : str, optional
        Column of the item table: text, integers or lists of text. Default: the first one whose
        values most items share with others.
    per_category : int
        Items that a category proposes, and those that an item proposes by all of its categories.
    half_life : str, int or float
        Age at which an event counts half for the popularity. As a share of the log: a float.
    recent : str, int or float
        Age at which an event of the user counts half when he is served.
    """

    column: str | None = None
    per_category: int = 100
    half_life: Length = 1 / 48
    recent: Length = 1 / 24

    learned: ClassVar[tuple[str, ...]] = ("similarity_", "recent_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        check_count(per_category=self.per_category)
        self.recent_ticks_: AnyArray = np.array(length_ticks(history, self.recent))
        belongs = _membership(items, self.column, history.n_items)
        weights = np.ones(history.n_events, np.float32)
        if history.clock.is_comparable:
            weights = decay_weights(history, length_ticks(history, self.half_life))
        popularity = np.bincount(history.item, weights, minlength=history.n_items)
        top = _top_of_categories(belongs, popularity, self.per_category)
        self.similarity_: sparse.csr_matrix = _largest_of_rows(belongs, top, self.per_category)

    def _asked_weights(self, history: History) -> Float32Array:
        return decay_weights(history, float(self._get("recent_ticks_")))


def _segment_columns(users: pl.DataFrame | None, columns: Sequence[str] | None) -> pl.DataFrame:
    if users is None:
        raise ConfigError("SegmentPopularity needs attributes of users: give fit a table users=")
    if columns is not None:
        missing = [name for name in columns if name not in users.columns]
        if missing:
            raise ConfigError(
                f"SegmentPopularity: users have no columns {missing}; expected some of "
                f"{users.columns[1:]}"
            )
        unfit = [name for name in columns if not _is_plain(users.schema[name])]
        if unfit:
            raise ConfigError(
                f"SegmentPopularity: columns {unfit} hold neither text nor integers nor booleans; "
                f"name others, or cut their numbers into classes"
            )
        return users.select(columns)
    usable = [
        name
        for name in users.columns
        if name != "user_id"
        and _is_plain(users.schema[name])
        and 2 <= users[name].drop_nulls().n_unique() <= _MAX_VALUES
    ]
    if not usable:
        logger.warning(
            "SegmentPopularity: none of the users' columns %s has 2 to %d values; everybody is one "
            "segment, unless you cut numbers into classes",
            users.columns[1:],
            _MAX_VALUES,
        )
        return pl.DataFrame({"everybody": pl.repeat("everybody", users.height, eager=True)})
    return users.select(usable)


def _is_plain(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and (dtype.is_integer() or dtype in _TEXT)


def _codes(table: pl.DataFrame) -> tuple[Int32Array, int]:
    """Number of the segment of each user by each column, int32 [n_users, n_columns].

    Numbers go on from column to column; the number behind the last stands for everybody.
    """
    codes = np.empty(table.shape, np.int32)
    first = 0
    for at, column in enumerate(table):
        values = column.cast(pl.String)
        names = values.drop_nulls().unique().sort()
        numbers = dict(zip(names, range(first, first + len(names)), strict=True))
        codes[:, at] = values.replace_strict(numbers, default=-1, return_dtype=pl.Int32).to_numpy()
        first += len(names)
    codes[codes < 0] = first
    return codes, first


def _membership(items: pl.DataFrame | None, column: str | None, n_items: int) -> sparse.csr_matrix:
    """Items by categories, ones."""
    if items is None:
        raise ConfigError("CategoryPopularity needs attributes of items: give fit a table items=")
    if column is None:
        column = _shared_column(items)
    elif column not in items.columns:
        raise ConfigError(
            f"CategoryPopularity: items have no column {column!r}; expected one of "
            f"{items.columns[1:]}"
        )
    if column is None:
        logger.warning(
            "CategoryPopularity: no column of the items %s has values that items share; it "
            "proposes nothing, unless you name one by column=",
            items.columns[1:],
        )
        return sparse.csr_matrix((n_items, 1), dtype=np.float32)
    dtype = items.schema[column]
    if not _is_plain(dtype) and not (isinstance(dtype, pl.List) and _is_plain(dtype.inner)):
        raise ConfigError(
            f"CategoryPopularity: column {column!r} is {dtype}; expected text, integers, or lists "
            f"of them"
        )
    values = items[column]
    lists = values.cast(pl.List(pl.String)) if values.dtype == pl.List else None
    if lists is None:
        lists = pl.select(pl.concat_list(values.cast(pl.String))).to_series()
    flat = pl.DataFrame({"item": np.arange(n_items, dtype=np.int32), "value": lists})
    flat = flat.explode("value").drop_nulls().unique().sort("item", "value")
    names = flat["value"].unique().sort()
    code = names.search_sorted(flat["value"]).to_numpy() if flat.height else np.empty(0, np.int32)
    ones = np.ones(flat.height, np.float32)
    return sparse.csr_matrix((ones, (flat["item"].to_numpy(), code)), (n_items, max(len(names), 1)))


def _shared_column(items: pl.DataFrame) -> str | None:
    for name in items.columns:
        series = items[name]
        if name in ("item_id", "title") or not (
            series.dtype.is_integer() or series.dtype in _TEXT or series.dtype == pl.List(pl.String)
        ):
            continue
        values = series.explode() if series.dtype == pl.List else series
        values = values.drop_nulls()
        if len(values) and 1 < values.n_unique() <= len(values) / 2:
            return name
    return None


def _top_of_categories(
    belongs: sparse.csr_matrix, popularity: AnyArray, n_kept: int
) -> sparse.csr_matrix:
    """Categories by items: the share of each category's most popular items in its events."""
    members = belongs.T.tocsr()
    members.sort_indices()
    rows, columns, values = [], [], []
    for category in range(members.shape[0]):
        item = members.indices[members.indptr[category] : members.indptr[category + 1]]
        weight = popularity[item]
        kept = np.lexsort((item, -weight))[:n_kept]
        kept = kept[weight[kept] > 0]
        rows.append(np.full(len(kept), category))
        columns.append(item[kept])
        values.append(weight[kept] / max(weight.sum(), 1e-30))
    parts = tuple(np.concatenate(part) if part else np.empty(0) for part in (rows, columns, values))
    return sparse.csr_matrix((parts[2], (parts[0], parts[1])), members.shape)


def _largest_of_rows(
    belongs: sparse.csr_matrix, top: sparse.csr_matrix, n_kept: int
) -> sparse.csr_matrix:
    """The ``n_kept`` largest cells of each row of ``belongs @ top``, without the diagonal."""
    n_items = belongs.shape[0]
    parts = []
    for start in range(0, n_items, _ROWS):
        block = sparse.csr_matrix(belongs[start : start + _ROWS] @ top, dtype=np.float32)
        block.sort_indices()
        row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        block.data[block.indices == row + start] = 0.0
        # Place of each cell in its row, by value and then by item.
        order = np.lexsort((block.indices, -block.data, row))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - np.repeat(block.indptr[:-1], np.diff(block.indptr))
        block.data[place >= n_kept] = 0.0
        block.eliminate_zeros()
        parts.append(block)
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, 0))
