"""The command line up to the model: arguments, errors, `init`, `doctor`, text for terminals."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import types
import warnings
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.clock import Clock
from features.errors import ConfigError
from features.schema import check_interactions
from ranker.cli import commands, exports, log_summary, main
from ranker.cli.doctor import examine_tables
from ranker.cli.logs import logged
from ranker.config import example_config
from ranker.datasets import Dataset
from ranker.evaluation import split_by_time
from ranker.text import format_table, hanging
from tests.logs import CLOCKS, make_log

LOG = """customer,sku,when,price
1,a,2024-01-01,0.5
1,b,2024-01-02,0.7
2,a,2024-01-03,0.5
2,c,2024-01-20,0.5
3,a,2024-01-20,0.5
"""
CONFIG = """
[data]
interactions = "log.csv"
items = "items.csv"
columns = {user_id = "customer", item_id = "sku", timestamp = "when"}
item_columns = {item_id = "sku"}
[split]
test = "7d"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text(LOG)
    (tmp_path / "items.csv").write_text("sku,name\na,fig\nb,pear\nd,plum\n")
    (tmp_path / "ranker.toml").write_text(CONFIG)
    return tmp_path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


# --- Arguments and errors -----------------------------------------------------------------------


def test_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from ranker.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as stop:\n"
        "    print('exit', stop.code)\n"
        "print('heavy', [m for m in ('torch', 'ray', 'pandas', 'pyarrow') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("demo", "init", "doctor", "fit", "evaluate", "export", "publish", "recommend"):
        assert f"    {name} " in done.stdout or f"    {name}\n" in done.stdout
    assert "exit 0" in done.stdout
    assert "heavy []" in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        run("--version")
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("ranker ")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["fit"], ["recommend", "model"]])
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert "usage: ranker" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["doctor", "fit", "evaluate", "export"])
def test_errors_are_one_message_without_a_traceback(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(command, tmp_path / "nowhere.toml") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("ranker: ")
    assert "nowhere.toml: no such file" in captured.err
    assert "Traceback" not in captured.err


def test_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupt(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "load_config", interrupt)
    assert run("fit", "any.toml") == 130
    assert capsys.readouterr().err == "ranker: interrupted\n"


@pytest.mark.parametrize("arguments", [["--quiet", "doctor"], ["doctor", "--quiet"]])
def test_quiet_reaches_the_progress_bars_and_ends_with_the_command(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    seen = []
    monkeypatch.delenv("RANKER_QUIET", raising=False)
    load = commands.load_config
    monkeypatch.setattr(
        commands, "load_config", lambda path: seen.append(os.environ["RANKER_QUIET"]) or load(path)
    )
    assert run(*arguments, folder / "ranker.toml") == 0
    assert seen == ["1"]
    assert "RANKER_QUIET" not in os.environ


def test_demo_calls_the_demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    calls = []
    demo = types.ModuleType("ranker.demo")
    demo.run_demo = lambda output, random_state: calls.append((output, random_state))
    monkeypatch.setitem(sys.modules, "ranker.demo", demo)
    assert run("demo") == 0
    assert run("demo", "--output", tmp_path, "--random-state", 3) == 0
    assert calls == [(Path("ranker-demo"), 0), (tmp_path, 3)]


# --- init ---------------------------------------------------------------------------------------


def test_init_writes_the_example_but_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert run("init") == 0
    assert (tmp_path / "ranker.toml").read_text() == example_config()
    assert "ranker doctor ranker.toml" in capsys.readouterr().out
    (tmp_path / "ranker.toml").write_text("mine")
    assert run("init") == 2
    assert "ranker.toml exists already" in capsys.readouterr().err
    assert (tmp_path / "ranker.toml").read_text() == "mine"
    assert run("init", "nowhere/ranker.toml") == 2
    assert "cannot be written" in capsys.readouterr().err


# --- doctor -------------------------------------------------------------------------------------


def test_doctor_of_a_sound_folder(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("doctor", folder / "ranker.toml") == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    assert "PASS  interactions: 5 events of 3 users and 3 items" in out
    assert "PASS  interactions: 1 of 3 users (33.3%) have a single event" in out
    assert "PASS  interactions: from 2024-01-01 to 2024-01-20, 19.0 days" in out
    assert "PASS  interactions: no two events with the same user_id, item_id, timestamp" in out
    assert "PASS  interactions: not used: price" in out
    assert "PASS  items: 3 rows, attributes: name" in out
    assert "WARN  items: 1 items of the interactions (1 events) have no row, such as c" in out
    assert "PASS  items: 1 items have no event yet" in out
    assert "PASS  users: no table" in out
    assert (
        "PASS  split: 3 events to train on, 2 to test with; 2 users in the test, 1 of them" in out
    )
    assert max(len(line) for line in out.splitlines()) <= 100


def test_doctor_quiet_shows_what_is_not_well(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("doctor", "--quiet", folder / "ranker.toml") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert [line[:4] for line in lines] == ["WARN"]


def test_doctor_fails_on_a_mapping_to_a_column_that_is_not_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "ranker.toml").write_text(
        '[data]\ninteractions = "log.csv"\nitems = "items.csv"\n'
        'columns = {user_id = "custumer", item_id = "sku"}\n'
    )
    assert run("doctor", folder / "ranker.toml") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "user_id: mapped to 'custumer', but the table has no such column" in out
    assert "the nearest is 'customer'" in out
    # The second table is looked at as well.
    assert (
        "item_id: no such column among ['sku', 'name']; name yours under [data.item_columns]" in out
    )


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_a_wrong_mapping_stops_before_any_fit(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "ranker.toml").write_text(
        '[data]\ninteractions = "log.csv"\ncolumns = {user_id = "custumer", item_id = "sku"}\n'
    )
    assert run(command, folder / "ranker.toml") == 2
    assert "the nearest is 'customer'" in capsys.readouterr().err


def test_an_unknown_metric_stops_before_any_fit(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "ranker.toml").write_text(CONFIG + '[evaluate]\nmetrics = ["ndgc"]\n')
    assert run("evaluate", folder / "ranker.toml") == 2
    assert "unknown metric 'ndgc'; the nearest known one is 'ndcg'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("ndcg@0", "metric 'ndcg@0' has the depth '0'"),
        ("ndcg@99999999999999999999", "has the depth '99999999999999999999'"),
        ("overlap", "pass other="),
    ],
)
def test_a_metric_that_cannot_be_stops_before_any_fit(
    metric: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "ranker.toml").write_text(CONFIG + f'[evaluate]\nmetrics = ["{metric}"]\n')
    assert run("evaluate", folder / "ranker.toml") == 2
    assert message in capsys.readouterr().err


def test_doctor_names_a_split_that_cannot_be(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "ranker.toml").write_text(CONFIG.replace('"7d"', "7"))
    assert run("doctor", folder / "ranker.toml") == 1
    assert "FAIL  split: " in capsys.readouterr().out


def test_doctor_fails_without_the_time_that_an_evaluation_needs(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "timeless.csv").write_text("user_id,item_id\n1,1\n1,2\n2,1\n")
    (folder / "ranker.toml").write_text('[data]\ninteractions = "timeless.csv"\n')
    assert run("doctor", folder / "ranker.toml") == 1
    assert "FAIL  split: without timestamp" in (out := capsys.readouterr().out)
    assert '[data.columns] timestamp = "your column"' in " ".join(out.split())


def test_doctor_of_movielens(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,0.5,974981247\n"
    )
    (tmp_path / "ml" / "movies.csv").write_text("movieId,title,genres\n1,Heat (1995),Action\n")
    (tmp_path / "ranker.toml").write_text('[data]\ndataset = "movielens"\npath = "ml"\n')
    assert run("doctor", tmp_path / "ranker.toml") == 0
    out = capsys.readouterr().out
    assert "from 2000-07-30 18:45:03 to 2000-11-23" in out
    assert "WARN  interactions: rating is not used" in out
    assert "PASS  items: 1 rows, attributes: title, year, genres" in out


def test_csv_ids_that_are_text_in_one_table_are_text_in_both(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "log.csv").write_text("user_id,item_id,timestamp\n1,1,2024-01-01\n2,2,2024-02-01\n")
    (folder / "items.csv").write_text("item_id\n1\n2\nA3\n")
    (folder / "users.csv").write_text("user_id\n1\n2\n")
    (folder / "ranker.toml").write_text(
        '[data]\ninteractions = "log.csv"\nitems = "items.csv"\nusers = "users.csv"\n'
    )
    assert run("doctor", folder / "ranker.toml") == 0
    out = capsys.readouterr().out
    assert "WARN  data: item_id is text in items but a number in interactions: taken as text" in out
    assert "PASS  items: all items of the interactions have a row" in out
    assert "PASS  items: 1 items have no event yet" in out
    assert "PASS  users: all users of the interactions have a row" in out


def findings(**tables: pl.DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"PASS": [], "WARN": [], "FAIL": []}
    for finding in examine_tables(Dataset("test", **tables)):
        found[finding.level].append(f"{finding.table}: {finding.sentence}")
    return found


def log(**columns: list[object]) -> pl.DataFrame:
    n = len(next(iter(columns.values()))) if columns else 3
    return pl.DataFrame({"user_id": [1] * n, "item_id": list(range(n)), **columns})


DAY = datetime(2024, 1, 1)


@pytest.mark.parametrize(
    ("interactions", "warning"),
    [
        (log(), "no timestamp: labels are held out at random"),
        (log(timestamp=[DAY, DAY]), "all events are at 2024-01-01 00:00:00"),
        (log(timestamp=[0, 1, 2, 3]), "timestamp is a position in each user's own events"),
        (log(timestamp=[1_700_000_000, 1_700_000_900]), "looks like a count since 1970"),
        (
            log(timestamp=[DAY, datetime.now(UTC).replace(tzinfo=None) + timedelta(days=2)]),
            "1 events lie in the future",
        ),
        (log(rating=[1.0, 5.0]), "rating is not used"),
        (
            pl.DataFrame({"user_id": [1, 1], "item_id": [2, 2], "timestamp": [DAY, DAY]}),
            "1 events repeat another with the same user_id, item_id, timestamp, such as user_id 1",
        ),
        (
            pl.DataFrame({"user_id": [1, 2], "item_id": [2, 2]}),
            "2 of 2 users (100.0%) have a single event; their lists",
        ),
    ],
)
def test_doctor_warns(interactions: pl.DataFrame, warning: str):
    assert any(warning in text for text in findings(interactions=interactions)["WARN"])


def test_doctor_warns_of_tables_that_say_nothing():
    items = pl.DataFrame({"item_id": [0, 1, 2], "title": [None, None, None]})
    warnings = findings(interactions=log(), items=items)["WARN"]
    assert "items: nothing but nulls in title; drop or fill them" in warnings
    assert any("items: no table" in text for text in findings(interactions=log())["WARN"])


def test_doctor_reports_every_fault_of_every_table():
    failed = findings(
        interactions=pl.DataFrame({"user_id": [1.5, 2.5], "weight": [float("inf"), 1.0]}),
        items=pl.DataFrame({"item_id": [1, 1]}),
        users=pl.DataFrame({"id": [1]}),
    )["FAIL"]
    assert [text.split(":")[0] for text in failed] == ["interactions"] * 3 + ["items", "users"]


def test_doctor_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("doctor", "--json", folder / "ranker.toml") == 0
    document = json.loads(capsys.readouterr().out)
    levels = [one["level"] for one in document["findings"]]
    assert document["counts"] == {"PASS": len(levels) - 1, "WARN": 1, "FAIL": 0}
    (warning,) = (one for one in document["findings"] if one["level"] == "WARN")
    assert warning == {
        "level": "WARN",
        "table": "items",
        "check": "without_row",
        "text": "1 items of the interactions (1 events) have no row, such as c; their attributes "
        "count as unknown",
        "count": 1,
        "examples": ["c"],
        "remedy": "add them if they exist",
    }
    (folder / "ranker.toml").write_text(CONFIG.replace('"7d"', "7"))
    assert run("--quiet", "doctor", "--json", folder / "ranker.toml") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["counts"]["FAIL"] == 1
    assert document["findings"][-1]["table"] == "split"


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("n_rows_a_part", [50, 10**6])
def test_a_log_is_summarised_in_parts_as_it_would_be_whole(
    clock: str, n_rows_a_part: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_summary, "_ROWS_A_PART", n_rows_a_part)
    monkeypatch.setattr(log_summary, "_BUCKETS", 7)
    whole = check_interactions(pl.concat([make_log(clock), make_log(clock).head(20)]))
    summary = log_summary.LogSummary(whole.lazy())
    assert summary.n_rows == 520
    assert summary.clock == Clock.of(whole)
    assert dict(summary.items.rows()) == Counter(whole["item_id"])
    key = [name for name in whole.columns if name != "weight"]
    n_repeated, example = summary.repeated(key)
    assert n_repeated == 520 - whole.select(key).n_unique() >= 20
    assert whole.filter(pl.all_horizontal(pl.col(n) == v for n, v in example.items())).height > 1
    if clock in ("none", "sequence"):
        return
    for keywords in ({"test_fraction": 0.1}, {"test": 400 if clock == "shared" else "20d"}):
        train, test = split_by_time(whole, **keywords)
        text = (
            f"{train.height:,} events to train on, {test.height:,} to test with; "
            f"{test['user_id'].n_unique()} users in the test, "
            f"{len(set(test['user_id']) - set(train['user_id']))} of them new"
        )
        assert examine_tables(Dataset("x", whole), keywords)[-1].text == text
    ticks = summary.clock.ticks(whole["timestamp"].sort())
    assert [summary.tick_at(row) for row in (0, 1, 77, 519)] == ticks[[0, 1, 77, 519]].tolist()


def test_doctor_reads_a_file_that_ends_within_a_row(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "log.ndjson").write_text('{"user_id": 1, "item_id": 2}\n{"user_id": 1, "ite')
    (folder / "ranker.toml").write_text('[data]\ninteractions = "log.ndjson"\n')
    assert run("doctor", folder / "ranker.toml") == 1
    assert "FAIL  data: " in capsys.readouterr().out


def test_doctor_fails_where_versions_cannot_be_told():
    dated = log(timestamp=[DAY + timedelta(days=n) for n in range(3)])
    items = pl.DataFrame({"item_id": [0, 1, 2], "valid_from": [1, 2, 3]})
    (failed,) = findings(interactions=dated, items=items)["FAIL"]
    assert failed.startswith("items: times are Datetime")
    (failed,) = findings(interactions=log(), items=items)["FAIL"]
    assert failed.startswith("items: valid_from needs timestamps that are one clock for everybody")
    assert not findings(interactions=dated, items=items.drop("valid_from"))["FAIL"]
    assert not findings(interactions=log(timestamp=[9, 500, 77]), items=items)["FAIL"]


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ("5", "5 is no length of time for a log whose clock is absolute"),
        ('"99999999999w"', "'99999999999w' is no length of time"),
    ],
)
def test_doctor_and_fit_refuse_a_window_that_cannot_be(
    length: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "ranker.toml").write_text(f"{CONFIG}[model]\nwindow_length = {length}\n")
    assert run("doctor", folder / "ranker.toml") == 1
    assert f"FAIL  model: {message}" in capsys.readouterr().out
    assert run("fit", folder / "ranker.toml") == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_model_stops_before_any_fit(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(commands, "_load", lambda settings: pytest.fail("read the data first"))
    (folder / "ranker.toml").write_text(f'{CONFIG}[model]\npath = "."\n')
    assert run("fit", folder / "ranker.toml") == 2
    assert "exists and is not a saved model" in capsys.readouterr().err


def test_doctor_fails_where_ids_cannot_meet():
    items = pl.DataFrame({"item_id": ["0", "1", "2"]})
    failed = findings(interactions=log(), items=items)["FAIL"]
    assert len(failed) == 1
    assert "cast them to one dtype" in failed[0]


# --- export and recommend, as far as no model is needed ------------------------------------------


def test_export_without_a_model(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("export", folder / "ranker.toml") == 2
    assert "there is no model at" in capsys.readouterr().err


def test_recommend_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("recommend", tmp_path / "model", "--user", "1") == 2
    assert "there is no model; give the folder" in capsys.readouterr().err
    assert run("recommend", tmp_path, "--user", "1", "-k", "0") == 2
    assert "-k 0: expected a whole number from 1" in capsys.readouterr().err


def test_user_ids_are_cast_to_those_of_the_model():
    text = pl.Series("user_id", ["7", "8"])
    assert commands.cast_ids(text, pl.Int64()).to_list() == [7, 8]
    assert commands.cast_ids(text, pl.String()).to_list() == ["7", "8"]
    assert commands.cast_ids(pl.Series([7, 8]), pl.String()).to_list() == ["7", "8"]
    with pytest.raises(ConfigError, match=r"user 'x' cannot be .* are Int64; nor can 1 others"):
        commands.cast_ids(pl.Series(["7", "x", "y"]), pl.Int64())
    with pytest.raises(ConfigError, match=r"user '300' cannot be a user .* whose ids are UInt8$"):
        commands.cast_ids(pl.Series(["300"]), pl.UInt8())


def test_users_to_export_need_their_column(tmp_path: Path):
    (tmp_path / "users.csv").write_text("customer\n1\n")
    with pytest.raises(ConfigError, match=r"no column user_id among \['customer'\]"):
        exports._read_users(str(tmp_path / "users.csv"), pl.Int64())
    pl.DataFrame({"user_id": ["7", "8"], "x": [1, 2]}).write_parquet(tmp_path / "users.parquet")
    found = exports._read_users(str(tmp_path / "users.parquet"), pl.Int64())
    assert found.to_list() == [7, 8]
    pl.DataFrame({"customer": [1]}).write_parquet(tmp_path / "users.parquet")
    with pytest.raises(
        ConfigError, match=r"(?s)\[export\] users: .*no column 'user_id' among \['customer'\]"
    ):
        exports._read_users(str(tmp_path / "users.parquet"), pl.Int64())


def test_export_takes_a_configuration_or_a_folder_to_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for arguments in (["export"], ["export", "shop.toml", "--verify", str(tmp_path)]):
        assert run(*arguments) == 2
        assert "give a CONFIG to export by, or --verify DIR" in capsys.readouterr().err


def test_errors_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("export", tmp_path / "no.toml", "--json") == 2
    assert run("export", "--verify", tmp_path, "--json") == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["ok"], second["ok"]) == (False, False)
    assert "no.toml: no such file" in first["error"]
    assert "holds no finished export" in second["error"]


def test_help_tells_exit_codes(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        run("export", "--help")
    assert "Exit codes: 0 done; 1 `doctor`" in capsys.readouterr().out


# --- text ---------------------------------------------------------------------------------------


def test_table_is_aligned():
    frame = pl.DataFrame(
        {
            "metric": ["ndcg", "coverage"],
            "mean": [0.5, 12.25],
            "low": [0.4, None],
            "genres": [["a", "b"], []],
        }
    )
    assert format_table(frame).splitlines() == [
        "metric       mean     low  genres",
        "ndcg       0.5000  0.4000  a, b",
        "coverage  12.2500       -",
    ]


def test_table_fits_the_terminal():
    frame = pl.DataFrame({"rank": [1], "title": ["long " * 60], "note": ["x" * 70], "score": [0.5]})
    lines = format_table(frame).splitlines()
    assert {len(line) for line in lines} == {100}
    assert "…" in lines[1]
    assert lines[1].endswith("0.5000")


def test_table_without_rows():
    assert format_table(pl.DataFrame({"rank": [], "title": []})) == "rank  title"


def test_hanging_paragraph():
    assert (
        hanging("PASS  " + "word " * 30, indent=6, width=40).splitlines()[1].startswith("      w")
    )


# --- Logging ------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
def test_errors_and_warnings_as_lines_of_json(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, before: bool
):
    option = ("--log-format", "json")

    def noisy(*, path: str, quiet: bool) -> int:
        assert not quiet
        assert os.environ["RANKER_QUIET"] == "1"  # no bars between the lines
        logging.getLogger("ranker.gate").warning("the %s is\nworse", "second stage")
        logging.getLogger("ranker.gate").info("not told")
        warnings.warn("of a library", UserWarning, stacklevel=1)
        raise ConfigError(f"{path}: no")

    monkeypatch.setattr(commands, "init", noisy)
    handlers = list(logging.getLogger().handlers)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        arguments = (*option, "init", "x") if before else ("init", "x", *option)
        assert run(*arguments) == 2
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["logger"]) for line in lines] == [
        ("WARNING", "ranker.gate"),
        ("WARNING", "py.warnings"),
        ("ERROR", "ranker.cli.run"),
    ]
    assert lines[0]["message"] == "the second stage is\nworse"
    assert "of a library" in lines[1]["message"]
    assert lines[2]["message"] == "x: no"
    for line in lines:
        assert datetime.fromisoformat(line["time"]).tzinfo == UTC
        assert set(line) == {"time", "level", "logger", "message"}
    assert logging.getLogger().handlers == handlers


def test_an_exception_that_is_logged_is_in_its_line(capsys: pytest.CaptureFixture[str]):
    with logged("json"):
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("x").exception("what")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["exception"].endswith("ValueError: why")


def test_warnings_as_text(capsys: pytest.CaptureFixture[str]):
    with logged("text"):
        logging.getLogger("ranker.gate").warning("worse")
    assert capsys.readouterr().err == "ranker: worse\n"
