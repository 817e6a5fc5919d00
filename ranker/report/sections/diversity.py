"""What more diverse lists would cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ranker.report.charts import diversity
from ranker.report.data import Absent, Report
from ranker.report.html import Column, Content, element, table
from ranker.report.numbers import interval, number, percent, signed
from ranker.report.section import Section, note
from ranker.report.svg import figure
from ranker.text import count

NAME, TITLE = "diversity", "Accuracy against diversity"


def section(report: Report) -> Section:
    """The curve of NDCG against distance, and its points."""
    part = report.diversity
    if isinstance(part, Absent):
        return Section(NAME, TITLE, part.why)
    k = report.facts.k
    lead = _sentence(part.curve)
    columns = [
        Column("weight", lambda row: f"{row['value']:g}", True),
        Column(f"NDCG@{k}", lambda row: number(row["ndcg"]), True),
        Column("change", _change, True),
        Column("distance", lambda row: number(row["distance"], 3), True),
        Column("coverage", lambda row: percent(row["coverage"]), True),
        Column("novelty, bits", lambda row: number(row["novelty"], 2), True),
    ]
    body: list[Content] = [
        figure(
            "diversity",
            lambda width: diversity(part, width),
            label="NDCG against the mean distance of the items of a list, by weight of diversity",
            caption=_caption(part.curve),
        ),
        table("Accuracy against diversity", columns, part.curve.to_dicts()),
        note(
            f"Lists are reordered by maximal marginal relevance, with the weight of diversity that "
            f"stands beside a point. Distance: half of one minus the cosine of two items by "
            f"{part.embedding}, mean over the list. Lines at the points: 95 % paired intervals of "
            f"the change against the served lists. Over {count(part.n_users, 'test user')}"
            + (" drawn at random." if part.n_users < report.facts.n_users else ".")
        ),
    ]
    return Section(NAME, TITLE, lead, body)


def _sentence(curve: pl.DataFrame) -> str:
    first, *rest = curve.to_dicts()
    free = [row for row in rest if row["change_high"] >= 0]
    gained = max(row["distance"] for row in rest) - first["distance"] if rest else 0.0
    if gained <= 0:
        return "Reordering for diversity does not make the items of a list more unlike each other."
    if free:
        best = max(free, key=lambda row: row["distance"])
        return (
            f"A weight of {best['value']:g} costs no accuracy for certain "
            f"({signed(best['change'])} NDCG) and takes the mean distance of two items of a list "
            f"from {number(first['distance'], 3)} to {number(best['distance'], 3)}."
        )
    row = rest[0]
    return (
        f"Diversity costs accuracy from the start: a weight of {row['value']:g} takes the mean "
        f"distance of two items of a list from {number(first['distance'], 3)} to "
        f"{number(row['distance'], 3)} and changes NDCG by {signed(row['change'])} "
        f"{interval(row['change_low'], row['change_high'], is_signed=True)}."
    )


def _caption(curve: pl.DataFrame) -> str:
    first, last = curve.row(0, named=True), curve.row(-1, named=True)
    return (
        f"Each point is a weight of diversity: from {first['value']:g} to {last['value']:g} the "
        f"mean distance goes from {number(first['distance'], 3)} to {number(last['distance'], 3)} "
        f"and NDCG from {number(first['ndcg'])} to {number(last['ndcg'])}."
    )


def _change(row: Mapping[str, Any]) -> Content:
    span = interval(row["change_low"], row["change_high"], is_signed=True)
    return [signed(row["change"]), " ", element("small", span)]
