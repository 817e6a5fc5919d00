"""Train and test divided at one instant for everybody: the split that leaks nothing of the future.

A split per user (leave-one-out, random rows) lets a model learn from what other users did after
the instant that is tested; see Ji et al., "A Critical Study on Data Leakage in Recommender System
Offline Evaluation", TOIS 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from features.arrays import FrameLike
from features.clock import Clock, ClockKind
from features.errors import ConfigError, SchemaError
from features.problems import missing_column
from features.schema import check_interactions, time_columns
from ranker.arguments import check_count, is_number
from ranker.evaluation.frames import collect


def split_by_time(
    interactions: FrameLike,
    *,
    test: str | int | None = None,
    at: datetime | date | int | None = None,
    test_fraction: float | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide interactions into those before an instant and those from it on.

    The cut is one instant for all users: ``train`` has ``timestamp < cut`` and ``test`` has
    ``timestamp >= cut``. Exactly one of the three keywords says where it lies.

    Parameters
    ----------
    interactions : DataFrame or LazyFrame
        ``user_id``, ``item_id`` and a ``timestamp`` without nulls: Datetime (with or without a time
        zone), Date, or an integer that is one clock for everybody.
    test : str or int, optional
        Length of the test period, which ends with the last timestamp and includes it: the cut is
        the last timestamp minus the length, plus the smallest step of the clock (a microsecond, a
        day for dates, 1 for integers). ``"28d"`` on dates gives exactly the last 28 days. A
        duration is a number of us, ms, s, m, h, d or w, whole days for dates; a day is 24 hours in
        every time zone. A whole number for an integer clock, in its ticks.
    at : datetime, date or int, optional
        The cut itself, the first instant of the test period. A datetime with a zone for a column
        with a zone (they may differ), a plain one for a plain column, a date for its midnight, a
        whole number for an integer clock.
    test_fraction : float, optional
        Share of the rows in the test period, in (0, 1). Rows with the same timestamp stay
        together, in test, so that the share may come out larger.

    Returns
    -------
    train, test : pl.DataFrame
        Together the rows of ``interactions``, with all columns, dtypes and the order of the rows.

    Raises
    ------
    SchemaError
        No ``timestamp``, one of another dtype or with nulls, bad ids, or no rows.
    ConfigError
        Not exactly one of the keywords, one that does not fit the column, a cut that leaves train
        or test empty, or an integer timestamp that counts each user's own events, through which no
        instant can be laid.

    Examples
    --------
    >>> log = pl.DataFrame({"user_id": 1, "item_id": [1, 2, 3], "timestamp": [10, 30, 20]})
    >>> train, test = split_by_time(log, test=10)
    >>> test["timestamp"].to_list()
    [30]
    """
    frame = collect(interactions, table="interactions")
    clock, ticks = _read_clock(frame)
    ordered = ticks.sort()
    cut = time_of_cut(
        {"test": test, "at": at, "test_fraction": test_fraction},
        clock,
        frame.schema["timestamp"],
        n_rows=frame.height,
        first=int(ordered[0]),
        last=int(ordered[-1]),
        tick_at=lambda row: int(ordered[row]),
    )
    is_test = ticks >= cut
    return frame.filter(~is_test), frame.filter(is_test)


def time_of_cut(
    given: Mapping[str, Any],
    clock: Clock,
    dtype: pl.DataType,
    *,
    n_rows: int,
    first: int,
    last: int,
    tick_at: Callable[[int], int],
) -> int:
    """Where :func:`split_by_time` cuts, from what is known of a log without having it at hand.

    Parameters
    ----------
    given : mapping
        The keywords ``test``, ``at`` and ``test_fraction``; one of them is not None.
    clock : Clock
    dtype : Polars dtype
        Of the timestamps as they were given.
    n_rows : int
    first, last : int
        The first and the last tick.
    tick_at : function
        The tick that has so many before it, all ticks being in order.

    Raises
    ------
    ConfigError
        As :func:`split_by_time`.
    """
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise ConfigError(
            f"got {' and '.join(named) or 'none'} of test, at and test_fraction; "
            'expected exactly one, such as test="28d"'
        )
    value = given[named[0]]
    if named[0] == "test":
        cut = last - _length(value, clock) + clock.step
    elif named[0] == "at":
        cut = _instant(value, clock, dtype)
    else:
        cut = tick_at(n_rows - _n_test(value, n_rows))
    if not first < cut <= last:
        begin, end = clock.timestamps(np.array([first, last])).to_list()
        where = f"the {n_rows} timestamps run from {begin!s} to {end!s}"
        remedy = "choose a cut after the first and not after the last of them"
        if first == last:
            where = f"all {n_rows} timestamps are {begin!s}"
            remedy = "split by users, items or a column of your own instead"
        raise ConfigError(
            f"{named[0]}={value!r} leaves {'train' if cut <= first else 'test'} empty: "
            f"{where}; {remedy}"
        )
    return cut


