"""What the trees split on."""

from __future__ import annotations

import polars as pl

from ranker.report.charts import families
from ranker.report.data import Absent, Report
from ranker.report.html import Column, Content, table
from ranker.report.numbers import percent
from ranker.report.section import Section, more, note
from ranker.report.svg import figure
from ranker.text import count

NAME, TITLE = "features", "Features"
_SHOWN = 20
_MEANINGS = {
    "source": "score, rank and percentile by each source",
    "history": "the user's own events with the item",
    "similarity": "likeness to the user's latest items",
    "embedding": "inner products and cosines of user and item",
    "item": "popularity, trend and age of the item",
    "user": "size, breadth and rhythm of the user's history",
    "affinity": "the user's events with items of the same kind",
    "list": "place among the user's candidates",
}


def section(report: Report) -> Section:
    """Gain by family and the features that have most of it."""
    part = report.features
    if isinstance(part, Absent):
        return Section(NAME, TITLE, part.why)
    by_family = (
        part.table.group_by("family")
        .agg(pl.col("gain").sum(), n=pl.len())
        .sort("gain", "family", descending=[True, False])
    )
    first, best = by_family.row(0, named=True), part.table.row(0, named=True)
    lead = (
        f"The trees gained most, {percent(first['gain'])}, by features of the family "
        f"{first['family']}; the single feature with most is {best['name']}, "
        f"{percent(best['gain'])}."
    )
    idle = int((part.table["gain"] == 0).sum())
    caption = (
        f"Share of what all splits gained in training, by family: "
        f"{count(part.table.height, 'feature')} in {by_family.height} families. "
        + (f"No split is on {idle} of them." if idle else "There are splits on all of them.")
    )
    body: list[Content] = [
        figure(
            "families",
            lambda width: families(by_family, width),
            label="Share of the gain of all splits by family of features",
            caption=caption,
        ),
        table(
            "Families of features",
            [
                Column("family", lambda row: row["family"]),
                Column("gain", lambda row: percent(row["gain"]), True),
                Column("features", lambda row: count(row["n"]), True),
                Column("describes", lambda row: _MEANINGS.get(row["family"], ""), is_long=True),
            ],
            by_family.to_dicts(),
        ),
        more(
            f"The {min(_SHOWN, part.table.height)} features with most gain",
            table(
                "Features with most gain",
                [
                    Column("feature", lambda row: row["name"]),
                    Column("gain", lambda row: percent(row["gain"]), True),
                    Column("family", lambda row: row["family"]),
                    Column("meaning", lambda row: row["meaning"], is_long=True),
                ],
                part.table.head(_SHOWN).to_dicts(),
            ),
        ),
        note(
            "Gain says what trees used, not what would be missing without it: features that say "
            "nearly the same share it."
        ),
    ]
    if not part.text:
        body.append(note("No source and no feature reads the words of titles or descriptions."))
    return Section(NAME, TITLE, lead, body)
