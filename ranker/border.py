"""Between the caller's ids and frames and our row numbers."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from features import schema
from features.arrays import FrameLike
from features.clock import ClockKind
from features.encode import encode
from features.errors import ConfigError, SchemaError
from features.history import History, LogFacts
from features.problems import missing_column
from features.schema import (
    check_id_dtypes,
    check_interactions,
    time_columns,
    time_zone,
)
from ranker.evaluation.frames import collect
from ranker.id_dtype import IdDtype, as_ids
from ranker.text import count

logger = logging.getLogger(__name__)

UserIds: TypeAlias = pl.Series | Sequence[Any]


@dataclass(frozen=True)
class Border:
    """What the users of a log are called outside, and what is known of them inside.

    Attributes
    ----------
    history : History
        Everybody's events.
    user_dtype, item_dtype : IdDtype
        Dtypes of the caller's ids, which hold all that are known.
    """

    history: History
    user_dtype: IdDtype
    item_dtype: IdDtype

    @classmethod
    def of(cls, history: History, user_dtype: IdDtype, item_dtype: IdDtype) -> Border:
        """With dtypes of the log that are given up where they are too narrow for a table's ids."""
        users, items = history.users.values, history.items.values
        return cls(history, user_dtype.holding(users), item_dtype.holding(items))

    @classmethod
    def open(
        cls, interactions: FrameLike, *, items: FrameLike | None, users: FrameLike | None
    ) -> tuple[Border, pl.DataFrame | None, pl.DataFrame | None]:
        """Check and encode a log and its attribute tables as of the end of the log.

        Returns
        -------
        border : Border
        items, users : DataFrame or None
            One row per row number of the history's items and users.

        Raises
        ------
        SchemaError
            With every problem of a frame.
        """
        raw = collect(interactions, table="interactions")
        log = check_interactions(raw)
        report_time(raw.schema, log)
        zone = time_zone(raw.schema)
        item_table, user_table = check_tables(log, items, users, zone=zone)
        facts, as_of = LogFacts.of(log, zone), None
        if facts.clock.is_comparable:
            as_of = int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step
        history, item_table, user_table = encode(
            log, as_of=as_of, facts=facts, items=item_table, users=user_table
        )
        dtypes = IdDtype(raw.schema["user_id"]), IdDtype(raw.schema["item_id"])
        return cls.of(history, *dtypes), item_table, user_table

    def asked(self, user_ids: UserIds | None, histories: FrameLike | None) -> History:
        """The histories of the users whom a call is about.

        Parameters
        ----------
        user_ids : Series or sequence, optional
            Known or not; repeated ids count once.
        histories : DataFrame or LazyFrame, optional
            Instead of ids: events that are all that is to be known of their users. Without a
            column ``weight`` each has the median weight of the log, and without ``event`` its most
            frequent name.
            With neither: everybody.

        Raises
        ------
        ConfigError, SchemaError
            If both are given, or ids are of another kind than those of the log.
        """
        if user_ids is not None and histories is not None:
            raise ConfigError("give user_ids or histories, not both")
        if histories is not None:
            raw = collect(histories, table="histories")
            events = check_interactions(raw, "histories")
            self.history.clock.check("histories", events, zone=time_zone(raw.schema))
            for column, ids in (("user_id", self.history.users), ("item_id", self.history.items)):
                check_id_dtypes(column, histories=events, interactions=ids.values.to_frame(column))
            if self.history.clock.kind is not ClockKind.NONE and "timestamp" not in events.columns:
                raise ConfigError(
                    "histories have no timestamp, but the model was fitted with one; add it"
                )
            if "weight" not in events.columns and self.history.n_events:
                # An event of unknown weight is a typical one: of ratings, 1 would be the worst.
                typical = float(np.median(self.history.weight))
                events = events.with_columns(pl.lit(typical, pl.Float32).alias("weight"))
            if "event" not in events.columns and len(self.history.facts.event_names) > 1:
                named = self.history.event[self.history.event >= 0]
                usual = self.history.facts.event_names[np.bincount(named).argmax()]
                events = events.with_columns(pl.lit(usual).alias("event"))
            return self.history.sessions(events)
        if user_ids is None:
            return self.history
        asked = self.user_dtype.canonical(as_ids(user_ids, "user_ids"), "user_id")
        return self.history.select(asked.unique(maintain_order=True) if len(asked) > 1 else asked)

    def histories_of(self, user_id: pl.Series, histories: FrameLike | None) -> History:
        """What is known of the users of a column, in the order in which they come.

        Parameters
        ----------
        user_id : Series
        histories : DataFrame or LazyFrame, optional
            As in :meth:`asked`: events that are all that is to be known of these users.
        """
        distinct = user_id.unique(maintain_order=True)
        if histories is None:
            return self.asked(distinct, None)
        sessions = self.asked(None, histories)
        found = sessions.select(distinct)
        if not found.clock.is_comparable:
            return found
        # Who has no session is looked at as of the log, whatever the sessions of the others are.
        has_session = sessions.users.encode(distinct) >= 0
        return replace(found, now=np.where(has_session, found.now, self.history.as_of))

    def for_caller(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Ids in the dtypes in which they came."""
        dtypes = {"user_id": self.user_dtype, "item_id": self.item_dtype}
        restored = [
            dtype.restore(frame[column])
            for column, dtype in dtypes.items()
            if column in frame.columns and frame.schema[column] != dtype.dtype
        ]
        return frame.with_columns(restored) if restored else frame


def check_has_ids(frame: FrameLike, table: str) -> pl.DataFrame:
    """A frame of either kind, collected, that has the columns of ids.

    Raises
    ------
    SchemaError
        Naming the columns that are missing.
    """
    found = collect(frame, table=table)
    missing = [name for name in ("user_id", "item_id") if name not in found.columns]
    if missing:
        raise SchemaError(table, [missing_column(name, found.columns) for name in missing])
    return found


def check_same_ids(**frames: pl.DataFrame) -> None:
    """Make sure that users and items of canonical frames can be compared."""
    for column in ("user_id", "item_id"):
        check_id_dtypes(column, **frames)


def report_time(given: pl.Schema, log: pl.DataFrame) -> None:
    """Warn of times that lie in the future, or of a column that may be the timestamp.

    Parameters
    ----------
    given : Schema
        Of the interactions as the caller gave them.
    log : DataFrame
        Canonical.
    """
    if "timestamp" in log.columns and not log.schema["timestamp"].is_integer():
        tomorrow = dt.datetime.now(dt.UTC).replace(tzinfo=None) + dt.timedelta(days=1)
        late = log["timestamp"].filter(log["timestamp"].cast(pl.Datetime("us")) > tomorrow)
        if len(late):
            logger.warning(
                "%s lie in the future, such as %s: drop them, or the freshest labels are no others",
                *(count(len(late), "event"), late.min()),
            )
    times = time_columns(given)
    if times and "timestamp" not in log.columns:
        logger.warning(
            "interactions have no timestamp, so that nothing is known of their order, but times "
            "in %s: if these are the times of the events, rename the column, as in "
            'rename({%r: "timestamp"})',
            *(", ".join(times), times[0]),
        )


def no_id_in_common(
    key: str, table: str, interactions: pl.DataFrame, attributes: pl.DataFrame | None
) -> str | None:
    """Say so where an attribute table has rows, and none of an id of the log.

    Parameters
    ----------
    key : "item_id" or "user_id"
    table : "items" or "users"
    interactions, attributes : DataFrame
        Canonical.
    """
    if attributes is None or not attributes.height:
        return None
    own, theirs = interactions[key], attributes[key]
    if own.dtype != theirs.dtype or own.is_in(theirs.implode()).any():
        return None
    return (
        f"no {key} of {table} is one of the interactions: {theirs[0]!r} there, {own[0]!r} here; "
        f"the attributes are of no use until both are written alike"
    )


def check_tables(
    log: pl.DataFrame, items: FrameLike | None, users: FrameLike | None, *, zone: str | None
) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """As :func:`features.schema.check_tables`; of a table without any id of the log it warns."""
    tables = schema.check_tables(log, items, users, zone=zone)
    for key, name, table in zip(("item_id", "user_id"), ("items", "users"), tables, strict=True):
        strangers = no_id_in_common(key, name, log, table)
        if strangers:
            logger.warning("%s", strangers)
    return tables
