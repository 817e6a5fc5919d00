"""At most so many items of a kind: all caps of a policy as arrays, and kernels that obey them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Int32Array, Int64Array
from features.codes import Codes
from features.kernel import kernel


@dataclass(frozen=True)
class Caps:
    """The kinds of every item, and how many items of a kind a list may have.

    Attributes
    ----------
    indptr : int64 array [n_items + 1]
        The kinds of item ``i`` are ``code[indptr[i]:indptr[i + 1]]``.
    code : int32 array
    limit : int64 array [n_kinds]
        At least 1.
    """

    indptr: Int64Array
    code: Int32Array
    limit: Int64Array

    @classmethod
    def beside(cls, n_items: int, caps: Sequence[tuple[Codes, Int64Array]]) -> Caps:
        """Kinds of several attributes side by side, each with its limits."""
        item, code, n_kinds = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], 0
        for codes, _ in caps:
            item.append(np.repeat(np.arange(n_items), np.diff(codes.indptr)))
            code.append(codes.code + np.int32(n_kinds))
            n_kinds += codes.n_codes
        items = np.concatenate(item)
        order = np.argsort(items, kind="stable")
        counts = np.bincount(items, minlength=n_items)
        return cls(
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            np.concatenate(code)[order].astype(np.int32),
            np.concatenate([np.zeros(0, np.int64), *(limit for _, limit in caps)]),
        )


@kernel
def fits(item: int, cap_indptr: Int64Array, cap_code: Int32Array, left: Int64Array) -> bool:
    """Tell whether every kind of the item has a place left."""
    for at in range(cap_indptr[item], cap_indptr[item + 1]):  # noqa: SIM110  # numba has no all(...)
        if left[cap_code[at]] <= 0:
            return False
    return True


@kernel
def take(item: int, cap_indptr: Int64Array, cap_code: Int32Array, left: Int64Array, n: int) -> None:
    """Use up ``n`` places of every kind of the item; -1 gives one back."""
    for at in range(cap_indptr[item], cap_indptr[item + 1]):
        left[cap_code[at]] -= n
