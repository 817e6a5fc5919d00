"""A part of the page."""

from __future__ import annotations

from dataclasses import dataclass

from ranker.report.html import Content, Html, element


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    name : str
        Of its place, for links: letters and hyphens.
    title : str
    lead : str
        What it found, in a sentence or two.
    body : Content
    """

    name: str
    title: str
    lead: str
    body: Content = None

    def render(self) -> Html:
        """Heading, finding, body."""
        heading = f"{self.name}-title"
        return element(
            "section",
            element("h2", self.title, id=heading),
            element("p", self.lead, class_="lead"),
            self.body,
            id=self.name,
            aria_labelledby=heading,
        )


def note(*content: Content) -> Html:
    """A paragraph that explains."""
    return element("p", *content, class_="note")


def subheading(title: str) -> Html:
    """A heading within a section."""
    return element("h3", title)


def more(summary: str, *content: Content, is_open: bool = False) -> Html:
    """What is shown when it is asked for, and printed in any case."""
    return element("details", element("summary", summary), *content, open="" if is_open else None)
