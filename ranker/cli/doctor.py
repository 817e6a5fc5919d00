"""Facts about the tables, and what is wrong with them, before anything is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import polars as pl

from features.clock import ClockKind
from features.errors import ConfigError, RankerError, SchemaError
from features.history import LogFacts
from features.schema import (
    canonical_columns,
    check_id_dtypes,
    check_items,
    check_same_clock,
    check_users,
    interaction_problems,
    time_columns,
)
from features.versions import as_known
from ranker.addresses import without_secrets
from ranker.border import no_id_in_common
from ranker.cli.loading import Tables, scan_data
from ranker.cli.log_summary import LogSummary
from ranker.config import Config
from ranker.datasets import Dataset
from ranker.defaults import choose_holdout
from ranker.evaluation.splits import no_common_instant, time_of_cut
from ranker.holdout import LabelWindows

Level: TypeAlias = Literal["PASS", "WARN", "FAIL"]

_USED_COLUMNS = {"user_id", "item_id", "timestamp", "weight", "event"}
_EPOCH_SECONDS = 10**9  # September 2001; no position in a log that fits a machine is as large
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One line of ``ranker doctor``.

    A FAIL is what a fit or an evaluation would stop at, or a table that is of no use at all.

    Parameters
    ----------
    level : "PASS", "WARN" or "FAIL"
    table : str
        What it is about.
    check : str
        Name of what was looked at; it stays the same from version to version.
    text : str
    count : int or None
        How many events, ids or columns it concerns.
    examples : tuple
        A few of those.
    remedy : str
        What to do; empty where nothing is to be done, or where the text says it.
    """

    level: Level
    table: str
    check: str
    text: str
    count: int | None = None
    examples: tuple[Any, ...] = ()
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """The text and what to do."""
        return f"{self.text}; {self.remedy}" if self.remedy else self.text

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold: examples that are no numbers are written as text."""
        shown = [value if isinstance(value, int | float) else str(value) for value in self.examples]
        return asdict(self) | {"examples": shown}


def examine(config: Config) -> list[Finding]:
    """Look at the tables of a configuration.

    Interactions from files and addresses are read in streams, several times, and never held in
    memory: no more is than a row per user and per item. Tables of items and users are read, and so
    is what a query answers, once.

    Returns
    -------
    list of Finding
        In the order of the tables; faults of one table do not hide those of another.
    """
    try:
        tables, notes = scan_data(config.data)
        # A fit reads all columns; the looks below read one or two, and pass over what is beside.
        tables.interactions.select(pl.all().null_count()).collect(engine="streaming")
        return [
            *(Finding("WARN", "data", "ids_of_two_kinds", note) for note in notes),
            *examine_tables(tables, config.split.keywords, config.model.window_length),
        ]
    except RankerError as error:
        return [Finding("FAIL", "data", "readable", str(error))]
    except (pl.exceptions.PolarsError, OSError) as error:  # deep in a file that is only scanned
        log = config.data.interactions
        text = without_secrets(error, log) if isinstance(log, str) else str(error)
        return [Finding("FAIL", "data", "readable", f"a file cannot be read to its end: {text}")]


def examine_tables(
    data: Dataset | Tables,
    split: dict[str, Any] | None = None,
    window_length: str | int | None = None,
) -> list[Finding]:
    """Look at interactions, items and users, each by itself and against the others.

    Parameters
    ----------
    data : Dataset or Tables
    split : dict, optional
        Keywords of ``split_by_time`` that are to be tried as well.
    window_length : str or int, optional
        Of the label windows; whether it suits the clock.
    """
    scan = data.interactions.lazy()
    schema = scan.collect_schema()
    problems = interaction_problems(scan)
    findings = [Finding("FAIL", "interactions", "schema", problem) for problem in problems]
    log = None if problems else LogSummary(scan.select(canonical_columns(schema)))
    if log is not None:
        findings += [*_counts(log), *_times(log), *_repeats(log)]
    findings += _other_columns(schema.names())
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
            findings += _overlap(log.items if table == "items" else log.users, attributes, table)
            findings += _versions(log, attributes, table, key)
    if log is not None and window_length is not None:
        findings += _window(log, window_length)
    if split is not None:
        findings += _split(log, schema, split)
    return findings


def _checked(
    frame: pl.DataFrame, table: str, check: Callable[[pl.DataFrame], pl.DataFrame]
) -> tuple[pl.DataFrame | None, list[Finding]]:
    try:
        return check(frame), []
    except SchemaError as error:
        return None, [Finding("FAIL", table, "schema", problem) for problem in error.problems]


def _counts(log: LogSummary) -> Iterator[Finding]:
    n_users, n_items = log.users.height, log.items.height
    text = f"{log.n_rows:,} events of {n_users:,} users and {n_items:,} items"
    yield Finding("PASS", "interactions", "size", text, log.n_rows)
    is_single = log.users["len"] == 1
    n_single = int(is_single.sum())
    share = n_single / n_users
    text = f"{n_single:,} of {n_users:,} users ({share:.1%}) have a single event"
    if share > 0.5:
        text += "; their lists will be little more than the popular ones"
    yield Finding(
        *("WARN" if share > 0.5 else "PASS", "interactions", "single_events", text, n_single),
        tuple(log.users.filter(is_single)["user_id"].head(_SHOWN)),
    )


def _times(log: LogSummary) -> Iterator[Finding]:
    clock = log.clock
    if clock.kind is ClockKind.NONE:
        yield Finding(
            *("WARN", "interactions", "timestamp"),
            "no timestamp: labels are held out at random, and nothing is known of what is recent",
            remedy='name the column if there is one, as in timestamp = "your column"',
        )
        return
    first, last = log.span
    span = f"from {first} to {last}"
    ends = (first, last)
    if first == last:
        text = f"all events are at {first}: no window of time can be held out"
        yield Finding("WARN", "interactions", "timestamp", text, log.n_rows, (first,))
    elif clock.kind is ClockKind.SEQUENCE:
        text = (
            f"timestamp is a position in each user's own events, {span}: labels are the last "
            f"events of each user, and a split at one position parts no past from a future"
        )
        yield Finding("WARN", "interactions", "timestamp", text, examples=ends)
    elif clock.kind is ClockKind.SHARED:
        text = f"timestamp is a whole number, {span}"
        yield Finding("PASS", "interactions", "timestamp", text, examples=ends)
        if first > _EPOCH_SECONDS:
            yield Finding(
                *("WARN", "interactions", "epoch"),
                f"timestamp looks like a count since 1970 (such as {first})",
                examples=(first,),
                remedy='give timestamp_unit = "s", "ms" or "us" to have dates and lengths such as '
                '"28d"',
            )
    else:
        begin, end = log.ticks
        text = f"{span}, {clock.spell(end - begin)}"
        yield Finding("PASS", "interactions", "timestamp", text, examples=ends)
        yield from _future(log)


def _future(log: LogSummary) -> Iterator[Finding]:
    n_late, first = log.future()
    if n_late:
        yield Finding(
            *("WARN", "interactions", "future"),
            f"{n_late:,} events lie in the future, such as {first}",
            n_late,
            (first,),
            "drop them, or the newest window holds nothing else",
        )


def _repeats(log: LogSummary) -> Iterator[Finding]:
    key = [name for name in ("user_id", "item_id", "timestamp", "event") if name in log.columns]
    n_repeated, values = log.repeated(key)
    if not n_repeated:
        text = f"no two events with the same {', '.join(key)}"
        yield Finding("PASS", "interactions", "repeated", text, 0)
        return
    example = ", ".join(f"{name} {value}" for name, value in values.items())
    yield Finding(
        *("WARN", "interactions", "repeated"),
        f"{n_repeated:,} events repeat another with the same {', '.join(key)}, such as {example}; "
        f"each counts as an event of its own: drop them if they are copies",
        n_repeated,
        (example,),
    )


def _other_columns(columns: list[str]) -> Iterator[Finding]:
    others = [name for name in columns if name not in _USED_COLUMNS]
    if "rating" in others:
        yield Finding(
            *("WARN", "interactions", "rating"),
            "rating is not used: every event counts as wanted, whatever its rating",
            remedy="drop the low ones, or map the column to weight",
        )
        others.remove("rating")
    if others:
        text = f"not used: {', '.join(others)}"
        yield Finding("PASS", "interactions", "columns", text, len(others), tuple(others))


def _no_table(table: str) -> Finding:
    if table == "items":
        text = "no table: no features of content, and new items are never recommended"
        return Finding("WARN", table, "table", text)
    return Finding("PASS", table, "table", "no table, which is fine: it is optional")


def _attributes(frame: pl.DataFrame, table: str, key: str) -> Iterator[Finding]:
    names = [name for name in frame.columns if name != key]
    text = f"{frame.height:,} rows, attributes: {', '.join(names) or 'none'}"
    yield Finding("PASS", table, "table", text, frame.height)
    empty = [name for name in names if frame[name].null_count() == frame.height]
    if empty:
        text = f"nothing but nulls in {', '.join(empty)}"
        yield Finding(
            *("WARN", table, "empty_columns", text, len(empty), tuple(empty)), "drop or fill them"
        )


def _overlap(events: pl.DataFrame, attributes: pl.DataFrame, table: str) -> Iterator[Finding]:
    key = events.columns[0]
    try:
        check_id_dtypes(key, interactions=events, **{table: attributes})
    except SchemaError as error:
        yield from (Finding("FAIL", table, "ids", problem) for problem in error.problems)
        return
    strangers = no_id_in_common(key, table, events, attributes)
    if strangers:
        yield Finding("FAIL", table, "ids", strangers)
        return
    missing = events.join(attributes.select(key), on=key, how="anti", maintain_order="left")
    if missing.height:
        shown = tuple(missing[key].head(_SHOWN))
        yield Finding(
            *("WARN", table, "without_row"),
            f"{missing.height:,} {table} of the interactions ({missing['len'].sum():,} events) "
            f"have no row, such as {', '.join(map(str, shown))}; their attributes count as unknown",
            missing.height,
            shown,
            "add them if they exist",
        )
    else:
        text = f"all {table} of the interactions have a row"
        yield Finding("PASS", table, "without_row", text, 0)
    n_without = attributes.select(key).unique().join(events, on=key, how="anti").height
    if n_without:
        text = f"{n_without:,} {table} have no event yet"
        yield Finding("PASS", table, "without_event", text, n_without)


def _versions(log: LogSummary, attributes: pl.DataFrame, table: str, key: str) -> Iterator[Finding]:
    """Whether versions can be told by the log's clock."""
    empty = pl.DataFrame(schema=log.log.collect_schema())
    as_of = 0 if log.clock.is_comparable else None
    try:
        check_same_clock(interactions=empty, **{table: attributes})
        as_known(attributes.head(0), key, as_of=as_of, clock=log.clock)
    except SchemaError as error:
        yield from (Finding("FAIL", table, "valid_from", problem) for problem in error.problems)
    except ConfigError as error:
        yield Finding("FAIL", table, "valid_from", str(error))


