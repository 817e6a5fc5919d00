"""Candidates: which items are considered for which users, and who proposed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.arrays import AnyArray, BoolArray, Float32Array, Int32Array, Int64Array
from features.errors import SchemaError
from features.ids import Ids
from features.problems import examples


@dataclass(frozen=True)
class Candidates:
    """One row per user and item, users one after another, items ascending within a user.

    Attributes
    ----------
    users, items : Ids
    sources : tuple of str
        Names of the generators, in the order of the columns below.
    indptr : int64 array [n_users + 1]
        The rows of user ``u`` are ``indptr[u]:indptr[u + 1]``.
    item : int32 array [n_rows]
    score : float32 array [n_rows, n_sources]
        NaN where the source did not propose the item.
    rank : int32 array [n_rows, n_sources]
        1 = best; 0 where the source did not propose the item.
    """

    users: Ids
    items: Ids
    sources: tuple[str, ...]
    indptr: Int64Array
    item: Int32Array
    score: Float32Array
    rank: Int32Array

    @classmethod
    def from_frame(
        cls, frame: pl.DataFrame, *, users: Ids, items: Ids, sources: tuple[str, ...]
    ) -> Candidates:
        """Undo :meth:`frame`; rows may come in any order.

        Raises
        ------
        SchemaError
            If columns are missing, ids are not among ``users`` and ``items``, or a pair is there
            twice.
        """
        _check_columns(frame, ("user_id", "item_id", *_said(sources)))
        user, item = users.encode(frame["user_id"]), items.encode(frame["item_id"])
        problems = []
        for column, rows in (("user_id", user), ("item_id", item)):
            if (rows < 0).any():
                unknown = frame[column].filter(pl.Series(rows < 0)).unique().sort()
                problems.append(
                    f"{column}: {len(unknown)} ids are not known to the snapshot (such as "
                    f"{unknown.head(3).to_list()})"
                )
        pair = user.astype(np.int64) * (len(items) + 1) + item  # -1 has a place of its own
        if not (np.diff(pair) > 0).all():  # often they are in order already
            order = np.argsort(pair, kind="stable")
            frame, user, item = frame[order], user[order], item[order]
        problems += _repeated(user, item)
        if problems:
            raise SchemaError("candidates", problems)
        return cls.from_rows(frame, user, item, users=users, items=items, sources=sources)

    @classmethod
    def from_rows(
        cls,
        frame: pl.DataFrame,
        user: Int32Array,
        item: Int32Array,
        *,
        users: Ids,
        items: Ids,
        sources: tuple[str, ...],
    ) -> Candidates:
        """The same where row numbers are known, ascending by user and item.

        Parameters
        ----------
        frame : DataFrame
            What the sources said.
        user, item : int32 array [n_rows]
            Row numbers among ``users`` and ``items``.

        Raises
        ------
        SchemaError
            If columns are missing, or a pair is there twice.
        """
        _check_columns(frame, _said(sources))
        if problems := _repeated(user, item):
            raise SchemaError("candidates", problems)
        problems = [
            f"{name}: dtype {frame.schema[name]}{examples(frame[name].drop_nulls())}; expected "
            f"numbers, null where the source is silent"
            for source in sources
            for name in (f"{source}_rank", f"{source}_score")
            if not (frame.schema[name].is_numeric() or frame.schema[name] == pl.Null)
        ]
        if problems:
            raise SchemaError("candidates", problems)
        rank = [_whole(frame[f"{source}_rank"]) for source in sources]
        score = [frame[f"{source}_score"].cast(pl.Float32).fill_null(np.nan) for source in sources]
        return cls(
            users=users,
            items=items,
            sources=sources,
            indptr=np.concatenate(([0], np.cumsum(np.bincount(user, minlength=len(users))))),
            item=item,
            score=_beside([s.to_numpy() for s in score], len(item), np.float32),
            rank=_beside([r.to_numpy() for r in rank], len(item), np.int32),
        )

    def rows(self, start: int, stop: int) -> Candidates:
        """The candidates of the users ``start:stop``; views, nothing is copied."""
        indptr = self.indptr[start : stop + 1]
        rows = slice(int(indptr[0]), int(indptr[-1]))
        return self._part(self.users.values[start:stop], indptr - indptr[0], rows)

    def of_users(self, is_kept: BoolArray) -> Candidates:
        """The candidates of the users marked, bool [n_users], and of no others."""
        if is_kept.all():
            return self
        users = self.users.values.filter(pl.Series(is_kept))
        indptr = np.concatenate(([0], np.cumsum(self.lengths[is_kept])))
        return self._part(users, indptr, np.repeat(is_kept, self.lengths))

    def _part(self, users: pl.Series, indptr: Int64Array, rows: slice | BoolArray) -> Candidates:
        return Candidates(
            users=Ids(users),
            items=self.items,
            sources=self.sources,
            indptr=indptr,
            item=self.item[rows],
            score=self.score[rows],
            rank=self.rank[rows],
        )

    @property
    def n_users(self) -> int:
        """Number of users, those without candidates included."""
        return len(self.indptr) - 1

    @property
    def n_rows(self) -> int:
        """Number of pairs of user and item."""
        return len(self.item)

    @property
    def lengths(self) -> Int64Array:
        """Number of candidates of each user, int64 [n_users]."""
        return np.diff(self.indptr)

    def find(self, user: Int32Array, item: Int32Array) -> Int64Array:
        """The rows of pairs, -1 of pairs that are no candidates, int64 [n].

        Parameters
        ----------
        user, item : int array [n]
            Row numbers; a pair with a negative one is no candidate.
        """
        width = len(self.items)
        asked = user.astype(np.int64) * width + item
        listed = self.user.astype(np.int64) * width + self.item
        if not len(listed):
            return np.full(len(asked), -1, np.int64)
        place = np.minimum(np.searchsorted(listed, asked), len(listed) - 1)
        return np.where((listed[place] == asked) & (user >= 0) & (item >= 0), place, -1)

    @cached_property
    def user(self) -> Int32Array:
        """Row number of each candidate's user, int32 [n_rows]."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.lengths)

    @property
    def n_sources(self) -> Int32Array:
        """How many sources proposed each row, int32 [n_rows]."""
        n_sources: Int32Array = (self.rank > 0).sum(axis=1, dtype=np.int32)
        return n_sources

    def frame(self) -> pl.DataFrame:
        """The rows with ids: user_id, item_id, <source>_score, <source>_rank, n_sources."""
        columns: dict[str, pl.Series | Int32Array] = {
            "user_id": self.users.decode(self.user),
            "item_id": self.items.decode(self.item),
        }
        for index, source in enumerate(self.sources):
            rank = pl.Series(self.rank[:, index])
            columns[f"{source}_score"] = pl.Series(self.score[:, index]).fill_nan(None)
            columns[f"{source}_rank"] = rank.replace(0, None)
        return pl.DataFrame(columns | {"n_sources": self.n_sources})


