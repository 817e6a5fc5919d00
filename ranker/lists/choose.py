"""The head of each user's pool that the rules allow, filled up with popular items to exactly k."""

from __future__ import annotations

import numpy as np

from features.arrays import BoolArray, Float32Array, Int32Array, Int64Array
from features.kernel import kernel
from ranker.lists.caps import Caps, fits, take
from ranker.lists.eligible import Eligible, is_eligible, mark_banned
from ranker.lists.pool import Pool


def choose(
    pool: Pool, eligible: Eligible, caps: Caps, fill: Int32Array, k: int
) -> tuple[Int32Array, Float32Array, BoolArray]:
    """Take the first items that the caps allow, with those that quotas have reserved.

    A list is shorter than ``k`` only if no eligible item of the catalogue could be added to it.

    Parameters
    ----------
    pool : Pool
    eligible : Eligible
    caps : Caps
    fill : int32 array [n_items]
        The catalogue, popular items first.
    k : int

    Returns
    -------
    item : int32 array [n_users, k]
        -1 behind the last.
    score : float32 array [n_users, k]
        NaN for items that were filled in.
    reserved : bool array [n_users, k]
    """
    shape = (len(pool.indptr) - 1, k)
    item, score = np.full(shape, -1, np.int32), np.full(shape, np.nan, np.float32)
    reserved = np.zeros(shape, np.bool_)
    _choose(
        pool.indptr,
        pool.item,
        pool.score,
        pool.reserved,
        eligible.mask,
        eligible.row,
        eligible.banned_indptr,
        eligible.banned,
        caps.indptr,
        caps.code,
        caps.limit,
        fill,
        item,
        score,
        reserved,
    )
    return item, score, reserved


def top_up(
    item: Int32Array,
    score: Float32Array,
    pool: Pool,
    eligible: Eligible,
    caps: Caps,
    fill: Int32Array,
) -> None:
    """Lengthen lists in place by what fits behind their items: proposals first, then ``fill``.

    Lists of :func:`choose` have nothing to add, unless their items were changed since.
    """
    _top_up(
        pool.indptr,
        pool.item,
        pool.score,
        eligible.mask,
        eligible.row,
        eligible.banned_indptr,
        eligible.banned,
        caps.indptr,
        caps.code,
        caps.limit,
        fill,
        item,
        score,
    )


@kernel
def _fill_up(
    user: int,
    size: int,
    fill: Int32Array,
    mask: BoolArray,
    mask_row: Int32Array,
    banned_indptr: Int64Array,
    banned: Int32Array,
    banned_for: Int64Array,
    listed_for: Int64Array,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    left: Int64Array,
    out_item: Int32Array,
) -> None:
    """Put what fits of ``fill`` behind the first ``size`` items of a user's list."""
    k = out_item.shape[1]
    if size == k:
        return
    mark_banned(user, banned_indptr, banned, banned_for)
    for one in fill:
        if size == k:
            break
        if (
            listed_for[one] != user
            and is_eligible(user, one, mask, mask_row, banned_for)
            and fits(one, cap_indptr, cap_code, left)
        ):
            take(one, cap_indptr, cap_code, left, 1)
            out_item[user, size] = one
            size += 1


@kernel
def _choose(
    indptr: Int64Array,
    item: Int32Array,
    score: Float32Array,
    reserved: BoolArray,
    mask: BoolArray,
    mask_row: Int32Array,
    banned_indptr: Int64Array,
    banned: Int32Array,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    limit: Int64Array,
    fill: Int32Array,
    out_item: Int32Array,
    out_score: Float32Array,
    out_reserved: BoolArray,
) -> None:
    n_items, k = len(cap_indptr) - 1, out_item.shape[1]
    banned_for, listed_for = np.full(n_items, -1, np.int64), np.full(n_items, -1, np.int64)
    left = np.empty_like(limit)
    for user in range(len(indptr) - 1):
        left[:] = limit
        n_free, size = k, 0
        for row in range(indptr[user], indptr[user + 1]):
            if reserved[row]:
                take(item[row], cap_indptr, cap_code, left, 1)
                n_free -= 1
        for row in range(indptr[user], indptr[user + 1]):
            if size == k:
                break
            if not reserved[row]:
                if n_free == 0 or not fits(item[row], cap_indptr, cap_code, left):
                    continue
                take(item[row], cap_indptr, cap_code, left, 1)
                n_free -= 1
            out_item[user, size], out_score[user, size] = item[row], score[row]
            out_reserved[user, size] = reserved[row]
            listed_for[item[row]] = user
            size += 1
        _fill_up(
            user,
            size,
            fill,
            mask,
            mask_row,
            banned_indptr,
            banned,
            banned_for,
            listed_for,
            cap_indptr,
            cap_code,
            left,
            out_item,
        )


@kernel
def _top_up(
    indptr: Int64Array,
    item: Int32Array,
    score: Float32Array,
    mask: BoolArray,
    mask_row: Int32Array,
    banned_indptr: Int64Array,
    banned: Int32Array,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    limit: Int64Array,
    fill: Int32Array,
    out_item: Int32Array,
    out_score: Float32Array,
) -> None:
    n_items, k = len(cap_indptr) - 1, out_item.shape[1]
    banned_for, listed_for = np.full(n_items, -1, np.int64), np.full(n_items, -1, np.int64)
    left = np.empty_like(limit)
    for user in range(len(indptr) - 1):
        if out_item[user, k - 1] >= 0:
            continue
        left[:] = limit
        size = 0
        while out_item[user, size] >= 0:
            listed_for[out_item[user, size]] = user
            take(out_item[user, size], cap_indptr, cap_code, left, 1)
            size += 1
        for row in range(indptr[user], indptr[user + 1]):
            one = item[row]
            if size == k:
                break
            if listed_for[one] != user and fits(one, cap_indptr, cap_code, left):
                take(one, cap_indptr, cap_code, left, 1)
                listed_for[one] = user
                out_item[user, size], out_score[user, size] = one, score[row]
                size += 1
        _fill_up(
            user,
            size,
            fill,
            mask,
            mask_row,
            banned_indptr,
            banned,
            banned_for,
            listed_for,
            cap_indptr,
            cap_code,
            left,
            out_item,
        )
