"""Events by name: which of them the item gets, and which the user's last with it was."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from features.arrays import Float32Array, Int16Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.clock import ClockKind
from features.errors import ConfigError
from features.history import History
from features.item_table import FittedItems
from features.kernel import kernel

_MAX_PAIRED = 4  # names of which every two are compared without being asked


@dataclass(frozen=True)
class ItemConversion:
    """How the item's events divide among their names: seen, put into the cart, bought.

    The share of a name among several is ``(n(item, name) + smoothing * p) / (n(item) + smoothing)``
    with the counts of those names alone and ``p`` the name's share in the whole log. Without
    several names there are no columns.

    Parameters
    ----------
    funnel : tuple of str, optional
        Names of events, each step followed by the one that it may lead to, such as ``("view",
        "cart", "buy")``; consecutive ones are compared. Default: every two names, if there are at
        most four; the order of the two does not matter.
    smoothing : float
        Events of the whole log that are added to those of each item.
    """

    funnel: tuple[str, ...] | None = None
    smoothing: float = 10.0

    def fit(self, context: Context) -> FittedItems:
        """Count the events of each item by name.

        Raises
        ------
        ConfigError
            If a step of the funnel is no name that the log counts.
        """
        history = context.history
        names = history.facts.event_names
        unknown = sorted(set(self.funnel or ()) - set(names))
        if unknown and names:
            raise ConfigError(f"the log has no events {unknown}; the commonest are {list(names)}")
        if len(names) < 2:
            return FittedItems((), np.empty((history.n_items, 0), np.float32))
        known = history.event >= 0
        cell = history.item[known].astype(np.int64) * len(names) + history.event[known]
        count = np.bincount(cell, minlength=history.n_items * len(names))
        count = count.reshape(history.n_items, len(names)).astype(np.float64)
        if self.funnel is not None:
            pairs = list(pairwise(self.funnel))
        else:
            pairs = list(combinations(names, 2)) if len(names) <= _MAX_PAIRED else []
        groups = [(name, names, f"item_{name}_share") for name in names]
        groups += [(later, (first, later), f"item_{first}_to_{later}") for first, later in pairs]
        table = np.empty((history.n_items, len(groups)), np.float32)
        features = []
        for column, (name, among, title) in enumerate(groups):
            own = count[:, names.index(name)]
            of_all = count[:, [names.index(one) for one in among]].sum(axis=1)
            overall = own.sum() / max(of_all.sum(), 1.0)
            share = (own + self.smoothing * overall) / np.maximum(of_all + self.smoothing, 1e-30)
            table[:, column] = np.where(of_all > 0, share, np.nan)
            others = "" if among is names else f" named {among[0]!r} or {among[1]!r}"
            meaning = f"share of {name!r} among the item's events{others}, smoothed"
            features.append(Feature(title, "conversion", "share", meaning))
        return FittedItems(tuple(features), table)


@dataclass(frozen=True)
class LastEvents:
    """The user's last event of each name with the item: put into the cart, but not bought.

    Without several names, or without timestamps, there are no columns.
    """

    def fit(self, context: Context) -> FittedLastEvents:
        """Take the names of events."""
        history = context.history
        names = history.facts.event_names
        has_columns = len(names) > 1 and history.clock.kind is not ClockKind.NONE
        return FittedLastEvents(names if has_columns else (), history.clock.unit_name)


@dataclass(frozen=True)
class FittedLastEvents:
    """The block at an instant."""

    names: tuple[str, ...]
    unit_name: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """Two columns a name."""
        unit = self.unit_name
        kinds = (
            (f"recency_{unit}", unit, "time since the user's last event {!r} with the item"),
            ("is_last", "flag", "whether {!r} is of the instant of the user's last with the item"),
        )
        return tuple(
            Feature(f"event_{name}_{kind}", "event", unit, meaning.format(name))
            for name in self.names
            for kind, unit, meaning in kinds
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        if self.names:
            _fill_last(
                history.n_items,
                len(self.names),
                history.indptr,
                history.item,
                history.time,
                history.event,
                history.now,
                history.clock.unit,
                candidates.indptr,
                candidates.item,
                out,
            )


@kernel
def _fill_last(
    n_items: int,
    n_names: int,
    indptr: Int64Array,
    item: Int32Array,
    time: Int64Array,
    event: Int16Array,
    now: Int64Array,
    unit: int,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    longest = 0
    for user in range(len(indptr) - 1):
        longest = max(longest, row_indptr[user + 1] - row_indptr[user])
    place_of = np.full(n_items, -1, np.int32)  # of an item among the user's candidates
    last = np.zeros((longest, n_names), np.int64)
    is_known = np.zeros((longest, n_names), np.bool_)
    last_of_all = np.zeros(longest, np.int64)
    for user in range(len(indptr) - 1):
        first, end = row_indptr[user], row_indptr[user + 1]
        for row in range(first, end):
            place_of[row_item[row]] = row - first
            is_known[row - first] = False
        for at in range(indptr[user], indptr[user + 1]):
            place = place_of[item[at]]
            if place >= 0:
                last_of_all[place] = time[at]
                if 0 <= event[at] < n_names:
                    last[place, event[at]] = time[at]
                    is_known[place, event[at]] = True
        for row in range(first, end):
            place = row - first
            place_of[row_item[row]] = -1
            for name in range(n_names):
                # Never taken: there was no such event, and how long ago is unknown.
                out[row, 2 * name + 1] = 0.0
                if is_known[place, name]:
                    out[row, 2 * name] = (now[user] - last[place, name]) / unit
                    if last[place, name] == last_of_all[place]:
                        out[row, 2 * name + 1] = 1.0
