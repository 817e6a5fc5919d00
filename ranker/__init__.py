"""A gradient-boosted two-stage recommendation engine.

Generators retrieve candidates, a feature stage describes them as of an instant, and a LightGBM
LambdaRank model ranks them.
"""

from __future__ import annotations

import os

# OpenMP's idle threads spin and starve whoever shares the machine. It reads this when the first
# library that uses it loads (implicit, scikit-learn or LightGBM), hence before all other imports.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The matrix products of torch round by the number of threads on some processors, unless told not
# to; a setting of the user's own stands.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from features.errors import (
    ConfigError,
    ExportError,
    MissingExtraError,
    ModelFormatError,
    NotFittedError,
    RankerError,
    SchemaError,
)
from ranker.candidates import (
    ALS,
    BPR,
    EASE,
    Approximate,
    Audience,
    CategoryPopularity,
    CoVisitation,
    EmbeddingSimilarity,
    Generator,
    ItemKNN,
    OwnHistory,
    Popularity,
    RandomWalk,
    SegmentPopularity,
    TextSimilarity,
    Transitions,
    UserKNN,
)
from ranker.distribution import package_version
from ranker.evaluation import compare, evaluate, evaluate_per_user, split_by_time
from ranker.export import export_recommendations, read_export, verify_export
from ranker.holdout import LabelWindows, LastInteractions, RandomHoldout
from ranker.negatives import Negatives
from ranker.recommender import TwoStageRecommender
from ranker.rerank.lambdarank import LambdaRank
from ranker.versions import current_version, list_versions, rollback

__version__ = package_version()

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "Approximate",
    "Audience",
    "CategoryPopularity",
    "CoVisitation",
    "ConfigError",
    "EmbeddingSimilarity",
    "ExportError",
    "Generator",
    "ItemKNN",
    "LabelWindows",
    "LambdaRank",
    "LastInteractions",
    "MissingExtraError",
    "ModelFormatError",
    "Negatives",
    "NotFittedError",
    "OwnHistory",
    "Popularity",
    "RandomHoldout",
    "RandomWalk",
    "RankerError",
    "SchemaError",
    "SegmentPopularity",
    "TextSimilarity",
    "Transitions",
    "TwoStageRecommender",
    "UserKNN",
    "__version__",
    "compare",
    "current_version",
    "evaluate",
    "evaluate_per_user",
    "export_recommendations",
    "list_versions",
    "read_export",
    "rollback",
    "split_by_time",
    "verify_export",
]
