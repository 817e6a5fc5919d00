"""Who is served well, and who is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ranker.evaluation.compare import EVERYBODY
from ranker.evaluation.segments import HISTORY, POPULARITY
from ranker.report.charts import segments
from ranker.report.data import Absent, Report
from ranker.report.html import Column, Content, element, table
from ranker.report.numbers import interval, listing, number, signed
from ranker.report.section import Section, note, subheading
from ranker.report.svg import figure
from ranker.text import count

NAME, TITLE = "segments", "Segments"
_TITLES = {HISTORY: "By length of history", POPULARITY: "By popularity of the held-out items"}
_ROWS = {HISTORY: "events before", POPULARITY: "popularity"}
_LEVELS = {
    HISTORY: ["0", "1-2", "3-9", "10-49", "50+"],
    POPULARITY: ["head", "middle", "tail"],
}


def section(report: Report) -> Section:
    """The served lists and their rival by group of users."""
    part, rival = report.systems.by_segment, report.systems.rival
    if isinstance(part, Absent) or rival is None:
        why = part.why if isinstance(part, Absent) else ""
        return Section(NAME, TITLE, f"Groups of users are not compared. {why}")
    body: list[Content] = []
    for segment, title in _TITLES.items():
        order = pl.Enum(_LEVELS[segment])
        rows = part.filter(pl.col("segment") == segment).sort(
            pl.col("level").cast(order), maintain_order=True
        )
        body += [
            subheading(title),
            figure(
                f"segment-{segment.replace('_', '-')}",
                lambda width, rows=rows: segments(rows, report.systems.served, rival, width),  # type: ignore[misc]
                label=f"NDCG of the served lists and of {rival}, {title.lower()}",
                caption=_sentence(rows, report.systems.served, segment),
            ),
            _table(rows, report, segment, rival),
        ]
    body.append(
        note(
            "Head: the third of users whose held-out items are taken most often; tail: the third "
            "whose items are rare. Intervals are of one comparison each: one group in forty "
            "looks worse by chance."
        )
    )
    return Section(NAME, TITLE, _lead(part, rival), body)


def _lead(part: pl.DataFrame, rival: str) -> str:
    rows = part.filter(pl.col("segment") != EVERYBODY).drop_nulls("difference")
    names = [f"{_ROWS[row['segment']]} {row['level']}" for row in rows.to_dicts()]
    lost = [name for name, high in zip(names, rows["difference_high"], strict=True) if high < 0]
    if lost:
        return f"By 95 % intervals the served lists lose to {rival} in {listing(lost)}."
    won = (rows["difference_low"] > 0).sum()
    return (
        f"By 95 % intervals the served lists are worse than {rival} in no group of users, and "
        f"better in {won} of {rows.height}."
    )


def _sentence(rows: pl.DataFrame, served: str, segment: str) -> str:
    own = rows.filter(pl.col("system") == served).sort("mean", maintain_order=True).to_dicts()
    worst, best = own[0], own[-1]
    what = {HISTORY: "{} events before", POPULARITY: "{} items"}[segment]
    if len(own) == 1:
        return (
            f"All {count(best['n_users'], 'user')} are in one group, {what.format(best['level'])}: "
            f"there is nothing to compare within it."
        )
    return (
        f"Best served are users with {what.format(best['level'])}, NDCG {number(best['mean'], 3)} "
        f"({count(best['n_users'], 'user')}); worst those with {what.format(worst['level'])}, "
        f"{number(worst['mean'], 3)} ({count(worst['n_users'], 'user')})."
    )


def _table(rows: pl.DataFrame, report: Report, segment: str, rival: str) -> Content:
    served, k = report.systems.served, report.facts.k
    both = [
        {"level": level, "own": _of(rows, level, served), "rival": _of(rows, level, rival)}
        for level in rows["level"].unique(maintain_order=True)
    ]
    columns = [
        Column(_ROWS[segment], lambda row: row["level"].replace("-", "–")),
        Column("users", lambda row: count(row["own"]["n_users"]), True),
        Column(f"{served}, NDCG@{k}", lambda row: number(row["own"]["mean"]), True),
        Column(f"{rival}, NDCG@{k}", lambda row: number(row["rival"]["mean"]), True),
        Column("difference", lambda row: _difference(row["rival"]), True),
    ]
    return table(_TITLES[segment], columns, both)


def _of(rows: pl.DataFrame, level: str, system: str) -> dict[str, Any]:
    return rows.row(
        by_predicate=(pl.col("level") == level) & (pl.col("system") == system), named=True
    )


def _difference(row: Mapping[str, Any]) -> Content:
    span = interval(row["difference_low"], row["difference_high"], is_signed=True)
    return [signed(row["difference"]), " ", element("small", span)]
