"""How good are the lists: metrics, intervals, and the split that makes them honest."""

from __future__ import annotations

from ranker.evaluation.beyond import LIST_METRICS, SYSTEM_METRICS
from ranker.evaluation.compare import compare, compare_over
from ranker.evaluation.distance import intra_list_distance
from ranker.evaluation.evaluate import (
    DEFAULT_METRICS,
    KNOWN_METRICS,
    evaluate,
    evaluate_per_user,
    parse_metric,
)
from ranker.evaluation.exposure import gini, lorenz, lorenz_curve
from ranker.evaluation.frames import rank_by_score
from ranker.evaluation.hits import hit_matrix
from ranker.evaluation.intervals import (
    Interval,
    PairedInterval,
    bootstrap_interval,
    bootstrap_intervals,
    paired_interval,
)
from ranker.evaluation.metrics import METRICS, Metric
from ranker.evaluation.novelty import mean_information
from ranker.evaluation.off_policy import (
    OffPolicyEstimate,
    doubly_robust,
    ips,
    snips,
)
from ranker.evaluation.other_splits import (
    leave_last_n,
    split_by_column,
    split_new_items,
    split_new_users,
)
from ranker.evaluation.plots import comparison_chart, lorenz_chart
from ranker.evaluation.policy_table import off_policy_table
from ranker.evaluation.predictions import (
    calibration_curve,
    calibration_error,
    evaluate_ratings,
    mae,
    rmse,
)
from ranker.evaluation.segments import user_segments
from ranker.evaluation.significance import effect_size, holm, permutation_p_value
from ranker.evaluation.splits import rolling_origin, split_by_time

__all__ = [
    "DEFAULT_METRICS",
    "KNOWN_METRICS",
    "LIST_METRICS",
    "METRICS",
    "SYSTEM_METRICS",
    "Interval",
    "Metric",
    "OffPolicyEstimate",
    "PairedInterval",
    "bootstrap_interval",
    "bootstrap_intervals",
    "calibration_curve",
    "calibration_error",
    "compare",
    "compare_over",
    "comparison_chart",
    "doubly_robust",
    "effect_size",
    "evaluate",
    "evaluate_per_user",
    "evaluate_ratings",
    "gini",
    "hit_matrix",
    "holm",
    "intra_list_distance",
    "ips",
    "leave_last_n",
    "lorenz",
    "lorenz_chart",
    "lorenz_curve",
    "mae",
    "mean_information",
    "off_policy_table",
    "paired_interval",
    "parse_metric",
    "permutation_p_value",
    "rank_by_score",
    "rmse",
    "rolling_origin",
    "snips",
    "split_by_column",
    "split_by_time",
    "split_new_items",
    "split_new_users",
    "user_segments",
]
