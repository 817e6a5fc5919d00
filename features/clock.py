"""What the timestamps of a log mean, and their form as whole numbers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum
from numbers import Integral

import polars as pl

from features.arrays import Int64Array
from features.errors import ConfigError, SchemaError

_UNITS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}
_UNITS |= {"d": 24 * _UNITS["h"], "w": 168 * _UNITS["h"]}
_DAY = _UNITS["d"]

WEEK = 7 * _DAY
"""Ticks of a week on an absolute clock."""
LONGEST = 2**62
"""No length of time has as many ticks: they are int64, and differences of them have to be."""
# A user whose timestamps step by one from first to last has positions, not instants.
_SEQUENCE_SHARE = 0.95


class ClockKind(Enum):
    """How timestamps of different users compare."""

    ABSOLUTE = "absolute"
    """Datetime or Date: instants, microseconds since 1970."""
    SHARED = "shared"
    """Int64 that is one clock for everybody: a log position, epoch seconds, a day number."""
    SEQUENCE = "sequence"
    """Int64 that is each user's own position: says nothing across users."""
    NONE = "none"
    """No timestamp at all."""


@dataclass(frozen=True)
class Clock:
    """Reads timestamps and writes them back; inside, every time is an int64 tick.

    A tick is a microsecond on an absolute clock and one unit of the column otherwise.

    Parameters
    ----------
    kind : ClockKind
    is_date : bool
        The column was a Date, so that the smallest step is a day.
    zone : str, optional
        The time zone of the column, if it had one other than UTC: a time that names none may be
        meant there.
    """

    kind: ClockKind
    is_date: bool = False
    zone: str | None = None

    @classmethod
    def of(cls, interactions: pl.DataFrame, zone: str | None = None) -> Clock:
        """Find out what the timestamp of canonical interactions means, from dtype and values.

        ``zone`` is the time zone that it had before, see :func:`features.schema.time_zone`.
        """
        if "timestamp" not in interactions.columns:
            return cls(ClockKind.NONE)
        dtype = interactions.schema["timestamp"]
        if not dtype.is_integer():
            known = None if zone == "UTC" else zone
            return cls(ClockKind.ABSOLUTE, is_date=dtype == pl.Date, zone=known)
        return cls(ClockKind.SEQUENCE if _counts_positions(interactions) else ClockKind.SHARED)

    @property
    def is_comparable(self) -> bool:
        """Whether one instant can be laid through the logs of all users."""
        return self.kind in (ClockKind.ABSOLUTE, ClockKind.SHARED)

    @property
    def step(self) -> int:
        """Ticks of the smallest difference between two timestamps."""
        return _DAY if self.is_date else 1

    @property
    def unit(self) -> int:
        """Ticks of the unit that features are said in: a day, or one position."""
        return _DAY if self.kind is ClockKind.ABSOLUTE else 1

    @property
    def unit_name(self) -> str:
        """What :attr:`unit` is called in the name of a feature."""
        return "days" if self.kind is ClockKind.ABSOLUTE else "steps"

    def check(self, table: str, interactions: pl.DataFrame, *, zone: str | None) -> None:
        """Make sure that further canonical interactions are timed as the log of this clock was.

        Days would be read as their midnights beside instants, and instants be cut to days.

        Parameters
        ----------
        table : str
            What the message calls them.
        interactions : DataFrame
        zone : str or None
            The time zone that their column had.

        Raises
        ------
        SchemaError
            If one is a whole number, a Date or a Datetime, and the other is not, or if they name
            no time zone and the log named one.
        """
        if self.kind is ClockKind.NONE or "timestamp" not in interactions.columns:
            return
        dtype = interactions.schema["timestamp"]
        fitted: pl.DataType = pl.Int64()
        if self.kind is ClockKind.ABSOLUTE:
            fitted = pl.Date() if self.is_date else pl.Datetime("us")
        if dtype != fitted:
            from_number = dtype.is_integer() and not fitted.is_integer()
            how = " by polars.from_epoch" if from_number else ""
            raise SchemaError(
                table,
                [
                    (
                        f"times are {dtype} in timestamp of {table}, {fitted} in timestamp of "
                        f"interactions that the model was fitted with; bring them to that dtype"
                        f"{how}, such as {interactions['timestamp'][0]!s}"
                    )
                ],
            )
        if self.zone is not None and zone is None and interactions.height:
            problem = (
                f"times in timestamp of {table} name no time zone, those that the model was fitted "
                f"with were of {self.zone}; say of which these are, as in "
                f"pl.col('timestamp').dt.replace_time_zone('{self.zone}')"
            )
            raise SchemaError(table, [problem])

    def ticks(self, timestamps: pl.Series) -> Int64Array:
        """Timestamps of canonical interactions as int64 ticks."""
        if self.kind is ClockKind.ABSOLUTE:
            timestamps = timestamps.cast(pl.Datetime("us"))
        return timestamps.to_physical().cast(pl.Int64).to_numpy()

    def timestamps(self, ticks: Int64Array) -> pl.Series:
        """Undo :meth:`ticks`: Datetime (naive UTC), Date or Int64."""
        series = pl.Series("timestamp", ticks, dtype=pl.Int64)
        if self.kind is not ClockKind.ABSOLUTE:
            return series
        series = series.cast(pl.Datetime("us"))
        return series.cast(pl.Date) if self.is_date else series

    def instant(self, tick: int) -> dt.datetime | int:
        """The tick in the caller's terms; an absolute instant is naive UTC."""
        if self.kind is ClockKind.ABSOLUTE:
            return dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=tick)
        return tick

    def tick(self, instant: dt.datetime | dt.date | int) -> int:
        """The instant as ticks; an aware datetime is brought to UTC, a naive one is UTC.

        Raises
        ------
        ConfigError
            If the instant does not fit the clock.
        """
        given: object = instant
        if self.kind is ClockKind.ABSOLUTE and isinstance(instant, dt.date):
            if not isinstance(instant, dt.datetime):
                instant = dt.datetime(instant.year, instant.month, instant.day)
            if instant.tzinfo is not None:
                instant = instant.astimezone(dt.UTC).replace(tzinfo=None)
            return (instant - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
        if self.kind in (ClockKind.SHARED, ClockKind.SEQUENCE) and isinstance(given, Integral):
            return int(given)
        expected = "a datetime or date" if self.kind is ClockKind.ABSOLUTE else "a whole number"
        raise ConfigError(
            f"{instant!r} is no instant of this log, whose clock is {self.kind.value}; "
            f"expected {expected}"
        )

    def duration(self, length: str | int) -> int:
        """Ticks of ``"28d"``, ``"12h"``... on an absolute clock, of a whole number otherwise.

        Raises
        ------
        ConfigError
            If the length is not positive or not in the terms of this clock.
        """
        ticks = _parse_duration(length) if isinstance(length, str) else length
        wants_text = self.kind is ClockKind.ABSOLUTE
        is_wrong = isinstance(length, bool | float) or isinstance(length, str) != wants_text
        if is_wrong or ticks is None or not self.step <= ticks < LONGEST:
            expected = "text such as '28d' or '12h'" if wants_text else "a positive whole number"
            hint = " of at least a day" if self.is_date else ""
            if self.kind is ClockKind.SHARED and isinstance(length, str):
                hint = ", or times that are dates: polars.from_epoch makes them of seconds"
            raise ConfigError(
                f"{length!r} is no length of time for a log whose clock is {self.kind.value}; "
                f"expected {expected}{hint}"
            )
        return ticks

    def whole(self, ticks: int) -> int:
        """A length of time in whole steps, from a day on in whole days, from a week on in weeks.

        On an absolute clock life has a daily and a weekly round; instants that are whole weeks
        apart stand at the same place of both. Days are rounded down, weeks to the nearest.
        """
        if self.kind is ClockKind.ABSOLUTE and ticks >= WEEK:
            return round(ticks / WEEK) * WEEK
        size = _DAY if self.kind is ClockKind.ABSOLUTE and ticks >= _DAY else self.step
        return max(self.step, ticks // size * size)

    def spell(self, ticks: int) -> str:
        """A length of time for people: ``"27.9 days"``, ``"5.0 hours"``, ``"400 steps"``."""
        if self.kind is not ClockKind.ABSOLUTE:
            return f"{ticks} steps"
        for name, size in (("days", _DAY), ("hours", _UNITS["h"]), ("minutes", _UNITS["m"])):
            if ticks >= size:
                return f"{ticks / size:.1f} {name}"
        return f"{ticks / _UNITS['s']:.1f} seconds"


def _parse_duration(text: str) -> int | None:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    size = _UNITS.get(text[len(number) :])
    try:
        return None if size is None else int(float(number) * size)
    except (ValueError, OverflowError):
        return None


def position_users(interactions: pl.LazyFrame) -> tuple[int, int]:
    """How many users have at least three instants, and for how many they count up by one."""
    time = pl.col("timestamp")
    per_user = (
        interactions.group_by("user_id")
        .agg((time.max() - time.min() + 1).alias("span"), time.n_unique().alias("n_distinct"))
        .filter(pl.col("n_distinct") >= 3)
        .select(pl.len(), (pl.col("span") == pl.col("n_distinct")).sum().alias("n_positions"))
        .collect(engine="streaming")
    )
    n_users, n_positions = per_user.row(0)
    return int(n_users), int(n_positions)


def are_positions(n_users: int, n_positions: int) -> bool:
    """Whether so many users of whole numbers, as of :func:`position_users`, have positions."""
    return n_users > 0 and n_positions / n_users >= _SEQUENCE_SHARE


def _counts_positions(interactions: pl.DataFrame) -> bool:
    n_users, n_positions = position_users(interactions.lazy())
    if n_users == 0:
        # Too little to see steps: positions start at zero and stay below the events of a user.
        time = interactions["timestamp"].drop_nulls()
        return len(time) > 0 and time.min() == 0 and bool((time <= 2).all())
    return are_positions(n_users, n_positions)
