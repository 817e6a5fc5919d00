"""Attributes that change: which version of an item or a user was known at an instant."""

from __future__ import annotations

import polars as pl

from features.clock import Clock
from features.errors import ConfigError

VALID_FROM = "valid_from"


def as_known(table: pl.DataFrame, key: str, *, as_of: int | None, clock: Clock) -> pl.DataFrame:
    """The attributes that were known at an instant, one row per id.

    A version is known if it is valid from before the instant, as an event is known if it happened
    before: one that begins at the very instant is not. An id whose first version begins later is
    not known at all.

    Parameters
    ----------
    table : DataFrame
        Canonical, see :func:`features.schema.check_items`. Without a column ``valid_from`` all of
        it is known at any time, and it is returned as it is.
    key : str
    as_of : int or None
        A tick.
    clock : Clock
        Of the log.

    Returns
    -------
    DataFrame
        Without ``valid_from``, in the order of the ids.

    Raises
    ------
    ConfigError
        If there are versions, but the clock does not compare users.
    """
    if VALID_FROM not in table.columns:
        return table
    if as_of is None:
        raise ConfigError(
            f"{VALID_FROM} needs timestamps that are one clock for everybody, and this log's is "
            f"{clock.kind.value}; keep one row per {key} and drop the column"
        )
    is_known = pl.lit(True)
    stamps = table[VALID_FROM]
    if stamps.null_count() < len(stamps):
        before = clock.ticks(stamps.fill_null(stamps.min())) < as_of
        is_known = pl.col(VALID_FROM).is_null() | pl.Series(before)
    return (
        table.filter(is_known)
        # Null: valid from the beginning, before any other version.
        .sort(key, VALID_FROM, nulls_last=False)
        .unique(key, keep="last", maintain_order=True)
        .drop(VALID_FROM)
    )
