"""From scores to final lists: rules, diversity, exploration.

A :class:`Policy` is a short list of steps, small frozen dataclasses, that
``TwoStageRecommender.recommend(policy=...)`` applies to scored candidates.
"""

from ranker.lists.allowed import FilterAllowed, FilterDenied
from ranker.lists.available import FilterAvailable
from ranker.lists.calibrate import Calibrate
from ranker.lists.cap import Cap
from ranker.lists.curve import diversity_curve
from ranker.lists.dpp import DPP
from ranker.lists.explore import Epsilon, Explore
from ranker.lists.mmr import MMR
from ranker.lists.new_items import NewItems
from ranker.lists.policy import Policy
from ranker.lists.quota import Quota
from ranker.lists.seen import FilterSeen
from ranker.lists.thompson import Thompson
from ranker.lists.where import FilterWhere

__all__ = [
    "DPP",
    "MMR",
    "Calibrate",
    "Cap",
    "Epsilon",
    "Explore",
    "FilterAllowed",
    "FilterAvailable",
    "FilterDenied",
    "FilterSeen",
    "FilterWhere",
    "NewItems",
    "Policy",
    "Quota",
    "Thompson",
    "diversity_curve",
]
