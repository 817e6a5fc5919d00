"""Which of the user's own items is nearest, by the vectors of a source."""

from __future__ import annotations

import numpy as np

from ranker.explain.case import Case
from ranker.explain.sources import tell_source
from ranker.explain.topics import Topic


def tell_taste(case: Case, topic: Topic) -> str | None:
    """``matches the taste for X, bought 3 days ago (number 3 by als)``; None where none is near.

    X is the one of the user's latest items whose vector has the largest cosine with the item's.
    """
    vectors = case.setting.vectors.get(str(topic.about))
    if vectors is None or not len(case.latest):
        return None
    own = vectors[case.latest].astype(np.float64)
    this = vectors[case.item].astype(np.float64)
    norms = np.linalg.norm(own, axis=1) * np.linalg.norm(this)
    cosine = np.divide(own @ this, norms, out=np.zeros(len(own)), where=norms > 0)
    best = int(cosine.argmax())
    if not cosine[best] > 0:
        return None
    said = tell_source(case, topic) or f"by {topic.about}"
    return f"matches the taste for {case.name_with_time(int(case.latest[best]))} ({said})"
