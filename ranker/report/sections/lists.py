"""Some users' lists with reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranker.report.data import Report, UserList
from ranker.report.html import Column, Content, Html, element, table
from ranker.report.numbers import number
from ranker.report.section import Section, more, note
from ranker.text import count

NAME, TITLE = "lists", "Lists with reasons"


def section(report: Report) -> Section:
    """The lists, folded, the first of them open."""
    n = len(report.lists)
    lead = f"{n} of {count(report.facts.n_users, 'user')}"
    if n > 1:
        lead += (
            ", at equal distances from the best served to the worst: the first has the highest "
            "NDCG of all, the last the lowest"
        )
    lead += "."
    body: list[Content] = []
    if not report.has_titles:
        body.append(
            note("Items are told by their ids: there is no table of items with a column title.")
        )
    body += [
        _one(one, report.facts.k, is_open=place == 0) for place, one in enumerate(report.lists)
    ]
    return Section(NAME, TITLE, lead, body)


def _one(one: UserList, k: int, *, is_open: bool) -> Html:
    n_hits = int(one.rows["taken"].sum())
    facts: list[Content] = [
        _fact("Before", f"{count(one.n_events, 'event')}{_last(one)}"),
        _fact("Held out", f"{count(one.n_relevant, 'item')}, of which the list has {n_hits}"),
    ]
    if one.missed:
        rest = one.n_missed - len(one.missed)
        facts.append(_fact("Missed", _quoted(one.missed) + (f" and {rest:,} more" if rest else "")))
    summary = (
        f"User {one.user_id}: NDCG@{k} {number(one.ndcg, 3)}, {n_hits} of {one.rows.height} taken"
    )
    return more(summary, facts, _table(one), is_open=is_open)


def _fact(name: str, text: str) -> Html:
    return element("p", element("b", name), " ", text, class_="note fact")


def _last(one: UserList) -> str:
    return f", the last of {_quoted(one.past)}" if one.past else ""


def _table(one: UserList) -> Html:
    columns = [
        Column("place", lambda row: str(row["place"]), True),
        Column("item", _item, is_long=True),
        Column("taken", lambda row: _TAKEN if row["taken"] else ""),
        Column("first by", _source),
        Column("reason", lambda row: row["reason"], is_long=True),
    ]
    return table(f"List of user {one.user_id}", columns, one.rows.to_dicts())


_TAKEN = element("span", "✓", role="img", aria_label="taken", class_="hit")


def _item(row: Mapping[str, Any]) -> Content:
    if row["title"] is None:
        return str(row["item_id"])
    return [row["title"], " ", element("small", row["item_id"])]


def _source(row: Mapping[str, Any]) -> Content:
    if row["source"] is None:
        return "–"
    return f"{row['source']}, place {row['rank']}"


def _quoted(names: tuple[str, ...]) -> str:
    return "; ".join(names)
