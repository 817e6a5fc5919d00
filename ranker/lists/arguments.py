"""Checks of the parameters of steps, whose messages name the step."""

from __future__ import annotations

from numbers import Integral, Real

from features.errors import ConfigError


def check_name(step: object, argument: str, value: object) -> None:
    """Make sure that a parameter is the name of something."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{type(step).__name__}: {argument}={value!r}; expected a name as text")


def check_share(step: object, **shares: object) -> None:
    """Make sure that parameters are numbers from 0 to 1."""
    for argument, value in shares.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not 0 <= float(value) <= 1:  # type: ignore[arg-type]
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
