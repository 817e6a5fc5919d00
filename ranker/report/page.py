"""The whole page: one file, which loads nothing and runs nothing."""

from __future__ import annotations

from importlib.resources import files

from ranker.report.data import Report
from ranker.report.html import Html, element
from ranker.report.numbers import interval, number, percent, signed
from ranker.report.sections import SECTIONS
from ranker.report.sections.systems import verdict
from ranker.report.svg import check_extra
from ranker.text import count

# Should any text get through as markup after all: the browser is told to run and to load nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_report(report: Report) -> str:
    """The page of a report: HTML with its style and pictures in it, for light, dark and print.

    Parameters
    ----------
    report : Report
        From :func:`ranker.report.collect_report`. The same one has the same page.

    Returns
    -------
    str
        It has no script, and no address that would be loaded; all text is escaped.

    Raises
    ------
    MissingExtraError
        Altair or vl-convert is not installed.
    """
    check_extra()
    sections = [make(report) for make in SECTIONS]
    title = f"{report.facts.name}: evaluation" if report.facts.name else "Evaluation"
    contents = element(
        "nav",
        element(
            "ol", [element("li", element("a", one.title, href=f"#{one.name}")) for one in sections]
        ),
        aria_label="Contents",
    )
    body = element(
        "body",
        element("header", _head(report), contents),
        element("main", [one.render() for one in sections]),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", _style()),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _head(report: Report) -> list[Html]:
    facts = report.facts
    return [
        element("p", "Evaluation report", class_="kicker"),
        element("h1", facts.name or "Recommendations"),
        element("p", facts.description, class_="about") if facts.description else Html(""),
        element("p", verdict(report), class_="verdict"),
        element("dl", [_figure(*one) for one in _figures(report)], class_="figures"),
    ]


def _figures(report: Report) -> list[tuple[str, str, str]]:
    systems, facts, headroom = report.systems, report.facts, report.headroom
    own = systems.row(systems.served)
    shown = [
        (
            f"NDCG@{facts.k}",
            number(own["mean"]),
            interval(own["ci_low"], own["ci_high"]),
        )
    ]
    if systems.rival is not None:
        row = systems.row(systems.rival)
        span = interval(row["difference_low"], row["difference_high"], is_signed=True)
        shown.append((f"against {systems.rival}", signed(row["difference"]), span))
    hits = systems.row(systems.served, "hit_rate")
    shown.append(("users with a hit", percent(hits["mean"]), f"in {facts.k} places"))
    lost = dict(zip(headroom["why"], headroom["loss"], strict=True))
    worst = max(("not retrieved", "badly ranked", "filtered"), key=lambda why: lost[why])
    shown.append(("largest loss", number(lost[worst], 3), f"of NDCG, {worst}"))
    shown.append(("judged", count(facts.n_users), f"users, {count(facts.n_test)} items"))
    return shown


def _figure(name: str, value: str, about: str) -> Html:
    return element("div", element("dt", name), element("dd", value, element("small", about)))


def _style() -> Html:
    return Html(files("ranker.report").joinpath("report.css").read_text(encoding="utf-8"))
