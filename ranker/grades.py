"""What an event is worth as a label: its grade, by its name or its weight."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal, TypeAlias

import polars as pl

from features.errors import ConfigError

GRADE = "grade"
"""Column of labels and of interactions; no caller's frame has it."""

MAX_GRADE = 30
"""LightGBM takes no higher label."""

_WHAT = 'a grade for each name of an event, such as {"view": 0, "cart": 1, "order": 2}, or "weight"'

Grades: TypeAlias = Mapping[str, int] | Literal["weight"]
"""``"weight"``, or a whole number from 0 to 30 for each name of an event."""


def check_grades(grades: Any) -> None:
    """Make sure that grades can be, whatever the log.

    Raises
    ------
    ConfigError
        If they are no whole numbers from 0 to 30, or none is above 0.
    """
    if grades is None or grades == "weight":
        return
    if not isinstance(grades, Mapping) or not grades:
        raise ConfigError(f"grades={grades!r}; expected {_WHAT}")
    wrong = {name: grade for name, grade in grades.items() if not _is_grade(grade)}
    if wrong:
        raise ConfigError(
            f"grades has {wrong!r}; expected whole numbers from 0 to {MAX_GRADE}: what a grade is "
            f"worth is said by LambdaRank(label_gain=...)"
        )
    if not any(grades.values()):
        raise ConfigError(f"grades={dict(grades)!r} has no grade above 0: nothing would be a label")


def with_grades(log: pl.DataFrame, grades: Grades | None) -> pl.DataFrame:
    """Canonical interactions with a column ``grade`` (Int8), or as they are without grades.

    Events that ``grades`` does not name have grade 0: they are known, but are no labels.

    Raises
    ------
    ConfigError
        If the log lacks the column or a name, or a weight is no grade.
    """
    if grades is None:
        return log
    if grades == "weight":
        if "weight" not in log.columns:
            raise ConfigError('grades="weight" needs a column weight in the interactions')
        weight = log["weight"]
        wrong = weight.filter((weight != weight.floor()) | (weight > MAX_GRADE))
        if len(wrong):
            raise ConfigError(
                f"weight has {len(wrong)} values that are no grades, such as "
                f"{wrong.unique().sort().head(3).to_list()}; expected whole numbers from 0 to "
                f"{MAX_GRADE}: round them, or give grades by the names of events"
            )
        return log.with_columns(weight.cast(pl.Int8).alias(GRADE))
    if "event" not in log.columns:
        raise ConfigError("grades by name need a column event in the interactions")
    names = log["event"].drop_nulls().unique().sort().to_list()
    for name in grades:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise ConfigError(
                f"grades has {name!r}, but the interactions have the events {names[:10]}{hint}"
            )
    grade = pl.col("event").replace_strict(dict(grades), default=0, return_dtype=pl.Int8)
    return log.with_columns(grade.fill_null(0).alias(GRADE))


def label_pairs(events: pl.DataFrame) -> pl.DataFrame:
    """The distinct pairs of user and item of some events, in order.

    Returns
    -------
    DataFrame
        user_id, item_id; with grades those of a grade above 0, and ``grade``, the pair's highest.
    """
    if GRADE not in events.columns:
        return events.select("user_id", "item_id").unique().sort("user_id", "item_id")
    pairs = events.group_by("user_id", "item_id").agg(pl.col(GRADE).max())
    return pairs.filter(pl.col(GRADE) > 0).sort("user_id", "item_id")


def _is_grade(grade: object) -> bool:
    is_whole = isinstance(grade, Integral) and not isinstance(grade, bool)
    return is_whole and 0 <= int(grade) <= MAX_GRADE  # type: ignore[call-overload]