def rolling_origin(
    interactions: FrameLike,
    *,
    test: str | int,
    n_windows: int = 3,
    step: str | int | None = None,
) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """Several test periods one after another, each with all that lies before it as train.

    Nothing of the future leaks into a window. Windows share their train rows, so their results
    are no independent trials. Source: Tashman, "Out-of-Sample Tests of Forecasting Accuracy",
    International Journal of Forecasting 2000, section 3 (rolling origin, expanding train).

    Parameters
    ----------
    interactions : DataFrame or LazyFrame
        As for :func:`split_by_time`.
    test : str or int
        Length of every test period. The last one ends with the last timestamp.
    n_windows : int
    step : str or int, optional
        From one origin to the next; ``test`` where left out, so that the periods touch.

    Returns
    -------
    list of (train, test), the oldest first
        Rows after a window's period are in neither of its frames.

    Raises
    ------
    SchemaError, ConfigError
        As :func:`split_by_time`; ConfigError also where the log is too short for the windows, or a
        window has no test rows.

    Examples
    --------
    >>> log = pl.DataFrame({"user_id": 1, "item_id": [1, 2, 3], "timestamp": [10, 20, 30]})
    >>> [part["item_id"].to_list() for part in rolling_origin(log, test=10, n_windows=2)[0]]
    [[1], [2]]
    """
    check_count(n_windows=n_windows)
    frame = collect(interactions, table="interactions")
    clock, ticks = _read_clock(frame)
    length = _length(test, clock)
    stride = length if step is None else _length(step, clock, name="step")
    first, last = int(ticks.min()), int(ticks.max())  # type: ignore[arg-type]
    windows = []
    for age in reversed(range(n_windows)):
        end = last - age * stride + clock.step
        is_train, is_test = ticks < end - length, (ticks >= end - length) & (ticks < end)
        if end - length <= first or not is_test.any():
            raise ConfigError(
                f"window {n_windows - age} of {n_windows}, test={test!r} and step={step!r}, has no "
                f"{'train' if end - length <= first else 'test'} rows: the {frame.height} "
                f"timestamps run from {frame['timestamp'].min()!s} to {frame['timestamp'].max()!s}"
                "; ask for fewer or other windows"
            )
        windows.append((frame.filter(is_train), frame.filter(is_test)))
    return windows


def _read_clock(frame: pl.DataFrame) -> tuple[Clock, pl.Series]:
    """What the timestamps mean, and the Int64 tick of every row."""
    needed = ("user_id", "item_id", "timestamp")
    problems = [missing_column(name, frame.columns) for name in needed if name not in frame.columns]
    if problems:
        if "timestamp" not in frame.columns:
            times = " or ".join(map(repr, time_columns(frame.schema)))
            problems[-1] += f"; a split by time needs it{times and f', perhaps {times}'}"
        raise SchemaError("interactions", problems)
    canonical = check_interactions(frame.select(needed))
    clock = Clock.of(canonical)
    if clock.kind is ClockKind.SEQUENCE and canonical["user_id"].n_unique() > 1:
        raise ConfigError(no_common_instant(frame.schema["timestamp"]))
    return clock, pl.Series("tick", clock.ticks(canonical["timestamp"]))


def no_common_instant(dtype: pl.DataType) -> str:
    """Say that positions of each user cannot be cut at one instant."""
    return (
        f"timestamp ({dtype}) counts the events of each user from one to "
        "the next, so an instant for all users cannot be laid through it; hold out each "
        "user's last events instead, or cast it to Datetime if it is a time after all"
    )


def _length(test: str | int, clock: Clock, name: str = "test") -> int:
    if isinstance(test, bool) or not isinstance(test, str | int):
        raise ConfigError(f"{name}={test!r}; expected a duration such as '28d', or a whole number")
    length = clock.duration(test)
    if length % clock.step:
        raise ConfigError(
            f"{name}={test!r} is not a whole number of days but timestamp holds dates"
        )
    return length


def _instant(at: datetime | date | int, clock: Clock, dtype: pl.DataType) -> int:
    if isinstance(at, bool):
        raise ConfigError(f"at={at!r}; expected a datetime, a date or a whole number")
    if clock.kind is ClockKind.ABSOLUTE and isinstance(at, date):
        zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
        own_zone = at.tzinfo if isinstance(at, datetime) else None
        if zone is not None and own_zone is None:
            raise ConfigError(
                f"at={at!r} has no time zone but timestamp is in {zone}, so the instant is not "
                "known; give it one, as in datetime(2024, 5, 1, tzinfo=timezone.utc)"
            )
        if zone is None and own_zone is not None:
            raise ConfigError(
                f"at={at!r} has a time zone but timestamp ({dtype}) has none; pass it without, or "
                "give the column one, as in pl.col('timestamp').dt.replace_time_zone('UTC')"
            )
    cut = clock.tick(at)
    if clock.is_date and cut % clock.step:
        raise ConfigError(f"at={at!r} lies within a day but timestamp holds dates; pass a date")
    return cut


def _n_test(test_fraction: float | None, n_rows: int) -> int:
    if test_fraction is None or not is_number(test_fraction) or not 0.0 < test_fraction < 1.0:
        raise ConfigError(
            f"test_fraction={test_fraction!r}; expected a number between 0 and 1, such as 0.1"
        )
    return max(1, round(test_fraction * n_rows))
