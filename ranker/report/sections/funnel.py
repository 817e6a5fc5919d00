"""Where relevant items get lost, and what a perfect order would score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from ranker.funnel import FINAL_LIST, UNION
from ranker.report.charts import losses, recall
from ranker.report.data import Report
from ranker.report.html import Column, Content, table
from ranker.report.numbers import number, percent
from ranker.report.section import Section, note, subheading
from ranker.report.svg import figure
from ranker.text import count

_SMALL = 0.0005  # of NDCG: nothing, at three digits


def section(report: Report) -> Section:
    """Losses of NDCG by reason, then the recall of each stage by depth."""
    headroom, k = report.headroom, report.facts.k
    lead = headroom_sentence(headroom, k)
    body: list[Content] = [
        figure(
            "losses",
            lambda width: losses(headroom, width),
            label=f"What the served lists have of a perfect list's NDCG@{k}, and what they lose",
            caption=_losses_sentence(headroom),
        ),
        _losses(report),
        subheading("Recall by depth"),
        figure(
            "recall",
            lambda width: recall(report.funnel, width),
            label="Share of the relevant items among the first of each stage",
            caption=_recall_sentence(report.funnel),
        ),
        _funnel(report.funnel),
        note(
            "Recall: share of a user's held-out items, mean over users. Adds: relevant items that "
            "no other source proposes at all."
        ),
    ]
    return Section("funnel", "Funnel and headroom", lead, body)


def headroom_sentence(headroom: pl.DataFrame, k: int) -> str:
    """Where the rest of a perfect list is."""
    lost = {row["why"]: row["loss"] for row in headroom.drop_nulls("why").to_dicts()}
    if all(loss < _SMALL for loss in lost.values()):
        return "There is no headroom: no other list could score higher on the held-out items."
    order = sorted(lost, key=lambda why: -lost[why])
    parts = [f"{number(lost[why], 3)} is {_WHY[why]}" for why in order if lost[why] >= _SMALL]
    nothing = [_NOTHING[why] for why in order if lost[why] < _SMALL]
    text = (
        f"Of a perfect list's NDCG@{k} of 1, the served lists have "
        f"{number(headroom['ndcg'][-1], 3)}; {', '.join(parts)}."
    )
    return " ".join([text, *nothing])


def _losses_sentence(headroom: pl.DataFrame) -> str:
    """What the picture of losses shows."""
    lost = headroom.drop_nulls("why").sort("loss", descending=True, maintain_order=True)
    total = float(lost["loss"].sum())
    text = "The list's own NDCG, and what separates it from a perfect one of 1."
    if total < _SMALL:
        return text
    share = percent(lost["loss"][0] / total, 0)
    return f"{text} {share} of the loss is of one kind: {lost['why'][0]}."


_WHY = {
    "badly ranked": "lost by the order of what was proposed",
    "not retrieved": "lost because no source proposed it",
    "filtered": "filtered, as the user had taken it before",
}
_NOTHING = {
    "badly ranked": "Nothing is lost by the order.",
    "not retrieved": "Nothing is lost by retrieval.",
    "filtered": "Nothing is lost to filters.",
}


def _losses(report: Report) -> Content:
    columns = [
        Column("what is left", lambda row: row["stage"]),
        Column(f"NDCG@{report.facts.k}", lambda row: number(row["ndcg"]), True),
        Column("lost", lambda row: number(row["loss"]) if row["why"] else "", True),
        Column("why", lambda row: row["why"] or ""),
        Column("relevant items", lambda row: count(row["n_items"]), True),
    ]
    return table(
        "Headroom: what each stage leaves of a perfect list", columns, report.headroom.to_dicts()
    )


def _recall_sentence(funnel: pl.DataFrame) -> str:
    deepest = {
        row["stage"]: row for row in funnel.group_by("stage", maintain_order=True).last().to_dicts()
    }
    union = deepest[UNION]
    sources = [row for stage, row in deepest.items() if stage not in (UNION, FINAL_LIST)]
    best = max(sources, key=lambda row: row["recall"])
    adds = max(sources, key=lambda row: row["adds"])
    return (
        f"Together the sources propose {percent(union['recall'])} of the relevant items; "
        f"{best['stage']} finds most by itself, {percent(best['recall'])} down to its depth, and "
        f"{adds['stage']} most that no other source finds, {count(adds['adds'], 'item')}. Thin "
        f"lines are single sources."
    )


def _funnel(funnel: pl.DataFrame) -> Content:
    depths = funnel["depth"].unique().sort().to_list()
    rows: dict[str, dict[str, object]] = {}
    for row in funnel.to_dicts():
        own = rows.setdefault(row["stage"], {"stage": row["stage"]})
        own |= {str(row["depth"]): row["recall"], "lost": row["lost"], "adds": row["adds"]}
    columns = [Column("stage", lambda row: row["stage"])]
    columns += [Column(f"@{depth}", _recall_at(str(depth)), True) for depth in depths]
    columns += [
        Column("lost for good", lambda row: count(row["lost"]), True),
        Column("adds", lambda row: "" if row["adds"] is None else count(row["adds"]), True),
    ]
    return table(
        "Recall of each stage by depth",
        columns,
        rows.values(),
        strong=lambda row: row["stage"] in (UNION, FINAL_LIST),
    )


def _recall_at(depth: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: number(row[depth], 3) if depth in row else ""
