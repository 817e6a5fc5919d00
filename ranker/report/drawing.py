"""What the pictures have in common: Altair, axes, rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import polars as pl

from ranker.report.svg import INK

Chart: TypeAlias = Any
"""A chart of Altair, which need not be installed."""

NARROW = 500
"""Pixels: up to here a picture is for a phone."""


def named(draw: Any, field: str, rows: pl.DataFrame | list[dict[str, Any]], width: int) -> Any:
    """Rows by name, in their order; long names are cut where the page is narrow."""
    names = [row[field] for row in (rows if isinstance(rows, list) else rows.to_dicts())]
    axis = draw.Axis(grid=False, labelLimit=220 if width > NARROW else 130)
    return draw.Y(f"{field}:N", sort=list(dict.fromkeys(names)), title=None, axis=axis)


def ticks(draw: Any, width: int, **more: Any) -> Any:
    """The axis of a number, with few ticks."""
    return draw.Axis(tickCount=7 if width > NARROW else 4, **more)


def percent(draw: Any, width: int) -> Any:
    """The axis of a share."""
    whole = "format(100 * datum.value, '~g') + '\u00a0%'"
    return draw.Axis(tickCount=5 if width > NARROW else 4, labelExpr=whole)


def rule(draw: Any, *, x: float) -> Any:
    """A dashed line across the picture."""
    return (
        draw.Chart(data(draw, [{"at": x}]))
        .mark_rule(strokeDash=[4, 4], color=INK, opacity=0.6)
        .encode(x="at:Q")
    )


def data(draw: Any, rows: pl.DataFrame | Sequence[dict[str, Any]]) -> Any:
    """Rows as they are, in the chart itself: no size limit, no further library."""
    return draw.Data(values=rows.to_dicts() if isinstance(rows, pl.DataFrame) else list(rows))


def altair() -> Any:
    """The library, imported where something is drawn; :func:`check_extra` knows it is there."""
    import altair as alt

    return alt
