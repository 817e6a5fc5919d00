"""Counts of a log that need not fit into memory: what ``ranker doctor`` looks at.

Every figure is an aggregate that Polars collects in a stream: a row per user and per item at most,
never a row per event. What an aggregate would need all rows for (distinct times of each user,
copies of events) is counted a part of the rows at a time, and parts are told by hashes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import polars as pl

from features.clock import Clock, ClockKind, are_positions, position_users

_ROWS_A_PART = 2_000_000
_BUCKETS = 4096


@dataclass(frozen=True, eq=False)
class LogSummary:
    """Aggregates of canonical interactions.

    Parameters
    ----------
    log : LazyFrame
        Canonical.
    """

    log: pl.LazyFrame

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self.log.collect_schema().names()

    @cached_property
    def users(self) -> pl.DataFrame:
        """``user_id`` and ``len``, how many events the user has, in order of the ids."""
        return self._events_of("user_id")

    @cached_property
    def items(self) -> pl.DataFrame:
        """``item_id`` and ``len``, how many events the item has, in order of the ids."""
        return self._events_of("item_id")

    @cached_property
    def n_rows(self) -> int:
        """Number of events."""
        return int(self.users["len"].sum())

    @cached_property
    def clock(self) -> Clock:
        """As :meth:`features.clock.Clock.of`."""
        if "timestamp" not in self.columns:
            return Clock(ClockKind.NONE)
        dtype = self.log.collect_schema()["timestamp"]
        if not dtype.is_integer():
            return Clock(ClockKind.ABSOLUTE, is_date=dtype == pl.Date)
        parts = self._parts(self.log.select("user_id", "timestamp"))
        counts = [position_users(part) for part in parts]
        n_users = sum(one for one, _ in counts)
        if not n_users:  # so few events that they are looked at themselves
            few = self.log.select("user_id", "timestamp").head(_ROWS_A_PART)
            return Clock.of(few.collect(engine="streaming"))
        is_sequence = are_positions(n_users, sum(one for _, one in counts))
        return Clock(ClockKind.SEQUENCE if is_sequence else ClockKind.SHARED)

    @cached_property
    def span(self) -> tuple[Any, Any]:
        """The first and the last timestamp."""
        time = pl.col("timestamp")
        ends = self.log.select(time.min().alias("first"), time.max().alias("last"))
        return ends.collect(engine="streaming").row(0)

    @cached_property
    def ticks(self) -> tuple[int, int]:
        """The first and the last tick."""
        first, last = self.clock.ticks(pl.Series(self.span)).tolist()
        return first, last

    def future(self) -> tuple[int, Any]:
        """How many events lie in the future, and the first of those instants."""
        now = datetime.now(UTC).replace(tzinfo=None)
        time = pl.col("timestamp")
        is_late = time.cast(pl.Datetime("us")) > now
        late = self.log.filter(is_late).select(pl.len(), time.min().alias("first"))
        n_late, first = late.collect(engine="streaming").row(0)
        return n_late, first

    def repeated(self, key: Sequence[str]) -> tuple[int, dict[str, Any]]:
        """How many events repeat another with the same key, and an example of one that is."""
        n_repeated, example = 0, dict[str, Any]()
        for part in self._parts(self.log.select(key)):
            copies = part.group_by(key).len().filter(pl.col("len") > 1)
            found = copies.select(
                (pl.col("len") - 1).sum(),
                pl.struct(key).sort_by(key).first().alias("example"),
            ).collect(engine="streaming")
            n_repeated += int(found["len"].item())
            example = example or found["example"].item() or {}
        return n_repeated, example

    def tick_at(self, row: int) -> int:
        """The tick that has so many before it, all ticks being in order.

        Ticks are counted by range, and the range that holds the row is divided further.
        """
        low, high = self.ticks
        tick = self._tick()
        while low < high:
            width = -(-(high - low + 1) // _BUCKETS)
            counted = (
                self.log.filter(tick.is_between(low, high))
                .group_by(((tick - low) // width).alias("range"))
                .len()
                .collect(engine="streaming")
                .sort("range")
            )
            before = counted["len"].cum_sum() - counted["len"]
            at = int(before.search_sorted(row, side="right")) - 1
            row -= int(before[at])
            low += int(counted["range"][at]) * width
            high = min(high, low + width - 1)
        return low

    def split_at(self, cut: int) -> tuple[int, int, int]:
        """Events from a tick on, their users, and those of the users without an event before."""
        is_test = self._tick() >= cut
        per_user = self.log.group_by("user_id").agg(
            is_test.sum().alias("test"), (~is_test).sum().alias("train")
        )
        test, train = pl.col("test"), pl.col("train")
        counts = per_user.select(
            test.sum(),
            (test > 0).sum().alias("users"),
            ((test > 0) & (train == 0)).sum().alias("new"),
        )
        n_test, n_users, n_new = counts.collect(engine="streaming").row(0)
        return int(n_test), int(n_users), int(n_new)

    def _tick(self) -> pl.Expr:
        time = pl.col("timestamp")
        if self.clock.kind is ClockKind.ABSOLUTE:
            time = time.cast(pl.Datetime("us"))
        return time.to_physical().cast(pl.Int64)

    def _events_of(self, key: str) -> pl.DataFrame:
        return self.log.group_by(key).len().collect(engine="streaming").sort(key)

    def _parts(self, frame: pl.LazyFrame) -> Iterator[pl.LazyFrame]:
        """Parts of a frame of about as many rows; each user is in one part with all events."""
        n_parts = math.ceil(self.n_rows / _ROWS_A_PART)
        if n_parts <= 1:
            yield frame
            return
        part = pl.col("user_id").hash(seed=0) % n_parts
        for number in range(n_parts):
            yield frame.filter(part == number)
