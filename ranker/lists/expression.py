"""Polars expressions over the item table."""

from __future__ import annotations

import polars as pl

from features.arrays import BoolArray
from features.errors import ConfigError
from ranker.lists.context import ListContext


def root_names(step: object, expression: pl.Expr) -> list[str]:
    """The columns that an expression reads, each once.

    Raises
    ------
    ConfigError
        If there are none by name: a condition on nothing is a mistake.
    """
    names = list(dict.fromkeys(expression.meta.root_names()))
    if not names:
        raise ConfigError(
            f"{type(step).__name__}: {expression} names no column; expected a condition such as "
            f'pl.col("price") < 10'
        )
    return names


def item_mask(context: ListContext, step: object, expression: pl.Expr) -> BoolArray:
    """The items for which a condition is true, bool [n_items]; null is not true.

    Raises
    ------
    ConfigError
        If a column is unknown, or the expression is no condition.
    """
    table = context.item_columns(step, *root_names(step, expression))
    return evaluate(step, table, expression)


def evaluate(step: object, table: pl.DataFrame, expression: pl.Expr) -> BoolArray:
    """The rows of a table for which a condition is true, bool [n_rows]; null is not true.

    Raises
    ------
    ConfigError
        If the expression fails or its values are not true or false.
    """
    try:
        values = table.with_columns(expression.alias("is_kept"))["is_kept"]
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"{type(step).__name__}: {expression} fails: {error}") from error
    if values.dtype != pl.Boolean:
        raise ConfigError(
            f"{type(step).__name__}: {expression} is {values.dtype}; expected a condition, true or "
            f"false for each item"
        )
    mask: BoolArray = values.fill_null(value=False).to_numpy()
    return mask
