"""The first stage: generators of candidates, and their merge."""

from __future__ import annotations

from ranker.candidates.als import ALS
from ranker.candidates.approximate import Approximate
from ranker.candidates.audience import Audience
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.bpr import BPR
from ranker.candidates.content import EmbeddingSimilarity, TextSimilarity
from ranker.candidates.covisitation import CoVisitation
from ranker.candidates.ease import EASE
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.merge import merge
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.candidates.random_walk import RandomWalk
from ranker.candidates.segments import CategoryPopularity, SegmentPopularity
from ranker.candidates.transitions import Transitions
from ranker.candidates.user_knn import UserKNN

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "Approximate",
    "Audience",
    "CategoryPopularity",
    "CoVisitation",
    "EmbeddingSimilarity",
    "Generator",
    "ItemKNN",
    "OwnHistory",
    "Popularity",
    "RandomWalk",
    "Retrieved",
    "SegmentPopularity",
    "TextSimilarity",
    "Transitions",
    "UserKNN",
    "merge",
]
