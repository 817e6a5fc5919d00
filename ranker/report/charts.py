"""The pictures of a report, each of a single view so that it fits a given width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from features.drift import SHIFTED, STABLE
from ranker.funnel import FINAL_LIST, UNION
from ranker.report.data import Calibration, Diversity
from ranker.report.svg import ACCENT, GRID, INK, MUTED, PAPER, SECOND, WARN
from ranker.skew import SkewReport

if TYPE_CHECKING:
    import altair as alt

    Chart = alt.LayerChart | alt.Chart

_ROW = 30  # pixels
_TALL = 280
_NARROW = 500


def differences(table: pl.DataFrame, width: int) -> Chart:
    """How far each system is behind the served lists, with its interval."""
    draw = _altair()
    rows = table.drop_nulls("difference").with_columns(
        colour=pl.when(pl.col("difference_low") > 0)
        .then(pl.lit(ACCENT))
        .when(pl.col("difference_high") < 0)
        .then(pl.lit(WARN))
        .otherwise(pl.lit(MUTED))
    )
    y = draw.Y("system:N", sort=None, title=None, axis=_names(draw, width))
    colour = draw.Color("colour:N", scale=None)
    base = draw.Chart(_data(draw, rows))
    bars = base.mark_rule(strokeWidth=2).encode(
        y=y,
        x=draw.X("difference_low:Q", title=_fit("NDCG of the served lists minus that of the system", width)),
        x2="difference_high:Q",
        color=colour,
    )
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y, x="difference:Q", color=colour
    )
    return draw.layer(_rule(draw, x=0), bars, points).properties(height=_ROW * rows.height)


def losses(headroom: pl.DataFrame, width: int) -> Chart:
    """What a perfect list would have more than the served one, piece by piece."""
    draw = _altair()
    pieces, end = [], float(headroom["ndcg"][-1])
    pieces.append({"piece": "in the list", "start": 0.0, "end": end, "colour": ACCENT})
    for row in reversed(headroom.drop_nulls("why").to_dicts()):
        start, end = end, end + row["loss"]
        pieces.append({"piece": row["why"], "start": start, "end": end, "colour": SECOND})
    for piece in pieces:
        piece["text"] = f"{piece['end'] - piece['start']:.3f}"
    base = draw.Chart(_data(draw, pieces))
    y = draw.Y("piece:N", sort=None, title=None, axis=_names(draw, width))
    bars = base.mark_bar(height=16, cornerRadius=2).encode(
        y=y,
        x=draw.X("start:Q", title="NDCG", scale=draw.Scale(domain=[0, 1])),
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
    draw = _altair()
    deepest = funnel.group_by("stage", maintain_order=True).last()
    sources = deepest.filter(~pl.col("stage").is_in([UNION, FINAL_LIST])).sort("recall")
    named = [UNION, FINAL_LIST, *sources["stage"].tail(1)]
    colours = {UNION: ACCENT, FINAL_LIST: SECOND}
    table = funnel.with_columns(
        colour=pl.col("stage").replace_strict(colours, default=MUTED),
        size=pl.col("stage").is_in(list(colours)).replace_strict({True: 2.5, False: 1.0}),
        named=pl.col("stage").is_in(named) & (pl.col("depth") == pl.col("depth").max().over("stage")),
    )
    depths = funnel["depth"].unique().sort().to_list()
    axis = draw.Axis(values=depths, grid=False, labelExpr="datum.value")
    # Room at the right for the names of the lines.
    reach = max(depths) * (1.9 if width > _NARROW else 3.6)
    x = draw.X(
        "depth:Q",
        title="how many of the best",
        axis=axis,
        scale=draw.Scale(type="log", domain=[min(depths), reach], nice=False),
    )
    y = draw.Y("recall:Q", title=None, axis=draw.Axis(format=".0%", tickCount=5))
    base = draw.Chart(_data(draw, table)).encode(color=draw.Color("colour:N", scale=None), x=x, y=y)
    lines = base.mark_line(point=False).encode(
        detail="stage:N", strokeWidth=draw.StrokeWidth("size:Q", scale=None)
    )
    points = base.mark_point(filled=True, opacity=1, size=24)
    names = (
        draw.Chart(_data(draw, _apart(table.filter("named"), float(table["recall"].max() or 0))))
        .mark_text(align="left", dx=8)
        .encode(x=x, y="at:Q", text="stage:N", color=draw.Color("colour:N", scale=None))
    )
    return draw.layer(lines, points, names).properties(height=_TALL)


def _apart(named: pl.DataFrame, top: float) -> pl.DataFrame:
    """Places of names at the ends of lines, which would cover each other where lines end close."""
    rows = named.sort("recall").to_dicts()
    gap, at = 0.065 * max(top, 1e-9), -1.0
    for row in rows:
        at = row["at"] = max(row["recall"], at + gap)
    return pl.DataFrame(rows)


def segments(table: pl.DataFrame, served: str, rival: str, width: int) -> Chart:
    """NDCG of two systems by group of users."""
    draw = _altair()
    rows = table.with_columns(
        offset=pl.when(pl.col("system") == served).then(-5).otherwise(5),
        colour=pl.when(pl.col("system") == served).then(pl.lit(ACCENT)).otherwise(pl.lit(SECOND)),
    )
    base = draw.Chart(_data(draw, rows))
    y = draw.Y("level:N", sort=None, title=None, axis=_names(draw, width))
    scale = draw.Scale(domain=[served, rival], range=[ACCENT, SECOND])
    colour = draw.Color("system:N", scale=scale)
    layers = []
    for system, shift in ((served, -5), (rival, 5)):
        own = base.transform_filter(draw.FieldEqualPredicate(field="system", equal=system))
        layers.append(
            own.mark_rule(strokeWidth=2, yOffset=shift).encode(
                y=y, x=draw.X("ci_low:Q", title="NDCG"), x2="ci_high:Q", color=colour
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
    draw = _altair()
    ndcg = part.curve["ndcg"][0]
    start = pl.lit(ndcg) - pl.lit(part.curve["change"][0] or 0.0)
    rows = part.curve.with_columns(
        low=start + pl.col("change_low"),
        high=start + pl.col("change_high"),
        text=pl.col("value").map_elements(lambda value: f"{value:g}", return_dtype=pl.String),
    )
    base = draw.Chart(_data(draw, rows))
    free = draw.Scale(zero=False, padding=18)
    x = draw.X("distance:Q", title="mean distance of two items of a list", scale=free)
    y = draw.Y("ndcg:Q", title="NDCG", scale=draw.Scale(zero=False))
    band = base.mark_rule(strokeWidth=1.5, color=MUTED).encode(
        x=x, y=draw.Y("low:Q", title="NDCG"), y2="high:Q"
    )
    line = base.mark_line(color=ACCENT, strokeWidth=2).encode(x=x, y=y, order="value:Q")
    points = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(x=x, y=y)
    texts = base.mark_text(dx=8, dy=-10, align="left").encode(x=x, y=y, text="text:N")
    return draw.layer(line, band, points, texts).properties(height=_TALL)


def families(table: pl.DataFrame, width: int) -> Chart:
    """What share of the gain of all splits each family of features has."""
    draw = _altair()
    rows = table.with_columns(
        text=pl.format("{} %", (100 * pl.col("gain")).round(1).cast(pl.String))
    )
    base = draw.Chart(_data(draw, rows))
    y = draw.Y("family:N", sort=None, title=None, axis=_names(draw, width))
    reach = draw.Scale(domain=[0, 1.25 * float(rows["gain"].max() or 1.0)], nice=False)
    x = draw.X("gain:Q", axis=None, scale=reach)
    bars = base.mark_bar(height=16, cornerRadius=2, color=ACCENT).encode(y=y, x=x)
    texts = base.mark_text(align="left", dx=6).encode(y=y, x=x, text="text:N")
    return draw.layer(bars, texts).properties(height=_ROW * rows.height)


def shares(skew: SkewReport, width: int) -> Chart:
    """What part of the candidates each source proposes, in training and in serving."""
    draw = _altair()
    rows = [
        {"source": name, "then": then, "now": skew.shares_now[name]}
        for name, then in skew.shares_then.items()
    ]
    base = draw.Chart(_data(draw, rows))
    y = draw.Y("source:N", sort=None, title=None, axis=_names(draw, width))
    scale = draw.Scale(domain=["training", "serving"], range=[SECOND, ACCENT])
    axis = draw.Axis(format=".0%", tickCount=5)
    title = "share of the candidates"
    line = base.mark_rule(strokeWidth=2, color=GRID).encode(
        y=y, x=draw.X("then:Q", title=title, axis=axis), x2="now:Q"
    )
    points = [
        base.mark_point(
            filled=side == "serving", size=size, opacity=1, fillOpacity=float(side == "serving")
        ).encode(
            y=y,
            x=draw.X(f"{field}:Q", title=title, axis=axis, scale=draw.Scale(zero=True)),
            color=draw.Color("side:N", scale=scale),
        ).transform_calculate(side=f"'{side}'")
        for field, side, size in (("then", "training", 110), ("now", "serving", 60))
    ]
    return draw.layer(line, *points).properties(height=_ROW * len(rows))


def stability(table: pl.DataFrame, width: int) -> Chart:
    """The stability index of some features, and where it begins to matter."""
    draw = _altair()
    rows = table.with_columns(
        colour=pl.when(pl.col("psi") > SHIFTED).then(pl.lit(WARN)).otherwise(pl.lit(ACCENT))
    )
    base = draw.Chart(_data(draw, rows))
    reach = max(1.1 * float(rows["psi"].max() or 0.0), 1.2 * SHIFTED)
    bars = base.mark_bar(height=12, cornerRadius=2).encode(
        y=draw.Y("feature:N", sort=None, title=None, axis=_names(draw, width)),
        x=draw.X(
            "psi:Q", title="stability index", scale=draw.Scale(domain=[0, reach], nice=False)
        ),
        color=draw.Color("colour:N", scale=None),
    )
    rules = [_rule(draw, x=bound) for bound in (STABLE, SHIFTED)]
    return draw.layer(bars, *rules).properties(height=0.8 * _ROW * rows.height)


def reliability(part: Calibration, width: int) -> Chart:
    """Predicted against observed shares; on the diagonal both are the same."""
    draw = _altair()
    reach = min(1.0, 1.1 * float(part.curve.select(pl.max_horizontal(pl.all().exclude("n").max())).item()))
    domain = draw.Scale(domain=[0, reach], nice=False)
    axis = draw.Axis(format=".0%", tickCount=5)
    x = draw.X("predicted:Q", title="probability by the score", axis=axis, scale=domain)
    y = draw.Y("observed:Q", title="share that was taken", axis=axis, scale=domain)
    even = [{"predicted": 0.0, "observed": 0.0}, {"predicted": reach, "observed": reach}]
    diagonal = draw.Chart(_data(draw, even)).mark_line(
        strokeDash=[4, 4], strokeWidth=1.5, color=MUTED
    )
    base = draw.Chart(_data(draw, part.curve))
    line = base.mark_line(color=ACCENT, strokeWidth=2).encode(x=x, y=y)
    points = base.mark_point(
        filled=True, opacity=1, color=ACCENT, stroke=PAPER, strokeWidth=1.5
    ).encode(x=x, y=y, size=draw.Size("n:Q", scale=draw.Scale(range=[40, 260]), legend=None))
    return draw.layer(diagonal.encode(x=x, y=y), line, points).properties(height=_TALL)


def places(table: pl.DataFrame, width: int) -> Chart:
    """How often what stands at a place was taken, with intervals."""
    draw = _altair()
    base = draw.Chart(_data(draw, table))
    step = 1 if table.height <= 20 else 5
    axis = draw.Axis(values=[1, *range(step, table.height + 1, step)], grid=False, format="d")
    x = draw.X("place:Q", title="place in the list", axis=axis, scale=draw.Scale(padding=14, nice=False))
    y = draw.Y(
        "rate:Q", title=None, axis=draw.Axis(format=".0%", tickCount=5), scale=draw.Scale(zero=True)
    )
    bars = base.mark_rule(strokeWidth=2, color=ACCENT).encode(x=x, y=draw.Y("low:Q", title=None), y2="high:Q")
    points = base.mark_point(filled=True, size=60, opacity=1, color=ACCENT).encode(x=x, y=y)
    return draw.layer(bars, points).properties(height=0.8 * _TALL)


def _names(draw: Any, width: int) -> Any:
    """The axis that names rows: long names are cut where the page is narrow."""
    return draw.Axis(grid=False, labelLimit=220 if width > _NARROW else 130)


def _fit(title: str, width: int) -> str | list[str]:
    """A title in two lines where one is too long."""
    if width > _NARROW or len(title) < 44:
        return title
    words = title.split()
    middle = len(words) // 2
    return [" ".join(words[:middle]), " ".join(words[middle:])]


def _rule(draw: Any, *, x: float) -> Any:
    return (
        draw.Chart(_data(draw, [{"at": x}]))
        .mark_rule(strokeDash=[4, 4], color=INK, opacity=0.6)
        .encode(x="at:Q")
    )


def _data(draw: Any, rows: pl.DataFrame | Sequence[dict[str, Any]]) -> Any:
    """Rows as they are, in the chart itself: no size limit, no further library."""
    return draw.Data(values=rows.to_dicts() if isinstance(rows, pl.DataFrame) else list(rows))


def _altair() -> Any:
    import altair

    return altair
