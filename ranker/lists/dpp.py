"""A determinantal point process: the list whose items span the largest volume."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from features.arrays import BoolArray, Float32Array, Int32Array, Int64Array
from features.history import History
from features.kernel import kernel
from ranker.lists.arguments import check_depth, check_name, check_share
from ranker.lists.caps import Caps, take
from ranker.lists.context import ListContext
from ranker.lists.embedding import similarity, unit_vectors
from ranker.lists.pool import Pool, append_rest, consider, may_choose
from ranker.lists.reorder import Reorder, longest

# A squared distance from the span of the chosen items below this is rounding: it says nothing.
_NOTHING = 1e-9


@dataclass(frozen=True)
class DPP(Reorder):
    """Diversity by the most probable set of a determinantal point process, greedily.

    The log probability of a list is, up to a constant,
    ``(1 - diversity) * sum of relevance + diversity * log det S``, where S holds the similarities
    ``(1 + cosine) / 2`` of its items and relevance is the score from 0 for the worst of those
    looked at to 1 for the best. Items come in the order in which each adds most to it, by the
    updates of a Cholesky factor that make this quick. Once every item left lies in the span of
    those chosen, the others follow in their order. Ties keep the former order.

    Chen, Zhang, Zhou: Fast greedy MAP inference for determinantal point process to improve
    recommendation diversity (NeurIPS 2018), algorithm 1, with their trade-off of relevance and
    diversity, whose weight theta is ``1 - diversity`` here.

    Parameters
    ----------
    embedding : str
        A source with vectors of items, such as ``"als"``, or an Array or List column of the item
        table.
    diversity : float
        From 0, the order stays, to 1, only the volume counts. It reaches further than the same
        weight of :class:`MMR`: see :func:`ranker.lists.diversity_curve`.
    depth : int
        How many of the best are looked at.
    """

    embedding: str
    _: KW_ONLY
    diversity: float = 0.3
    depth: int = 100

    def __post_init__(self) -> None:
        check_name(self, "embedding", self.embedding)
        check_share(self, diversity=self.diversity)
        check_depth(self, self.depth)

    def bind(self, context: ListContext) -> BoundDPP:
        """Look the vectors up."""
        return BoundDPP(self, unit_vectors(context, self, self.embedding))


@dataclass(frozen=True)
class BoundDPP:
    """:class:`DPP` with unit vectors, float32 [n_items, n_factors]."""

    step: DPP
    vectors: Float32Array

    def order(self, pool: Pool, history: History, k: int, caps: Caps) -> Int64Array:
        """See :class:`~ranker.lists.reorder.BoundReorder`."""
        order = np.empty(len(pool.item), np.int64)
        _dpp(
            pool.indptr,
            pool.item,
            pool.place_score,
            pool.reserved,
            caps.indptr,
            caps.code,
            caps.limit,
            self.vectors,
            float(self.step.diversity),
            max(self.step.depth, k),
            k,
            longest(pool.indptr),
            order,
        )
        return order


@kernel
def _dpp(
    indptr: Int64Array,
    item: Int32Array,
    place_score: Float32Array,
    reserved: BoolArray,
    cap_indptr: Int64Array,
    cap_code: Int32Array,
    limit: Int64Array,
    vectors: Float32Array,
    diversity: float,
    depth: int,
    k: int,
    most: int,
    order: Int64Array,
) -> None:
    row, relevance = np.empty(most, np.int64), np.empty(most)
    is_taken, is_chosen = np.empty(most, np.bool_), np.empty(most, np.bool_)
    # Of the paper: c_i are rows of the Cholesky factor, d_i^2 what i adds to the determinant.
    c, d2 = np.empty((most, k)), np.empty(most)
    left = np.empty_like(limit)
    for user in range(len(indptr) - 1):
        start, stop = indptr[user], indptr[user + 1]
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
        d2[:n] = 1.0
        is_taken[:n] = False
        n_free, size, n_updates = k - n_reserved, 0, 0
        while size < k:
            best, best_value, best_spans = -1, -np.inf, False
            for at in range(n):
                if is_taken[at] or not may_choose(
                    row[at], n_free, item, reserved, cap_indptr, cap_code, left
                ):
                    continue
                spans = diversity == 0.0 or d2[at] > _NOTHING
                value = (1.0 - diversity) * relevance[at]
                if spans and diversity > 0.0:
                    value += diversity * np.log(d2[at])
                if (
                    best < 0
                    or (spans and not best_spans)
                    or (spans == best_spans and value > best_value)
                ):
                    best, best_value, best_spans = at, value, spans
            if best < 0:
                break
            is_taken[best] = True
            order[start + size] = row[best]
            size += 1
            if not reserved[row[best]]:
                n_free -= 1
                take(item[row[best]], cap_indptr, cap_code, left, 1)
            if d2[best] <= _NOTHING or diversity == 0.0:
                continue
            d = np.sqrt(d2[best])
            for at in range(n):
                if is_taken[at]:
                    continue
                e = similarity(vectors, item[row[best]], item[row[at]])
                for update in range(n_updates):
                    e -= c[best, update] * c[at, update]
                e /= d
                c[at, n_updates] = e
                d2[at] -= e * e
            n_updates += 1
        append_rest(start, stop, order, size, is_chosen)
