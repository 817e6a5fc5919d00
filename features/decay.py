"""Exponential decay of events with their age."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from features.arrays import Float32Array
from features.clock import ClockKind
from features.errors import ConfigError
from features.history import History

Length: TypeAlias = str | int | float
"""A length of time: ``"60d"`` on an absolute clock, a whole number of an integer clock's units,
or a float, a share of the length of the log."""

# Users' own positions have no common length: there a share is one of so many positions.
_POSITIONS = 60.0


def length_ticks(history: History, length: Length | None) -> float:
    """A length of time in ticks of the history's clock; None is infinite.

    Raises
    ------
    ConfigError
        If a share is not positive, or a length not in the terms of the clock.
    """
    if length is None:
        return np.inf
    if isinstance(length, float):
        if not length > 0:
            raise ConfigError(f"{length} is no share of the log's length; expected one above 0")
        whole = float(history.facts.span) if history.clock.is_comparable else _POSITIONS
        return max(1.0, whole * length)
    if history.clock.kind is ClockKind.NONE:
        return 1.0
    return float(history.clock.duration(length))


def window_ticks(history: History, window: Length) -> float:
    """:func:`length_ticks` of a window; a share of the log is not rounded up to a tick."""
    ticks = length_ticks(history, window)
    return history.facts.span * window if isinstance(window, float) else ticks


def window_name(window: Length) -> str:
    """``"7d"`` as it is, ``1 / 12`` as ``"12th"``: what names of features end with."""
    return f"{round(1 / window)}th" if isinstance(window, float) else str(window)


def spell_window(name: str) -> str:
    """The name of a window as sentences say it."""
    return f"{name} of the log" if name.endswith("th") else name


def decay_weights(history: History, half_life: float) -> Float32Array:
    """Weight of each event, ``0.5 ** (age / half_life)``, float32 [n_events] in (0, 1].

    The age runs from the event to the ``now`` of its user; without timestamps all weights are 1.
    """
    if history.clock.kind is ClockKind.NONE:
        return np.ones(history.n_events, np.float32)
    age = np.repeat(history.now, history.lengths) - history.time
    return np.exp2(-age / half_life).astype(np.float32)
