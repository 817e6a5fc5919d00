"""Reading files, with errors that say which file and what else is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import polars as pl

from features.errors import ConfigError, RankerError
from ranker.addresses import is_url, place, without_secrets
from ranker.query import Query

T = TypeVar("T")
Source: TypeAlias = str | Path | Query
_S = TypeVar("_S", bound=Source)


read_parquet = partial(pl.read_parquet, glob=False)
"""Of a file whose name may hold brackets, which Polars would take for a pattern."""


def read(reader: Callable[[_S], T], file: _S) -> T:
    """Call a reader of Polars with a file, an address or the query whose answer is read.

    Raises
    ------
    ConfigError
        If the file is not what the reader expects. Passwords in addresses are not shown.
    """
    try:
        return reader(file)
    except RankerError:
        raise
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        if not isinstance(file, Query) and is_url(file):
            # The lines below hold the server's page. The error itself may hold a password.
            text = without_secrets(str(error).partition("\n")[0], file)
            raise ConfigError(
                f"{source_name(file)}: cannot be read: {text}; check the address, and the keys in "
                f"the environment that Polars reads it with"
            ) from None
        raise ConfigError(f"{source_name(file)}: cannot be read: {error}") from error


def source_name(source: Source) -> str:
    """What messages call a file, an address (without its password) or a query."""
    return str(source) if isinstance(source, Query) else place(source)


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
