"""How much has happened since the reranker learned."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Self

import polars as pl

from features.clock import Clock, ClockKind
from ranker.text import count


@dataclass(frozen=True)
class Staleness:
    """The events that came in by ``refresh``: the trees have not learned from them.

    Attributes
    ----------
    n_events : int
    share : float
        Of all events.
    n_users, n_items : int
        Of these events, those without any event at the fit.
    age : timedelta or int or None
        From the last event of the fit to the last one of all; None where the clock does not
        compare users.
    """

    n_events: int
    share: float
    n_users: int
    n_items: int
    age: dt.timedelta | int | None

    @classmethod
    def of(cls, log: pl.DataFrame, n_trained: int, clock: Clock) -> Self:
        """Of a log whose first ``n_trained`` rows were those of the fit."""
        trained, new = log.head(n_trained), log.tail(log.height - n_trained)
        age: dt.timedelta | int | None = None
        if clock.is_comparable:
            last, latest = (int(clock.ticks(one["timestamp"]).max()) for one in (trained, log))
            age = latest - last
            if clock.kind is ClockKind.ABSOLUTE:
                age = dt.timedelta(microseconds=age)
        n_users, n_items = (
            new.select(pl.col(key).filter(~pl.col(key).is_in(trained[key].implode())).n_unique())
            for key in ("user_id", "item_id")
        )
        return cls(new.height, new.height / log.height, n_users.item(), n_items.item(), age)

    def __str__(self) -> str:
        """A line that says all of it."""
        if not self.n_events:
            return "no events since the reranker was fitted"
        over = "" if self.age is None else f" over {self.age}"
        return (
            f"{count(self.n_events, 'event')} ({self.share:.1%} of all){over} since the reranker "
            f"was fitted, by {count(self.n_users, 'new user')} and of "
            f"{count(self.n_items, 'new item')}"
        )
