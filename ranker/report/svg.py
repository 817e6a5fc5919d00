"""Pictures as SVG within a page, whose colours are those of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from features.errors import MissingExtraError
from ranker.report.html import Html, element

# Colours that no picture has by itself; each becomes a variable of the style sheet, which knows
# what suits a light and a dark page.
INK, MUTED, GRID = "#010203", "#010204", "#010205"
ACCENT, SECOND, WARN, PAPER = "#010206", "#010207", "#010208", "#010209"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    ACCENT: "accent",
    SECOND: "second",
    WARN: "warn",
    PAPER: "paper",
}
_WIDTHS = {"wide": 680, "narrow": 340}  # units are pixels, hence text of its size on a phone too
_LABEL = {"labelColor": INK, "labelFontSize": 12, "labelPadding": 6, "labelLimit": 190}
_TITLE = {"titleColor": MUTED, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8}
_CONFIG: dict[str, Any] = {
    "aria": False,
    "background": None,
    "font": "sans-serif",
    "padding": 2,
    "view": {"stroke": None},
    "axis": _LABEL
    | _TITLE
    | {"domain": False, "ticks": False, "gridColor": GRID, "gridWidth": 1, "labelFlush": False},
    "text": {"color": INK, "fontSize": 12},
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "title": None,
        "orient": "top",
        "labelLimit": 260,
        "symbolStrokeWidth": 2,
    },
}
_UNWANTED = re.compile(
    r' (?:aria-[a-z]+|role|font-family|pointer-events|xmlns(?::xlink)?|version|class)="[^"]*"'
)
_REFERENCE = re.compile(r'(id="|url\(#)(\w+)')


def check_extra() -> None:
    """Make sure that pictures can be drawn.

    Raises
    ------
    MissingExtraError
        Altair or vl-convert is not installed.
    """
    for package in ("altair", "vl_convert"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtraError(package, "plots") from None


def figure(name: str, draw: Callable[[int], Any], *, label: str, caption: str) -> Html:
    """A figure drawn twice, for wide and for narrow pages; the style sheet shows one.

    Parameters
    ----------
    name : str
        Unique in the page.
    draw : callable
        From a width in pixels to a chart of Altair, of a single view.
    label : str
        What the picture is, for those who do not see it.
    caption : str
        What it shows: a sentence.
    """
    drawn = [
        _svg(draw(width), width, f"{name}-{size}", label=f"{label}. {caption}", size=size)
        for size, width in _WIDTHS.items()
    ]
    return element("figure", drawn, element("figcaption", caption))


def _svg(chart: Any, width: int, name: str, *, label: str, size: str) -> Html:
    import vl_convert

    spec = chart.to_dict()
    spec["config"] = _CONFIG
    spec["width"] = width
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    # No address is allowed: the data are in the chart.
    text = vl_convert.vegalite_to_svg(json.dumps(spec), allowed_base_urls=[])
    head, _, body = text.partition(">")
    view = re.search(r'viewBox="([\d. -]+)"', head)
    body = _UNWANTED.sub("", body.removesuffix("</svg>"))
    # The library numbers its clips from picture to picture: what was drawn before is told apart
    # here by name, and must not show in what is drawn now.
    clips: dict[str, str] = {}
    body = _REFERENCE.sub(
        lambda found: found[1] + clips.setdefault(found[2], f"{name}-{len(clips)}"), body
    )
    for colour, variable in _VARIABLES.items():
        body = body.replace(f'"{colour}"', f'"var(--{variable})"')
    return element(
        "svg",
        Html(body),
        viewBox=view.group(1) if view else None,
        class_=size,
        role="img",
        aria_label=label,
    )
