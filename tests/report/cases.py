"""Recommenders to report on, and a reader of pages that knows no more than HTML."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from typing import Any

import polars as pl

from ranker import TwoStageRecommender, split_by_time
from ranker.report import Report, collect_report
from tests.logs import make_log
from tests.recommenders import N_ITEMS, N_USERS, item_table, small

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</style></svg></table><b>bold</b> & <!-- ",
    "javascript:alert(1) https://example.org/x.js",
    "null \x00 and \x1b[31m and a very_long_word_" + "x" * 120,
)


@cache
def log() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Train and test rows."""
    whole = make_log("datetime", n_users=N_USERS, n_items=N_ITEMS, n_events=900)
    return split_by_time(whole, test_fraction=0.2)


@cache
def titles() -> pl.DataFrame:
    """An item table whose titles are markup."""
    names = [f"{HOSTILE[row % len(HOSTILE)]} {row}" for row in range(N_ITEMS)]
    return (
        item_table()
        .head(N_ITEMS - 1)
        .with_columns(title=pl.Series(names[: N_ITEMS - 1]), brand=pl.Series(names[: N_ITEMS - 1]))
    )


@cache
def fitted(**keywords: Any) -> TwoStageRecommender:
    """Fitted on the train rows and the table with hostile titles."""
    return small(**keywords).fit(log()[0], items=titles())


@cache
def report(**keywords: Any) -> Report:
    """What is known of it."""
    train, test = log()
    return collect_report(
        fitted(**keywords), train, test, items=titles(), name=HOSTILE[0], description=HOSTILE[2]
    )


class Page(HTMLParser):
    """Elements with their attributes, in order, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.style = ""
        self._in_style = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data
        else:
            self.parts.append(data)

    @property
    def text(self) -> str:
        """All that is shown."""
        return " ".join(self.parts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of the elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
