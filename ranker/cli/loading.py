"""The tables that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from features.errors import ConfigError, RankerError, SchemaError
from ranker.config import DataConfig
from ranker.datasets import (
    Dataset,
    load_complete_journey,
    load_movielens,
    load_table,
    scan_table,
)
from ranker.datasets.files import source_name
from ranker.query import Query


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a configuration; interactions from files and addresses are only scanned."""

    interactions: pl.LazyFrame
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None


def load_data(data: DataConfig) -> tuple[Dataset, list[str]]:
    """Load the tables of a configuration.

    Returns
    -------
    dataset : Dataset
    notes : list of str
        What was done to the tables that the user should know of.

    Raises
    ------
    ConfigError
        With the problems of all tables: what cannot be read, columns that are not there.
    """
    if data.dataset is not None:
        return _known(data), []
    tables, notes = _tables(data, load_table)
    interactions = tables.interactions.collect()
    return Dataset("files", interactions, tables.items, tables.users), notes


def scan_data(data: DataConfig) -> tuple[Tables, list[str]]:
    """The same without reading interactions into memory, which may be larger than that.

    Tables of items and users have a row an id and are read, as is what a query answers.
    """
    if data.dataset is not None:
        known = _known(data)
        return Tables(known.interactions.lazy(), known.items, known.users), []
    return _tables(data, scan_table)


def _known(data: DataConfig) -> Dataset:
    if data.dataset == "movielens" and data.path is not None:
        return load_movielens(data.path)
    return load_complete_journey(data.path)


def _tables(
    data: DataConfig, open_log: Callable[..., pl.DataFrame | pl.LazyFrame]
) -> tuple[Tables, list[str]]:
    unit = data.timestamp_unit
    problems: list[str] = []
    opened = partial(open_log, timestamp_unit=unit)
    interactions = _load(opened, data.interactions, "interactions", data.columns, problems)
    items, users = (
        None if table is None else table.lazy().collect()
        for table in (
            _load(load_table, data.items, "items", data.item_columns, problems),
            _load(load_table, data.users, "users", data.user_columns, problems),
        )
    )
    if problems or interactions is None:
        raise ConfigError("\n".join(problems))
    return _with_ids_of_one_kind(Tables(interactions.lazy(), items, users))


_KEYS = {
    "interactions": ("columns", ("user_id", "item_id")),
    "items": ("item_columns", ("item_id",)),
    "users": ("user_columns", ("user_id",)),
}


def _load(
    opened: Callable[..., pl.DataFrame | pl.LazyFrame],
    source: str | Query | None,
    name: str,
    columns: Mapping[str, str],
    problems: list[str],
) -> pl.DataFrame | pl.LazyFrame | None:
    if source is None:
        return None
    section, keys = _KEYS[name]
    try:
        table = opened(source, columns=columns)
        names = table.collect_schema().names()
        missing = [key for key in keys if key not in names]
        if missing:
            problem = [_unnamed_key(key, section, names) for key in missing]
            raise SchemaError(source_name(source), problem)
    except RankerError as error:
        problems.append(f"[data] {name}: {error}")
        return None
    return table


def _unnamed_key(key: str, section: str, columns: list[str]) -> str:
    return (
        f"{key}: no such column among {columns}; name yours under [data.{section}], as in "
        f'{key} = "your column"'
    )


def _with_ids_of_one_kind(data: Tables) -> tuple[Tables, list[str]]:
    # A CSV does not say whether its ids are numbers: a log that has only "1" and "2" looks like
    # numbers, the table of items that has "A3" too like text. Numbers are read from a CSV only
    # where they are written in their plain form, so that as text they meet the others again.
    notes = []
    for key, table in (("item_id", "items"), ("user_id", "users")):
        log, attributes = data.interactions, data.items if table == "items" else data.users
        if attributes is None:
            continue
        as_text = pl.col(key).cast(pl.String)
        dtype = log.collect_schema()[key]
        if dtype.is_integer() and attributes.schema[key] == pl.String:
            data = replace(data, interactions=log.with_columns(as_text))
            notes.append(f"{key} is text in {table} but a number in interactions: taken as text")
        elif dtype == pl.String and attributes.schema[key].is_integer():
            changed = attributes.with_columns(as_text)
            data = (
                replace(data, items=changed) if table == "items" else replace(data, users=changed)
            )
            notes.append(f"{key} is text in interactions but a number in {table}: taken as text")
    return data, notes
