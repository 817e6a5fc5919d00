"""From checked frames to a history and attribute tables with one row per row number."""

from __future__ import annotations

import polars as pl

from features.history import History, LogFacts
from features.ids import Ids
from features.versions import as_known


def encode(
    interactions: pl.DataFrame,
    *,
    as_of: int | None,
    facts: LogFacts,
    items: pl.DataFrame | None,
    users: pl.DataFrame | None,
) -> tuple[History, pl.DataFrame | None, pl.DataFrame | None]:
    """The history before an instant, and the attribute tables aligned with it.

    Parameters
    ----------
    interactions : DataFrame
        Canonical; rows at or after ``as_of`` are cut off here, whoever let them in.
    as_of : int or None
        A tick; None where the clock does not compare users.
    facts : LogFacts
    items, users : DataFrame or None
        Attribute tables; their items and users belong to the history, also without events. Of
        versions with ``valid_from`` the one that was known, see :mod:`features.versions`.

    Returns
    -------
    history : History
    items, users : DataFrame or None
        One row per row number of ``history.items`` and ``history.users``; the attributes of ids
        outside the tables are null.
    """
    if as_of is not None:
        before = facts.clock.ticks(interactions["timestamp"]) < as_of
        if not before.all():
            interactions = interactions.filter(pl.Series(before))
    if items is not None:
        items = as_known(items, "item_id", as_of=as_of, clock=facts.clock)
    if users is not None:
        users = as_known(users, "user_id", as_of=as_of, clock=facts.clock)
    history = History.build(
        interactions,
        users=_all_ids("user_id", interactions, users),
        items=_all_ids("item_id", interactions, items),
        facts=facts,
        as_of=as_of,
    )
    return (
        history,
        _align(items, "item_id", history.items),
        _align(users, "user_id", history.users),
    )


def _all_ids(key: str, interactions: pl.DataFrame, table: pl.DataFrame | None) -> Ids:
    if table is None:
        return Ids.sorted(interactions[key])
    return Ids.sorted(interactions[key], table[key])


def _align(table: pl.DataFrame | None, key: str, ids: Ids) -> pl.DataFrame | None:
    if table is None:
        return None
    return pl.DataFrame({key: ids.values}).join(table, on=key, how="left", maintain_order="left")
