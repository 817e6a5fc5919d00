"""Checks of the parameters of steps, whose messages name the step."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import TypeVar

from features.decay import Length, length_ticks
from features.errors import ConfigError
from features.history import History
from ranker.arguments import is_number

_T = TypeVar("_T")


def check_name(step: object, argument: str, value: object) -> None:
    """Make sure that a parameter is the name of something."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{type(step).__name__}: {argument}={value!r}; expected a name as text")


def check_share(step: object, **shares: object) -> None:
    """Make sure that parameters are numbers from 0 to 1."""
    for argument, value in shares.items():
        if not is_number(value) or not 0 <= float(value) <= 1:
            raise ConfigError(
                f"{type(step).__name__}: {argument}={value!r}; expected a number from 0 to 1"
            )


def check_depth(step: object, depth: object) -> None:
    """Make sure that a depth is a whole number of at least 1."""
    check_whole(step, 1, depth=depth)


def check_whole(step: object, least: int, **numbers: object) -> None:
    """Make sure that parameters are whole numbers of at least so much."""
    for argument, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ConfigError(
                f"{type(step).__name__}: {argument}={value!r}; expected a whole number, {least} or "
                f"more"
            )


def ticks_of(step: object, history: History, argument: str, length: Length | None) -> float:
    """A length of time in ticks, as :func:`features.decay.length_ticks` has it."""
    return named(step, argument, lambda: length_ticks(history, length))


def named(step: object, argument: str, call: Callable[[], _T]) -> _T:
    """What a check returns; where it complains, the message names the step and its parameter."""
    try:
        return call()
    except ConfigError as error:
        raise ConfigError(f"{type(step).__name__}: {argument}: {error}") from None
