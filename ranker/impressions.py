"""What was shown to whom and where it stood: impressions, for unbiased learning to rank."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.arrays import Int16Array
from features.candidates import Candidates
from features.clock import Clock
from features.errors import SchemaError
from features.schema import check_id_dtypes, check_interactions, time_zone

POSITION = "position"
_MAX_POSITION = 10_000


def check_impressions(impressions: pl.DataFrame, log: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """Validate impressions and bring them into canonical form.

    Parameters
    ----------
    impressions : DataFrame
        ``user_id``, ``item_id``, ``timestamp`` as in the interactions, and ``position`` (whole
        number, 1 = first).
    log : DataFrame
        Canonical interactions, whose users and items these are.
    clock : Clock
        Of the log, which these are timed by.

    Returns
    -------
    DataFrame
        user_id, item_id, timestamp, position (Int16).

    Raises
    ------
    SchemaError
        With every problem of the frame.
    """
    problems = [
        f"{column}: the column is missing"
        for column in ("user_id", "item_id", "timestamp", POSITION)
        if column not in impressions.columns
    ]
    if POSITION in impressions.columns:
        position = impressions[POSITION]
        if not position.dtype.is_integer():
            problems.append(f"{POSITION}: dtype {position.dtype}; expected whole numbers from 1")
        else:
            is_wrong = (position < 1) | (position > _MAX_POSITION)
            wrong = position.filter(is_wrong.fill_null(value=True))
            if len(wrong):
                problems.append(
                    f"{POSITION}: {len(wrong)} values are null or not from 1 to {_MAX_POSITION} "
                    f"(such as {wrong.unique().sort().head(3).to_list()}); leave out rows that "
                    f"were not shown"
                )
    if problems:
        raise SchemaError("impressions", problems)
    try:
        shown = check_interactions(impressions.select("user_id", "item_id", "timestamp"))
    except SchemaError as error:
        raise SchemaError("impressions", error.problems) from None
    for column in ("user_id", "item_id"):
        check_id_dtypes(column, impressions=shown, interactions=log)
    clock.check("impressions", shown, zone=time_zone(impressions.schema))
    return shown.with_columns(impressions[POSITION].cast(pl.Int16))


def shown_between(impressions: pl.DataFrame, clock: Clock, start: int, stop: int) -> pl.DataFrame:
    """The impressions in ``[start, stop)`` ticks: user_id, item_id, the best position of each."""
    ticks = clock.ticks(impressions["timestamp"])
    shown = impressions.filter(pl.Series((ticks >= start) & (ticks < stop)))
    return shown.group_by("user_id", "item_id").agg(pl.col(POSITION).min())


def position_of(candidates: Candidates, shown: pl.DataFrame) -> Int16Array:
    """Where each candidate stood, int16 [n_rows]; 0 = it was not shown."""
    user = candidates.users.encode(shown["user_id"])
    rows = candidates.find(user, candidates.items.encode(shown["item_id"]))
    position = np.zeros(candidates.n_rows, np.int16)
    position[rows[rows >= 0]] = shown[POSITION].to_numpy()[rows >= 0]
    return position
