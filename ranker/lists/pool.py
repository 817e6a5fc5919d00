"""The items that a list is chosen from, in order, with those that quotas have reserved."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array
from features.candidates import Candidates
from features.kernel import kernel
from ranker.lists.caps import Caps, fits, take
from ranker.lists.eligible import Eligible, is_eligible, mark_banned
from ranker.lists.floors import Floors


@dataclass(frozen=True)
class Pool:
    """Items that each user may be shown, best first; a list is its head that the caps allow.

    Attributes
    ----------
    indptr : int64 array [n_users + 1]
    item : int32 array [n_rows]
        Each once a user.
    score : float32 array [n_rows]
        NaN for items that no source proposed.
    place_score : float32 array [n_rows]
        The scores in descending order, NaN last: what a place is worth. A step that reorders the
        items leaves it as it is, so that the next one finds its order worth as much.
    reserved : bool array [n_rows]
        Chosen for a quota: the list has to have it, wherever it stands.
    """

    indptr: Int64Array
    item: Int32Array
    score: Float32Array
    place_score: Float32Array
    reserved: BoolArray

    @classmethod
    def of(
        cls,
        candidates: Candidates,
        scores: Float32Array,
        eligible: Eligible,
        caps: Caps,
        floors: Floors,
        user_hash: npt.NDArray[np.uint64],
    ) -> Pool:
        """Sort what the filters let through, and reserve what the quotas need.

        Reserved are the best candidates that count for a quota which is not yet met, as far as the
        caps allow; then, where there are too few, members that no source proposed, at the end.

        Parameters
        ----------
        candidates : Candidates
        scores : float32 array [n_rows]
            Rows that are NaN are left out.
        eligible : Eligible
        caps : Caps
        floors : Floors
        user_hash : uint64 array [n_users]
            Where a user begins among the members that take turns.
        """
        most = candidates.n_rows + candidates.n_users * int(floors.need.sum())
        item, score = np.empty(most, np.int32), np.full(most, np.nan, np.float32)
        reserved = np.zeros(most, np.bool_)
        lengths = _fill_pool(
            candidates.indptr,
            candidates.item,
            scores,
            eligible.mask,
            eligible.row,
            eligible.banned_indptr,
            eligible.banned,
            caps.indptr,
            caps.code,
            caps.limit,
            floors.indptr,
            floors.code,
            floors.need,
            floors.member_indptr,
            floors.member,
            floors.turns,
            user_hash,
            item,
            score,
            reserved,
        )
        indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        n_rows = int(indptr[-1])
        return cls(indptr, item[:n_rows], score[:n_rows], score[:n_rows], reserved[:n_rows])

    def reordered(self, order: Int64Array) -> Pool:
        """The same items in another order, int64 [n_rows]; places keep what they are worth."""
        return dataclasses.replace(
            self,
            item=self.item[order],
            score=self.score[order],
            reserved=self.reserved[order],
        )


@kernel
def _fill_pool(
    indptr: Int64Array,
    item: Int32Array,
    scores: Float32Array,
    mask: BoolArray,
    mask_row: Int32Array,
    banned_indptr: Int64Array,
    banned: Int32Array,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    limit: Int64Array,
    floor_indptr: Int64Array,
    floor_code: Int32Array,
    need: Int64Array,
    member_indptr: Int64Array,
    member: Int32Array,
    turns: BoolArray,
    user_hash: npt.NDArray[np.uint64],
    out_item: Int32Array,
    out_score: Float32Array,
    out_reserved: BoolArray,
) -> Int64Array:
    n_users, n_items = len(indptr) - 1, len(cap_indptr) - 1
    lengths = np.zeros(n_users, np.int64)
    banned_for, pooled_for = np.full(n_items, -1, np.int64), np.full(n_items, -1, np.int64)
    left, unmet = np.empty_like(limit), np.empty_like(need)
    end = 0
    for user in range(n_users):
        mark_banned(user, banned_indptr, banned, banned_for)
        start = end
        first, stop = indptr[user], indptr[user + 1]
        # Stable: of equal scores the smaller row number stands first, as candidates do.
        for place in np.argsort(-scores[first:stop], kind="mergesort"):
            row = first + place
            if np.isnan(scores[row]):
                continue
            if is_eligible(user, item[row], mask, mask_row, banned_for):
                out_item[end], out_score[end] = item[row], scores[row]
                pooled_for[item[row]] = user
                end += 1
        if len(need):
            left[:] = limit
            unmet[:] = need
            for row in range(start, end):
                one = out_item[row]
                if counts_for(one, floor_indptr, floor_code, unmet) and fits(
                    one, cap_indptr, cap_code, left
                ):
                    out_reserved[row] = True
                    take(one, cap_indptr, cap_code, left, 1)
                    count(one, floor_indptr, floor_code, unmet)
            for quota in range(len(need)):
                n = member_indptr[quota + 1] - member_indptr[quota]
                begin = np.int64(0)
                if turns[quota] and n > 0:
                    begin = np.int64(user_hash[user] % np.uint64(n))
                for step in range(n):
                    if unmet[quota] <= 0:
                        break
                    one = member[member_indptr[quota] + (begin + step) % n]
                    if (
                        pooled_for[one] != user
                        and is_eligible(user, one, mask, mask_row, banned_for)
                        and fits(one, cap_indptr, cap_code, left)
                    ):
                        out_item[end] = one
                        out_reserved[end] = True
                        pooled_for[one] = user
                        take(one, cap_indptr, cap_code, left, 1)
                        count(one, floor_indptr, floor_code, unmet)
                        end += 1
        lengths[user] = end - start
    return lengths


@kernel
def counts_for(
    item: int, floor_indptr: Int64Array, floor_code: Int32Array, unmet: Int64Array
) -> bool:
    """Tell whether the item counts for a quota that is not yet met."""
    for at in range(floor_indptr[item], floor_indptr[item + 1]):
        if unmet[floor_code[at]] > 0:
            return True
    return False


@kernel
def count(item: int, floor_indptr: Int64Array, floor_code: Int32Array, unmet: Int64Array) -> None:
    """Count the item for all its quotas."""
    for at in range(floor_indptr[item], floor_indptr[item + 1]):
        unmet[floor_code[at]] -= 1


@kernel
def consider(
    start: int,
    stop: int,
    item: Int32Array,
    place_score: Float32Array,
    reserved: BoolArray,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    left: Int64Array,
    depth: int,
    out_row: Int64Array,
    out_relevance: Float64Array,
) -> tuple[int, int]:
    """The rows of one user that a reordering step chooses from.

    They are the first ``depth`` and those reserved. The relevance of a row is what its place is
    worth, from 1 for the first of them to 0 for the last; 0 for what no source proposed.

    Returns
    -------
    n : int
        Number of rows written to ``out_row``.
    n_reserved : int
        Of all rows; the caps have been charged for them.
    """
    n, n_reserved = 0, 0
    low, high = np.inf, -np.inf
    for row in range(start, stop):
        if reserved[row]:
            take(item[row], cap_indptr, cap_code, left, 1)
            n_reserved += 1
        if reserved[row] or row - start < depth:
            out_row[n] = row
            out_relevance[n] = place_score[row]
            n += 1
            if not np.isnan(place_score[row]):
                low, high = min(low, place_score[row]), max(high, place_score[row])
    for at in range(n):
        if np.isnan(out_relevance[at]):
            out_relevance[at] = 0.0
        elif high > low:
            out_relevance[at] = (out_relevance[at] - low) / (high - low)
        else:
            out_relevance[at] = 1.0
    return n, n_reserved


@kernel
def may_choose(
    row: int,
    n_free: int,
    item: Int32Array,
    reserved: BoolArray,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    left: Int64Array,
) -> bool:
    """Tell whether a row may come next, with ``n_free`` places left that nobody has reserved."""
    if reserved[row]:
        return True
    return n_free > 0 and fits(item[row], cap_indptr, cap_code, left)


@kernel
def append_rest(start: int, stop: int, order: Int64Array, size: int, is_chosen: BoolArray) -> None:
    """Put the rows of a user that were not chosen behind the ``size`` that were, in their order."""
    is_chosen[: stop - start] = False
    for place in range(size):
        is_chosen[order[start + place] - start] = True
    for row in range(start, stop):
        if not is_chosen[row - start]:
            order[start + size] = row
            size += 1
