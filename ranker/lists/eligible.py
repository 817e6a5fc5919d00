"""Which items a user may be shown at all: what the filters come down to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import BoolArray, Int32Array, Int64Array
from features.history import History
from features.kernel import kernel
from ranker.lists.context import ListContext
from ranker.lists.step import Step


@dataclass(frozen=True)
class Masks:
    """Items that some users may be shown.

    Attributes
    ----------
    mask : bool array [n_masks, n_items]
    row : int32 array [n_users]
        Which mask is each user's.
    """

    mask: BoolArray
    row: Int32Array


@dataclass(frozen=True)
class Banned:
    """Items that single users must not be shown, and that may stand there twice.

    Attributes
    ----------
    indptr : int64 array [n_users + 1]
    item : int32 array
    """

    indptr: Int64Array
    item: Int32Array


class BoundFilter:
    """A filter that knows its snapshot; by default it lets everything through."""

    def for_everybody(self) -> BoolArray | None:
        """What anybody may be shown, bool [n_items]."""
        return None

    def by_user(self, history: History) -> Masks | Banned | None:
        """What the users of a history may be shown."""
        return None


class Filter(Step):
    """A step that forbids items, to everybody or to some: a hard rule for the whole list."""

    @abstractmethod
    def bind(self, context: ListContext) -> BoundFilter:
        """Look up what the rule means for a snapshot."""


@dataclass(frozen=True)
class EverybodysItems(BoundFilter):
    """The same items for all users, bool [n_items]."""

    mask: BoolArray

    def for_everybody(self) -> BoolArray:
        """The mask."""
        return self.mask


@dataclass(frozen=True)
class Eligible:
    """What the users of a chunk may be shown, by all filters together.

    Attributes
    ----------
    mask : bool array [n_masks, n_items]
    row : int32 array [n_users, n_filters]
        A user may be shown an item if all his masks say so...
    banned_indptr, banned : int64 and int32 arrays
        ...and it is not among these (CSR).
    """

    mask: BoolArray
    row: Int32Array
    banned_indptr: Int64Array
    banned: Int32Array

    @classmethod
    def of(
        cls,
        everybody: BoolArray | None,
        filters: Sequence[BoundFilter],
        history: History,
        *,
        exclude_seen: bool,
    ) -> Eligible:
        """Combine the filters for the users of a history."""
        masks, rows, n_masks = [np.zeros((0, history.n_items), np.bool_)], [], 0
        banned = [Banned(history.indptr, history.item)] if exclude_seen else []
        if everybody is not None:
            masks.append(everybody[None])
            rows.append(np.zeros(history.n_users, np.int32))
            n_masks = 1
        for one in filters:
            rule = one.by_user(history)
            if isinstance(rule, Masks):
                masks.append(rule.mask)
                rows.append(rule.row + np.int32(n_masks))
                n_masks += len(rule.mask)
            elif rule is not None:
                banned.append(rule)
        row = np.column_stack(rows) if rows else np.zeros((history.n_users, 0), np.int32)
        mask = masks[-1] if len(masks) == 2 else np.concatenate(masks)
        return cls(mask, row.astype(np.int32), *_together(banned, history.n_users))


def _together(banned: Sequence[Banned], n_users: int) -> tuple[Int64Array, Int32Array]:
    if len(banned) == 1:
        return banned[0].indptr, banned[0].item
    users = [np.zeros(0, np.int64)]
    users += [np.repeat(np.arange(n_users), np.diff(one.indptr)) for one in banned]
    user = np.concatenate(users)
    item = np.concatenate([np.zeros(0, np.int32), *(one.item for one in banned)])
    indptr = np.concatenate(([0], np.cumsum(np.bincount(user, minlength=n_users))))
    return indptr.astype(np.int64), item[np.argsort(user, kind="stable")]


@kernel
def mark_banned(
    user: int, banned_indptr: Int64Array, banned: Int32Array, banned_for: Int64Array
) -> None:
    """Write the user's number beside the items that are banned for him."""
    for at in range(banned_indptr[user], banned_indptr[user + 1]):
        banned_for[banned[at]] = user


@kernel
def is_eligible(
    user: int, item: int, mask: BoolArray, row: Int32Array, banned_for: Int64Array
) -> bool:
    """Tell whether the user may be shown the item."""
    if banned_for[item] == user:
        return False
    for at in range(row.shape[1]):  # noqa: SIM110  # numba has no all(...)
        if not mask[row[user, at], item]:
            return False
    return True
