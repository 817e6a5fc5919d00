"""Tables and paragraphs for a terminal of 100 columns, and counts in words."""

from __future__ import annotations

import textwrap

import polars as pl

WIDTH = 100
_NARROWEST = 6  # no column is cut below this


def format_table(frame: pl.DataFrame, *, width: int = WIDTH) -> str:
    """Lay out a frame as aligned text: numbers to the right, long text cut to fit.

    Parameters
    ----------
    frame : DataFrame
    width : int
        Columns of the terminal.
    """
    columns = [[name, *(_cell(value) for value in frame[name].to_list())] for name in frame.columns]
    widths = [max(len(cell) for cell in cells) for cells in columns]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    to_right = [dtype.is_numeric() for dtype in frame.dtypes]
    lines = [
        "  ".join(
            _fit(cell, size).rjust(size) if right else _fit(cell, size).ljust(size)
            for cell, size, right in zip(row, widths, to_right, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
    return "\n".join(lines)


def hanging(text: str, *, indent: int, width: int = WIDTH) -> str:
    """Wrap a paragraph, with all lines but the first indented."""
    return textwrap.fill(
        text,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def count(n: int, noun: str = "", plural: str = "") -> str:
    """``2,014 users``.

    Examples
    --------
    >>> count(2014, "user"), count(1, "user"), count(3)
    ('2,014 users', '1 user', '3')
    """
    if not noun:
        return f"{n:,}"
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list):
        return ", ".join(_cell(part) for part in value)
    return " ".join(str(value).split())


def _fit(cell: str, size: int) -> str:
    return cell if len(cell) <= size else cell[: size - 1] + "…"
