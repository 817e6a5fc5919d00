"""Maximal marginal relevance: next comes what is relevant and unlike what is listed already."""

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


@dataclass(frozen=True)
class MMR(Reorder):
    """Diversity by maximal marginal relevance.

    Chosen next is the item with the largest ``(1 - diversity) * relevance - diversity * nearest``,
    where relevance is the score from 0 for the worst of those looked at to 1 for the best, and
    nearest the largest similarity ``(1 + cosine) / 2`` to an item that is chosen already. Items
    without a vector count as neither alike nor opposite to any other. Ties keep the former order.

    Carbonell, Goldstein: The use of MMR, diversity-based reranking for reordering documents and
    producing summaries (SIGIR 1998).

    Parameters
    ----------
    embedding : str
        A source with vectors of items, such as ``"als"``, or an Array or List column of the item
        table.
    diversity : float
        From 0, the order stays, to 1, only unlikeness counts.
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

    def bind(self, context: ListContext) -> BoundMMR:
        """Look the vectors up."""
        return BoundMMR(self, unit_vectors(context, self, self.embedding))


@dataclass(frozen=True)
class BoundMMR:
    """:class:`MMR` with unit vectors, float32 [n_items, n_factors]."""

    step: MMR
    vectors: Float32Array

    def order(self, pool: Pool, history: History, k: int, caps: Caps) -> Int64Array:
        """See :class:`~ranker.lists.reorder.BoundReorder`."""
        order = np.empty(len(pool.item), np.int64)
        _mmr(
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
def _mmr(
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
    nearest, is_taken, is_chosen = (
        np.empty(most),
        np.empty(most, np.bool_),
        np.empty(most, np.bool_),
    )
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
        nearest[:n] = 0.0
        is_taken[:n] = False
        n_free, size = k - n_reserved, 0
        while size < k:
            best, best_value = -1, -np.inf
            for at in range(n):
                if is_taken[at] or not may_choose(
                    row[at], n_free, item, reserved, cap_indptr, cap_code, left
                ):
                    continue
                value = (1.0 - diversity) * relevance[at] - diversity * nearest[at]
                if value > best_value:
                    best, best_value = at, value
            if best < 0:
                break
            is_taken[best] = True
            order[start + size] = row[best]
            size += 1
            if not reserved[row[best]]:
                n_free -= 1
                take(item[row[best]], cap_indptr, cap_code, left, 1)
            for at in range(n):
                if not is_taken[at]:
                    alike = similarity(vectors, item[row[best]], item[row[at]])
                    nearest[at] = max(nearest[at], alike)
        append_rest(start, stop, order, size, is_chosen)
