"""What the user had to do with other items of the same category, brand, genre."""

from __future__ import annotations

import numpy as np

from features.arrays import BoolArray, Int32Array, Int64Array
from features.kernel import kernel
from ranker.explain import words
from ranker.explain.case import Case
from ranker.explain.topics import Topic


def tell_affinity(case: Case, topic: Topic) -> str | None:
    """``other items of brand ACME bought 14 times, last 3 days ago``; None where there are none.

    Of several values (genres) the one of which the user took others most often, of equal ones the
    first. What is counted are events.
    """
    column = str(topic.about)
    codes = case.setting.codes.get(column)
    if codes is None:
        return None
    own, clock = case.own, case.setting.clock
    is_other = own.item != case.item
    of_item = codes.code[codes.indptr[case.item] : codes.indptr[case.item + 1]]
    shared = [is_other & _has(codes.indptr, codes.code, own.item, int(code)) for code in of_item]
    counts = [int(one.sum()) for one in shared]
    if not any(counts):
        return None
    best = int(np.argmax(counts))
    value = case.setting.catalogue.values(case.item, column)[best]
    label = "called" if column == "title" else f"of {column.replace('_', ' ')}"
    said = words.ago(clock, (own.now - own.time[shared[best]].max()) / clock.unit)
    last = "" if said is None else f", last {said}"
    return f"other items {label} {value} {case.verb} {words.times(counts[best])}{last}"


@kernel
def _has(indptr: Int64Array, code: Int32Array, items: Int32Array, wanted: int) -> BoolArray:
    """Whether each of some items has a value."""
    found = np.zeros(len(items), np.bool_)
    for place in range(len(items)):
        for at in range(indptr[items[place]], indptr[items[place] + 1]):
            if code[at] == wanted:
                found[place] = True
    return found
