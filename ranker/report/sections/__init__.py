"""The parts of the page, in their order."""

from __future__ import annotations

from collections.abc import Callable

from ranker.report.data import Report
from ranker.report.section import Section
from ranker.report.sections import (
    calibration,
    diversity,
    drift,
    features,
    funnel,
    gate,
    lists,
    method,
    segments,
    systems,
)

SECTIONS: tuple[Callable[[Report], Section], ...] = (
    systems.section,
    gate.section,
    funnel.section,
    segments.section,
    diversity.section,
    features.section,
    drift.section,
    calibration.section,
    lists.section,
    method.section,
)
