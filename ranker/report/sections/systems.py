"""Every system on the same users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from ranker.report.charts import differences
from ranker.report.data import SERVED, Report
from ranker.report.html import Column, Content, element, table
from ranker.report.numbers import interval, listing, number, p_value, signed
from ranker.report.section import Section, more, note
from ranker.report.svg import figure
from ranker.text import count

NAMES = {
    "ndcg": "NDCG",
    "recall": "recall",
    "mrr": "MRR",
    "hit_rate": "hit rate",
    "map": "MAP",
    "gini": "Gini index",
}
"""What metrics are called on the page; the others as they are."""


def metric_name(metric: str) -> str:
    """What a metric is called on the page."""
    return NAMES.get(metric, metric.replace("_", " "))


def verdict(report: Report) -> str:
    """The served lists against their rival, in a sentence."""
    systems, k = report.systems, report.facts.k
    own = systems.row(systems.served)["mean"]
    if systems.rival is None:
        return f"The lists have NDCG@{k} {number(own)}; no other system is there to compare with."
    row = systems.row(systems.rival)
    kind = "the second stage" if systems.rival == "two-stage" else "the best system without trees"
    span = interval(row["difference_low"], row["difference_high"], is_signed=True)
    if row["difference_low"] > 0:
        told = "better than"
    elif row["difference_high"] < 0:
        told = "worse than"
    else:
        told = "not to be told apart from"
    return (
        f"The served lists have NDCG@{k} {number(own)} and are {told} {systems.rival}, {kind}, "
        f"which has {number(row['mean'])}: {signed(row['difference'])} {span} over the same "
        f"{count(int(row['n_users']), 'user')}."
    )


def section(report: Report) -> Section:
    """The table of systems, and how far they are apart."""
    systems = report.systems
    ndcg = systems.table.filter(pl.col("metric") == "ndcg")
    others = ndcg.drop_nulls("difference")
    body: list[Content] = []
    if others.height:
        caption = "Right of zero the served lists are better; lines are 95 % paired intervals."
        if systems.rival is not None:
            row = systems.row(systems.rival)
            span = interval(row["difference_low"], row["difference_high"], is_signed=True)
            caption += (
                f" {systems.rival} is {_side(row)} by {number(abs(row['difference']))} {span}."
            )
        body.append(
            figure(
                "differences",
                lambda width: differences(ndcg, width),
                label="NDCG of the served lists minus that of each other system",
                caption=caption,
            )
        )
    body.append(_table(report))
    body.append(
        note(
            "Difference: the served lists minus the system, over the same users; above zero the "
            "served lists are better. Intervals are of one comparison each; p, by a permutation "
            "test, is adjusted by Holm for all systems and metrics of the table. Wins and losses: "
            "users for whom the served list is better, and worse."
        )
    )
    if systems.served == SERVED:
        body.append(
            note(
                "“served” are the lists as they go out: users with and without events are "
                "served by different systems, so that they are those of none alone."
            )
        )
    body.append(_quality(report))
    return Section("systems", "Systems", _lead(report, others), body)


def _side(row: Mapping[str, Any]) -> str:
    return "behind" if row["difference"] >= 0 else "ahead"


def _lead(report: Report, others: pl.DataFrame) -> str:
    users = f"on the same {count(report.facts.n_users, 'user')}"
    if not others.height:
        return f"There is one system only, {report.systems.served}, judged {users}."
    won = int((others["difference_low"] > 0).sum())
    lost = others.filter(pl.col("difference_high") < 0)["system"].to_list()
    return (
        f"By 95 % intervals the served lists beat {won} of "
        f"{count(others.height, 'other system')} and lose to "
        f"{listing(lost) if lost else 'none'}, {users}."
    )


def _table(report: Report) -> Content:
    metrics = report.systems.table["metric"].unique(maintain_order=True).to_list()
    wide: dict[str, dict[str, Any]] = {}
    for row in report.systems.table.iter_rows(named=True):
        wide.setdefault(row["system"], {"system": row["system"]})[row["metric"]] = row
    k = report.facts.k
    columns = [Column("system", lambda row: row["system"])]
    columns += [Column(f"{metric_name(metric)}@{k}", _mean_of(metric), True) for metric in metrics]
    columns += [
        Column("difference in NDCG", lambda row: _difference(row["ndcg"]), True),
        Column("p", lambda row: p_value(row["ndcg"]["p_holm"]), True),
        Column("wins", lambda row: _whole(row["ndcg"]["reference_better"]), True),
        Column("losses", lambda row: _whole(row["ndcg"]["system_better"]), True),
    ]
    return table(
        f"Systems, best first by NDCG@{k}, with 95 % intervals",
        columns,
        wide.values(),
        strong=lambda row: row["system"] == report.systems.served,
    )


def _mean_of(metric: str) -> Callable[[Mapping[str, Any]], Content]:
    def cell(row: Mapping[str, Any]) -> Content:
        own = row[metric]
        if metric != "ndcg":
            return number(own["mean"])
        return [number(own["mean"]), " ", element("small", interval(own["ci_low"], own["ci_high"]))]

    return cell


def _difference(row: Mapping[str, Any]) -> Content:
    if row["difference"] is None:
        return element("small", "the served lists")
    span = interval(row["difference_low"], row["difference_high"], is_signed=True)
    return [signed(row["difference"]), " ", element("small", span)]


def _whole(n: int | None) -> str:
    return "" if n is None else f"{n:,}"


def _quality(report: Report) -> Content:
    rows = report.systems.quality.to_dicts()
    columns = [
        Column("metric", lambda row: f"{metric_name(row['metric'])}@{row['k']}"),
        Column("value", lambda row: number(row["mean"]), True),
        Column("95 % interval", lambda row: interval(row["ci_low"], row["ci_high"]), True),
        Column("meaning", lambda row: MEANINGS[row["metric"]], is_long=True),
    ]
    return more(
        "More about the served lists: coverage, novelty, repetition…",
        table("Further metrics of the served lists", columns, rows),
    )


MEANINGS = {
    "ndcg": "relevant items in the list, those at the top counting more, as a share of the best "
    "possible list",
    "recall": "share of a user's held-out items that the list has",
    "mrr": "one by the place of the first relevant item",
    "hit_rate": "share of users with a relevant item in the list",
    "precision": "share of the list that is relevant",
    "map": "mean over the relevant items of the precision down to their place",
    "coverage": "share of the catalogue that occurs in any list",
    "gini": "how unevenly places go to items, from 0 for evenly to 1",
    "novelty": "mean information of a listed item in bits: the rarer it is taken, the more",
    "repetition": "share of the list that the user had taken before",
}
"""What metrics are, in a few words."""
