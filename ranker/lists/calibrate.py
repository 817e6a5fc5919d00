"""Calibration: the list shares out its places among categories as the user's past did."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from features.arrays import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array
from features.codes import Codes
from features.decay import Length, decay_weights
from features.history import History
from features.kernel import kernel
from ranker.evaluation.calibration import category_shares, divergence
from ranker.lists.arguments import check_depth, check_name, check_share, ticks_of
from ranker.lists.attribute import attribute
from ranker.lists.caps import Caps, take
from ranker.lists.context import ListContext
from ranker.lists.pool import Pool, append_rest, consider, may_choose
from ranker.lists.reorder import Reorder, longest


@dataclass(frozen=True)
class Calibrate(Reorder):
    """Shares of categories in the list that are those of the user's past.

    Items are added one by one, each time the one with the largest
    ``(1 - strength) * sum of relevance - strength * KL(p, q)``, where ``p`` are the shares of the
    categories in the user's events, ``q`` those in the list with it (with a hundredth of ``p``
    mixed in, so that no share is zero), and relevance is the score from 0 for the worst of those
    looked at to 1 for the best. An item of several categories counts for each in equal parts, one
    of none is passed over, in the past as in the list. The order stays for a user without events
    with a category. Ties keep the former order.

    Steck: Calibrated recommendations (RecSys 2018), equations 2, 3, 6, 7 and 8.

    Parameters
    ----------
    column : str
        Of the item table: text, categories, integers, or lists of them.
    strength : float
        From 0, the order stays, to 1, only the shares count.
    half_life : str, int or float, optional
        Age at which an event of the user counts half. As a share of the log: a float. Default: all
        events count the same.
    depth : int
        How many of the best are looked at.
    """

    column: str
    _: KW_ONLY
    strength: float = 0.5
    half_life: Length | None = None
    depth: int = 100

    def __post_init__(self) -> None:
        check_name(self, "column", self.column)
        check_share(self, strength=self.strength)
        check_depth(self, self.depth)

    def bind(self, context: ListContext) -> BoundCalibrate:
        """Number the categories."""
        codes = attribute(context, self, self.column).codes
        half_life = ticks_of(self, context.history, "half_life", self.half_life)
        return BoundCalibrate(self, codes, half_life)


@dataclass(frozen=True)
class BoundCalibrate:
    """:class:`Calibrate` with the categories of all items, and the half-life in ticks."""

    step: Calibrate
    codes: Codes
    half_life: float

    def order(self, pool: Pool, history: History, k: int, caps: Caps) -> Int64Array:
        """See :class:`~ranker.lists.reorder.BoundReorder`."""
        order = np.empty(len(pool.item), np.int64)
        _calibrate(
            pool.indptr,
            pool.item,
            pool.place_score,
            pool.reserved,
            caps.indptr,
            caps.code,
            caps.limit,
            history.indptr,
            history.item,
            decay_weights(history, self.half_life),
            self.codes.indptr,
            self.codes.code,
            self.codes.n_codes,
            float(self.step.strength),
            max(self.step.depth, k),
            k,
            longest(pool.indptr),
            order,
        )
        return order


@kernel
def _calibrate(
    indptr: Int64Array,
    item: Int32Array,
    place_score: Float32Array,
    reserved: BoolArray,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    limit: Int64Array,
    event_indptr: Int64Array,
    event_item: Int32Array,
    event_weight: Float32Array,
    code_indptr: Int64Array,
    code: Int32Array,
    n_codes: int,
    strength: float,
    depth: int,
    k: int,
    most: int,
    order: Int64Array,
) -> None:
    row, relevance = np.empty(most, np.int64), np.empty(most)
    is_taken, is_chosen = np.empty(most, np.bool_), np.empty(most, np.bool_)
    # Of the paper: p are the shares of the past; listed is q times n_listed, the number of items
    # in the list that have a category.
    p, listed = np.zeros(n_codes), np.zeros(n_codes)
    support = np.empty(n_codes, np.int64)
    left = np.empty_like(limit)
    for user in range(len(indptr) - 1):
        start, stop = indptr[user], indptr[user + 1]
        first, last = event_indptr[user], event_indptr[user + 1]
        n_support = category_shares(
            event_item[first:last], event_weight[first:last], code_indptr, code, p, support
        )
        left[:] = limit
        n, n_reserved = consider(
            start,
            stop,
            item,
            place_score,
            reserved,
            cap_indptr,
            cap_code,
            left,
            depth,
            row,
            relevance,
        )
        is_taken[:n] = False
        n_free, size, n_listed = k - n_reserved, 0, 0
        while size < k:
            unchanged, base = 0.0, 0.0
            for at in range(n_support):
                one_code = support[at]
                unchanged += divergence(p[one_code], listed[one_code] / max(n_listed, 1))
                base += divergence(p[one_code], listed[one_code] / (n_listed + 1))
            best, best_value = -1, -np.inf
            for at in range(n):
                if is_taken[at] or not may_choose(
                    row[at], n_free, item, reserved, cap_indptr, cap_code, left
                ):
                    continue
                one = item[row[at]]
                own = code[code_indptr[one] : code_indptr[one + 1]]
                distance = unchanged
                if len(own) > 0:
                    distance = base + _change(own, p, listed, n_listed + 1)
                value = (1.0 - strength) * relevance[at] - strength * distance
                if value > best_value:
                    best, best_value = at, value
            if best < 0:
                break
            one = item[row[best]]
            is_taken[best] = True
            order[start + size] = row[best]
            size += 1
            if not reserved[row[best]]:
                n_free -= 1
                take(one, cap_indptr, cap_code, left, 1)
            own = code[code_indptr[one] : code_indptr[one + 1]]
            n_listed += len(own) > 0
            for one_code in own:
                listed[one_code] += 1.0 / len(own)
        for place in range(size):
            one = item[order[start + place]]
            listed[code[code_indptr[one] : code_indptr[one + 1]]] = 0.0
        p[support[:n_support]] = 0.0
        append_rest(start, stop, order, size, is_chosen)


@kernel
def _change(own: Int32Array, p: Float64Array, listed: Float64Array, n: int) -> float:
    """What an item of these categories changes in KL(p, q) as one of n."""
    change = 0.0
    for one_code in own:
        if p[one_code] > 0.0:
            change += divergence(p[one_code], (listed[one_code] + 1.0 / len(own)) / n)
            change -= divergence(p[one_code], listed[one_code] / n)
    return change
