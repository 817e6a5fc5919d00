"""What a list must be before an export keeps it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from features.errors import ExportError
from ranker.export.users import plain_text

COLUMNS = ("user_id", "item_id", "rank", "score")
PROPENSITY = "propensity"
"""A fifth column where a policy explores."""


def checked_lists(lists: pl.DataFrame, users: pl.Series, k: int) -> pl.DataFrame:
    """Return what an export keeps of ``lists``, sorted by user and rank, if nothing is wrong.

    Parameters
    ----------
    lists : DataFrame[user_id, item_id, rank, score, ...]
        What ``recommend`` returned for ``users``; of other columns, ``propensity`` is kept.
    users : Series
        Whose lists they are.
    k : int
        The longest a list may be.

    Raises
    ------
    ExportError
        A column is missing, an id is null, a user was not asked for, ranks are not 1, 2, ... up to
        k at most, an item stands twice in a list, a score is not finite, or a propensity is not
        above 0 and at most 1.
    """
    missing = [column for column in COLUMNS if column not in lists.columns]
    if missing:
        raise ExportError(f"the lists lack the columns {missing}; they have {lists.columns}.")
    has_propensity = PROPENSITY in lists.columns
    columns = (*COLUMNS, PROPENSITY) if has_propensity else COLUMNS
    lists = plain_text(lists.select(columns)).sort("user_id", "rank")
    places = pl.int_range(1, pl.len() + 1).over("user_id")
    problems = {
        "have a null": pl.any_horizontal(pl.col("user_id", "item_id", "rank").is_null()),
        "belong to users who were not asked for": ~pl.col("user_id").is_in(users.implode()),
        f"break the ranks 1, 2, ... {k}": (pl.col("rank") != places) | (places > k),
        "repeat an item within a list": pl.struct("user_id", "item_id").is_duplicated(),
        "have a score that is not finite": ~pl.col("score").is_finite().fill_null(value=True),
    }
    if has_propensity:
        is_chance = (pl.col(PROPENSITY) > 0) & (pl.col(PROPENSITY) <= 1)
        problems["have no propensity in (0, 1]"] = ~is_chance.fill_null(value=False)
    for problem, condition in problems.items():
        bad = lists.filter(condition)
        if bad.height:
            raise ExportError(
                f"{bad.height} rows of the lists {problem}, among them {bad.row(0, named=True)}."
            )
    return lists


def check_schema(lists: pl.DataFrame, schema: Mapping[str, str]) -> None:
    """Raise ExportError where ``lists`` have other dtypes than ``schema`` names."""
    found = schema_names(lists)
    if found != dict(schema):
        raise ExportError(f"the lists have the dtypes {found}, expected {dict(schema)}.")


def schema_names(lists: pl.DataFrame) -> dict[str, str]:
    """Columns and names of their dtypes."""
    return {column: str(dtype) for column, dtype in lists.schema.items()}
