"""Pictures of comparisons and of exposure, by Altair (the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import polars as pl

from features.errors import ConfigError, MissingExtraError
from ranker.evaluation.beyond import LOWER_IS_BETTER

if TYPE_CHECKING:
    import altair as alt

_NEEDED = ("system", "metric", "k", "difference", "difference_low", "difference_high")
_LEVEL = 0.05


def comparison_chart(comparison: pl.DataFrame) -> alt.VConcatChart:
    """Draw how far each system is behind or ahead of the reference, with its interval.

    Parameters
    ----------
    comparison : DataFrame
        From :func:`ranker.compare` or :func:`ranker.evaluation.compare_over`: one panel for each
        metric (and data set, and segment).

    Returns
    -------
    altair.VConcatChart
        Right of zero the reference is better (where less is better, left of it: the title of the
        panel says so); filled points are told apart by the permutation test after Holm's
        adjustment, at 5 %.

    Raises
    ------
    MissingExtraError
        Altair is not installed.
    ConfigError
        The frame is no comparison, or has the reference alone.
    """
    draw: Any = _altair()
    missing = [name for name in _NEEDED if name not in comparison.columns]
    if missing:
        raise ConfigError(f"comparison has no columns {', '.join(missing)}; pass what compare gave")
    rows = comparison.drop_nulls("difference")
    if not rows.height:
        raise ConfigError("comparison holds the reference alone; compare it with another system")
    panel = [name for name in ("data", "segment") if name in rows.columns]
    less = pl.when(pl.col("metric").is_in(LOWER_IS_BETTER)).then(pl.lit(" (less is better)"))
    metric = pl.format("{}@{}{}", "metric", "k", less.otherwise(pl.lit("")))
    title = pl.concat_str([*panel, metric], separator=", ")
    label = pl.col("system")
    if "level" in rows.columns:
        label = pl.format("{}: {}", "level", "system")
    told = (pl.col("p_holm") < _LEVEL).replace_strict(
        {True: "told apart", False: "not told apart"}, return_dtype=pl.String
    )
    table = rows.select(title.alias("panel"), label.alias("label"), told.alias("test"), *_NEEDED)
    # Panels are charts of their own: facets of layers would show every row in each of them.
    panels = [_panel(draw, rows, name) for (name,), rows in _parts(table)]
    chart: alt.VConcatChart = draw.vconcat(*panels)
    return chart


def _parts(table: pl.DataFrame) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
    return iter(table.group_by("panel", maintain_order=True))


def _panel(draw: Any, rows: pl.DataFrame, title: str) -> Any:
    y = draw.Y("label:N", sort=None, title=None)
    x_title = "reference minus system, 95 % interval"
    zero = draw.Chart().mark_rule(strokeDash=[4, 3], opacity=0.6).encode(x=draw.datum(0))
    bars = (
        draw.Chart()
        .mark_rule(strokeWidth=2)
        .encode(y=y, x=draw.X("difference_low:Q", title=x_title), x2="difference_high:Q")
    )
    is_told = draw.condition("datum.test == 'told apart'", draw.value(1), draw.value(0))
    points = (
        draw.Chart()
        .mark_point(size=60, strokeWidth=2, fill="#4c78a8")
        .encode(
            y=y,
            x="difference:Q",
            fillOpacity=is_told,
            tooltip=["system:N", "metric:N", "difference:Q", "test:N"],
        )
    )
    layers = draw.layer(zero, bars, points, data=_values(draw, rows))
    return layers.properties(width=320, title=title)


def lorenz_chart(curves: dict[str, pl.DataFrame]) -> alt.LayerChart:
    """Draw Lorenz curves of several systems: the further below the diagonal, the less even.

    Parameters
    ----------
    curves : dict of name to DataFrame
        From :func:`ranker.evaluation.lorenz_curve`.

    Returns
    -------
    altair.LayerChart

    Raises
    ------
    MissingExtraError
        Altair is not installed.
    ConfigError
        No curves.
    """
    draw: Any = _altair()
    if not curves:
        raise ConfigError("curves is empty; expected frames of lorenz_curve by name")
    table = pl.concat(
        frame.select(pl.lit(name).alias("system"), "items", "places")
        for name, frame in curves.items()
    )
    even = pl.DataFrame({"items": [0.0, 1.0], "places": [0.0, 1.0]})
    x = draw.X("items:Q", title="share of items, least shown first")
    y = draw.Y("places:Q", title="share of places in lists")
    lines = (
        draw.Chart(_values(draw, table))
        .mark_line()
        .encode(x=x, y=y, color="system:N", order="items:Q")
    )
    diagonal = draw.Chart(_values(draw, even)).mark_line(strokeDash=[4, 3], opacity=0.5)
    chart: alt.LayerChart = draw.layer(diagonal.encode(x=x, y=y), lines)
    return chart


def _values(draw: Any, table: pl.DataFrame) -> alt.Data:
    """Rows as they are, in the chart itself: no size limit, no further library."""
    data: alt.Data = draw.Data(values=table.to_dicts())
    return data


def _altair() -> ModuleType:
    try:
        import altair as alt
    except ImportError:
        raise MissingExtraError("altair", "plots") from None
    return alt