def _window(log: LogSummary, length: str | int) -> Iterator[Finding]:
    """Whether windows can have that length."""
    try:
        holdout = choose_holdout(LogFacts(log.clock, 1), None, None, length)
        if isinstance(holdout, LabelWindows):
            log.clock.duration(length)
    except ConfigError as error:
        yield Finding("FAIL", "model", "window_length", str(error))


def _split(log: LogSummary | None, schema: pl.Schema, wanted: dict[str, Any]) -> Iterator[Finding]:
    if "timestamp" not in schema:
        times = [*time_columns(schema), "your column"]
        yield Finding(
            *("FAIL", "split", "timestamp"),
            "without timestamp no time can be held out, which `ranker evaluate` does",
            remedy=f'name the column that holds it: [data.columns] timestamp = "{times[0]}"',
        )
        return
    if log is None:
        yield Finding("FAIL", "split", "cut", "cannot be tried before interactions are in order")
        return
    if log.clock.kind is ClockKind.SEQUENCE and log.users.height > 1:
        yield Finding("FAIL", "split", "cut", no_common_instant(schema["timestamp"]))
        return
    first, last = log.ticks
    given = {"test": None, "at": None, "test_fraction": None} | wanted
    try:
        cut = time_of_cut(
            *(given, log.clock, schema["timestamp"]),
            n_rows=log.n_rows,
            first=first,
            last=last,
            tick_at=log.tick_at,
        )
    except RankerError as error:
        yield Finding("FAIL", "split", "cut", str(error))
        return
    n_test, n_users, n_new = log.split_at(cut)
    yield Finding(
        *("PASS", "split", "cut"),
        f"{log.n_rows - n_test:,} events to train on, {n_test:,} to test with; {n_users:,} "
        f"users in the test, {n_new:,} of them new",
        n_test,
    )
