"""What timestamps mean: found out from dtype and values, read, written and measured."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.clock import Clock, ClockKind
from features.errors import ConfigError
from features.history import LogFacts
from tests.features.logs import CLOCKS, DAY, HOUR, logs

ABSOLUTE, DATE, SHARED, SEQUENCE, NONE = CLOCKS.values()
EAST = dt.timezone(dt.timedelta(hours=5))


def integer_log(*times_of_users) -> pl.DataFrame:
    rows = [(user, time) for user, times in enumerate(times_of_users) for time in times]
    return pl.DataFrame(rows, {"user_id": pl.Int64, "timestamp": pl.Int64}, orient="row")


@given(log=logs())
@settings(max_examples=100, deadline=None)
def test_every_kind_of_generated_log_is_recognised(log):
    clock = Clock.of(log.frame())
    assert clock == CLOCKS[log.kind]
    assert clock.is_comparable == log.is_comparable
    assert (clock.step, clock.unit, clock.unit_name) == (log.step, log.unit, log.unit_name)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (integer_log([0, 1, 2], [0, 1, 2, 3]), ClockKind.SEQUENCE),
        (integer_log([5, 6, 7], [1, 2, 3]), ClockKind.SEQUENCE),
        (integer_log([2, 0, 1, 1, 2]), ClockKind.SEQUENCE),  # rows in any order, with ties
        (integer_log([0], [0, 1], [0]), ClockKind.SEQUENCE),  # too short to see more
        (integer_log([0, 2, 4], [1, 3, 5]), ClockKind.SHARED),  # positions in one log
        (integer_log([1, 2, 9], [4, 5, 6]), ClockKind.SHARED),
        (integer_log([3], [7, 8], [1]), ClockKind.SHARED),
        (integer_log([0], [1], [900]), ClockKind.SHARED),
        (integer_log([1_700_000_000, 1_700_000_060, 1_700_086_400]), ClockKind.SHARED),
        # Positions from which a row was lost here and there are still positions, up to 1 in 20.
        (integer_log(*[range(4)] * 19, [0, 1, 3]), ClockKind.SEQUENCE),
        (integer_log(*[range(4)] * 18, [0, 1, 3], [0, 2, 3]), ClockKind.SHARED),
        # Users with one or two events cannot tell, and have no say.
        (integer_log(*[[7, 90]] * 50, [0, 1, 2]), ClockKind.SEQUENCE),
    ],
)
def test_what_whole_numbers_mean(frame, kind):
    assert Clock.of(frame) == Clock(kind)


def test_ticks_of_each_kind():
    moment = dt.datetime(1970, 1, 2, 0, 0, 0, 5)
    assert ABSOLUTE.ticks(pl.Series([moment])).tolist() == [DAY + 5]
    assert DATE.ticks(pl.Series([dt.date(1970, 1, 3)])).tolist() == [2 * DAY]
    assert DATE.ticks(pl.Series([dt.date(1969, 12, 31)])).tolist() == [-DAY]
    assert SHARED.ticks(pl.Series([3, -1])).tolist() == [3, -1]
    assert SEQUENCE.ticks(pl.Series([3])).dtype == np.int64


@given(log=logs(kinds=("datetime", "date", "clock", "positions")))
@settings(max_examples=40, deadline=None)
def test_ticks_are_those_of_the_log_and_lead_back_to_the_instant(log):
    clock, frame = CLOCKS[log.kind], log.frame()
    ticks = clock.ticks(frame["timestamp"])
    assert ticks.dtype == np.int64
    assert ticks.tolist() == [log.tick(event.time) for event in log.events]
    stamps = [log.stamp(event.time) for event in log.events]
    assert [clock.tick(stamp) for stamp in stamps] == ticks.tolist()
    instants = [clock.instant(tick) for tick in ticks.tolist()]
    if log.kind == "date":
        instants = [instant.date() for instant in instants]
    assert instants == stamps


@given(log=logs())
@settings(max_examples=40, deadline=None)
def test_facts_of_a_log(log):
    facts = LogFacts.of(log.frame())
    assert facts == LogFacts(CLOCKS[log.kind], log.span, log.names)


def test_the_most_frequent_events_are_told_apart():
    names = [name for place, name in enumerate("hgfedcbaz") for _ in range(10 - place)] + ["y"]
    frame = pl.DataFrame({"user_id": 1, "item_id": 1, "event": names})
    assert LogFacts.of(frame).event_names == tuple("abcdefgh")  # z and y are as rare as can be
    tied = pl.DataFrame({"user_id": 1, "item_id": 1, "event": list("zyxwvutsrq") * 3})
    assert LogFacts.of(tied).event_names == tuple("qrstuvwx")


@pytest.mark.parametrize(
    ("instant", "tick"),
    [
        (dt.datetime(1970, 1, 2), DAY),
        (dt.date(1970, 1, 2), DAY),
        (dt.datetime(1970, 1, 2, 5, tzinfo=EAST), DAY),
        (dt.datetime(1970, 1, 1, 23, tzinfo=dt.UTC), 23 * HOUR),
    ],
)
def test_an_aware_instant_is_brought_to_utc(instant, tick):
    assert ABSOLUTE.tick(instant) == DATE.tick(instant) == tick


@pytest.mark.parametrize(
    ("clock", "instant", "message"),
    [
        (ABSOLUTE, 5, "5 is no instant of this log, whose clock is absolute; expected a datetime"),
        (ABSOLUTE, "2024-01-01", "'2024-01-01' is no instant"),
        (SHARED, dt.datetime(2024, 1, 1), "whose clock is shared; expected a whole number"),
        (SHARED, 2.5, "2.5 is no instant of this log"),
        (SEQUENCE, dt.date(2024, 1, 1), "whose clock is sequence; expected a whole number"),
        (NONE, 3, "whose clock is none"),
    ],
)
def test_no_instant_of_the_clock(clock, instant, message):
    with pytest.raises(ConfigError, match=message):
        clock.tick(instant)


@pytest.mark.parametrize(
    ("length", "ticks"),
    [
        ("28d", 28 * DAY),
        ("4w", 28 * DAY),
        ("36h", 36 * HOUR),
        ("1.5d", 36 * HOUR),
        ("90m", 90 * 60 * 10**6),
        ("15s", 15 * 10**6),
        ("250ms", 250_000),
        ("1us", 1),
    ],
)
def test_durations(length, ticks):
    assert ABSOLUTE.duration(length) == ticks
    if ticks >= DAY:
        assert DATE.duration(length) == ticks


@given(number=st.integers(1, 10**6))
def test_a_whole_number_is_a_length_on_an_integer_clock(number):
    assert SHARED.duration(number) == SEQUENCE.duration(number) == number


@pytest.mark.parametrize(
    ("clock", "length"),
    [
        *((ABSOLUTE, length) for length in (7, 7.5, True, None)),
        *((ABSOLUTE, text) for text in ("", "d", "7", "7x", "7D", "1mo", "-7d", "0d", "0.1us")),
        *((ABSOLUTE, text) for text in ("nand", "1e400d", "7dd", "one d")),
        (DATE, "23h"),
        *((SHARED, length) for length in (0, -3, 2.5, True, None, "28d", "28")),
        (SEQUENCE, "1d"),
        (NONE, "1d"),
    ],
)
def test_no_length_of_the_clock(clock, length):
    with pytest.raises(ConfigError) as caught:
        clock.duration(length)
    wanted = "text such as '28d' or '12h'" if clock.unit == DAY else "a positive whole number"
    hint = ", or times that are dates: polars.from_epoch makes them of seconds"
    assert str(caught.value) == (
        f"{length!r} is no length of time for a log whose clock is {clock.kind.value}; expected "
        f"{wanted}"
        + (" of at least a day" if clock.is_date else "")
        + (hint if isinstance(length, str) and clock == SHARED else "")
    )


@pytest.mark.parametrize(
    ("clock", "ticks", "text"),
    [
        (ABSOLUTE, 28 * DAY, "28.0 days"),
        (DATE, 3 * DAY // 2, "1.5 days"),
        (ABSOLUTE, 5 * HOUR, "5.0 hours"),
        (ABSOLUTE, 90 * 10**6, "1.5 minutes"),
        (ABSOLUTE, 2_500_000, "2.5 seconds"),
        (SHARED, 400, "400 steps"),
    ],
)
def test_a_length_for_people(clock, ticks, text):
    assert clock.spell(ticks) == text


def test_instants_of_numpy():
    assert SHARED.tick(np.int64(30)) == 30
    with pytest.raises(ConfigError, match="is no instant"):
        SHARED.tick(1.5)
