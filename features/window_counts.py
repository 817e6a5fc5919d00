"""How often items were taken in the latest windows, kept up to date event by event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.clock import Clock, ClockKind
from features.custom import Instant
from features.errors import ConfigError, SchemaError
from features.problems import missing_column
from features.schema import check_id_dtypes, check_interactions, check_is_frame, time_zone


@dataclass(frozen=True)
class WindowCounts:
    """Events of each item in windows that end at an instant, and in the whole log.

    What is kept are the events of the longest window, which may fall out of it, and a total per
    item: so an update reads the new events and the recent ones, however long the log is, and says
    what counting everything again would say.

    Attributes
    ----------
    clock : Clock
    windows : tuple of str or int
        Lengths, such as ``"7d"``, or whole numbers on an integer clock.
    as_of : int
        A tick; events strictly before it are counted.
    recent : DataFrame
        Events of the longest window: item_id, tick.
    total : DataFrame
        item_id, count.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [7, 8, 7], "timestamp": [10, 25, 40]})
    >>> counts = WindowCounts.of(log, windows=[20], as_of=41)
    >>> counts.update(log.with_columns(timestamp=50), as_of=60).frame().rows()
    [(7, 3, 4), (8, 1, 2)]
    """

    clock: Clock
    windows: tuple[str | int, ...]
    as_of: int
    recent: pl.DataFrame
    total: pl.DataFrame

    @classmethod
    def of(
        cls,
        interactions: pl.DataFrame | pl.LazyFrame,
        *,
        windows: Sequence[str | int],
        as_of: Instant,
    ) -> WindowCounts:
        """Count from the beginning.

        Parameters
        ----------
        interactions : DataFrame or LazyFrame
            See :func:`features.schema.check_interactions`.
        windows : sequence of str or int
        as_of : datetime or int

        Raises
        ------
        SchemaError
            With every problem of the frame.
        ConfigError
            If the clock compares no users, or a window or the instant does not fit it.
        """
        log = check_interactions(interactions)
        clock = Clock.of(log, time_zone(interactions.collect_schema()))
        if not clock.is_comparable or not windows:
            raise ConfigError(
                f"windows {list(windows)} cannot be counted on a clock that is "
                f"{clock.kind.value}; expected at least one, and timestamps that compare users"
            )
        if len({clock.duration(window) for window in windows}) < len(windows):
            raise ConfigError(f"windows {list(windows)} are not of different lengths")
        nothing = pl.DataFrame(
            schema={"item_id": log.schema["item_id"], "tick": pl.Int64, "count": pl.Int64}
        )
        empty = cls(
            clock,
            tuple(windows),
            clock.tick(as_of),  # type: ignore[arg-type]  # None is refused there
            nothing.select("item_id", "tick"),
            nothing.select("item_id", "count"),
        )
        return empty.update(interactions, as_of=as_of)

    def update(self, interactions: pl.DataFrame | pl.LazyFrame, *, as_of: Instant) -> WindowCounts:
        """Count new events, and let those that have become too old fall out of the windows.

        Parameters
        ----------
        interactions : DataFrame or LazyFrame
            Events that were not counted before, all strictly before ``as_of``. They may be older
            than the instant up to now, if they came in late. A frame without rows is allowed here.
        as_of : datetime or int
            Not before the instant up to now.

        Raises
        ------
        SchemaError
            If events have no time, are at or after the instant, or of other ids or another clock.
        ConfigError
            If time runs backwards.
        """
        now = self.clock.tick(as_of)  # type: ignore[arg-type]
        if now < self.as_of:
            raise ConfigError(
                f"as_of={as_of!r} is before {self.clock.instant(self.as_of)}, as of which the "
                f"counts are already; count from the beginning"
            )
        events = self._events(interactions)
        late = events.filter(pl.col("tick") >= now)
        if late.height:
            raise SchemaError(
                "interactions",
                [
                    (
                        f"timestamp: {late.height} events are at or after {as_of}, when the counts "
                        f"are to stand; cut them off with timestamp < as_of"
                    )
                ],
            )
        longest = max(map(self.clock.duration, self.windows))
        total = pl.concat(
            [self.total, events.group_by("item_id").len("count").cast(self.total.schema)]
        )
        return WindowCounts(
            self.clock,
            self.windows,
            now,
            pl.concat([self.recent, events]).filter(pl.col("tick") >= now - longest).sort(pl.all()),
            total.group_by("item_id").sum().sort("item_id"),
        )

    def _events(self, interactions: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
        check_is_frame(interactions, "interactions")
        given = interactions.lazy().collect()
        if "timestamp" not in given.columns:
            raise SchemaError("interactions", [missing_column("timestamp", given.columns)])
        if not given.height:
            return self.recent.clear()
        new = check_interactions(given)
        check_id_dtypes("item_id", interactions=new, counted=self.total)
        self.clock.check("interactions", new, zone=time_zone(given.schema))
        return new.select("item_id", tick=pl.Series(self.clock.ticks(new["timestamp"])))

    def frame(self) -> pl.DataFrame:
        """One row per item, ascending: item_id, ``count_<window>`` each, count_all (all Int64)."""
        counts = self.recent.group_by("item_id").agg(
            (pl.col("tick") >= self.as_of - self.clock.duration(window))
            .sum()
            .cast(pl.Int64)
            .alias(f"count_{window}")
            for window in self.windows
        )
        return (
            self.total.join(counts, on="item_id", how="left", maintain_order="left")
            .with_columns(pl.col(f"count_{window}").fill_null(0) for window in self.windows)
            .select("item_id", *(f"count_{window}" for window in self.windows), count_all="count")
        )

    def write(self, path: str | Path) -> None:
        """Keep the counts in a Parquet file: the recent events, and below them the totals."""
        path = Path(path)
        about = {
            "kind": self.clock.kind.value,
            "is_date": self.clock.is_date,
            "zone": self.clock.zone,
            "windows": self.windows,
            "as_of": self.as_of,
        }
        rows = pl.concat([self.recent, self.total], how="diagonal")
        # Written aside and renamed: what is there is always whole.
        aside = path.with_name(path.name + ".partial")
        rows.write_parquet(aside, metadata={"about": json.dumps(about)})
        aside.replace(path)

    @classmethod
    def read(cls, path: str | Path) -> WindowCounts:
        """Take up the counts that :meth:`write` has left."""
        about = json.loads(pl.read_parquet_metadata(path)["about"])
        rows = pl.read_parquet(path)
        return cls(
            Clock(ClockKind(about["kind"]), is_date=about["is_date"], zone=about.get("zone")),
            tuple(about["windows"]),
            about["as_of"],
            rows.filter(pl.col("count").is_null()).select("item_id", "tick"),
            rows.filter(pl.col("tick").is_null()).select("item_id", "count"),
        )
