"""From a file to a checked configuration."""

from __future__ import annotations

import tomllib
from pathlib import Path

from features.errors import ConfigError
from ranker.config.kinds import (
    COUNT_OR_ALL,
    DEPTHS,
    FLAG,
    FRACTION,
    INSTANT,
    LENGTH,
    MAPPING,
    MEMORY,
    NAMES,
    Kind,
    folder_in,
    one_of,
    path_in,
    table_in,
    whole_number,
)
from ranker.config.reader import Section, unknown_names
from ranker.config.sections import (
    Config,
    DataConfig,
    EvaluateConfig,
    ExportConfig,
    ModelConfig,
    SplitConfig,
)
from ranker.text import count

_SECTIONS = ("data", "split", "model", "evaluate", "export")


def load_config(path: str | Path) -> Config:
    """Read and check a configuration file.

    Parameters
    ----------
    path : str or Path
        A TOML file; :func:`example_config` shows every section and key.

    Raises
    ------
    ConfigError
        If the file is not there or no TOML; otherwise with every problem: unknown sections and
        keys, values of a wrong type or out of range, keys that exclude each other, files that
        are not there.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; `ranker init {path}` writes an example"
        ) from error
    # Also numbers of thousands of digits, dates that are none, and lists in lists in lists.
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    folder = path.absolute().parent
    data, split, model, evaluate, export = (Section(name, content.get(name)) for name in _SECTIONS)
    config = Config(
        path=path,
        data=_read_data(data, folder),
        split=_read_split(split),
        model=_read_model(model, folder),
        evaluate=EvaluateConfig(
            k=evaluate.take("k", DEPTHS, (10, 20)), metrics=evaluate.take("metrics", NAMES)
        ),
        export=_read_export(export, folder),
    )
    sections = (data, split, model, evaluate, export)
    problems = [problem for section in sections for problem in section.problems]
    problems += unknown_names(content, sections)
    if problems:
        head = f"{path}: {count(len(problems), 'problem')}"
        raise ConfigError("\n".join([head, *(f"  - {problem}" for problem in problems)]))
    return config


def _read_data(section: Section, folder: Path) -> DataConfig:
    source = table_in(folder)
    data = DataConfig(
        interactions=section.take("interactions", source),
        items=section.take("items", source),
        users=section.take("users", source),
        dataset=section.take("dataset", one_of("complete-journey", "movielens")),
        path=section.take("path", folder_in(folder)),
        columns=section.take("columns", MAPPING, {}),
        item_columns=section.take("item_columns", MAPPING, {}),
        user_columns=section.take("user_columns", MAPPING, {}),
        timestamp_unit=section.take("timestamp_unit", one_of("s", "ms", "us")),
    )
    about_files = section.given.intersection(section.known) - {"dataset", "path"}
    if "dataset" in section.given:
        if about_files:
            section.report(
                f"dataset and {', '.join(sorted(about_files))} exclude each other: a data set "
                f"brings its own tables and column names"
            )
        if data.dataset == "movielens" and "path" not in section.given:
            section.report('dataset = "movielens" needs path, the folder of the unpacked archive')
        return data
    if "interactions" not in section.given:
        section.report('needs interactions = "a file" or a query, or dataset = "complete-journey"')
    if "path" in section.given:
        section.report("path goes with dataset; your own files are named one by one")
    for mapping, table in (("item_columns", "items"), ("user_columns", "users")):
        if mapping in about_files and table not in about_files:
            section.report(f"{mapping} is of no use without {table}")
    return data


def _read_split(section: Section) -> SplitConfig:
    split = SplitConfig(
        test=section.take("test", LENGTH),
        test_fraction=section.take("test_fraction", FRACTION),
        at=section.take("at", INSTANT),
        exclude_seen=section.take("exclude_seen", FLAG),
    )
    ways = sorted(section.given & {"test", "test_fraction", "at"})
    if len(ways) > 1:
        section.report(f"{' and '.join(ways)} exclude each other; keep one")
    return split


def _read_model(section: Section, folder: Path) -> ModelConfig:
    return ModelConfig(
        path=section.take("path", path_in(folder), folder / "model"),
        preset=section.take("preset", one_of("fast", "balanced", "best"), "balanced"),
        random_state=section.take("random_state", whole_number(0), 0),
        n_candidates=section.take("n_candidates", COUNT_OR_ALL),
        n_windows=section.take("n_windows", whole_number(1)),
        window_length=section.take("window_length", LENGTH),
        gate=section.take("gate", one_of("warn", "fallback", "blend")),
        repeats=section.take("repeats", FLAG),
        keep=section.take("keep", whole_number(1), 2),
    )


def _read_export(section: Section, folder: Path) -> ExportConfig:
    table = table_in(folder)
    users = Kind(
        f'"all", or {table.expected}; with a column user_id',
        lambda value: "all" if value == "all" else table.parse(value),
    )
    return ExportConfig(
        path=section.take("path", path_in(folder), folder / "export"),
        k=section.take("k", whole_number(1), 50),
        format=section.take("format", one_of("parquet", "parquet-lists", "ndjson", "arrow")),
        chunk_size=section.take("chunk_size", whole_number(1)),
        max_memory=section.take("max_memory", MEMORY),
        n_shards=section.take("n_shards", whole_number(1)),
        engine=section.take("engine", one_of("local", "ray")),
        n_workers=section.take("n_workers", whole_number(1)),
        users=section.take("users", users, "all"),
    )
