"""Facts about the tables, and what is wrong with them, before anything is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import numpy as np
import polars as pl

from features.clock import Clock, ClockKind
from features.errors import RankerError, SchemaError
from features.schema import (
    check_id_dtypes,
    check_interactions,
    check_items,
    check_users,
    time_columns,
)
from ranker.border import no_id_in_common
from ranker.cli.loading import load_data
from ranker.config import Config
from ranker.datasets import Dataset
from ranker.evaluation import split_by_time

Level: TypeAlias = Literal["PASS", "WARN", "FAIL"]

_USED_COLUMNS = {"user_id", "item_id", "timestamp", "weight", "event"}
_EPOCH_SECONDS = 10**9  # September 2001; no position in a log that fits a machine is as large
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One line of ``ranker doctor``; a FAIL is what a fit or an evaluation would stop at."""

    level: Level
    table: str
    text: str


def examine(config: Config) -> list[Finding]:
    """Load the tables of a configuration and look at all of them.

    Returns
    -------
    list of Finding
        In the order of the tables; faults of one table do not hide those of another.
    """
    try:
        data, notes = load_data(config.data)
    except RankerError as error:
        return [Finding("FAIL", "data", str(error))]
    return [
        *(Finding("WARN", "data", note) for note in notes),
        *examine_tables(data),
        *_split(data, config),
    ]


def examine_tables(data: Dataset) -> list[Finding]:
    """Look at interactions, items and users, each by itself and against the others."""
    log, findings = _checked(data.interactions, "interactions", check_interactions)
    if log is not None:
        findings += [*_counts(log), *_times(log), *_repeats(log)]
    findings += _other_columns(data.interactions)
    for table, key, frame, check in (
        ("items", "item_id", data.items, check_items),
        ("users", "user_id", data.users, check_users),
    ):
        if frame is None:
            findings.append(_no_table(table))
            continue
        attributes, found = _checked(frame, table, check)
        findings += found
        if attributes is None:
            continue
        findings += _attributes(attributes, table, key)
        if log is not None:
            findings += _overlap(log, attributes, table, key)
    return findings


def _checked(
    frame: pl.DataFrame, table: str, check: Callable[[pl.DataFrame], pl.DataFrame]
) -> tuple[pl.DataFrame | None, list[Finding]]:
    try:
        return check(frame), []
    except SchemaError as error:
        return None, [Finding("FAIL", table, problem) for problem in error.problems]


def _counts(log: pl.DataFrame) -> Iterator[Finding]:
    per_user = log.group_by("user_id").len()["len"]
    n_items = log["item_id"].n_unique()
    yield Finding(
        "PASS",
        "interactions",
        f"{log.height:,} events of {len(per_user):,} users and {n_items:,} items",
    )
    n_single = int((per_user == 1).sum())
    share = n_single / len(per_user)
    text = f"{n_single:,} of {len(per_user):,} users ({share:.1%}) have a single event"
    if share > 0.5:
        text += "; their lists will be little more than the popular ones"
    yield Finding("WARN" if share > 0.5 else "PASS", "interactions", text)


def _times(log: pl.DataFrame) -> Iterator[Finding]:
    clock = Clock.of(log)
    if clock.kind is ClockKind.NONE:
        yield Finding(
            "WARN",
            "interactions",
            "no timestamp: labels are held out at random, and nothing is known of what is recent; "
            'name the column if there is one, as in timestamp = "your column"',
        )
        return
    timestamp = log["timestamp"]
    first, last = timestamp.sort().gather([0, -1]).to_list()
    span = f"from {first} to {last}"
    if first == last:
        yield Finding(
            "WARN",
            "interactions",
            f"all events are at {first}: no window of time can be held out",
        )
    elif clock.kind is ClockKind.SEQUENCE:
        yield Finding(
            "WARN",
            "interactions",
            f"timestamp is a position in each user's own events, {span}: labels are the last "
            f"events of each user, and a split at one position parts no past from a future",
        )
    elif clock.kind is ClockKind.SHARED:
        yield Finding("PASS", "interactions", f"timestamp is a whole number, {span}")
        if first > _EPOCH_SECONDS:
            yield Finding(
                "WARN",
                "interactions",
                f"timestamp looks like a count since 1970 (such as {first}); give "
                f'timestamp_unit = "s", "ms" or "us" to have dates and lengths such as "28d"',
            )
    else:
        spelled = clock.spell(int(np.ptp(clock.ticks(timestamp))))
        yield Finding("PASS", "interactions", f"{span}, {spelled}")
        yield from _future(timestamp)


