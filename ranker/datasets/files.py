"""Reading files, with errors that say which file and what else is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import polars as pl

from features.errors import ConfigError, RankerError

T = TypeVar("T")


def read(reader: Callable[[Path], T], file: Path) -> T:
    """Call a reader of Polars.

    Raises
    ------
    ConfigError
        If the file is not what the reader expects.
    """
    try:
        return reader(file)
    except RankerError:
        raise
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error


def require_files(folder: Path, names: tuple[str, ...], what: str) -> None:
    """Make sure that a folder holds some files.

    Raises
    ------
    ConfigError
        With those that are not there, and what is.
    """
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f"{folder}: {' and '.join(missing)} not found, needed for {what}{listing(folder)}"
        )


def listing(folder: Path) -> str:
    """Say what a folder holds, as the end of a message."""
    if not folder.is_dir():
        return f"; there is no folder {folder}"
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return f"; {folder} is empty"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"; {folder} holds {', '.join(names[:12])}{more}"
