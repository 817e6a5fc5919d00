"""Protocols run end to end, our figures beside those of others.

>>> from ranker import benchmark
>>> sorted(benchmark.PROTOCOLS)[:2]
['amazon-beauty', 'amazon-toys']
"""

from __future__ import annotations

from ranker.benchmark.cuts import Case, Split
from ranker.benchmark.outcome import Outcome
from ranker.benchmark.protocols import PROTOCOLS, Protocol, load_case
from ranker.benchmark.published import PUBLISHED, PublishedRow
from ranker.benchmark.run import run
from ranker.benchmark.table import format_outcome

__all__ = [
    "PROTOCOLS",
    "PUBLISHED",
    "Case",
    "Outcome",
    "Protocol",
    "PublishedRow",
    "Split",
    "format_outcome",
    "load_case",
    "run",
]
