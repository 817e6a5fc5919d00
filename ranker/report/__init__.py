"""A page about how good the lists are: figures first, then how they look."""

from __future__ import annotations

from ranker.report.collect import collect_report
from ranker.report.data import Absent, Report
from ranker.report.page import render_report
from ranker.report.write import check_destination, write_report

__all__ = [
    "Absent",
    "Report",
    "check_destination",
    "collect_report",
    "render_report",
    "write_report",
]
