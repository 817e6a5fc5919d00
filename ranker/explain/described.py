"""Families without a renderer of their own: what the strongest feature says of itself."""

from __future__ import annotations

import math

from ranker.explain import words
from ranker.explain.case import Case
from ranker.explain.topics import Topic


def tell_described(case: Case, topic: Topic) -> str | None:
    """``share of its users who came back: 12 %``; None where the value is unknown."""
    feature = case.strongest(topic)
    value = math.nan if feature is None else case.value(feature.name)
    if feature is None or not math.isfinite(value):
        return None
    unit = f" {feature.unit}" if feature.unit in ("days", "steps") else ""
    return f"{feature.meaning}: {words.number(value, feature.unit)}{unit}"
