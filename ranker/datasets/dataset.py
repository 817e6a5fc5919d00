"""Interactions and the tables that belong to them, and the folder they are stored in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ranker.datasets.files import read, read_parquet, require_files


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions with the attribute tables that belong to them.

    Parameters
    ----------
    name : str
    interactions : DataFrame
        ``user_id``, ``item_id`` and whatever else is known of an event, one row an event.
    items, users : DataFrame or None
        Attributes, one row per ``item_id`` and ``user_id``.
    description : str
        What the data are, in a sentence or two.

    Examples
    --------
    >>> import polars as pl
    >>> toy = Dataset("toy", pl.DataFrame({"user_id": [1, 1], "item_id": ["fig", "pear"]}))
    >>> toy.interactions.height
    2
    """

    name: str
    interactions: pl.DataFrame
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    description: str = ""


def load_folder(path: str | Path) -> Dataset:
    """Load ``interactions.parquet`` and, where present, ``items.parquet`` and ``users.parquet``.

    The files are in this package's own column names already and are taken as they are.

    Raises
    ------
    ConfigError
        If there is no ``interactions.parquet``, or a file cannot be read.
    """
    folder = Path(path)
    require_files(folder, ("interactions.parquet",), "interactions")
    items, users = (
        read(read_parquet, file) if file.is_file() else None
        for file in (folder / "items.parquet", folder / "users.parquet")
    )
    return Dataset(
        name=folder.resolve().name,
        interactions=read(read_parquet, folder / "interactions.parquet"),
        items=items,
        users=users,
    )
