"""What the recommender knew of its second stage before the test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from ranker.report.data import Absent, Report
from ranker.report.html import Column, Content, element, table
from ranker.report.numbers import interval, number, signed
from ranker.report.section import Section, more, note
from ranker.rerank.gate import TWO_STAGE, GateReport
from ranker.text import count

NAME, TITLE = "gate", "The gate"


def section(report: Report) -> Section:
    """What was compared on the freshest labels, what was decided, and whether it was right."""
    gate = report.gate
    if isinstance(gate, Absent):
        return Section(NAME, TITLE, gate.why)
    body: list[Content] = [_table(gate)]
    if gate.losses:
        body.append(
            note(f"A first stage is better for certain in these groups: {', '.join(gate.losses)}.")
        )
    if gate.segments:
        body.append(more("The same by group of users and items", _segments(gate)))
    return Section(NAME, TITLE, f"{_before(gate)} {_apart(gate)}{_after(report, gate)}", body)


def _before(gate: GateReport) -> str:
    best, pair = gate.best_first_stage, gate.against[gate.best_first_stage]
    told = {
        "better": "better than",
        "worse": "worse than",
        "no difference": "not to be told apart from",
    }[gate.verdict]
    return (
        f"On the freshest labels of the train rows, before it learned from them, the second stage "
        f"was {told} {best}, the best first stage: {signed(pair.difference)} "
        f"{interval(pair.low, pair.high, is_signed=True)} over {count(gate.n_users, 'user')}."
    )


def _apart(gate: GateReport) -> str:
    if not gate.n_cold:
        return ""
    return (
        f"Users without events were judged apart, {gate.n_cold:,} of them: they get "
        f"{gate.cold_winner}. "
    )


def _after(report: Report, gate: GateReport) -> str:
    served = report.systems.served
    if served in gate.ndcg and served not in (TWO_STAGE, "blend"):
        return (
            f"So the gate serves a first stage, {served}: what this page says of trees is said of "
            f"lists that are not served."
        )
    if gate.verdict != "better" and served == TWO_STAGE:
        return "The second stage is served all the same, since the gate was asked to warn only."
    return "The held-out rows, which it could not know, are the test of that."


def _table(gate: GateReport) -> Content:
    columns = [
        Column("system", lambda row: row["system"]),
        Column(f"NDCG@{gate.k}", lambda row: number(row["ndcg"]), True),
        Column("second stage minus it", _difference, True),
    ]
    return table(
        "The gate: freshest labels of the train rows",
        columns,
        gate.frame().to_dicts(),
        strong=lambda row: row["system"] == TWO_STAGE,
    )


def _segments(gate: GateReport) -> Content:
    best = gate.best_first_stage
    frame = gate.segment_frame()
    rows = frame.filter(pl.col("system") == best).to_dicts()
    columns = [
        Column("group", lambda row: row["segment"]),
        Column("users", lambda row: count(row["n_users"]), True),
        Column(f"{best}, NDCG@{gate.k}", lambda row: number(row["ndcg"]), True),
        Column("second stage minus it", _difference, True),
    ]
    return table(
        "The gate by events that users had, and by how often items were taken", columns, rows
    )


def _difference(row: Mapping[str, Any]) -> Content:
    if row["two_stage_minus"] is None:
        return ""
    span = interval(row["ci_low"], row["ci_high"], is_signed=True)
    return [signed(row["two_stage_minus"]), " ", element("small", span)]
