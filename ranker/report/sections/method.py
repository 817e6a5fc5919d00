"""How it was made, and what it cannot say."""

from __future__ import annotations

from ranker.report.data import Report
from ranker.report.html import Content, element
from ranker.report.section import Section, note, subheading
from ranker.text import count


def section(report: Report) -> Section:
    """What was held out, what the fit chose, and limits."""
    facts = report.facts
    lead = (
        f"Fitted on {count(facts.n_train, 'event')}{_span(facts.train_span)}, judged on "
        f"{count(facts.n_test, 'pair')} of user and item{_span(facts.test_span)} that no choice "
        f"has seen. Every test user counts, and what no list could hold counts as missed."
    )
    body: list[Content] = [
        subheading("What the fit found out and chose"),
        element("ul", [element("li", line) for line in report.choices]),
        subheading("What this report cannot say"),
        note(
            "Impressions: what users were shown is not known here, only what they took. An item "
            "that nobody saw counts like one that was declined, and lists that resemble those of "
            "the time are favoured. With logged impressions, off-policy estimates correct for that."
        ),
        note(
            "Causes: an item that would have been taken without any list counts as a hit as well. "
            "Only an experiment tells what the lists change."
        ),
        note(
            f"Intervals are bootstraps over users with seed {facts.random_state}: of this test "
            f"period, not of other ones. "
            + (
                "Seen items are left out of lists and of what counts as relevant."
                if facts.exclude_seen
                else "Seen items may be listed, and count."
            )
            + f" twostage-ranker {facts.version}."
        ),
    ]
    return Section("method", "How it was made", lead, body)


def _span(span: tuple[str, str] | None) -> str:
    return "" if span is None else f" from {span[0]} to {span[1]}"
