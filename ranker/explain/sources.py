"""Where a source puts the item."""

from __future__ import annotations

from ranker.explain.case import Case
from ranker.explain.topics import Topic


def tell_source(case: Case, topic: Topic) -> str | None:
    """``number 3 by als``; None where the source does not propose the item."""
    rank = case.rank.get(str(topic.about))
    return None if rank is None else f"number {rank:,} by {topic.about}"
