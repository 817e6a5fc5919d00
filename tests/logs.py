"""Small logs on every kind of clock, and histories made of them or by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from features.clock import Clock, ClockKind
from features.history import History, LogFacts
from features.ids import Ids
from features.schema import check_interactions

CLOCKS = ("datetime", "date", "shared", "sequence", "none")
START = datetime(2024, 1, 1)


def make_log(clock: str, *, n_users=40, n_items=25, n_events=500, seed=0) -> pl.DataFrame:
    """Skewed, with repeats and equal timestamps; every user and item has at least one event."""
    rng = np.random.default_rng(seed)
    user = np.concatenate([np.arange(n_users), rng.integers(0, n_users, n_events - n_users)])
    item = (rng.random(n_events) ** 2 * n_items).astype(int)
    item[:n_items] = np.arange(n_items)
    log = pl.DataFrame(
        {
            "user_id": [f"u{row:03}" for row in user],
            "item_id": [f"i{row:03}" for row in item],
            "weight": rng.choice([0.5, 1.0, 2.0], n_events),
            "event": rng.choice(["view", "cart"], n_events),
        }
    )
    if clock == "none":
        return log
    hours = np.sort(rng.integers(0, 2_000, n_events))
    if clock == "shared":
        return log.with_columns(pl.Series("timestamp", 7 * hours))
    if clock == "sequence":
        return log.with_columns(pl.int_range(pl.len()).over("user_id").alias("timestamp"))
    times = pl.Series("timestamp", [START + timedelta(hours=int(hour)) for hour in hours])
    return log.with_columns(times if clock == "datetime" else times.dt.date())


def history_of(
    log: pl.DataFrame, *, users: Iterable[str] = (), items: Iterable[str] = ()
) -> History:
    """The history at the end of a log; the ids named belong to it also without events."""
    events = check_interactions(log)
    facts, as_of = LogFacts.of(events), None
    if facts.clock.is_comparable:
        as_of = int(facts.clock.ticks(events["timestamp"]).max()) + facts.clock.step
    more_users, more_items = (pl.Series(list(ids), dtype=pl.String) for ids in (users, items))
    return History.build(
        events,
        users=Ids.sorted(events["user_id"], more_users),
        items=Ids.sorted(events["item_id"], more_items),
        facts=facts,
        as_of=as_of,
    )


def history_from(
    item: Sequence[Sequence[int]],
    n_items: int,
    *,
    time: Sequence[Sequence[int]] | None = None,
    now: int | None = None,
    span: int = 100,
) -> History:
    """The history of users given by the rows of their items, and by their times on one clock."""
    lengths = [len(row) for row in item]
    kind = ClockKind.NONE if time is None else ClockKind.SHARED
    times = [[0] * n for n in lengths] if time is None else time
    n_events = sum(lengths)
    return History(
        users=Ids(pl.Series(range(len(item)), dtype=pl.Int64)),
        items=Ids(pl.Series(range(n_items), dtype=pl.Int64)),
        facts=LogFacts(Clock(kind), span),
        indptr=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        item=np.array([i for row in item for i in row], np.int32),
        time=np.array([t for row in times for t in row], np.int64),
        weight=np.ones(n_events, np.float32),
        event=np.zeros(n_events, np.int16),
        now=np.full(len(item), 0 if now is None else now, np.int64),
        row=np.arange(len(item), dtype=np.int32),
    )
