"""Numbers and lengths of time, as people say them."""

from __future__ import annotations

import math

from features.clock import Clock, ClockKind
from ranker.text import count

_DAYS = (("hour", 1 / 24, 1.0), ("day", 1.0, 90.0), ("month", 30.44, 730.0), ("year", 365.25, None))


def times(count: float) -> str:
    """How often: ``once``, ``twice``, ``9 times``."""
    n = round(count)
    return {1: "once", 2: "twice"}.get(n, f"{n:,} times")


def ordinal(place: float) -> str:
    """Which place: ``1st``, ``22nd``, ``113th``."""
    n = round(place)
    ending = "th" if n // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{ending}"


def length(clock: Clock, units: float) -> str | None:
    """A length of time: ``10 days``, ``1 hour``; None where it has no name or is not known.

    Parameters
    ----------
    clock : Clock
    units : float
        In :attr:`features.clock.Clock.unit`, which is what features are said in. Positions of a
        user's own sequence are events; the unit of another integer clock is not known.
    """
    if not math.isfinite(units):
        return None
    if clock.kind is ClockKind.SEQUENCE:
        return count(round(units), "event")
    if clock.kind is not ClockKind.ABSOLUTE:
        return None
    for name, size, end in _DAYS:
        if end is None or units < end:
            return count(round(units / size), name) if units >= size / 2 else f"under an {name}"
    return None


def ago(clock: Clock, units: float) -> str | None:
    """How long ago: ``10 days ago``; None where that has no name."""
    said = length(clock, units)
    return None if said is None else f"{said} ago"


def every(clock: Clock, units: float) -> str | None:
    """How regularly: ``about every 9 days``, ``about every day``; None where it has no name."""
    said = length(clock, units)
    return (
        None
        if said is None or said.startswith("under")
        else f"about every {said.removeprefix('1 ')}"
    )


def percent(share: float) -> str:
    """A share, to two digits: ``12 %``, ``0.31 %``."""
    value = 100 * share
    if value >= 10:
        return f"{value:.0f} %"
    return f"{value:.2g} %"


def number(value: float, unit: str) -> str:
    """The value of a feature in its unit."""
    if unit == "share":
        return percent(value)
    if unit in ("count", "rank", "hour", "weekday", "flag"):
        return f"{value:,.0f}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