def _said(sources: Sequence[str]) -> list[str]:
    """Columns in which sources say something."""
    return [f"{source}_{kind}" for source in sources for kind in ("score", "rank")]


def _repeated(user: Int32Array, item: Int32Array) -> list[str]:
    n_repeated = int(((np.diff(user) == 0) & (np.diff(item) == 0)).sum())
    return [f"{n_repeated} pairs of user and item stand there twice"] if n_repeated else []


def _check_columns(frame: pl.DataFrame, wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise SchemaError("candidates", [f"columns {missing} are missing"])


def _beside(columns: list[AnyArray], n_rows: int, dtype: type) -> AnyArray:
    table: AnyArray = np.empty((n_rows, len(columns)), dtype)
    for place, column in enumerate(columns):
        table[:, place] = column
    return table


FUSION_CONSTANT = 60.0
"""Of reciprocal rank fusion, as its paper has it: how little the first ranks stand out."""


def fuse_ranks(rank: Int32Array, constant: float = FUSION_CONSTANT) -> Float32Array:
    """Reciprocal rank fusion, ``sum over sources of 1 / (constant + rank)``.

    Cormack, Clarke, Buettcher: Reciprocal rank fusion outperforms Condorcet (SIGIR 2009).

    Parameters
    ----------
    rank : int32 array [n_rows, n_sources]
        1 = best; 0 where a source is silent, which adds nothing.
    constant : float

    Returns
    -------
    float32 array [n_rows]
    """
    fused = np.zeros(len(rank), np.float64)
    for column in rank.T:
        fused += np.where(column > 0, 1.0 / (constant + column), 0.0)
    return fused.astype(np.float32)


def _whole(rank: pl.Series) -> pl.Series:
    """Ranks as int32, 0 where the source is silent, which other libraries write as NaN."""
    if rank.dtype.is_float():
        rank = rank.fill_nan(None)
        if (odd := rank.filter(rank != rank.floor())).len():
            problem = f"{rank.name}: ranks are no whole numbers{examples(odd)}; count from 1"
            raise SchemaError("candidates", [problem])
    return rank.fill_null(0).cast(pl.Int32)
