"""Leaving out what the user took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.clock import ClockKind
from features.decay import Length
from features.errors import ConfigError
from features.history import History
from ranker.lists.arguments import ticks_of
from ranker.lists.context import ListContext
from ranker.lists.eligible import Banned, BoundFilter, Filter


@dataclass(frozen=True)
class FilterSeen(Filter):
    """Leaves out what the user took: all of it, of late, or by events of a name.

    Parameters
    ----------
    within : str, int or float, optional
        Only what he took so long before he is served, as ``"7d"``. As a share of the log: a float.
        Default: ever.
    event : str, optional
        Only events of this name, such as ``"order"``. Default: all.
    """

    within: Length | None = None
    event: str | None = None

    def bind(self, context: ListContext) -> BoundFilterSeen:
        """Check the length and the name against the log.

        Raises
        ------
        ConfigError
            If the log has no times or no such events.
        """
        history, names = context.history, context.history.facts.event_names
        if self.event is not None and self.event not in names:
            raise ConfigError(
                f"{self}: the log has no events {self.event!r}; there are "
                f"{', '.join(map(repr, names)) or 'none with a name'}"
            )
        if self.within is not None and history.clock.kind is ClockKind.NONE:
            raise ConfigError(f"{self}: the log has no timestamps, so nothing is of late")
        event = None if self.event is None else names.index(self.event)
        return BoundFilterSeen(ticks_of(self, history, "within", self.within), event)


@dataclass(frozen=True)
class BoundFilterSeen(BoundFilter):
    """:class:`FilterSeen` with the length in ticks and the number of the name."""

    within: float
    event: int | None

    def by_user(self, history: History) -> Banned:
        """The items of the events."""
        is_meant = np.repeat(history.now, history.lengths) - history.time <= self.within
        if self.event is not None:
            is_meant &= history.event == self.event
        counts = np.bincount(history.user[is_meant], minlength=history.n_users)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Banned(indptr, history.item[is_meant])
