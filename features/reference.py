"""The reference of all features, from what the blocks say of themselves.

``python -m features.reference`` writes it to ``REFERENCE.md`` beside this file.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl

from features.block import Context
from features.catalogue import all_blocks
from features.encode import encode
from features.example_source import ExampleSource
from features.history import LogFacts
from features.stage import FeatureStage, block_name

PATH = Path(__file__).with_name("REFERENCE.md")

_HEAD = """# Features

What every block of the catalogue computes, as `describe()` tells it; `python -m features.reference`
writes it. Those marked under default are there without a word; for the others name their block, as
in `FeatureStage.infer(interactions, items, users, blocks=all_blocks())`.

`SOURCE` stands for each candidate source, `COLUMN` for each attribute whose values items (in
`segment`: users) share, `NUMBER`, `DATE` and `VECTOR` for columns of the item table with such
values, `EVENT` and `OTHER` for names of events (if there are several). Times are in days; on an
integer clock in steps, and their names end in `_steps`. NaN (null in frames) means unknown. Windows
are shares of the length of the log: `48th` is its last forty-eighth, about a week of a year. The
columns of `ItemLateness` are there where timestamps are positions in the history of each user.
"""


def reference(stage: FeatureStage | None = None) -> str:
    """A table per family, in Markdown: feature, whether by default, block, unit, meaning.

    Parameters
    ----------
    stage : FeatureStage, optional
        Default: the whole catalogue.
    """
    stage = stage or FeatureStage(all_blocks())
    by_day, by_position = _context(is_dated=True), _context(is_dated=False)
    dated = stage.fit(by_day)
    # What an absolute clock has no columns of is for positions.
    mute = tuple(
        block
        for block, fitted in zip(stage.blocks, dated.blocks, strict=True)
        if not fitted.features
    )
    placed = FeatureStage(mute).fit(by_position)
    defaults = {*FeatureStage().fit(by_day).names, *FeatureStage().fit(by_position).names}
    owners = {
        feature.name: f"`{block_name(block)}`"
        for blocks, tables in ((stage.blocks, dated), (mute, placed))
        for block, fitted in zip(blocks, tables.blocks, strict=True)
        for feature in fitted.features
    }
    features = [
        # The second name of events says nothing new, but for what leads from one to the other.
        feature
        for feature in (*dated.features, *placed.features)
        if "OTHER" not in feature.name or "EVENT" in feature.name
    ]
    lines = [_HEAD]
    for family in dict.fromkeys(feature.family for feature in features):
        head = "| feature | default | block | unit | meaning |"
        lines += [f"## {family}", "", head, "|---|---|---|---|---|"]
        lines += [
            f"| `{one.name}` | {'yes' if one.name in defaults else ''} "
            f"| {owners.get(one.name, '`Listwise`')} | {one.unit} | {one.meaning} |"
            for one in features
            if one.family == family
        ]
        lines.append("")
    return "\n".join(lines)


def _context(*, is_dated: bool) -> Context:
    """Four items, of which two users took two, with a column of each kind."""
    log = pl.DataFrame(
        {
            "user_id": [1, 1, 2],
            "item_id": [1, 2, 1],
            "timestamp": [dt.datetime(2024, 1, day) for day in (1, 3, 9)]
            if is_dated
            else [0, 1, 0],
            "event": ["EVENT", "EVENT", "OTHER"],
        }
    )
    attribute = {"COLUMN": ["a", "b", "a", "b"]}
    numbers = {
        "NUMBER": [1.0, 2.0, 3.0, 4.0],
        "DATE": [dt.date(2023, 1, day) for day in (1, 2, 3, 4)],
        "VECTOR": [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]],
    }
    items = pl.DataFrame({"item_id": [1, 2, 3, 4]} | attribute | numbers)
    users = pl.DataFrame({"user_id": [1, 2, 3, 4]} | attribute)
    facts = LogFacts.of(log)
    as_of = facts.clock.tick(dt.date(2024, 1, 10)) if is_dated else None
    history, item_table, user_table = encode(
        log, as_of=as_of, facts=facts, items=items, users=users
    )
    return Context(history, item_table, user_table, {"SOURCE": ExampleSource.of(history)})


if __name__ == "__main__":
    PATH.write_text(reference())
