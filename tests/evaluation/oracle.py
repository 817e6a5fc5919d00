"""The metrics from their definitions: one user at a time, no arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence


def metric_value(name: str, hits: Sequence[bool], n_relevant: int, k: int) -> float:
    """Value of one user whose list has ``hits`` at its ranks."""
    ranks = [rank for rank, hit in enumerate(hits[:k], start=1) if hit]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, n_relevant) + 1))
    places = [rank in ranks for rank in range(1, k + 1)]
    behind = [hit for rank in ranks for hit in places[rank:]]
    n_misses = k - len(ranks)
    return {
        "recall": len(ranks) / n_relevant,
        "recall_capped": len(ranks) / min(k, n_relevant),
        "precision": len(ranks) / k,
        "hit_rate": float(bool(ranks)),
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "map": sum(sum(hits[:rank]) / rank for rank in ranks) / min(k, n_relevant),
        "map_full": sum(sum(hits[:rank]) / rank for rank in ranks) / n_relevant,
        "ndcg": sum(1 / math.log2(rank + 1) for rank in ranks) / ideal,
        "r_precision": sum(rank <= n_relevant for rank in ranks) / n_relevant,
        "auc": (behind.count(False) / n_misses if n_misses else len(ranks)) / n_relevant,
    }[name]
