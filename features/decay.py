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


def decay_weights(history: History, half_life: float) -> Float32Array:
    """Weight of each event, ``0.5 ** (age / half_life)``, float32 [n_events] in (0, 1].

    The age runs from the event to the ``now`` of its user; without timestamps all weights are 1.
    """
    if history.clock.kind is ClockKind.NONE:
        return np.ones(history.n_events, np.float32)
    age = np.repeat(history.now, history.lengths) - history.time
    return np.exp2(-age / half_life).astype(np.float32)
