"""Whether serving looks like training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from features.drift import SHIFTED, STABLE
from ranker.report.charts import shares, stability
from ranker.report.data import Absent, Features, Report
from ranker.report.html import Column, Content, element, table
from ranker.report.numbers import number, percent
from ranker.report.section import Section, note, subheading
from ranker.report.svg import figure
from ranker.skew import SkewReport
from ranker.text import count

NAME, TITLE = "drift", "Training against serving"
_SHOWN = 10


def section(report: Report) -> Section:
    """Candidates, scores and features of the label windows beside those that are served."""
    skew = report.skew
    if isinstance(skew, Absent):
        return Section(NAME, TITLE, skew.why)
    lead = (
        "Candidates and scores that are served look like those that the trees learned from."
        if not skew.warnings
        else f"Out of the ordinary: {'; '.join(skew.warnings)}."
    )
    shifted = [name for name, psi in skew.feature_psi.items() if psi > SHIFTED]
    if shifted and isinstance(report.features, Features):
        gain = report.features.table.filter(pl.col("name").is_in(shifted))["gain"]
        lead += (
            f" {count(len(shifted), 'feature')} of {len(skew.feature_psi)} "
            f"{'has' if len(shifted) == 1 else 'have'} shifted much; together "
            f"{percent(float(gain.to_numpy().sum()))} of the trees' gain is theirs."
        )
    return Section(NAME, TITLE, lead, [*_skew(skew), *_drift(skew, report)])


def _skew(skew: SkewReport) -> list[Content]:
    name, _ = skew.most_changed
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


def _drift(skew: SkewReport, report: Report) -> list[Content]:
    if not skew.feature_psi:
        return [note("Single features were not compared: nothing is proposed on one of the sides.")]
    table_ = pl.DataFrame(
        {"feature": list(skew.feature_psi), "psi": list(skew.feature_psi.values())}
    ).sort("psi", "feature", descending=[True, False])
    worst, much = table_.head(_SHOWN), int((table_["psi"] > SHIFTED).sum())
    caption = (
        f"{much} of {count(table_.height, 'feature')} have shifted much (beyond {SHIFTED}) and "
        f"{int(table_['psi'].is_between(STABLE, SHIFTED).sum())} somewhat (beyond {STABLE}); most "
        f"of all {worst['feature'][0]}, {number(worst['psi'][0], 3)}."
    )
    described = {}
    if isinstance(report.features, Features):
        described = {row["name"]: row for row in report.features.table.to_dicts()}
    columns = [
        Column("feature", lambda row: row["feature"]),
        Column("index", lambda row: number(row["psi"], 3), True),
        Column("gain", lambda row: _of(described, row, "gain"), True),
        Column("meaning", lambda row: _of(described, row, "meaning"), is_long=True),
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
        note(
            "Population stability index: 0 where the values of training and serving are shared "
            "out alike. The freshest label window is compared with what is served; "
            "recommender.drift() looks at all windows, at medians and at what is unknown."
        ),
    ]


def _of(described: dict[str, dict[str, Any]], row: Mapping[str, Any], what: str) -> str:
    own = described.get(row["feature"])
    if own is None:
        return ""
    return percent(own["gain"]) if what == "gain" else str(own[what])
