"""The pictures of a report, each of a single view so that it fits a given width."""

from __future__ import annotations

from typing import Any

import polars as pl

from features.drift import SHIFTED, STABLE
from ranker.funnel import FINAL_LIST, UNION
from ranker.report.data import Calibration, Diversity
from ranker.report.drawing import NARROW, Chart, altair, data, named, percent, rule, ticks
from ranker.report.svg import ACCENT, GRID, MUTED, PAPER, SECOND, WARN
from ranker.skew import SkewReport

_ROW = 30  # pixels
_TALL = 280


def differences(table: pl.DataFrame, width: int) -> Chart:
    """How far each system is behind the served lists, with its interval."""
    draw = altair()
    rows = table.drop_nulls("difference").with_columns(
        colour=pl.when(pl.col("difference_low") > 0)
        .then(pl.lit(ACCENT))
        .when(pl.col("difference_high") < 0)
        .then(pl.lit(WARN))
        .otherwise(pl.lit(MUTED))
    )
    y = named(draw, "system", rows, width)
    colour = draw.Color("colour:N", scale=None)
    base = draw.Chart(data(draw, rows))
    bars = base.mark_rule(strokeWidth=2).encode(
        y=y,
        x=draw.X(
            "difference_low:Q",
            title="NDCG of the served lists minus the system's",
            axis=ticks(draw, width),
            scale=draw.Scale(padding=12, nice=False),
        ),
        x2="difference_high:Q",
        color=colour,
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y, x="difference:Q", color=colour
    )
    return draw.layer(rule(draw, x=0), bars, points).properties(height=_ROW * rows.height)


def losses(headroom: pl.DataFrame, width: int) -> Chart:
    """What a perfect list would have more than the served one, piece by piece."""
    draw = altair()
    end = float(headroom["ndcg"][-1])
    pieces: list[dict[str, Any]] = [
        {"piece": "in the list", "start": 0.0, "end": end, "colour": ACCENT}
    ]
    for row in reversed(headroom.drop_nulls("why").to_dicts()):
        start, end = end, end + row["loss"]
        pieces.append({"piece": row["why"], "start": start, "end": end, "colour": SECOND})
    for piece in pieces:
        piece["text"] = f"{piece['end'] - piece['start']:.3f}"
    base = draw.Chart(data(draw, pieces))
    y = named(draw, "piece", pieces, width)
    bars = base.mark_bar(height=16, cornerRadius=2).encode(
        y=y,
        x=draw.X("start:Q", title="NDCG", axis=ticks(draw, width), scale=draw.Scale(domain=[0, 1])),
        x2="end:Q",
        color=draw.Color("colour:N", scale=None),
    )
    # The text stands where there is room for it: behind the bar, or before its beginning.
    behind = base.mark_text(align="left", dx=6).encode(y=y, x="end:Q", text="text:N")
    before = base.mark_text(align="right", dx=-6).encode(y=y, x="start:Q", text="text:N")
    texts = [
        behind.transform_filter("datum.end <= 0.85"),
        before.transform_filter("datum.end > 0.85 && datum.start > 0.15"),
    ]
    return draw.layer(bars, *texts).properties(height=_ROW * len(pieces))


def recall(funnel: pl.DataFrame, width: int) -> Chart:
    """Recall by depth: sources thin, their union and the list set off."""
    draw = altair()
    deepest = funnel.group_by("stage", maintain_order=True).last()
    sources = deepest.filter(~pl.col("stage").is_in([UNION, FINAL_LIST])).sort("recall")
    labelled = [UNION, FINAL_LIST, *sources["stage"].tail(1)]
    colours = {UNION: ACCENT, FINAL_LIST: SECOND}
    table = funnel.with_columns(
        colour=pl.col("stage").replace_strict(colours, default=MUTED),
        size=pl.col("stage").is_in(list(colours)).replace_strict({True: 2.5, False: 1.0}),
        named=pl.col("stage").is_in(labelled)
        & (pl.col("depth") == pl.col("depth").max().over("stage")),
    )
    depths = funnel["depth"].unique().sort().to_list()
    axis = draw.Axis(values=depths, grid=False, labelExpr="datum.value")
    # Room at the right for the names of the lines.
    reach = max(depths) * (1.9 if width > NARROW else 3.6)
    x = draw.X(
        "depth:Q",
        title="how many of the best",
        axis=axis,
        scale=draw.Scale(type="log", domain=[min(depths), reach], nice=False),
    )
    y = draw.Y("recall:Q", title=None, axis=percent(draw, width))
    base = draw.Chart(data(draw, table)).encode(color=draw.Color("colour:N", scale=None), x=x, y=y)
    lines = base.mark_line(point=False).encode(
        detail="stage:N", strokeWidth=draw.StrokeWidth("size:Q", scale=None)
    )
    points = base.mark_point(filled=True, opacity=1, size=24)
    names = (
        draw.Chart(data(draw, _apart(table.filter("named"), _top(table["recall"]))))
        .mark_text(align="left", dx=8)
        .encode(x=x, y="at:Q", text="stage:N", color=draw.Color("colour:N", scale=None))
    )
    return draw.layer(lines, points, names).properties(height=_TALL)


