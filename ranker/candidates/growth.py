"""What a later history has that an earlier one had not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from features.arrays import AnyArray, BoolArray, Int32Array, Int64Array
from features.history import History


@dataclass(frozen=True)
class Growth:
    """A history, and a later one that has all its events, users and items, and more.

    Attributes
    ----------
    before, after : History
    item_row, user_row : int32 array [n_items], [n_users] of ``before``
        The row number in ``after`` of each item and user of ``before``, ascending.
    """

    before: History
    after: History
    item_row: Int32Array
    user_row: Int32Array

    @classmethod
    def between(cls, before: History, after: History) -> Self | None:
        """The growth, or None where something is missing in the later history."""
        item_row = after.items.encode(before.items.values)
        user_row = after.users.encode(before.users.values)
        if (item_row < 0).any() or (user_row < 0).any():
            return None
        growth = cls(before, after, item_row, user_row)
        return None if (growth._lengths_before > after.lengths).any() else growth

    def of_items(self, values: AnyArray) -> AnyArray:
        """An array [n_items, ...] of ``before`` in the rows of ``after``; zeros for new items."""
        return _placed(values, self.item_row, self.after.n_items)

    def of_users(self, values: AnyArray) -> AnyArray:
        """An array [n_users, ...] of ``before`` in the rows of ``after``; zeros for new users."""
        return _placed(values, self.user_row, self.after.n_users)

    @cached_property
    def is_user_changed(self) -> BoolArray:
        """Whether a user of ``after`` has events that he had not, bool [n_users]."""
        changed: BoolArray = self.after.lengths > self._lengths_before
        return changed

    @cached_property
    def is_item_changed(self) -> BoolArray:
        """Whether an item of ``after`` has events that it had not, bool [n_items]."""
        before = self.of_items(np.bincount(self.before.item, minlength=self.before.n_items))
        changed: BoolArray = np.bincount(self.after.item, minlength=self.after.n_items) > before
        return changed

    @cached_property
    def first_change(self) -> Int64Array:
        """The place in each user's events before which all are as they were, int64 [n_users]."""
        place = self.after.lengths.copy()
        place[self.is_user_changed] = self._lengths_before[self.is_user_changed]
        old = self.user_row[self.is_user_changed[self.user_row]]
        lengths = self._lengths_before[old]
        user = np.repeat(np.arange(len(old)), lengths)
        at = np.arange(len(user)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        before = np.repeat(self.of_users(self.before.indptr[:-1])[old], lengths) + at
        after = np.repeat(self.after.indptr[old], lengths) + at
        is_other = self.item_row[self.before.item[before]] != self.after.item[after]
        for name in ("time", "weight", "event"):
            is_other |= getattr(self.before, name)[before] != getattr(self.after, name)[after]
        np.minimum.at(place, old[user[is_other]], at[is_other])
        return place

    @cached_property
    def _lengths_before(self) -> AnyArray:
        return self.of_users(self.before.lengths)


def _placed(values: AnyArray, rows: Int32Array, n: int) -> AnyArray:
    placed = np.zeros((n, *values.shape[1:]), values.dtype)
    placed[rows] = values
    return placed
