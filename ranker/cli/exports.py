"""The commands of a nightly job: `export`, `export --verify`, `publish`."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from features.errors import ConfigError, ExportError, RankerError
from ranker.cli.commands import cast_ids, load_model, print_json, say
from ranker.config import load_config
from ranker.heap import keep_heap_small
from ranker.query import Query

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)
PUBLISH_TO = "RANKER_PUBLISH_TO"
"""Environment variable with the address that `publish` takes by default."""


def export(
    *,
    config: str | None,
    verify: str | None,
    format: str | None,  # noqa: A002 - named as the option is
    max_memory: str | None,
    json: bool,
    quiet: bool,
) -> int:
    """Write the lists of many users with the saved model, or check what was written."""
    if (config is None) == (verify is None):
        raise ConfigError("give a CONFIG to export by, or --verify DIR to check an export")
    if verify is not None:
        if format is not None or max_memory is not None:
            raise ConfigError("--format and --max-memory are of an export, not of --verify")
        return _verify(verify, json=json, quiet=quiet)
    keep_heap_small()
    from ranker.export import export_recommendations

    settings = load_config(str(config))
    wanted = settings.export
    if not settings.model.path.is_dir():
        raise ConfigError(
            f"there is no model at {settings.model.path}; run `ranker fit {config}` first"
        )
    recommender = load_model(settings.model.path)
    given = {"format": format, "max_memory": max_memory}
    result = export_recommendations(
        recommender,
        None if wanted.users == "all" else _read_users(wanted.users, recommender.user_ids.dtype),
        wanted.path,
        k=wanted.k,
        exclude_seen=settings.split.exclude_seen,
        **wanted.keywords | {name: value for name, value in given.items() if value is not None},
    )
    if json:
        print_json(asdict(result))
    else:
        twice = f" ({result.n_duplicates:,} given twice)" if result.n_duplicates else ""
        say(
            f"exported {result.n_rows:,} rows for {result.n_users:,} users{twice} to "
            f"{result.path}: {result.n_shards} shards, {result.n_resumed} of them from an earlier "
            f"run, {result.seconds:.1f} s",
            quiet=quiet,
        )
    return 0


def _verify(folder: str, *, json: bool, quiet: bool) -> int:
    from ranker.export import verify_export

    try:
        result = verify_export(folder)
    except ExportError as error:
        if json:
            print_json({"error": str(error)})
        logger.error("%s", error)
        return 1
    if json:
        print_json(asdict(result))
    else:
        say(
            f"{result.path} is whole: {result.n_shards} shards, {result.n_rows:,} rows for "
            f"{result.n_users:,} users, {result.seconds:.1f} s",
            quiet=quiet,
        )
    return 0


def publish(*, folder: str, to: str | None, name: str | None, json: bool, quiet: bool) -> int:
    """Put a finished export into a store that lists are served from."""
    from ranker.export import publish_export

    to = to or os.environ.get(PUBLISH_TO)
    if not to:
        raise ConfigError(f"give --to ADDRESS, or set {PUBLISH_TO}, which other users cannot see")
    result = publish_export(folder, to, name=name)
    if json:
        print_json(asdict(result))
    else:
        say(
            f"published {result.n_rows:,} rows for {result.n_users:,} users to {result.target}, "
            f"as version {result.version} of {result.name}, {result.seconds:.1f} s",
            quiet=quiet,
        )
    return 0


def _read_users(source: str | Query, dtype: pl.DataType) -> pl.Series:
    from ranker.datasets import load_table
    from ranker.datasets.files import source_name
    from ranker.export.users import as_series

    try:
        if isinstance(source, Query) or source.endswith(".parquet"):
            return cast_ids(as_series(source, dtype), dtype)  # of a wide table only the ids
        table = load_table(source)
        if "user_id" not in table.columns:
            raise ConfigError(
                f"{source_name(source)}: no column user_id among {table.columns}; it holds the "
                f"users to export"
            )
        return cast_ids(table["user_id"], dtype)
    except RankerError as error:
        raise ConfigError(f"[export] users: {error}") from error
