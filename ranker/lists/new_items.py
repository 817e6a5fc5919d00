"""Places for new items."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np
import polars as pl

from features.arrays import BoolArray
from features.clock import ClockKind
from features.decay import Length
from features.errors import ConfigError
from ranker.lists.arguments import check_name, check_whole, ticks_of
from ranker.lists.context import ListContext
from ranker.lists.floors import Floor
from ranker.lists.step import Step


@dataclass(frozen=True)
class NewItems(Step):
    """At least so many new items in a list.

    The best new candidates are reserved; where nobody proposed enough, other new items take
    turns: each user begins at another one, by a hash of his id, so that all of them get shown.
    (A source of new items, such as ``TextSimilarity(max_events=0)``, knows better which.) Filters
    and caps win over the quota.

    Parameters
    ----------
    at_least : int
    max_events : int, optional
        An item with at most so many events is new. Default: 0, unless ``max_age`` is given.
    max_age : str, int or float, optional
        An item is new so long after its first event, or after the instant in ``column``. As a
        share of the log: a float. An item without events is new by the former, not by the latter.
    column : str, optional
        Of the item table: since when an item exists, as Date, Datetime, or integer where the log's
        clock is one.
    """

    at_least: int = 1
    _: KW_ONLY
    max_events: int | None = None
    max_age: Length | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        check_whole(self, 1, at_least=self.at_least)
        if self.max_events is not None:
            check_whole(self, 0, max_events=self.max_events)
        if self.column is not None:
            check_name(self, "column", self.column)
            if self.max_age is None:
                raise ConfigError(
                    f"NewItems: column={self.column!r} says since when an item exists; give "
                    f"max_age too, how long it is new from then on"
                )

    @property
    def n_places(self) -> int:
        """How many places it asks for."""
        return self.at_least

    def floors(self, context: ListContext) -> list[Floor]:
        """The new items; without any, the quota stays short.

        Raises
        ------
        ConfigError
            If ages cannot be told, or the column does not exist or is of another clock.
        """
        is_new = self._is_new(context)
        return [Floor(np.flatnonzero(is_new).astype(np.int32), self.at_least, turns=True)]

    def _is_new(self, context: ListContext) -> BoolArray:
        history = context.history
        n_events = np.bincount(history.item, minlength=history.n_items)
        is_new: BoolArray = np.zeros(history.n_items, np.bool_)
        if self.max_events is not None or self.max_age is None:
            is_new |= n_events <= (self.max_events or 0)
        if self.max_age is None:
            return is_new
        if not history.clock.is_comparable:
            raise ConfigError(
                f"{self}: ages need timestamps that are one clock for everybody, and this log's is "
                f"{history.clock.kind.value}; give max_events instead"
            )
        youngest = history.as_of - ticks_of(self, history, "max_age", self.max_age)
        if self.column is not None:
            since, is_known = _ticks(context, self, self.column)
            return is_new | (is_known & (since >= youngest) & (since < history.as_of))
        first = np.full(history.n_items, np.iinfo(np.int64).max)
        np.minimum.at(first, history.item, history.time)
        return is_new | (first >= youngest)


def _ticks(context: ListContext, step: object, column: str) -> tuple[np.ndarray, BoolArray]:
    clock, values = context.history.clock, context.item_columns(step, column)[column]
    is_absolute = clock.kind is ClockKind.ABSOLUTE
    fits = values.dtype.is_temporal() if is_absolute else values.dtype.is_integer()
    if not fits or values.dtype in (pl.Time, pl.Duration):
        expected = "Date or Datetime" if is_absolute else "an integer"
        raise ConfigError(
            f"{step}: the column {column} of items is {values.dtype}; expected {expected}, as the "
            f"timestamps of the log"
        )
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    is_known = values.is_not_null().to_numpy()
    if is_absolute:
        values = values.cast(pl.Datetime("us"))
    return values.to_physical().cast(pl.Int64).fill_null(0).to_numpy(), is_known
