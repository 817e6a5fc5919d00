"""The tables that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from features.errors import ConfigError, RankerError, SchemaError
from ranker.config import DataConfig
from ranker.datasets import (
    Dataset,
    TimestampUnit,
    load_complete_journey,
    load_movielens,
    load_table,
)


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
        With the problems of all tables: files that cannot be read, columns that are not there.
    """
    if data.dataset == "complete-journey":
        return load_complete_journey(data.path), []
    if data.dataset == "movielens" and data.path is not None:
        return load_movielens(data.path), []
    unit = data.timestamp_unit
    problems: list[str] = []
    interactions = _load(data.interactions, "columns", data.columns, problems, unit=unit)
    items = _load(data.items, "item_columns", data.item_columns, problems)
    users = _load(data.users, "user_columns", data.user_columns, problems)
    if problems or interactions is None:
        raise ConfigError("\n".join(problems))
    return _with_ids_of_one_kind(Dataset("files", interactions, items, users))


_KEYS = {
    "columns": ("user_id", "item_id"),
    "item_columns": ("item_id",),
    "user_columns": ("user_id",),
}


def _load(
    path: str | None,
    section: str,
    columns: Mapping[str, str],
    problems: list[str],
    *,
    unit: TimestampUnit | None = None,
) -> pl.DataFrame | None:
    if path is None:
        return None
    try:
        table = load_table(path, columns=columns, timestamp_unit=unit)
        missing = [key for key in _KEYS[section] if key not in table.columns]
        if missing:
            raise SchemaError(path, [_unnamed_key(key, section, table.columns) for key in missing])
    except RankerError as error:
        problems.append(str(error))
        return None
    return table


def _unnamed_key(key: str, section: str, columns: list[str]) -> str:
    return (
        f"{key}: no such column among {columns}; name yours under [data.{section}], as in "
        f'{key} = "your column"'
    )


def _with_ids_of_one_kind(data: Dataset) -> tuple[Dataset, list[str]]:
    # A CSV does not say whether its ids are numbers: a log that has only "1" and "2" looks like
    # numbers, the table of items that has "A3" too like text. Numbers are read from a CSV only
    # where they are written in their plain form, so that as text they meet the others again.
    notes = []
    for key, table in (("item_id", "items"), ("user_id", "users")):
        log, attributes = data.interactions, data.items if table == "items" else data.users
        if attributes is None:
            continue
        as_text = pl.col(key).cast(pl.String)
        if log.schema[key].is_integer() and attributes.schema[key] == pl.String:
            data = replace(data, interactions=log.with_columns(as_text))
            notes.append(f"{key} is text in {table} but a number in interactions: taken as text")
        elif log.schema[key] == pl.String and attributes.schema[key].is_integer():
            changed = attributes.with_columns(as_text)
            data = (
                replace(data, items=changed) if table == "items" else replace(data, users=changed)
            )
            notes.append(f"{key} is text in interactions but a number in {table}: taken as text")
    return data, notes
