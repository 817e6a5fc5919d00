"""What a place in the list and a score are worth."""

from __future__ import annotations

import polars as pl

from ranker.report.charts import places, reliability
from ranker.report.data import Absent, Calibration, Report
from ranker.report.html import Column, Content, table
from ranker.report.numbers import interval, number, percent
from ranker.report.section import Section, more, note, subheading
from ranker.report.svg import figure
from ranker.text import count


def section(report: Report) -> Section:
    """How often each place was taken, and scores as probabilities."""
    lead = _places_sentence(report.places)
    body: list[Content] = [
        figure(
            "places",
            lambda width: places(report.places, width),
            label="Share of users who took what stood at each place",
            caption=_range_sentence(report.places),
        ),
        more(
            "The same in numbers",
            table(
                "How often what stood at a place was taken",
                [
                    Column("place", lambda row: str(row["place"]), True),
                    Column("listed", lambda row: count(row["listed"]), True),
                    Column("taken", lambda row: count(row["taken"]), True),
                    Column("share", lambda row: percent(row["rate"]), True),
                    Column("95 % interval", lambda row: interval(row["low"], row["high"]), True),
                ],
                report.places.to_dicts(),
            ),
        ),
        subheading("Scores as probabilities"),
    ]
    part = report.calibration
    body += [note(part.why)] if isinstance(part, Absent) else _reliability(part)
    return Section("calibration", "Calibration", lead, body)


def _places_sentence(table: pl.DataFrame) -> str:
    first, last = table.row(0, named=True), table.row(-1, named=True)
    if first["place"] == last["place"]:
        return f"What stood at the only place was taken by {percent(first['rate'])} of the users."
    rises = (table["low"].slice(1) > table["high"].slice(0, table.height - 1)).any()
    order = (
        "somewhere below, a place was taken more often than the one above it for certain"
        if rises
        else "no place was taken more often than the one above it for certain"
    )
    return (
        f"What stood at the first place was taken by {percent(first['rate'])} of the users, what "
        f"stood at place {last['place']} by {percent(last['rate'])}; {order}."
    )


def _range_sentence(table: pl.DataFrame) -> str:
    best = table.row(int(table["rate"].arg_max() or 0), named=True)
    return (
        f"The share of users who took what stood at a place, with 95 % intervals: the most, "
        f"{percent(best['rate'])}, at place {best['place']}."
    )


def _reliability(part: Calibration) -> list[Content]:
    caption = (
        f"Turned into probabilities by what {count(part.n_learned, 'user')} took, scores are off "
        f"by {percent(part.error)} on average for {count(part.n_checked, 'other user')}; on the "
        f"dashed line they would be right."
    )
    return [
        figure(
            "reliability",
            lambda width: reliability(part, width),
            label="Probability by the score against the share that was taken",
            caption=caption,
        ),
        more(
            "The same in numbers",
            table(
                "Scores as probabilities",
                [
                    Column("predicted", lambda row: percent(row["predicted"]), True),
                    Column("taken", lambda row: percent(row["observed"]), True),
                    Column("rows", lambda row: count(row["n"]), True),
                ],
                part.curve.to_dicts(),
            ),
        ),
        note(
            "Scores order the list of one user and are no probabilities by themselves. Isotonic "
            "regression on one half of the users makes them such, and the other half says how far "
            "they can be trusted. New users and items that no source proposed are left out. "
            f"Expected calibration error: {number(part.error)}."
        ),
    ]