def _apart(ends: pl.DataFrame, top: float) -> pl.DataFrame:
    """Places of names at the ends of lines, which would cover each other where lines end close."""
    rows = ends.sort("recall").to_dicts()
    gap, at = 0.065 * max(top, 1e-9), -1.0
    for row in rows:
        at = row["at"] = max(row["recall"], at + gap)
    return pl.DataFrame(rows)


def segments(table: pl.DataFrame, served: str, rival: str, width: int) -> Chart:
    """NDCG of two systems by group of users."""
    draw = altair()
    rows = table.with_columns(
        offset=pl.when(pl.col("system") == served).then(-5).otherwise(5),
        colour=pl.when(pl.col("system") == served).then(pl.lit(ACCENT)).otherwise(pl.lit(SECOND)),
    )
    base = draw.Chart(data(draw, rows))
    y = named(draw, "level", rows, width)
    scale = draw.Scale(domain=[served, rival], range=[ACCENT, SECOND])
    colour = draw.Color("system:N", scale=scale)
    layers = []
    for system, shift in ((served, -5), (rival, 5)):
        own = base.transform_filter(draw.FieldEqualPredicate(field="system", equal=system))
        layers.append(
            own.mark_rule(strokeWidth=2, yOffset=shift).encode(
                y=y,
                x=draw.X("ci_low:Q", title="NDCG", axis=ticks(draw, width)),
                x2="ci_high:Q",
                color=colour,
            )
        )
        layers.append(
            own.mark_point(filled=True, size=60, opacity=1, yOffset=shift).encode(
                y=y, x=draw.X("mean:Q", scale=draw.Scale(zero=True)), color=colour
            )
        )
    n = rows["level"].n_unique()
    return draw.layer(*layers).properties(height=1.3 * _ROW * n)


def diversity(part: Diversity, width: int) -> Chart:
    """NDCG against the distance of the items of a list, from no weight of diversity to much."""
    draw = altair()
    ndcg = part.curve["ndcg"][0]
    start = pl.lit(ndcg) - pl.lit(part.curve["change"][0] or 0.0)
    rows = part.curve.with_columns(
        low=start + pl.col("change_low"),
        high=start + pl.col("change_high"),
        text=pl.Series(_labels(part.curve, 0.06 if width > NARROW else 0.12)),
    )
    base = draw.Chart(data(draw, rows))
    free = draw.Scale(zero=False, padding=18)
    x = draw.X(
        "distance:Q",
        title="mean distance of two items of a list",
        scale=free,
        axis=ticks(draw, width),
    )
    y = draw.Y("ndcg:Q", title="NDCG", scale=draw.Scale(zero=False), axis=ticks(draw, width))
    band = base.mark_rule(strokeWidth=1.5, color=MUTED).encode(
        x=x, y=draw.Y("low:Q", title="NDCG"), y2="high:Q"
    )
    line = base.mark_line(color=ACCENT, strokeWidth=2).encode(x=x, y=y, order="value:Q")
    points = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(x=x, y=y)
    texts = base.mark_text(dx=8, dy=-10, align="left").encode(x=x, y=y, text="text:N")
    return draw.layer(line, band, points, texts).properties(height=_TALL)


def _labels(curve: pl.DataFrame, gap: float) -> list[str]:
    """Weights as text; none where the point before it is so close that they would overlap."""
    at = curve["distance"].to_list()
    least = gap * (max(at) - min(at))
    labels, last = [], float("-inf")
    for value, place in zip(curve["value"], at, strict=True):
        is_apart = abs(place - last) > least
        labels.append(f"{value:g}" if is_apart else "")
        last = place if is_apart else last
    return labels


def families(table: pl.DataFrame, width: int) -> Chart:
    """What share of the gain of all splits each family of features has."""
    draw = altair()
    rows = table.with_columns(
        text=pl.format("{} %", (100 * pl.col("gain")).round(1).cast(pl.String))
    )
    base = draw.Chart(data(draw, rows))
    y = named(draw, "family", rows, width)
    reach = draw.Scale(domain=[0, 1.25 * _top(rows["gain"])], nice=False)
    x = draw.X("gain:Q", axis=None, scale=reach)
    bars = base.mark_bar(height=16, cornerRadius=2, color=ACCENT).encode(y=y, x=x)
    texts = base.mark_text(align="left", dx=6).encode(y=y, x=x, text="text:N")
    return draw.layer(bars, texts).properties(height=_ROW * rows.height)


