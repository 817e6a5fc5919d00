"""The page: nothing loaded, nothing run, all text escaped, and what readers of screens need."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranker.report import render_report
from ranker.report.html import Html, element, escape
from ranker.report.numbers import number, percent, signed
from ranker.text import count
from tests.report.browser import console, measure, run
from tests.report.cases import HOSTILE, Page, report

RUNS = {"script", "iframe", "object", "embed", "img", "link", "base", "form", "image", "use", "a"}


@cache
def text() -> str:
    return render_report(report())


@cache
def page() -> Page:
    return Page(text())


def test_nothing_is_loaded_and_nothing_runs():
    assert {tag for tag, _ in page().elements} & (RUNS - {"a"}) == set()
    for _, attributes in page().elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not {"src", "srcset", "srcdoc", "style", "xlink:href"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        for value in attributes.values():
            assert not re.search(r"url\((?!#)", value or "")
    assert not re.search(r"@import|url\(|@font-face|https?:", page().style)
    policy = next(one for one in page().all("meta") if "http-equiv" in one)
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_hostile_titles_are_text():
    for title in HOSTILE:
        shown = re.sub(r"[\x00-\x08\x0b-\x1f]", "\N{REPLACEMENT CHARACTER}", title)
        assert shown in page().text
    assert page().all("b") == [{}] * len(page().all("b"))
    assert "bold" not in [part.strip() for part in page().parts]
    assert "\x00" not in text()
    assert page().all("h1") == [{}]


def test_places_and_names_fit_together():
    ids = [attributes["id"] for _, attributes in page().elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = [(one["href"] or "")[1:] for one in page().all("a")]
    assert len(targets) == 10
    assert set(targets) <= set(ids)
    for section in page().all("section"):
        assert section["aria-labelledby"] in ids
    used = re.findall(r"url\(#([^)]+)\)", text())
    assert set(used) <= set(ids)


def test_pictures_and_tables_are_told():
    figures, pictures = page().all("figure"), page().all("svg")
    assert len(figures) >= 8
    assert len(pictures) == 2 * len(figures)
    assert len(page().all("figcaption")) == len(figures)
    for picture in pictures:
        assert picture["role"] == "img"
        assert len(picture["aria-label"] or "") > 40
        assert picture["class"] in {"wide", "narrow"}
    assert len(page().all("caption")) == len(page().all("table"))
    assert all(one["scope"] in {"row", "col"} for one in page().all("th"))
    regions = [one for one in page().all("div") if one.get("class") == "scroll"]
    assert len(regions) == len(page().all("table"))
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in regions)
    assert list(page().all("html")) == [{"lang": "en"}]


def test_colours_are_those_of_the_page():
    colours = re.findall(r'(?:fill|stroke)="(#[0-9a-f]{3,8})"', text())
    assert colours == [], "a picture with a colour of its own is not readable on light and dark"
    used = set(re.findall(r"var\(--(\w+)\)", text()))
    for scheme in (page().style, page().style.partition("prefers-color-scheme: dark")[2]):
        assert used <= set(re.findall(r"--(\w+):", scheme))


def test_the_page_follows_from_the_report_alone():
    assert render_report(report()) == text()


@given(st.text())
def test_any_text_comes_back_as_it_was(content):
    found = Page(element("p", content, title=content))
    shown = re.sub(r"[\x00-\x08\x0b-\x1f]", "\N{REPLACEMENT CHARACTER}", content)
    assert [tag for tag, _ in found.elements] == ["p"]
    assert "".join(found.parts) == shown
    assert found.elements[0][1]["title"] == shown


def test_markup_is_not_escaped_twice():
    assert escape([Html("<i>"), "<", None, [["&"]]]) == "<i>&lt;&amp;"
    assert element("br") == "<br>"
    assert element("p", class_=None, data_x="1") == '<p data-x="1"></p>'


def test_numbers_as_people_read_them():
    assert number(float("nan")) == number(None) == "–"
    assert signed(-0.5, 1) == "−0.5"
    assert signed(None) == "–"
    assert percent(None) == "–"
    assert percent(-0.001, 1) == "−0.1\N{NO-BREAK SPACE}%"
    assert count(1, "entry", "entries") == "1 entry"
    assert count(2, "entry", "entries") == "2 entries"


def test_the_browser_has_nothing_to_complain_of(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(text(), encoding="utf-8")
    done = run(tmp_path, file, "--dump-dom")
    assert console(done) == []
    assert done.stdout.count("<section") == 10


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_is_as_wide_as_the_window_and_readable(tmp_path, width, dark):
    found = measure(tmp_path, text(), width, dark=dark)
    assert found["console"] == []
    assert found["width"] <= width
    assert found["outside"] == []
    assert found["pictures"] == [1] * len(page().all("figure"))
    ink, paper = (_luminance(found[name]) for name in ("ink", "paper"))
    assert (ink > paper) == dark
    assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7, "WCAG's AAA"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_has_contrast(scheme):
    parts = page().style.partition("@media print")[0].partition("prefers-color-scheme: dark")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", parts[0 if scheme == "light" else 2]))
    paper = _luminance(colours["paper"])
    for name, least in {"ink": 7, "muted": 4.5, "accent": 4.5, "second": 3, "warn": 4.5}.items():
        own = _luminance(colours[name])
        assert (max(own, paper) + 0.05) / (min(own, paper) + 0.05) >= least, name


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 has it, of "rgb(1, 2, 3)" or "#010203"."""
    if colour.startswith("#"):
        parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    else:
        parts = [int(part) for part in re.findall(r"\d+", colour)[:3]]
    linear = [
        x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4
        for x in (part / 255 for part in parts)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
