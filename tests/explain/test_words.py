"""Numbers and times as people say them."""

from __future__ import annotations

import pytest

from features.clock import Clock, ClockKind
from ranker.explain import words

DAYS, OWN = Clock(ClockKind.ABSOLUTE), Clock(ClockKind.SEQUENCE)


@pytest.mark.parametrize(
    ("count", "said"), [(1, "once"), (2, "twice"), (9, "9 times"), (1400, "1,400 times")]
)
def test_times(count, said):
    assert words.times(count) == said


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (21, "21st"),
        (101, "101st"),
        (111, "111th"),
        (1013, "1,013th"),
    ],
)
def test_ordinal(place, said):
    assert words.ordinal(place) == said


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0.01, "under an hour"),
        (0.3, "7 hours"),
        (1.0, "1 day"),
        (9.6, "10 days"),
        (89.4, "89 days"),
        (100.0, "3 months"),
        (800.0, "2 years"),
    ],
)
def test_lengths_of_time(days, said):
    assert words.length(DAYS, days) == said
    assert words.ago(DAYS, days) == f"{said} ago"


def test_positions_are_events_and_other_whole_numbers_have_no_unit():
    assert words.ago(OWN, 3) == "3 events ago"
    assert words.every(OWN, 1) == "about every event"
    assert words.every(DAYS, 1.0) == "about every day"
    assert words.every(DAYS, 0.01) is None
    for kind in (ClockKind.SHARED, ClockKind.NONE):
        assert words.ago(Clock(kind), 3) is None
        assert words.every(Clock(kind), 3) is None
    for clock in (DAYS, Clock(ClockKind.SEQUENCE)):
        assert words.length(clock, float("nan")) is None


@pytest.mark.parametrize(
    ("share", "said"), [(0.5, "50 %"), (0.123, "12 %"), (0.0312, "3.1 %"), (0.00312, "0.31 %")]
)
def test_percent(share, said):
    assert words.percent(share) == said