def shares(skew: SkewReport, width: int) -> Chart:
    """What part of the candidates each source proposes, in training and in serving."""
    draw = altair()
    rows = [
        {"source": name, "then": then, "now": skew.shares_now[name]}
        for name, then in skew.shares_then.items()
    ]
    base = draw.Chart(data(draw, rows))
    y = named(draw, "source", rows, width)
    scale = draw.Scale(domain=["training", "serving"], range=[SECOND, ACCENT])
    axis = percent(draw, width)
    title = "share of the candidates"
    line = base.mark_rule(strokeWidth=2, color=GRID).encode(
        y=y, x=draw.X("then:Q", title=title, axis=axis), x2="now:Q"
    )
    points = [
        base.mark_point(
            filled=side == "serving", size=size, opacity=1, fillOpacity=float(side == "serving")
        )
        .encode(
            y=y,
            x=draw.X(f"{field}:Q", title=title, axis=axis, scale=draw.Scale(zero=True)),
            color=draw.Color("side:N", scale=scale),
        )
        .transform_calculate(side=f"'{side}'")
        for field, side, size in (("then", "training", 110), ("now", "serving", 60))
    ]
    return draw.layer(line, *points).properties(height=_ROW * len(rows))


def stability(table: pl.DataFrame, width: int) -> Chart:
    """The stability index of some features, and where it begins to matter."""
    draw = altair()
    rows = table.with_columns(
        colour=pl.when(pl.col("psi") > SHIFTED).then(pl.lit(WARN)).otherwise(pl.lit(ACCENT))
    )
    base = draw.Chart(data(draw, rows))
    reach = max(1.1 * _top(rows["psi"]), 1.2 * SHIFTED)
    bars = base.mark_bar(height=12, cornerRadius=2).encode(
        y=named(draw, "feature", rows, width),
        x=draw.X(
            "psi:Q",
            title="stability index",
            axis=ticks(draw, width),
            scale=draw.Scale(domain=[0, reach], nice=False),
        ),
        color=draw.Color("colour:N", scale=None),
    )
    rules = [rule(draw, x=bound) for bound in (STABLE, SHIFTED)]
    return draw.layer(bars, *rules).properties(height=0.8 * _ROW * rows.height)


def reliability(part: Calibration, width: int) -> Chart:
    """Predicted against observed shares; on the diagonal both are the same."""
    draw = altair()
    reach = min(
        1.0, 1.1 * float(part.curve.select(pl.max_horizontal(pl.all().exclude("n").max())).item())
    )
    domain = draw.Scale(domain=[0, reach], nice=False)
    axis = percent(draw, width)
    x = draw.X("predicted:Q", title="probability by the score", axis=axis, scale=domain)
    y = draw.Y("observed:Q", title="share that was taken", axis=axis, scale=domain)
    even = [{"predicted": 0.0, "observed": 0.0}, {"predicted": reach, "observed": reach}]
    diagonal = draw.Chart(data(draw, even)).mark_line(
        strokeDash=[4, 4], strokeWidth=1.5, color=MUTED
    )
    base = draw.Chart(data(draw, part.curve))
    line = base.mark_line(color=ACCENT, strokeWidth=2).encode(x=x, y=y)
    points = base.mark_point(
        filled=True, opacity=1, color=ACCENT, stroke=PAPER, strokeWidth=1.5
    ).encode(x=x, y=y, size=draw.Size("n:Q", scale=draw.Scale(range=[40, 260]), legend=None))
    return draw.layer(diagonal.encode(x=x, y=y), line, points).properties(height=_TALL)


def places(table: pl.DataFrame, width: int) -> Chart:
    """How often what stands at a place was taken, with intervals."""
    draw = altair()
    base = draw.Chart(data(draw, table))
    step = 1 if table.height <= 20 else 5
    axis = draw.Axis(values=[1, *range(step, table.height + 1, step)], grid=False, format="d")
    span = draw.Scale(domain=[0.5, table.height + 0.5], nice=False)
    x = draw.X("place:Q", title="place in the list", axis=axis, scale=span)
    y = draw.Y("rate:Q", title=None, axis=percent(draw, width), scale=draw.Scale(zero=True))
    bars = base.mark_rule(strokeWidth=2, color=ACCENT).encode(
        x=x, y=draw.Y("low:Q", title=None), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(x=x, y=y)
    return draw.layer(bars, points).properties(height=0.8 * _TALL)


def _top(values: pl.Series) -> float:
    return float(values.to_numpy().max())
