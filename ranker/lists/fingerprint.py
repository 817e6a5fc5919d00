"""A checksum of what a policy does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from numbers import Real
from typing import Any

import polars as pl

from features.errors import ConfigError
from ranker.arguments import plain_number


def fingerprint(steps: tuple[Any, ...]) -> str:
    """SHA-256 of the steps and all their parameters, 64 hexadecimal digits.

    Expressions go in as Polars writes them down: another version of it may give another one.
    """
    text = json.dumps([_describe(step) for step in steps], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _describe(value: Any) -> Any:  # noqa: PLR0911  # a return for each kind
    if isinstance(value, pl.Expr | pl.Series | pl.DataFrame):
        return _of_polars(value)
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {type(value).__name__: {name: _describe(one) for name, one in fields.items()}}
    if isinstance(value, Mapping):
        return [[_describe(key), _describe(one)] for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [_describe(one) for one in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Real):  # numpy's are no int and float, but as good as these
        return plain_number(value)
    if isinstance(value, dt.date):
        return {"instant": value.isoformat()}
    raise ConfigError(f"{value!r} is a {type(value).__name__}, which a policy cannot hold")


def _of_polars(value: pl.Expr | pl.Series | pl.DataFrame) -> dict[str, Any]:
    if isinstance(value, pl.Series):
        return {"values": _digest(value)}
    if isinstance(value, pl.DataFrame):
        return {"columns": {name: _digest(value[name]) for name in value.columns}}
    try:
        return {"expression": hashlib.sha256(value.meta.serialize()).hexdigest()}
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"the expression {value} cannot be written down: {error}") from error


def _digest(values: pl.Series) -> str:
    digest = hashlib.sha256(f"{values.dtype}/{len(values)}".encode())
    for value in values:
        text = repr(value)
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
