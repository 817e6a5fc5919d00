"""The file: there whole or not at all, refused before anything takes long; and the command."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from features.errors import ConfigError, MissingExtraError
from ranker.cli import main
from ranker.datasets import load_folder
from ranker.evaluation import split_by_time
from ranker.recommender import TwoStageRecommender
from ranker.report import check_destination, write, write_report
from tests.report.cases import Page, fitted, log, report
from tests.test_cli_end_to_end import CONFIG, write_log


@pytest.fixture
def ready(monkeypatch):
    """Figures and page are known already: what is tested is the file."""
    monkeypatch.setattr(write, "collect_report", lambda *_, **__: report())
    monkeypatch.setattr(write, "render_report", lambda _: "<!doctype html>\n<p>ü</p></html>\n")


def test_written_whole_with_its_folder(tmp_path, ready):
    path = tmp_path / "new" / "report.html"
    assert write_report(path, fitted(), *log()) == path
    content = path.read_bytes()
    assert content.startswith(b"<!doctype html>")
    assert content.endswith(b"</html>\n")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    write_report(str(path), fitted(), *log())
    assert path.read_bytes() == content


def test_what_was_there_stays_where_nothing_can_be_written(tmp_path, ready, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write.os, "fsync", full)
    with pytest.raises(ConfigError, match=r"report\.html cannot be written: No space left"):
        write_report(path, fitted(), *log())
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_destination_that_cannot_be(tmp_path):
    with pytest.raises(ConfigError, match="is a folder; give the report a file"):
        check_destination(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        check_destination(tmp_path / "file" / "report.html")


@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_without_what_draws(package, tmp_path, monkeypatch):
    real = builtins.__import__

    def hidden(name, *arguments, **keywords):
        if name == package:
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", hidden)
    with pytest.raises(MissingExtraError, match=rf"{package}.*twostage-ranker\[plots\]"):
        check_destination(tmp_path / "report.html")


@pytest.fixture
def shop(tmp_path) -> Path:
    write_log(tmp_path / "log.csv")
    rows = "".join(
        f"{item},group {item % 5},<script>alert({item})</script>\n" for item in range(40)
    )
    (tmp_path / "items.csv").write_text(f"sku,group,title\n{rows}")
    (tmp_path / "ranker.toml").write_text(CONFIG)
    return tmp_path


def test_the_command(shop, capsys):
    out = shop / "pages" / "report.html"
    assert main(["evaluate", str(shop / "ranker.toml"), "--report", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"report: {out}, 0." in printed
    page = Page(out.read_text(encoding="utf-8"))
    assert "NDCG@5" in page.text
    assert "<script>alert(" in page.text
    assert "script" not in {tag for tag, _ in page.elements}


def test_the_command_says_at_once_where_it_cannot_write(shop, capsys):
    assert main(["evaluate", str(shop / "ranker.toml"), "--report", str(shop)]) == 2
    captured = capsys.readouterr()
    assert "is a folder" in captured.err
    assert captured.out == "", "it would have taken minutes to find out"


@pytest.mark.slow
def test_on_movielens(data_folder, tmp_path):
    data = load_folder(data_folder / "ml-latest-small")
    items = data.items.select("item_id", "title", "year", "genres")
    train, test = split_by_time(data.interactions, test_fraction=0.1)
    recommender = TwoStageRecommender.preset("fast", random_state=0).fit(train, items=items)
    path = write_report(
        tmp_path / "report.html", recommender, train, test, items=items, name="MovieLens"
    )
    assert path.stat().st_size < 2e6
    page = Page(path.read_text(encoding="utf-8"))
    assert "(1994)" in page.text or "(1999)" in page.text
    assert len(page.all("details")) >= 10
