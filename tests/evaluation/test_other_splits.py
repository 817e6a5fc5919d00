"""Rolling windows, and splits by user, item and published column."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError, SchemaError
from ranker.evaluation import (
    leave_last_n,
    rolling_origin,
    split_by_column,
    split_by_time,
    split_new_items,
    split_new_users,
)

ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 30)), min_size=1, max_size=50
)


def log(rows) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return frame.with_columns(
        (pl.lit(datetime(2024, 1, 1)) + pl.duration(days="timestamp")).alias("timestamp"),
        price=pl.int_range(pl.len()),
    )


DAYS = log([(i % 3, i, i) for i in range(40)])
TICKS = DAYS.with_columns(timestamp=pl.int_range(pl.len()) * 10)


def test_windows_follow_each_other_and_the_last_is_split_by_time():
    windows = rolling_origin(DAYS, test="7d", n_windows=3)
    assert [test["item_id"].to_list() for _, test in windows] == [
        list(range(19, 26)),
        list(range(26, 33)),
        list(range(33, 40)),
    ]
    for train, test in windows:
        assert train["item_id"].to_list() == list(range(test["item_id"].min()))
        assert train["timestamp"].max() < test["timestamp"].min()
    for mine, theirs in zip(windows[-1], split_by_time(DAYS, test="7d"), strict=True):
        assert mine.equals(theirs)


@pytest.mark.parametrize(("step", "first"), [("2d", 31), ("14d", 19), (None, 26)])
def test_the_step_of_windows(step, first):
    windows = rolling_origin(DAYS.lazy(), test="7d", n_windows=2, step=step)
    assert windows[0][1]["item_id"].to_list() == list(range(first, first + 7))


def test_windows_on_an_integer_clock():
    windows = rolling_origin(TICKS, test=100, n_windows=2)
    assert [test["item_id"].to_list() for _, test in windows] == [
        list(range(20, 30)),
        list(range(30, 40)),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "14d"}, "window 1 of 3.*has no train rows: the 40 timestamps run from 2024-01"),
        ({"test": "7x"}, "'7x' is no length of time"),
        ({"test": "7d", "step": True}, "step=True; expected a duration"),
        ({"test": "7d", "n_windows": 0}, "n_windows=0; expected a whole number"),
    ],
)
def test_windows_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        rolling_origin(DAYS, **options)


def test_a_window_without_test_rows():
    gap = DAYS.filter(~pl.col("item_id").is_between(26, 32))
    with pytest.raises(ConfigError, match=r"window 2 of 3.*no test rows"):
        rolling_origin(gap, test="7d")


@given(rows=ROWS, n=st.integers(1, 3), min_train=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_last_events_equal_a_loop(rows, n, min_train):
    frame = log(rows)
    expected = set()
    for user in {u for u, _, _ in rows}:
        own = sorted((t, i, at) for at, (u, i, t) in enumerate(rows) if u == user)
        if len(own) >= n + min_train:
            expected |= {at for _, _, at in own[-n:]}
    if not expected:
        with pytest.raises(ConfigError, match=f"no user has {n + min_train} events"):
            leave_last_n(frame, n=n, min_train=min_train)
        return
    train, test = leave_last_n(frame, n=n, min_train=min_train)
    assert set(test["price"]) == expected
    assert train["price"].is_sorted()
    assert test["price"].is_sorted()
    assert train.height + test.height == frame.height
    assert test.schema == frame.schema


def test_last_events_of_positions():
    frame = pl.DataFrame(
        {"user_id": ["a"] * 3 + ["b"] * 3, "item_id": range(6), "timestamp": [0, 1, 2] * 2}
    )
    assert leave_last_n(frame)[1]["item_id"].to_list() == [2, 5]


@given(rows=ROWS, fraction=st.floats(0.05, 0.95), n_known=st.integers(0, 2), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_new_users_are_in_one_part_and_known_events_come_first(rows, fraction, n_known, seed):
    frame = log(rows)
    options = {"fraction": fraction, "n_known": n_known, "random_state": seed}
    n_users = frame["user_id"].n_unique()
    n_held_out = max(1, round(fraction * n_users))
    if n_held_out >= n_users:
        with pytest.raises(ConfigError, match="leaves train empty"):
            split_new_users(frame, **options)
        return
    if frame.group_by("user_id").len()["len"].min() <= n_known:
        return  # who is held out may have nothing left to test; told by an error, tested below
    train, known, test = split_new_users(frame, **options)
    assert train.height + known.height + test.height == frame.height
    held_out = set(known["user_id"]) | set(test["user_id"])
    assert not held_out & set(train["user_id"])
    assert len(held_out) == n_held_out
    for user in held_out:
        own, rest = known.filter(user_id=user), test.filter(user_id=user)
        assert own.height == min(n_known, own.height + rest.height)
        if own.height and rest.height:
            assert own["timestamp"].max() <= rest["timestamp"].min()
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=seed)
    assert set(split_new_users(mixed, **options)[0]["price"]) == set(train["price"])


@given(rows=ROWS, fraction=st.floats(0.05, 0.95), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_new_items_are_in_one_part(rows, fraction, seed):
    frame = log(rows)
    n_items = frame["item_id"].n_unique()
    if max(1, round(fraction * n_items)) >= n_items:
        with pytest.raises(ConfigError, match="leaves train empty"):
            split_new_items(frame, fraction=fraction)
        return
    train, test = split_new_items(frame, fraction=fraction, random_state=seed)
    assert train.height + test.height == frame.height
    assert not set(train["item_id"]) & set(test["item_id"])
    assert test["item_id"].n_unique() == max(1, round(fraction * n_items))


def published() -> pl.DataFrame:
    parts = ["train"] * 4 + ["valid"] * 2 + ["test"] * 3 + [None]
    return pl.DataFrame({"user_id": 1, "item_id": range(10), "split": parts})


@pytest.mark.parametrize(
    ("valid", "train", "test"),
    [("train", range(6), range(6, 9)), ("drop", range(4), range(6, 9)), ("test", range(4), [4, 5])],
)
def test_a_published_column(valid, train, test):
    parts = split_by_column(published(), valid=valid)
    assert [part["item_id"].to_list() for part in parts] == [list(train), list(test)]
    assert parts[0].columns == ["user_id", "item_id"]
    categorical = published().with_columns(pl.col("split").cast(pl.Categorical))
    assert split_by_column(categorical, valid=valid)[1].equals(parts[1])


@pytest.mark.parametrize(
    ("split", "error", "message"),
    [
        (lambda: split_by_column(published(), "fold"), SchemaError, "fold: no such column"),
        (lambda: split_by_column(published(), valid="no"), ConfigError, "valid='no'; expected"),
        (
            lambda: split_by_column(published().with_columns(split=pl.lit("dev"))),
            SchemaError,
            "split holds 'dev'; expected train, valid and test",
        ),
        (
            lambda: split_by_column(published().filter(split="train")),
            ConfigError,
            r"4 train and 0 test rows; it has \{'train': 4\}",
        ),
        (lambda: leave_last_n(DAYS.drop("timestamp")), SchemaError, "timestamp: no such column"),
        (lambda: leave_last_n(DAYS, n=0), ConfigError, "n=0; expected a whole number"),
        (lambda: split_new_users(DAYS, fraction=1.0), ConfigError, "fraction=1.0; expected"),
        (lambda: split_new_users(DAYS, fraction=True), ConfigError, "fraction=True; expected"),
        (lambda: split_new_users(DAYS, n_known=-1), ConfigError, "n_known=-1; expected"),
        (lambda: split_new_users(DAYS, n_known=99), ConfigError, "has more than n_known=99"),
        (lambda: split_new_items(DAYS, choose="oldest"), ConfigError, "expected 'random' or"),
        (
            lambda: split_new_items(DAYS.drop("timestamp"), choose="newest"),
            SchemaError,
            "timestamp: no such column",
        ),
        (lambda: split_new_items(DAYS, choose="newest", fraction=2), ConfigError, "between 0 and"),
        (
            lambda: split_new_items(
                DAYS.with_columns(timestamp=pl.int_range(pl.len()).over("user_id")), choose="newest"
            ),
            ConfigError,
            "positions in each user's own sequence",
        ),
        (lambda: split_new_items(DAYS.drop("item_id")), SchemaError, "item_id: no such column"),
        (lambda: split_new_items(DAYS.head(1)), ConfigError, "of 1 values of item_id leaves"),
    ],
)
def test_splits_that_cannot_be(split, error, message):
    with pytest.raises(error, match=message):
        split()


def test_equal_times_are_ordered_by_item():
    frame = pl.DataFrame(
        {"user_id": 1, "item_id": [3, 9, 5], "timestamp": [datetime(2024, 1, 1)] * 3}
    )
    for rows in (frame, frame.reverse()):
        assert leave_last_n(rows)[1]["item_id"].to_list() == [9]
        late = rows.with_columns(pl.col("timestamp") + timedelta(days=1))
        assert leave_last_n(late)[1]["item_id"].to_list() == [9]


@given(rows=ROWS, fraction=st.sampled_from([0.1, 0.3, 0.5]))
@settings(max_examples=40, deadline=None)
def test_the_newest_items_are_those_first_taken_last(rows, fraction):
    frame = log(rows)
    first: dict[int, int] = {}
    for _, item, time in rows:
        first[item] = min(time, first.get(item, time))
    order = sorted(first, key=lambda item: (first[item], item))
    n = max(1, round(fraction * len(order)))
    if n >= len(order):
        with pytest.raises(ConfigError, match="leaves train empty"):
            split_new_items(frame, fraction=fraction, choose="newest")
        return
    train, test = split_new_items(frame, fraction=fraction, choose="newest")
    assert set(test["item_id"]) == set(order[-n:])
    assert set(train["item_id"]) == set(order[:-n])
    assert train.height + test.height == frame.height
