"""Masks that users of the same kind share, worked out when the first of them is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from features.arrays import BoolArray
from features.history import History
from ranker.lists.eligible import Masks

_MAX_KEPT = 64 * 2**20  # bytes of masks that are kept for the next users


class SegmentMasks:
    """Masks by the values of some attributes of users.

    Parameters
    ----------
    users : DataFrame or None
        Attributes, one row per row number of the snapshot's users.
    columns : list of str
        The attributes that make a segment; ``user_id`` may be one.
    mask_of : callable
        Gets the values of a segment by column, and returns what it may be shown, bool [n_items].
        Attributes of strangers are null.
    """

    def __init__(
        self,
        users: pl.DataFrame | None,
        columns: list[str],
        mask_of: Callable[[dict[str, Any]], BoolArray],
    ) -> None:
        self._attributes = [name for name in columns if name != "user_id"]
        self._by_id = "user_id" in columns
        self._table = None
        if users is not None and self._attributes:
            self._table = users.select(self._attributes)
        self._mask_of = mask_of
        self._kept: dict[tuple[Any, ...], BoolArray] = {}

    def masks(self, history: History) -> Masks:
        """The masks of the users of a history."""
        frame = self._segments(history).with_row_index("place")
        groups = frame.group_by(frame.columns[1:], maintain_order=True).agg("place")
        mask = np.empty((groups.height, history.n_items), np.bool_)
        row = np.empty(history.n_users, np.int32)
        for number, values in enumerate(groups.iter_rows(named=True)):
            row[values.pop("place")] = number
            mask[number] = self._mask(values, history.n_items)
        return Masks(mask, row)

    def _segments(self, history: History) -> pl.DataFrame:
        columns: dict[str, pl.Series] = {}
        if self._by_id:
            columns["user_id"] = history.users.values
        if self._table is not None:
            rows = pl.Series(history.row).replace(-1, None)
            columns |= {name: self._table[name].gather(rows) for name in self._attributes}
        return pl.DataFrame(columns)

    def _mask(self, values: dict[str, Any], n_items: int) -> BoolArray:
        key = tuple(map(repr, values.values()))
        found = self._kept.get(key)
        if found is None:
            found = self._mask_of(values)
            if not self._by_id and (len(self._kept) + 1) * n_items <= _MAX_KEPT:
                self._kept[key] = found
        return found
