"""Checks of single arguments, whose messages name the argument, the value and what is expected."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard

from features.errors import ConfigError

MOST = 2**31 - 1
"""No count is larger: numbers of rows, places and candidates are int32."""


def check_count(**counts: object) -> None:
    """Make sure that arguments, by name, are whole numbers from 1 to :data:`MOST`.

    Raises
    ------
    ConfigError
        True is no number, though Python takes it for 1.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ConfigError(f"{name}={value!r}; expected a whole number, 1 or more")
        if int(value) > MOST:
            raise ConfigError(f"{name}={value!r}; expected a whole number up to {MOST}")


def check_from_zero(**numbers: object) -> None:
    """Make sure that arguments, by name, are finite numbers of at least 0.

    Raises
    ------
    ConfigError
    """
    for name, value in numbers.items():
        if not _is_finite(value) or not value >= 0:
            raise ConfigError(f"{name}={value!r}; expected a number from 0 on")


def check_above_zero(**numbers: object) -> None:
    """Make sure that arguments, by name, are finite numbers above 0.

    Raises
    ------
    ConfigError
    """
    for name, value in numbers.items():
        if not _is_finite(value) or not value > 0:
            raise ConfigError(f"{name}={value!r}; expected a number above 0")


def check_flag(**flags: object) -> None:
    """Make sure that arguments, by name, are True, False or None.

    Raises
    ------
    ConfigError
        Any text, "no" too, counts as true in Python.
    """
    for name, value in flags.items():
        if value is not None and not isinstance(value, bool):
            raise ConfigError(
                f"{name}={value!r}; expected True or False, or None for what suits the data"
            )


def plain_number(value: object) -> int | float:
    """A number of NumPy as one of Python: what :func:`json.dumps` asks for as ``default``.

    Raises
    ------
    TypeError
        It is no number.
    """
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}, which JSON does not know")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number; True is none, though Python takes it for 1."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_finite(value: object) -> TypeGuard[float]:
    return is_number(value) and math.isfinite(value)
