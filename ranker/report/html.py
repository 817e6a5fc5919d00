"""HTML whose text is escaped unless it was made here."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

VOID = frozenset({"br", "col", "hr", "meta"})


class Html(str):
    """Text that is markup already; any other text is escaped where it becomes part of a page."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"


def escape(content: Content) -> Html:
    """Markup of a text, of some, or of nothing: text that is no :class:`Html` is escaped.

    Examples
    --------
    >>> escape(["<b>", Html("<br>")])
    '&lt;b&gt;<br>'
    """
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(html.escape(_printable(content)))
    return Html("".join(map(escape, content)))


def element(name: str, /, *children: Content, **attributes: str | None) -> Html:
    """An element. An underscore in the name of an attribute is a hyphen, a last one is dropped.

    Parameters
    ----------
    name : str
    children
        Text, elements, lists of them; None stands for nothing.
    attributes : str or None
        None: the element does not have it.

    Examples
    --------
    >>> element("p", "a < b", class_="x", aria_label='"')
    '<p class="x" aria-label="&quot;">a &lt; b</p>'
    """
    opening = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_printable(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{opening}>")
    return Html(f"<{name}{opening}>{escape(children)}</{name}>")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    head : str
    cell : callable
        From a row, by column name, to the content of a cell.
    is_number : bool
        To the right, with digits of the same width.
    is_long : bool
        Text that may take several lines.
    """

    head: str
    cell: Callable[[Mapping[str, Any]], Content]
    is_number: bool = False
    is_long: bool = False


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Mapping[str, Any]],
    *,
    strong: Callable[[Mapping[str, Any]], bool] = lambda _: False,
) -> Html:
    """A table in a container of its own, which scrolls where the page is narrow.

    Parameters
    ----------
    caption : str
    columns : sequence of Column
        The first one names the row.
    rows : iterable of mapping
    strong : callable
        Which rows are set off.
    """
    classes = [
        " ".join(name for name, is_so in (("n", c.is_number), ("long", c.is_long)) if is_so) or None
        for c in columns
    ]
    head = [
        element("th", column.head, scope="col", class_=class_)
        for column, class_ in zip(columns, classes, strict=True)
    ]
    body = []
    for row in rows:
        first, *rest = zip(columns, classes, strict=True)
        cells = [element("th", first[0].cell(row), scope="row", class_=first[1])]
        cells += [element("td", column.cell(row), class_=class_) for column, class_ in rest]
        body.append(element("tr", cells, class_="strong" if strong(row) else None))
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", body),
    )
    # Whoever has no mouse scrolls it by the keyboard: hence a tab stop and a name.
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def _printable(text: str) -> str:
    """Without characters that no HTML may have, such as a null."""
    return "".join(
        letter if letter >= " " or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
