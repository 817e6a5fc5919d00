"""At least so many items of a kind: all quotas of a policy as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import BoolArray, Int32Array, Int64Array


@dataclass(frozen=True)
class Floor:
    """One quota.

    Attributes
    ----------
    members : int32 array
        The items that count, best first: what is taken where nobody proposed enough of them.
    need : int
        How many of them a list has to have.
    turns : bool
        Whether each user starts elsewhere among the members.
    """

    members: Int32Array
    need: int
    turns: bool = False


@dataclass(frozen=True)
class Floors:
    """All quotas of a policy.

    Attributes
    ----------
    indptr : int64 array [n_items + 1]
        The quotas that item ``i`` counts for are ``code[indptr[i]:indptr[i + 1]]``.
    code : int32 array
    need : int64 array [n_quotas]
    member_indptr : int64 array [n_quotas + 1]
        The members of quota ``q`` are ``member[member_indptr[q]:member_indptr[q + 1]]``.
    member : int32 array
    turns : bool array [n_quotas]
    """

    indptr: Int64Array
    code: Int32Array
    need: Int64Array
    member_indptr: Int64Array
    member: Int32Array
    turns: BoolArray

    @classmethod
    def beside(cls, n_items: int, floors: Sequence[Floor]) -> Floors:
        """Several quotas side by side."""
        lengths = [len(floor.members) for floor in floors]
        members = np.concatenate([np.zeros(0, np.int32), *(floor.members for floor in floors)])
        quota = np.repeat(np.arange(len(floors), dtype=np.int32), lengths)
        order = np.lexsort((quota, members))
        counts = np.bincount(members, minlength=n_items)
        return cls(
            indptr=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            code=quota[order],
            need=np.array([floor.need for floor in floors], np.int64),
            member_indptr=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            member=members.astype(np.int32),
            turns=np.array([floor.turns for floor in floors], np.bool_),
        )
