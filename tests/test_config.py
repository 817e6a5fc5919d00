"""The configuration file: what it becomes, and that every mistake in it is named at once."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from features.errors import ConfigError
from ranker.config import Config, example_config, load_config
from ranker.datasets import load_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text("user_id,item_id\n1,2\n")
    (tmp_path / "items.csv").write_text("item_id\n2\n")
    (tmp_path / "users.csv").write_text("user_id\n1\n")
    (tmp_path / "archive").mkdir()
    return tmp_path


def load(folder: Path, text: str) -> Config:
    file = folder / "ranker.toml"
    file.write_text(text)
    return load_config(file)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(folder, text)
    head, *lines = str(raised.value).splitlines()
    assert head.endswith(f"ranker.toml: {len(lines)} problem{'s' if len(lines) > 1 else ''}")
    return [line.removeprefix("  - ") for line in lines]


DATA = '[data]\ninteractions = "log.csv"\n'


def test_defaults(folder: Path):
    config = load(folder, DATA)
    assert config.data.interactions == str(folder / "log.csv")
    assert config.data.columns == {}
    assert config.split.keywords == {"test_fraction": 0.1}
    assert config.split.exclude_seen is None
    assert (config.model.preset, config.model.random_state) == ("balanced", 0)
    assert config.model.path == folder / "model"
    assert config.model.keywords == {}
    assert (config.evaluate.k, config.evaluate.metrics) == ((10, 20), None)
    assert config.export.path == folder / "export"
    assert (config.export.k, config.export.chunk_size, config.export.users) == (50, None, "all")


def test_the_whole_catalogue_as_candidates(folder: Path):
    config = load(folder, f'{DATA}[model]\nn_candidates = "all"\n')
    assert config.model.keywords == {"n_candidates": "all"}


def test_everything_given(folder: Path):
    config = load(
        folder,
        """
        [data]
        interactions = "*.csv"
        items = "items.csv"
        users = "users.csv"
        timestamp_unit = "ms"
        columns = {user_id = "customer", item_id = "sku"}
        [data.item_columns]
        item_id = "sku"
        [data.user_columns]
        user_id = "customer"
        [split]
        at = 2024-01-31T00:00:00
        exclude_seen = false
        [model]
        preset = "fast"
        random_state = 7
        n_candidates = 100
        n_windows = 2
        window_length = "7d"
        gate = "fallback"
        repeats = false
        path = "/elsewhere/model"
        [evaluate]
        k = 5
        metrics = ["ndcg"]
        [export]
        path = "lists"
        k = 3
        chunk_size = 10
        max_memory = "4GB"
        users = "users.csv"
        """,
    )
    assert config.data.columns == {"user_id": "customer", "item_id": "sku"}
    assert config.data.item_columns == {"item_id": "sku"}
    assert config.data.timestamp_unit == "ms"
    assert config.split.keywords == {"at": datetime(2024, 1, 31)}
    assert config.split.exclude_seen is False
    assert config.model.keywords == {
        "n_candidates": 100,
        "n_windows": 2,
        "window_length": "7d",
        "gate": "fallback",
        "repeats": False,
    }
    assert config.model.path == Path("/elsewhere/model")
    assert (config.evaluate.k, config.evaluate.metrics) == ((5,), ("ndcg",))
    assert config.export.path == folder / "lists"
    assert config.export.users == str(folder / "users.csv")
    assert config.export.keywords == {"chunk_size": 10, "max_memory": "4GB"}


def test_the_name_of_the_folder_is_no_pattern(tmp_path: Path):
    folder = tmp_path / "shop [prod]"
    folder.mkdir()
    for day in "12":
        (folder / f"log{day}.csv").write_text("user_id,item_id\n1,2\n")
    (folder / "log[1].csv").write_text("user_id,item_id\n3,4\n")
    found = load(folder, '[data]\ninteractions = "log?.csv"\n').data.interactions
    assert load_table(found).rows() == [(1, 2), (1, 2)]
    found = load(folder, '[data]\ninteractions = "log[1].csv"\n').data.interactions
    assert load_table(found).rows() == [(3, 4)]
    assert problems(folder, '[data]\ninteractions = "log??.csv"\n')


def test_is_frozen(folder: Path):
    config = load(folder, DATA)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.data.items = "other"  # type: ignore[misc]


def test_relative_paths_start_at_the_file_not_here(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "ranker.toml").write_text(DATA)
    monkeypatch.chdir(folder / "archive")
    assert load_config("../ranker.toml").data.interactions is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31", date(2024, 1, 31)),
        ("2024-01-31T10:00:00Z", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        ('"2024-01-31"', date(2024, 1, 31)),
        ('"2024-01-31 10:00"', datetime(2024, 1, 31, 10)),
        ("-5", -5),
    ],
)
def test_instants(folder: Path, text: str, expected: object):
    assert load(folder, f"{DATA}[split]\nat = {text}").split.keywords == {"at": expected}


@pytest.mark.parametrize(("text", "expected"), [('"1d12h"', "1d12h"), ("40", 40)])
def test_lengths(folder: Path, text: str, expected: object):
    assert load(folder, f"{DATA}[split]\ntest = {text}").split.keywords == {"test": expected}


@pytest.mark.parametrize(
    ("section", "line", "expected"),
    [
        ("split", 'test = "28 days"', 'text such as "28d"'),
        ("split", "test = 0", 'text such as "28d"'),
        ("split", "test = true", 'text such as "28d"'),
        ("split", "test_fraction = 1.5", "a number between 0 and 1"),
        ("split", "test_fraction = nan", "a number between 0 and 1"),
        ("split", "at = 10:00:00", "a date, a time"),
        ("split", 'at = "yesterday"', "a date, a time"),
        ("split", "at = false", "a date, a time"),
        ("split", 'exclude_seen = "no"', "true or false"),
        ("model", 'preset = "quick"', 'one of "fast", "balanced", "best"'),
        ("model", "random_state = -1", "a whole number from 0"),
        ("model", "random_state = true", "a whole number from 0"),
        ("model", "n_candidates = 0", 'a whole number from 1, or "all"'),
        ("model", 'n_candidates = "every"', 'a whole number from 1, or "all"'),
        ("model", "n_windows = 1.0", "a whole number from 1"),
        ("model", 'window_length = "7"', 'text such as "28d"'),
        ("model", 'gate = "off"', 'one of "warn", "fallback", "blend"'),
        ("model", "repeats = 1", "true or false"),
        ("model", 'path = ""', "a path"),
        ("evaluate", "k = []", "a whole number from 1, or a list"),
        ("evaluate", "k = [10, 0]", "a whole number from 1, or a list"),
        ("evaluate", 'metrics = "ndcg"', "a list such as"),
        ("export", "path = 3", "a path"),
        ("export", "k = 0", "a whole number from 1"),
        ("export", "chunk_size = -1", "a whole number from 1"),
        ("export", "n_shards = 0", "a whole number from 1"),
        ("export", 'engine = "spark"', 'one of "local", "ray"'),
        ("export", "n_workers = 0", "a whole number from 1"),
        ("export", 'format = "csv"', 'one of "parquet", "parquet-lists", "ndjson", "arrow"'),
        ("export", 'max_memory = "much"', 'text such as "4GB"'),
        ("export", "max_memory = 0", 'text such as "4GB"'),
        ("export", 'users = "nobody.csv"', '"all", or an existing file'),
    ],
)
def test_wrong_values_say_what_was_expected(folder: Path, section: str, line: str, expected: str):
    (problem,) = problems(folder, f"{DATA}[{section}]\n{line}")
    key = line.split(" = ", maxsplit=1)[0]
    assert problem.startswith(f"[{section}] {key} = ")
    assert f"expected {expected}" in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["[data] needs interactions"]),
        ('[data]\ndataset = "netflix"', ["dataset = 'netflix': expected one of"]),
        ('[data]\ndataset = "movielens"', ['"movielens" needs path']),
        (
            '[data]\ndataset = "movielens"\npath = "nowhere"',
            ["path = 'nowhere': expected an existing folder"],
        ),
        (
            '[data]\ndataset = "complete-journey"\ninteractions = "log.csv"\nitems = "items.csv"',
            ["dataset and interactions, items exclude each other"],
        ),
        (f'{DATA}path = "archive"', ["path goes with dataset"]),
        ('[data]\ninteractions = "logs.csv"', ["'logs.csv': expected an existing file"]),
        ('[data]\ninteractions = "*.parquet"', ["expected an existing file or a glob"]),
        ('[data]\ninteractions = "archive"', ["expected an existing file or a glob"]),
        (f'{DATA}item_columns = {{item_id = "sku"}}', ["item_columns is of no use without items"]),
        (f"{DATA}columns = {{user_id = 3}}", ["expected text by name"]),
        (f'{DATA}timestamp_unit = "min"', ['expected one of "s", "ms", "us"']),
        ("data = 3", ["expected a section, [data]", "[data] needs interactions"]),
        (
            f'{DATA}[split]\ntest = "28d"\ntest_fraction = 0.1',
            ["test and test_fraction exclude each other"],
        ),
    ],
)
def test_contradictions(folder: Path, text: str, expected: list[str]):
    found = problems(folder, text)
    assert len(found) == len(expected)
    for problem, part in zip(found, expected, strict=True):
        assert part in problem


def test_unknown_names_come_with_the_nearest(folder: Path):
    text = f"""{DATA}
        colums = {{user_id = "customer"}}
        [modle]
        preset = "fast"
        [split]
        k = 10
        qwertz = 1
        """
    assert problems(folder, text) == [
        "[modle]: no such section; the nearest is 'model'",
        "[data] colums: no such key; the nearest is 'columns'",
        "[split] k: no such key; it belongs to [evaluate] or [export]",
        "[split] qwertz: no such key; expected test, test_fraction, at, exclude_seen",
    ]


def test_all_problems_come_at_once(folder: Path):
    text = '[data]\n[split]\ntest = "x"\n[model]\npreset = 1\n[evaluate]\nk = "a"\n[export]\nkk = 1'
    assert len(problems(folder, text)) == 5


def test_files_that_are_no_configuration(folder: Path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file; `ranker init"):
        load_config(folder / "nowhere.toml")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_config(folder / "archive")
    with pytest.raises(ConfigError, match=r"cannot be read as TOML: .*line 1"):
        load(folder, "[data\n")
    (folder / "ranker.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_config(folder / "ranker.toml")


def test_example_works_as_it_stands(folder: Path):
    config = load(folder, example_config())
    assert config.data.dataset == "complete-journey"
    assert config.split.keywords == {"test": "28d"}
    assert max(len(line) for line in example_config().splitlines()) <= 100


def test_example_shows_every_key_and_all_of_them_are_known(folder: Path):
    (folder / "events").mkdir()
    (folder / "events" / "a.parquet").touch()
    for name in ("products.csv", "customers.csv"):
        (folder / name).touch()
    commented = re.compile(r"^# (?=(\w+ = )|(\[))", flags=re.MULTILINE)
    text = commented.sub("", example_config())
    lines = [
        line
        for line in text.splitlines()
        if not re.match(r"(dataset|path = \"ml|test_fraction|at) ?", line)
    ]
    config = load(folder, "\n".join(lines))
    parsed = tomllib.loads(text)
    for section in ("data", "split", "model", "evaluate", "export"):
        keys = {field.name for field in dataclasses.fields(getattr(config, section))}
        assert set(parsed[section]) == keys
