"""Point-in-time features for recommendation candidates, in Polars and numba.

Declare a :class:`FeatureStage`, or let it be inferred from the columns present; ask for its
``snapshot`` as of an instant; join that to any candidates.

Examples
--------
>>> import polars as pl
>>> log = pl.DataFrame({"user_id": [1, 2, 1], "item_id": [7, 7, 8], "timestamp": [10, 20, 35]})
>>> snapshot = FeatureStage.infer(log).snapshot(log, as_of=30)
>>> snapshot.join(pl.DataFrame({"user_id": [1, 1], "item_id": [7, 8]}))["history_count"].to_list()
[1.0, None]
"""

from __future__ import annotations

from features.block import Block, ChoosesColumns, Context, Feature, FittedBlock
from features.choice import Choice
from features.custom import CustomBlock
from features.drift import DriftReport, feature_drift
from features.errors import LeakError, RankerError
from features.leaks import check_no_leak
from features.listwise import Listwise
from features.snapshot import FeatureSnapshot
from features.stage import FeatureStage
from features.window_counts import WindowCounts

__all__ = [
    "Block",
    "Choice",
    "ChoosesColumns",
    "Context",
    "CustomBlock",
    "DriftReport",
    "Feature",
    "FeatureSnapshot",
    "FeatureStage",
    "FittedBlock",
    "LeakError",
    "Listwise",
    "RankerError",
    "WindowCounts",
    "check_no_leak",
    "feature_drift",
]