def _future(timestamp: pl.Series) -> Iterator[Finding]:
    now = datetime.now(UTC).replace(tzinfo=None)
    late = timestamp.filter(timestamp.cast(pl.Datetime("us")) > now)
    if len(late):
        yield Finding(
            "WARN",
            "interactions",
            f"{len(late):,} events lie in the future, such as {late[0]}; drop them, or the newest "
            f"window holds nothing else",
        )


def _repeats(log: pl.DataFrame) -> Iterator[Finding]:
    key = [name for name in ("user_id", "item_id", "timestamp", "event") if name in log.columns]
    repeated = log.height - log.select(key).n_unique()
    if not repeated:
        yield Finding("PASS", "interactions", f"no two events with the same {', '.join(key)}")
        return
    first = log.select(key).filter(log.select(key).is_duplicated()).row(0)
    example = ", ".join(f"{name} {value}" for name, value in zip(key, first, strict=True))
    yield Finding(
        "WARN",
        "interactions",
        f"{repeated:,} events repeat another with the same {', '.join(key)}, such as {example}; "
        f"each counts as an event of its own: drop them if they are copies",
    )


def _other_columns(interactions: pl.DataFrame) -> Iterator[Finding]:
    others = [name for name in interactions.columns if name not in _USED_COLUMNS]
    if "rating" in others:
        yield Finding(
            "WARN",
            "interactions",
            "rating is not used: every event counts as wanted, whatever its rating; drop the low "
            "ones, or map the column to weight",
        )
        others.remove("rating")
    if others:
        yield Finding("PASS", "interactions", f"not used: {', '.join(others)}")


def _no_table(table: str) -> Finding:
    if table == "items":
        return Finding(
            "WARN", table, "no table: no features of content, and new items are never recommended"
        )
    return Finding("PASS", table, "no table, which is fine: it is optional")


def _attributes(frame: pl.DataFrame, table: str, key: str) -> Iterator[Finding]:
    names = [name for name in frame.columns if name != key]
    yield Finding("PASS", table, f"{frame.height:,} rows, attributes: {', '.join(names) or 'none'}")
    empty = [name for name in names if frame[name].null_count() == frame.height]
    if empty:
        yield Finding("WARN", table, f"nothing but nulls in {', '.join(empty)}; drop or fill them")


def _overlap(
    log: pl.DataFrame, attributes: pl.DataFrame, table: str, key: str
) -> Iterator[Finding]:
    try:
        check_id_dtypes(key, interactions=log, **{table: attributes})
    except SchemaError as error:
        yield from (Finding("FAIL", table, problem) for problem in error.problems)
        return
    strangers = no_id_in_common(key, table, log, attributes)
    if strangers:
        yield Finding("FAIL", table, strangers)
        return
    missing = log.join(attributes.select(key), on=key, how="anti")
    ids = missing[key].unique().sort()
    if len(ids):
        shown = ", ".join(str(value) for value in ids.head(_SHOWN))
        yield Finding(
            "WARN",
            table,
            f"{len(ids):,} {table} of the interactions ({missing.height:,} events) have no row, "
            f"such as {shown}; their attributes count as unknown: add them if they exist",
        )
    else:
        yield Finding("PASS", table, f"all {table} of the interactions have a row")
    n_without = attributes.select(key).unique().join(log.select(key), on=key, how="anti").height
    if n_without:
        yield Finding("PASS", table, f"{n_without:,} {table} have no event yet")


def _split(data: Dataset, config: Config) -> Iterator[Finding]:
    if "timestamp" not in data.interactions.columns:
        times = [*time_columns(data.interactions), "your column"]
        yield Finding(
            "FAIL",
            "split",
            "without timestamp no time can be held out, which `ranker evaluate` does; name the "
            f'column that holds it: [data.columns] timestamp = "{times[0]}"',
        )
        return
    try:
        train, test = split_by_time(data.interactions, **config.split.keywords)
    except RankerError as error:
        yield Finding("FAIL", "split", str(error))
        return
    users = test.select("user_id").unique()
    n_new = users.join(train.select("user_id"), on="user_id", how="anti").height
    yield Finding(
        "PASS",
        "split",
        f"{train.height:,} events to train on, {test.height:,} to test with; {users.height:,} "
        f"users in the test, {n_new:,} of them new",
    )
