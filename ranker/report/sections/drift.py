"""Whether serving looks like training."""

from __future__ import annotations

import polars as pl

from features.drift import SHIFTED, STABLE, DriftReport
from ranker.report.charts import shares, stability
from ranker.report.data import Absent, Report
from ranker.report.html import Column, Content, element, table
from ranker.report.numbers import count, number, percent, signed
from ranker.report.section import Section, note, subheading
from ranker.report.svg import figure
from ranker.skew import SkewReport

NAME, TITLE = "drift", "Training against serving"
_SHOWN = 10


def section(report: Report) -> Section:
    """Candidates, scores and features of the label windows beside those that are served."""
    skew, drift = report.skew, report.drift
    if isinstance(skew, Absent):
        return Section(NAME, TITLE, skew.why)
    warnings = skew.warnings
    lead = (
        "Nothing is out of the ordinary: what is served looks like what the trees learned from."
        if not warnings
        else f"Out of the ordinary: {'; '.join(warnings)}."
    )
    body = [*_skew(skew), *(_drift(drift) if isinstance(drift, DriftReport) else [note(drift.why)])]
    return Section(NAME, TITLE, lead, body)


def _skew(skew: SkewReport) -> list[Content]:
    name, change = skew.most_changed
    caption = (
        f"The part of the candidates that a source proposes changes most for {name}: "
        f"{percent(skew.shares_then[name])} in the freshest label window, "
        f"{percent(skew.shares_now[name])} in serving."
    )
    ratio = (
        "there is one window only"
        if skew.recall_ratio is None
        else f"{number(skew.recall_ratio, 2)} times that"
    )
    facts = [
        ("recall of the candidates, freshest window", percent(skew.recall[0])),
        ("mean of the older windows", ratio),
        ("shift of the scores, stability index", number(skew.score_psi, 3)),
        (
            "candidates of a user, training and serving",
            f"{number(skew.n_candidates_then, 0)} and {number(skew.n_candidates_now, 0)}",
        ),
        ("users looked at on each side", count(skew.n_users)),
    ]
    return [
        element("dl", [element("div", element("dt", dt), element("dd", dd)) for dt, dd in facts]),
        figure(
            "shares",
            lambda width: shares(skew, width),
            label="Share of the candidates by source, in training and in serving",
            caption=caption,
        ),
    ]


def _drift(drift: DriftReport) -> list[Content]:
    worst = drift.features.head(_SHOWN)
    much = int((drift.features["psi"] > SHIFTED).sum())
    looks = "hardly better than by chance" if drift.auc < 0.6 else "better than by chance"
    caption = (
        f"{much} of {count(drift.features.height, 'feature')} have shifted much (beyond {SHIFTED}), "
        f"{count(int((drift.features['psi'] > STABLE).sum()))} somewhat or more (beyond {STABLE}); "
        f"a classifier tells rows of training from rows of serving with an AUC of "
        f"{number(drift.auc, 2)}, {looks}."
    )
    columns = [
        Column("feature", lambda row: row["feature"]),
        Column("family", lambda row: row["family"]),
        Column("index", lambda row: number(row["psi"], 3), True),
        Column("median, training", lambda row: _short(row["median_then"]), True),
        Column("median, serving", lambda row: _short(row["median_now"]), True),
        Column("unknown, training", lambda row: percent(row["unknown_then"]), True),
        Column("unknown, serving", lambda row: percent(row["unknown_now"]), True),
    ]
    return [
        subheading("Drift of features"),
        figure(
            "stability",
            lambda width: stability(worst, width),
            label=f"Stability index of the {worst.height} features that shifted most",
            caption=caption,
        ),
        table("Features that shifted most", columns, worst.to_dicts()),
    ]


def _short(value: float | None) -> str:
    return number(value, 1 if value is not None and abs(value) >= 100 else 3)
