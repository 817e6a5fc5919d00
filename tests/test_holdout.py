"""Where labels come from: what each fold knows and hides; the order of rows is no matter."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import ConfigError
from features.history import LogFacts
from features.schema import check_interactions
from ranker.defaults import choose_holdout
from ranker.holdout import (
    Fold,
    LabelWindows,
    LastInteractions,
    RandomHoldout,
    default_holdout,
)
from tests.logs import CLOCKS, START, make_log

PAIR = ["user_id", "item_id"]


def folds_of(holdout, log: pl.DataFrame, *, random_state=0) -> list[Fold]:
    events = check_interactions(log)
    return holdout.folds(events, LogFacts.of(events), random_state=random_state)


def sorted_rows(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort(frame.columns)


def assert_same_folds(found: list[Fold], expected: list[Fold]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.as_of == other.as_of
        assert_frame_equal(one.labels, other.labels)
        assert_frame_equal(sorted_rows(one.history), sorted_rows(other.history))


WAYS = {
    "datetime": [LabelWindows(), LabelWindows("7d", 4), LabelWindows("5d", gap="36h")],
    "date": [LabelWindows(), LabelWindows("7d", 2, gap="1d")],
    "shared": [LabelWindows(), LabelWindows(700, 3), LabelWindows(1500, gap=100)],
}
EVERY_WAY = [
    *((clock, way) for clock, ways in WAYS.items() for way in ways),
    *((clock, LastInteractions(n, 3)) for clock in CLOCKS[:4] for n in (1, 3)),
    *((clock, RandomHoldout(0.3, 3)) for clock in CLOCKS),
]


@pytest.mark.parametrize(("clock", "holdout"), EVERY_WAY, ids=str)
class TestEveryWay:
    """What all kinds of labels have in common."""

    def test_labels_are_distinct_pairs_of_the_log(self, clock, holdout):
        log = check_interactions(make_log(clock))
        folds = folds_of(holdout, make_log(clock))
        assert folds
        for fold in folds:
            assert fold.labels.columns == PAIR
            assert fold.labels.height > 0
            assert fold.history.height > 0
            assert fold.history.columns == log.columns
            assert_frame_equal(fold.labels, fold.labels.unique().sort(PAIR))
            assert fold.labels.join(log, on=PAIR, how="anti").is_empty()
            assert fold.history.join(log, on=log.columns, how="anti").is_empty()

    @pytest.mark.parametrize("seed", [1, 2])
    def test_the_order_of_rows_changes_nothing(self, clock, holdout, seed):
        log = make_log(clock)
        mixed = log.sample(fraction=1.0, shuffle=True, seed=seed)
        assert_same_folds(folds_of(holdout, mixed), folds_of(holdout, log))

    def test_the_same_seed_gives_the_same_folds(self, clock, holdout):
        log = make_log(clock)
        assert_same_folds(folds_of(holdout, log), folds_of(holdout, log))

    def test_the_frame_stays_as_it_was(self, clock, holdout):
        events = check_interactions(make_log(clock))
        before = events.clone()
        holdout.folds(events, LogFacts.of(events), random_state=0)
        assert_frame_equal(events, before)

    def test_it_says_what_it_does(self, clock, holdout):
        events = check_interactions(make_log(clock))
        line = holdout.describe(LogFacts.of(events), events, 2)
        assert "label" in line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("clock", "holdout"), [(clock, way) for clock, ways in WAYS.items() for way in ways], ids=str
)
def test_windows_know_nothing_at_or_after_their_instant(clock, holdout):
    events = check_interactions(make_log(clock))
    facts = LogFacts.of(events)
    length = holdout.ticks(events, facts)
    gap = 0 if holdout.gap is None else facts.clock.duration(holdout.gap)
    ticks = pl.Series("tick", facts.clock.ticks(events["timestamp"]))
    end = ticks.max() + facts.clock.step
    folds = folds_of(holdout, make_log(clock))
    assert len(folds) == holdout.n_windows or (holdout.n_windows is None and len(folds) >= 3)
    for window, fold in enumerate(folds):
        start = end - (window + 1) * length
        assert fold.as_of == start - gap
        assert facts.clock.ticks(fold.history["timestamp"]).max() < fold.as_of
        assert_frame_equal(fold.history, events.filter(ticks < fold.as_of))
        # Every label was taken at or after the instant, before the window's end.
        inside = events.filter((ticks >= start) & (ticks < start + length))
        assert_frame_equal(fold.labels, inside.select(PAIR).unique().sort(PAIR))


def test_windows_by_hand():
    days = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    log = pl.DataFrame(
        {
            "user_id": [1] * 10,
            "item_id": days,
            "timestamp": [START + timedelta(days=day) for day in days],
        }
    )
    folds = folds_of(LabelWindows("2d", 3, gap="1d"), log)
    # The log ends a microsecond after day 9, so that a window of two days begins just after day 7.
    assert [fold.labels["item_id"].to_list() for fold in folds] == [[8, 9], [6, 7], [4, 5]]
    assert [fold.history["item_id"].max() for fold in folds] == [6, 4, 2]
    epoch = datetime(1970, 1, 1)
    instants = [epoch + timedelta(microseconds=fold.as_of) for fold in folds]
    tick = timedelta(microseconds=1)
    assert instants == [START + timedelta(days=day) + tick for day in (6, 4, 2)]


def test_windows_of_dates_are_whole_days():
    log = make_log("date")
    events = check_interactions(log)
    last = events["timestamp"].max()
    fold = folds_of(LabelWindows("1d", 1), log)[0]
    on_the_last_day = events.filter(pl.col("timestamp") == last).select(PAIR).unique().sort(PAIR)
    assert_frame_equal(fold.labels, on_the_last_day)
    assert fold.history["timestamp"].max() < last


def test_days_that_are_written_as_midnights_are_days():
    days = [START + timedelta(days=at % 10) for at in range(300)]
    log = pl.DataFrame({"user_id": range(300), "item_id": range(300), "timestamp": days})
    events = check_interactions(log)
    length = LabelWindows().ticks(events, LogFacts.of(events))
    assert length == timedelta(days=1) // timedelta(microseconds=1)
    dates = check_interactions(log.with_columns(pl.col("timestamp").dt.date()))
    assert length == LabelWindows().ticks(dates, LogFacts.of(dates))


def test_windows_without_labels_or_history_are_left_out():
    log = pl.DataFrame({"user_id": [1, 2, 1], "item_id": [1, 2, 3], "timestamp": [0, 50, 100]})
    found = folds_of(LabelWindows(20, 6), log)
    # Of the windows (80, 100], (60, 80], (40, 60], (20, 40], ... the second, fourth and fifth are
    # empty and nothing lies before the sixth.
    assert [fold.labels["item_id"].to_list() for fold in found] == [[3], [2]]
    assert folds_of(LabelWindows(500), log) == []


def test_events_all_at_one_instant_leave_no_window():
    log = pl.DataFrame({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "timestamp": [START] * 3})
    assert folds_of(LabelWindows(), log) == []


@pytest.mark.parametrize(
    ("minutes", "length"),
    [
        (1, "1.7 hours"),
        (13, "21.5 hours"),
        (20, "1.0 days"),
        (60, "4.0 days"),
        (120, "7.0 days"),
        (190, "14.0 days"),
    ],
)
def test_an_open_length_is_the_time_of_the_latest_twelfth_in_whole_days_or_weeks(minutes, length):
    log = pl.DataFrame(
        {
            "user_id": [i % 7 for i in range(1200)],
            "item_id": range(1200),
            "timestamp": [START + timedelta(minutes=minutes * i) for i in range(1200)],
        }
    )
    events = check_interactions(log)
    line = LabelWindows().describe(LogFacts.of(events), events, 3)
    assert f"3 label windows of {length}" in line
    assert "1 label window of" in LabelWindows().describe(LogFacts.of(events), events, 1)


@pytest.mark.parametrize(
    ("length", "n_users", "expected"),
    [
        ("1d", 40, 12),
        ("1d", 600, 7),
        ("2d", 600, 3),
        ("7d", 600, 3),
        ("7d", 40, 4),
    ],
)
def test_more_windows_where_they_are_short_or_have_few_users(length, n_users, expected):
    log = pl.DataFrame(
        {"user_id": user, "item_id": day, "timestamp": START + timedelta(days=day)}
        for day in range(30)
        for user in range(n_users)
    )
    assert len(folds_of(LabelWindows(length), log)) == expected
    assert len(folds_of(LabelWindows(length, 2), log)) == 2


@pytest.mark.parametrize("clock", ["sequence", "none"])
@pytest.mark.parametrize("length", [None, 5, "28d"])
def test_windows_need_a_clock_that_compares_users(clock, length):
    message = f"this log's clock is {clock}; use LastInteractions"
    with pytest.raises(ConfigError, match=message):
        folds_of(LabelWindows(length), make_log(clock))


@pytest.mark.parametrize(
    ("clock", "options", "message"),
    [
        ("datetime", {"length": 28}, "28 is no length of time for a log whose clock is absolute"),
        ("datetime", {"length": "28"}, "expected text such as '28d'"),
        ("datetime", {"length": "-3d"}, "'-3d' is no length of time"),
        ("date", {"length": "6h"}, "of at least a day"),
        ("shared", {"length": "28d"}, "expected a positive whole number"),
        ("shared", {"length": 100, "gap": 0}, "0 is no length of time"),
        ("shared", {"length": 2**62}, "4611686018427387904 is no length of time"),
        ("datetime", {"length": "99999999999w"}, "'99999999999w' is no length of time"),
    ],
)
def test_lengths_that_do_not_fit_the_clock(clock, options, message):
    with pytest.raises(ConfigError, match=message):
        folds_of(LabelWindows(**options), make_log(clock))


@pytest.mark.parametrize(
    "holdout", [LabelWindows(n_windows=2**31 - 1), LastInteractions(2, 2**31 - 1)]
)
def test_folds_end_with_the_log_however_many_are_asked_for(holdout):
    folds = folds_of(holdout, make_log("datetime"))
    fewer = folds_of(dataclasses.replace(holdout, n_windows=100), make_log("datetime"))
    assert [one.labels.height for one in folds] == [one.labels.height for one in fewer]
    assert len(folds) > 5


@pytest.mark.parametrize("clock", CLOCKS[:4])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_last_interactions_of_every_user(clock, n):
    log = make_log(clock)
    events = check_interactions(log)
    end = (
        None if clock == "sequence" else LogFacts.of(events).clock.ticks(events["timestamp"]).max()
    )
    for window, fold in enumerate(folds_of(LastInteractions(n, 3), log)):
        assert (fold.as_of is None) == (end is None)
        assert end is None or fold.as_of > end
        for (user,), rows in events.group_by("user_id", maintain_order=True):
            history = fold.history.filter(pl.col("user_id") == user)
            labels = fold.labels.filter(pl.col("user_id") == user)
            instants = rows["timestamp"].unique().sort()
            stop = (window + 1) * n
            if len(instants) <= stop:
                asked_by_fresher_folds = (len(instants) - 1) // n * n
                known, hidden = instants[: len(instants) - asked_by_fresher_folds], instants[:0]
            else:
                known, hidden = instants[:-stop], instants[len(instants) - stop :][:n]
            assert len(known) >= 1, "everybody is known by something"
            of_known = rows.filter(pl.col("timestamp").is_in(known.implode()))
            of_hidden = rows.filter(pl.col("timestamp").is_in(hidden.implode()))
            assert_frame_equal(history, of_known, check_row_order=False)
            assert set(labels["item_id"]) == set(of_hidden["item_id"])


def test_nothing_is_known_of_the_instant_of_a_label():
    # Orders of three items each: any of them would tell the others.
    log = pl.DataFrame(
        {
            "user_id": 1,
            "item_id": [10 * order + place for order in range(5) for place in range(3)],
            "timestamp": [order for order in range(5) for _ in range(3)],
        }
    )
    freshest, before = folds_of(LastInteractions(1, 2), log)
    assert freshest.labels["item_id"].sort().to_list() == [40, 41, 42]
    assert freshest.history["timestamp"].max() == 3
    assert before.labels["item_id"].sort().to_list() == [30, 31, 32]
    assert before.history["timestamp"].max() == 2


@pytest.mark.parametrize("holdout", [LastInteractions(), RandomHoldout(0.2, 2)])
def test_folds_that_are_no_window_look_at_users_when_serving_does(holdout):
    log = make_log("datetime")
    clock = LogFacts.of(check_interactions(log)).clock
    for fold in folds_of(holdout, log):
        assert clock.instant(fold.as_of) > log["timestamp"].max()


@pytest.mark.parametrize("holdout", [LabelWindows("2d", 4), LastInteractions(1, 2)])
def test_a_fresher_fold_follows_those_that_know_nearly_as_much(holdout):
    freshest, *_, oldest = folds_of(holdout, make_log("datetime"))
    assert freshest.follows(oldest)
    assert not oldest.follows(freshest)


@pytest.mark.parametrize("holdout", [LabelWindows("20d", 2), LastInteractions(3, 2)])
def test_no_fold_follows_one_that_knows_much_less(holdout):
    freshest, oldest = folds_of(holdout, make_log("datetime"))
    assert not (oldest.is_known & ~freshest.is_known).any()
    assert not freshest.follows(oldest)


def test_no_random_fold_follows_another():
    one, other = folds_of(RandomHoldout(0.02, 2), make_log("none"))
    assert not one.follows(other)
    assert not other.follows(one)


def test_last_interactions_by_hand():
    log = pl.DataFrame(
        {
            "user_id": ["a"] * 5 + ["b"] * 2 + ["c"],
            "item_id": [1, 2, 3, 4, 5, 6, 7, 8],
            "timestamp": [0, 1, 2, 3, 4, 0, 1, 0],
        }
    )
    first, second = folds_of(LastInteractions(2, 2), log)
    assert first.labels.rows() == [("a", 4), ("a", 5)]
    assert sorted(first.history["item_id"]) == [1, 2, 3, 6, 7, 8]
    assert second.labels.rows() == [("a", 2), ("a", 3)]
    assert sorted(second.history["item_id"]) == [1, 6, 7, 8]


def test_last_interactions_where_nobody_has_two():
    log = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [5, 90]})
    assert folds_of(LastInteractions(), log) == []


def test_last_interactions_need_an_order():
    with pytest.raises(ConfigError, match=r"needs timestamps for the order; use RandomHoldout\(\)"):
        folds_of(LastInteractions(), make_log("none"))


@given(
    pairs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60),
    fraction=st.sampled_from([0.05, 0.2, 1 / 3, 0.5]),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_random_folds_hide_each_pair_whole_and_at_most_once(pairs, fraction, seed):
    log = pl.DataFrame(pairs, schema=PAIR, orient="row")
    n_folds = int(1 / fraction)
    folds = folds_of(RandomHoldout(fraction, n_folds), log, random_state=seed)
    hidden = [set(fold.labels.rows()) for fold in folds]
    for fold, labels in zip(folds, hidden, strict=True):
        known = set(fold.history.rows())
        assert not labels & known, "no fold knows a pair that it asks for"
        assert labels | known == set(pairs)
        assert fold.as_of is None
        assert fold.history.height == sum(pair in known for pair in pairs), "repeats are kept"
    assert sum(map(len, hidden)) == len(set().union(*hidden)) if hidden else True


def test_random_folds_have_the_size_that_was_asked_for():
    log = make_log("none", n_users=100, n_items=90, n_events=3000)
    n_pairs = log.select(PAIR).n_unique()
    for fraction, n_folds in [(0.2, 5), (0.1, 10), (0.25, 2), (1 / 3, 3)]:
        folds = folds_of(RandomHoldout(fraction, n_folds), log)
        assert len(folds) == n_folds
        for fold in folds:
            assert fold.labels.height == pytest.approx(fraction * n_pairs, abs=2)


def test_another_seed_hides_other_pairs():
    log = make_log("none")
    one, other = (folds_of(RandomHoldout(), log, random_state=seed)[0].labels for seed in (0, 1))
    assert not one.equals(other)


@pytest.mark.parametrize(("wished", "granted"), [(1, 1), (2, 2), (3, 3), (10, 10), (19, 10)])
def test_a_wish_for_windows_is_one_for_random_folds(wished, granted):
    facts = LogFacts.of(check_interactions(make_log("none")))
    fraction = 0.2 if granted <= 2 else 0.1
    assert choose_holdout(facts, None, wished, None) == RandomHoldout(fraction, granted)


def test_few_users_are_asked_of_more_random_folds():
    assert len(folds_of(RandomHoldout(), make_log("none"))) == 10
    assert len(folds_of(RandomHoldout(0.3), make_log("none"))) == 3
    assert len(folds_of(RandomHoldout(0.6), make_log("none"))) == 1
    assert len(folds_of(RandomHoldout(0.05), make_log("none"))) == 10
    many = make_log("none", n_users=8_000, n_events=80_000)
    assert len(folds_of(RandomHoldout(), many)) == 4
    fewer = make_log("none", n_users=2_500, n_events=60_000)
    n_users = [fold.labels["user_id"].n_unique() for fold in folds_of(RandomHoldout(), fewer)]
    assert sum(n_users[:-1]) < 10_000 <= sum(n_users), "no more folds than it takes"
    assert 4 < len(n_users) < 10
    facts = LogFacts.of(check_interactions(many))
    who = "judged by users who do not teach"
    said = RandomHoldout().describe(facts, many, 4)
    assert said == f"labels from 4 random folds of 10% of the pairs, {who}"
    said = RandomHoldout(0.005, 1).describe(facts, many, 1)
    assert said == f"labels from 1 random fold of 0.5% of the pairs, {who}"


@pytest.mark.parametrize(("fraction", "n_folds"), [(0.6, 2), (0.26, 4), (0.99, 2)])
def test_random_folds_that_would_overlap(fraction, n_folds):
    with pytest.raises(ConfigError, match=rf"fraction={fraction} times n_folds={n_folds} must be"):
        RandomHoldout(fraction, n_folds)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, float("nan"), "0.1", True, None])
def test_a_fraction_that_is_none(fraction):
    with pytest.raises(ConfigError, match=rf"fraction={fraction!r}; expected a number above 0"):
        RandomHoldout(fraction)


@pytest.mark.parametrize(
    ("clock", "kind"),
    [
        ("datetime", LabelWindows),
        ("date", LabelWindows),
        ("shared", LabelWindows),
        ("sequence", LastInteractions),
        ("none", RandomHoldout),
    ],
)
def test_the_default_follows_from_the_timestamps(clock, kind):
    assert type(default_holdout(LogFacts.of(check_interactions(make_log(clock))))) is kind


@pytest.mark.parametrize(
    ("holdout", "settings", "message"),
    [
        (LabelWindows, {"n_windows": 0}, "n_windows=0; expected a whole number"),
        (LabelWindows, {"n_windows": 2.5}, "n_windows=2.5"),
        (LabelWindows, {"n_validation": 0}, "n_validation=0; expected a whole number"),
        (LabelWindows, {"n_windows": 4, "n_validation": 4}, "n_validation=4 of n_windows=4 leaves"),
        (LastInteractions, {"n": 0}, "n=0"),
        (LastInteractions, {"n_windows": -1}, "n_windows=-1"),
        (RandomHoldout, {"n_folds": 0}, "n_folds=0"),
        (RandomHoldout, {"fraction": 0.1, "n_folds": 2.5}, "n_folds=2.5"),
    ],
)
def test_numbers_of_folds_that_cannot_be(holdout, settings, message):
    with pytest.raises(ConfigError, match=message):
        holdout(**settings)
