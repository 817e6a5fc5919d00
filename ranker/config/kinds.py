"""Kinds of values that a key accepts, each with the words for a message."""

from __future__ import annotations

import datetime as dt
import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from ranker.addresses import is_url
from ranker.query import Query

T = TypeVar("T")

_SCHEMES = ("s3", "gs", "az", "abfss", "hf", "https", "http")
_DURATION = re.compile(r"(\d+(us|ms|s|m|h|d|w))+")
_MEMORY = re.compile(r"\d+(\.\d+)? *[KMGT]?i?B", re.IGNORECASE)


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A parser, and what it expects: it returns None for another value, or says what is wrong."""

    expected: str
    parse: Callable[[object], T | None]


def one_of(*names: str) -> Kind[str]:
    """One of some words."""
    return Kind(
        "one of " + ", ".join(f'"{name}"' for name in names),
        lambda value: value if isinstance(value, str) and value in names else None,
    )


def whole_number(minimum: int) -> Kind[int]:
    """A whole number; true, which Python takes for 1, is none."""
    return Kind(
        f"a whole number from {minimum}",
        lambda value: value if type(value) is int and value >= minimum else None,
    )


def path_in(folder: Path) -> Kind[Path]:
    """A path, of something that need not be there; a relative one starts at the folder."""

    def parse(value: object) -> Path | None:
        if not isinstance(value, str) or not value or "\0" in value:
            return None
        try:
            return folder / Path(value).expanduser()
        except RuntimeError:  # ~ of somebody who is not known here
            return None

    return Kind("a path", parse)


def folder_in(folder: Path) -> Kind[Path]:
    """A folder that is there."""

    def parse(value: object) -> Path | None:
        found = path_in(folder).parse(value)
        try:
            return found if found is not None and found.is_dir() else None
        except OSError:  # names that are too long, folders that may not be read
            return None

    return Kind("an existing folder", parse)


def files_in(folder: Path) -> Kind[str]:
    """A file that is there, or a glob that finds one."""

    def parse(value: object) -> str | None:
        found = path_in(folder).parse(value)
        # The folder's own name is no pattern, whatever is in it.
        pattern = path_in(Path(glob.escape(str(folder)))).parse(value)
        if found is None or pattern is None:
            return None
        try:
            if found.is_file():
                return str(found)
            files = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
            return str(pattern) if any(file.is_file() for file in files) else None
        except (OSError, ValueError, IndexError):  # the last: of "/", in Python 3.11
            return None

    return Kind("an existing file or a glob that finds some", parse)


def table_in(folder: Path) -> Kind[str | Query]:
    """A file or a glob, an address, or an SQL query, whose relative paths start at the folder."""
    files = files_in(folder)

    def parse(value: object) -> str | Query | None:
        if isinstance(value, dict):
            if set(value) != {"sql", "database"} or not all(
                isinstance(one, str) for one in value.values()
            ):
                return None
            return Query(**value, folder=folder)
        if isinstance(value, str) and is_url(value):
            return value if value.partition("://")[0].lower() in _SCHEMES else None
        return files.parse(value)

    return Kind(
        f"{files.expected}, an address ({'://, '.join(_SCHEMES)}://), or a query such as "
        '{ sql = "SELECT ...", database = "postgresql://me@host/shop" }, "duckdb:shop.duckdb" or '
        '"duckdb::memory:"',
        parse,
    )


def _parse_length(value: object) -> str | int | None:
    if isinstance(value, str):
        return value if _DURATION.fullmatch(value) else None
    return value if type(value) is int and value > 0 else None


def _parse_memory(value: object) -> str | int | None:
    if isinstance(value, str):
        return value if _MEMORY.fullmatch(value) else None
    return value if type(value) is int and value > 0 else None


def _parse_instant(value: object) -> dt.date | int | None:
    if isinstance(value, str):
        for parse in (dt.date.fromisoformat, dt.datetime.fromisoformat):
            try:
                return parse(value)
            except ValueError:
                continue
        return None
    return value if isinstance(value, dt.date) or type(value) is int else None


def _parse_fraction(value: object) -> float | None:
    return value if isinstance(value, float) and 0 < value < 1 else None


def _parse_mapping(value: object) -> dict[str, str] | None:
    if isinstance(value, dict) and all(isinstance(name, str) and name for name in value.values()):
        return dict(value)
    return None


def _parse_depths(value: object) -> tuple[int, ...] | None:
    depths = value if isinstance(value, list) else [value]
    valid = tuple(depth for depth in depths if type(depth) is int and depth > 0)
    return valid if valid and len(valid) == len(depths) else None


def _parse_count_or_all(value: object) -> int | Literal["all"] | None:
    if value == "all":
        return "all"
    return value if type(value) is int and value >= 1 else None


def _parse_names(value: object) -> tuple[str, ...] | None:
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None


COUNT_OR_ALL = Kind('a whole number from 1, or "all"', _parse_count_or_all)
FLAG = Kind("true or false", lambda value: value if isinstance(value, bool) else None)
FRACTION = Kind("a number between 0 and 1, such as 0.1", _parse_fraction)
LENGTH = Kind(
    'text such as "28d" or "12h", or a whole number for integer timestamps', _parse_length
)
MEMORY = Kind('text such as "4GB" or "512MiB", or bytes as a whole number', _parse_memory)
INSTANT = Kind("a date, a time such as 2024-01-31T00:00:00 or a whole number", _parse_instant)
MAPPING = Kind('text by name such as {user_id = "customer"}, our name first', _parse_mapping)
DEPTHS = Kind("a whole number from 1, or a list such as [10, 20]", _parse_depths)
NAMES = Kind('a list such as ["ndcg", "recall"]', _parse_names)
