"""Which of the user's own items the item goes with."""

from __future__ import annotations

import numpy as np

from features.arrays import Float32Array, Int32Array, Int64Array
from features.kernel import kernel
from ranker.explain.case import Case
from ranker.explain.topics import Topic


def tell_similarity(case: Case, topic: Topic) -> str | None:
    """``goes with X, bought 3 days ago: of 40 users who have bought it, 12 have bought this too``.

    X is the one of the user's latest items to which the source says that the item is most similar,
    of several the latest; None where there is no such. The numbers are counted over all users.
    """
    source = str(topic.about)
    generator = case.setting.snapshot.generators.get(source)
    matrix = None if generator is None else generator.similarity
    if matrix is None or not len(case.latest):
        return None
    values = _similarities(
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices,
        matrix.data,
        case.latest,
        case.item,
    )
    best = int(values.argmax())
    if not values[best] > 0:
        return None
    partner = int(case.latest[best])
    return f"goes with {case.name_with_time(partner)}{_in_common(case, partner)} (by {source})"


def _in_common(case: Case, partner: int) -> str:
    users = case.setting.takers_of(partner)
    both = len(np.intersect1d(users, case.setting.takers_of(case.item), assume_unique=True))
    if len(users) < 2 or not both:
        return ""
    have = "has" if both == 1 else "have"
    return (
        f": of {len(users):,} users who have {case.verb} it, {both:,} {have} {case.verb} this too"
    )


@kernel
def _similarities(
    indptr: Int64Array, other: Int32Array, value: Float32Array, items: Int32Array, item: int
) -> Float32Array:
    """Similarity of each of some items to one, 0 where it is none of their neighbours."""
    found = np.zeros(len(items), np.float32)
    for place in range(len(items)):
        for at in range(indptr[items[place]], indptr[items[place] + 1]):
            if other[at] == item:
                found[place] = value[at]
    return found
