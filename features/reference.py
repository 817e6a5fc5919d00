"""The reference of all features, from what the blocks say of themselves.

``python -m features.reference`` writes it to ``REFERENCE.md`` beside this file.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from features.block import Context
from features.encode import encode
from features.example_source import ExampleSource
from features.history import LogFacts
from features.stage import FeatureStage

PATH = Path(__file__).with_name("REFERENCE.md")

_HEAD = """# Features

What the default blocks compute, as `describe()` tells it; `python -m features.reference` writes it.
`SOURCE` stands for each candidate source, `COLUMN` for each attribute that items share, `EVENT` for
each name of events (if there are several). Times are in days; on an integer clock in steps, and
their names end in `_steps`. NaN (null in frames) means unknown. Windows are shares of the length of
the log: `48th` is its last forty-eighth, about a week of a year.
"""


def reference(stage: FeatureStage | None = None) -> str:
    """A table per family, in Markdown: feature, unit, meaning."""
    log = pl.DataFrame(
        {
            "user_id": [1, 1, 2],
            "item_id": [1, 2, 1],
            "timestamp": [dt.datetime(2024, 1, day) for day in (1, 3, 9)],
            "event": ["EVENT", "EVENT", "OTHER"],
        }
    )
    attribute = {"COLUMN": ["a", "b", "a", "b"]}
    items = pl.DataFrame({"item_id": [1, 2, 3, 4]} | attribute)
    users = pl.DataFrame({"user_id": [1, 2, 3, 4]} | attribute)
    facts = LogFacts.of(log)
    history, item_table, user_table = encode(
        log, as_of=facts.clock.tick(dt.date(2024, 1, 10)), facts=facts, items=items, users=users
    )
    sources = {"SOURCE": ExampleSource.of(history)}
    context = Context(history, item_table, user_table, sources)
    features = (stage or FeatureStage()).fit(context).describe()
    features = features.filter(~pl.col("name").str.contains("OTHER"))
    lines = [_HEAD]
    for family in features["family"].unique(maintain_order=True):
        lines += [f"## {family}", "", "| feature | unit | meaning |", "|---|---|---|"]
        rows = features.filter(pl.col("family") == family)
        lines += [
            f"| `{name}` | {unit} | {meaning} |"
            for name, unit, meaning in rows.select("name", "unit", "meaning").iter_rows()
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PATH.write_text(reference())
