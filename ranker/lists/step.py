"""What every step of a policy is: a small frozen dataclass of its parameters."""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Mapping
from typing import Any

import polars as pl


class Step(ABC):  # noqa: B024  # the abstract methods are those of the kinds below it
    """A step of a :class:`~ranker.lists.Policy`: its fields are its parameters."""

    @property
    def n_places(self) -> int:
        """How many places of a list it asks for, at most."""
        return 0

    def fields(self) -> dict[str, Any]:
        """The parameters by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }

    def __str__(self) -> str:
        defaults = {
            field.name: field.default
            if field.default_factory is dataclasses.MISSING
            else field.default_factory()
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }
        told = []
        for name, value in self.fields().items():
            default = defaults[name]
            if default is dataclasses.MISSING:
                told.append(_spell(value))
            elif not (type(value) is type(default) and value == default):
                told.append(f"{name}={_spell(value)}")
        return f"{type(self).__name__}({', '.join(told)})"


def _spell(value: object) -> str:
    if isinstance(value, pl.DataFrame):
        return f"{value.height} rows"
    if isinstance(value, pl.Series):
        return f"{len(value)} items"
    if isinstance(value, pl.Expr):
        return str(value)
    if isinstance(value, Mapping):
        return repr(dict(value))
    return repr(value)
