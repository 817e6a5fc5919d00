"""How well a network ranks what was held out."""

from __future__ import annotations

import numpy as np

from features.arrays import AnyArray, Float32Array


def total_gain(
    scores: Float32Array,
    wanted: AnyArray,
    seen_row: AnyArray,
    seen_place: AnyArray,
    depth: int | None = None,
) -> float:
    """NDCG of one held-out item a row, summed over the rows.

    Whatever is not below the wanted item stands before it: ties count against it, or a network
    that says the same of all items would be perfect, and so do scores that are no numbers.

    Parameters
    ----------
    scores : float32 array [n, n_places]
    wanted : int64 array [n]
        Places.
    seen_row, seen_place : int64 arrays [n_seen]
        Rows and places of what the users took otherwise, which is not ranked; the wanted may be
        among it.
    depth : int, optional
        Gains behind it are zero. Default: the whole catalogue counts, which tells epochs apart
        by fewer users.
    """
    row = np.arange(len(scores))
    own = scores[row, wanted]
    is_before = ~(scores < own[:, None])
    is_before[seen_row, seen_place] = False
    is_before[row, wanted] = False
    rank = is_before.sum(1)
    counts = ~np.isnan(own) & (rank < (scores.shape[1] if depth is None else depth))
    gain = np.where(counts, 1.0 / np.log2(rank + 2.0), 0.0)
    return float(gain.sum())
