"""Every feature block that there is."""

from __future__ import annotations

from features.affinity import AttributeAffinity
from features.block import Block
from features.breadth import UserBreadth
from features.content import LatestCosine, WordSimilarity
from features.context import ClockAffinity, ColdFlags
from features.encoding import AttributeEncoding
from features.event import ItemConversion, LastEvents
from features.item import ItemPopularity
from features.lateness import ItemLateness
from features.numeric import NumericAttributes
from features.pair import UserItemHistory
from features.segment import SegmentShare
from features.similarity import AGGREGATES, EmbeddingAffinity, HistorySimilarity
from features.source import SourceScores
from features.user import UserActivity


def all_blocks() -> tuple[Block, ...]:
    """The whole catalogue, each block with its defaults and all of its columns."""
    return (
        SourceScores(),
        UserItemHistory(),
        LastEvents(),
        HistorySimilarity(aggregates=tuple(AGGREGATES)),
        EmbeddingAffinity(),
        LatestCosine(),
        WordSimilarity(),
        ItemPopularity(),
        ItemLateness(),
        ItemConversion(),
        SegmentShare(),
        UserActivity(),
        UserBreadth(),
        AttributeAffinity(),
        AttributeEncoding(),
        NumericAttributes(),
        ColdFlags(),
        ClockAffinity(),
    )
