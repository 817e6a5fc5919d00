"""What is known of the moment, and who and what has no past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array, Float64Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.clock import ClockKind
from features.history import History

_HOUR = 3600 * 10**6
_DAY = 24 * _HOUR


@dataclass(frozen=True)
class ColdFlags:
    """Whether the item and the user have any events.

    Parameters
    ----------
    few : int
        Events of the item are counted up to so many: of more, popularity tells.
    """

    few: int = 10

    def fit(self, context: Context) -> FittedColdFlags:
        """Count the events of each item."""
        history = context.history
        count = np.bincount(history.item, minlength=history.n_items)
        return FittedColdFlags(np.minimum(count, self.few).astype(np.float32), self.few)


@dataclass(frozen=True)
class FittedColdFlags:
    """The block at an instant."""

    count: Float32Array
    few: int

    @property
    def features(self) -> tuple[Feature, ...]:
        """Three columns."""
        return (
            Feature("cold_item", "cold", "flag", "whether the item has no events"),
            Feature("cold_user", "cold", "flag", "whether the user has no events"),
            Feature("cold_events", "cold", "count", f"events of the item, {self.few} at most"),
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        count = self.count[candidates.item]
        out[:, 0] = count == 0.0
        out[:, 1] = history.lengths[candidates.user] == 0
        out[:, 2] = count


@dataclass(frozen=True)
class ClockAffinity:
    """Hour and weekday at which the user is looked at, and how much they are the item's.

    The affinity is the item's share of its events at this hour over the share of all events at
    it, ``(n(i, h) + smoothing * p(h)) / (n(i) + smoothing) / p(h)``. There are no columns unless
    timestamps are Datetime (in UTC) or Date, and for a Date only those of the weekday.

    Parameters
    ----------
    smoothing : float
        Events of everybody that are added to those of each item.
    """

    smoothing: float = 20.0

    def fit(self, context: Context) -> FittedClockAffinity:
        """Count the events of each item by hour and weekday."""
        history = context.history
        if history.clock.kind is not ClockKind.ABSOLUTE:
            return FittedClockAffinity({})
        cycles = (_WEEKDAY,) if history.clock.is_date else (_HOUR_OF_DAY, _WEEKDAY)
        return FittedClockAffinity({cycle: self._ratio(history, cycle) for cycle in cycles})

    def _ratio(self, history: History, cycle: _Cycle) -> Float32Array:
        cell = history.item.astype(np.int64) * cycle.length + cycle.place(history.time)
        count = np.bincount(cell, minlength=history.n_items * cycle.length)
        count = count.reshape(history.n_items, cycle.length).astype(np.float64)
        overall: Float64Array = count.sum(axis=0) / max(count.sum(), 1.0)
        overall[overall == 0.0] = np.nan  # nothing is known of an hour without events
        size = count.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # 0 / 0: no events and no smoothing
            share = (count + self.smoothing * overall) / (size + self.smoothing)
        ratio: Float32Array = (share / overall).astype(np.float32)
        return ratio


@dataclass(frozen=True)
class _Cycle:
    """Something that comes round.

    Attributes
    ----------
    name : str
    tick : int
        Microseconds of a step.
    length : int
        Steps until it comes round.
    first : int
        Step at which 1970 began.
    """

    name: str
    tick: int
    length: int
    first: int

    def place(self, time: Int64Array) -> Int64Array:
        """Step of each instant, from 0; before 1970 too."""
        place: Int64Array = (time // self.tick + self.first) % self.length
        return place


_HOUR_OF_DAY = _Cycle("hour", _HOUR, 24, 0)
_WEEKDAY = _Cycle("weekday", _DAY, 7, 3)  # 1970 began on a Thursday


@dataclass(frozen=True)
class FittedClockAffinity:
    """The block at an instant: for each cycle one row per item and one column per step."""

    ratio: dict[_Cycle, Float32Array]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Two columns a cycle."""
        said = {
            "hour": "hour of the day (UTC) of the recommendation",
            "weekday": "weekday of the recommendation, 0 = Monday",
        }
        return tuple(
            feature
            for name in (cycle.name for cycle in self.ratio)
            for feature in (
                Feature(f"clock_{name}", "clock", name, said[name]),
                Feature(
                    f"clock_{name}_ratio",
                    "clock",
                    "ratio",
                    f"share of the item's events at this {name} over that of all, smoothed",
                ),
            )
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        now = history.now[candidates.user]
        for index, (cycle, ratio) in enumerate(self.ratio.items()):
            place = cycle.place(now)
            out[:, 2 * index] = place
            out[:, 2 * index + 1] = ratio[candidates.item, place]
