"""Whether an item is one of those that users took last."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from features.arrays import BoolArray, Float64Array, Int64Array
from features.block import Context, Feature
from features.clock import ClockKind
from features.errors import ConfigError
from features.history import History
from features.item_table import FittedItems

_PRIOR_EVENTS = 5.0  # average ones, added to those of each item: few events say little


@dataclass(frozen=True)
class ItemLateness:
    """Where the events of an item stand in their users' histories: what is coming, what is past.

    Most logs end for most users at about the same time. So where timestamps only order the events
    of each user, an item whose events are mostly among the latest of its users is a new one, and
    one that they began with is an old one, whatever its popularity. On a clock that compares users
    the windows of :class:`features.item.ItemPopularity` say that better, and there are no columns.

    Parameters
    ----------
    latest : tuple of int
        How many of each user's events count as the latest, ascending.

    Raises
    ------
    ConfigError
        If they do not ascend from 1 or more.
    """

    latest: tuple[int, ...] = (1, 5, 20)

    def __post_init__(self) -> None:
        given: Any = self.latest
        is_whole = isinstance(given, tuple) and all(type(n) is int for n in given)
        if not is_whole or any(n <= m for m, n in pairwise((0, *given))):
            raise ConfigError(
                f"ItemLateness: latest={self.latest!r}; expected a tuple of whole numbers "
                f"that ascend from 1"
            )

    def fit(self, context: Context) -> FittedItems:
        """Aggregate the log by item."""
        history = context.history
        if history.clock.kind is not ClockKind.SEQUENCE:
            return FittedItems((), np.empty((history.n_items, 0), np.float32))
        before, after = _around(history)
        length = np.repeat(history.lengths, history.lengths)
        n_events = np.bincount(history.item, minlength=history.n_items)
        columns = [_lift(after < n, history, n_events) for n in self.latest]
        described = [
            Feature(
                *(f"item_latest_{n}", "item", "ratio"),
                f"share of its events among their users' latest {n}, over that of all events",
            )
            for n in self.latest
        ]
        columns.append(_mean((before + length - after) / (2 * length), history, n_events))
        meaning = "mean place in its users' histories, near 0 = begun with, near 1 = taken last"
        described.append(Feature("item_place", "item", "share", meaning))
        table = np.stack(columns, axis=1).astype(np.float32)
        table[n_events == 0] = np.nan
        return FittedItems(tuple(described), table)


def _around(history: History) -> tuple[Int64Array, Int64Array]:
    """Events of the same user at an earlier and at a later instant, int64 [n_events]."""
    first = np.flatnonzero(history.begins_instant())
    size = np.diff(first, append=history.n_events)
    user = history.user
    before = np.repeat(first, size) - history.indptr[user]
    after = history.indptr[user + 1] - np.repeat(first + size, size)
    return before, after


def _mean(values: Float64Array, history: History, n_events: Int64Array) -> Float64Array:
    """By item, with some average events added."""
    average = values.mean() if len(values) else 0.0
    total = np.bincount(history.item, values, minlength=history.n_items)
    found: Float64Array = (total + _PRIOR_EVENTS * average) / (n_events + _PRIOR_EVENTS)
    return found


def _lift(is_late: BoolArray, history: History, n_events: Int64Array) -> Float64Array:
    average = is_late.mean() if len(is_late) else 1.0
    return _mean(is_late.astype(np.float64), history, n_events) / average
