"""How good are the lists: metrics, intervals, and the split that makes them honest."""

from __future__ import annotations

from ranker.evaluation.compare import compare
from ranker.evaluation.distance import intra_list_distance
from ranker.evaluation.evaluate import DEFAULT_METRICS, evaluate, evaluate_per_user
from ranker.evaluation.intervals import (
    Interval,
    PairedInterval,
    bootstrap_interval,
    bootstrap_intervals,
    paired_interval,
)
from ranker.evaluation.metrics import METRICS, Metric, hit_matrix
from ranker.evaluation.novelty import mean_information
from ranker.evaluation.splits import split_by_time

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "Interval",
    "Metric",
    "PairedInterval",
    "bootstrap_interval",
    "bootstrap_intervals",
    "compare",
    "evaluate",
    "evaluate_per_user",
    "hit_matrix",
    "intra_list_distance",
    "mean_information",
    "paired_interval",
    "split_by_time",
]
