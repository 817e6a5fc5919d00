"""What caps, quotas and calibration go by: the values of a column, or a condition."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.codes import Codes
from features.columns import is_codes
from features.errors import ConfigError
from ranker.lists.arguments import check_name, check_whole
from ranker.lists.context import ListContext
from ranker.lists.expression import item_mask, root_names


@dataclass(frozen=True)
class Attribute:
    """The values of every item.

    Attributes
    ----------
    codes : Codes
        By row number of the item.
    values : Series
        Text: the value behind each code, ascending.
    """

    codes: Codes
    values: pl.Series

    def code(self, step: object, column: str, value: object) -> int:
        """The code of a value.

        Raises
        ------
        ConfigError
            If no item has it; the message names the nearest one.
        """
        text = pl.Series([value]).cast(pl.String)[0]
        place = self.values.search_sorted(text)
        if place < len(self.values) and self.values[int(place)] == text:
            return int(place)
        by_lower = {one.lower(): one for one in self.values}
        near = difflib.get_close_matches(text.lower(), by_lower, n=1, cutoff=0.0)
        nearest = f"the nearest value is {by_lower[near[0]]!r}" if near else "it has no values"
        raise ConfigError(f"{step}: no item has {value!r} in {column}; {nearest}")


def attribute(context: ListContext, step: object, column: str) -> Attribute:
    """The values of a column of the item table: text, categories, integers, or lists of them.

    Raises
    ------
    ConfigError
        If the column does not exist or holds something else.
    """
    series = context.item_columns(step, column)[column]
    # A column that is empty throughout has no dtype of its own, and no value that would count.
    if series.dtype == pl.Null:
        series = series.cast(pl.String)
    elif series.dtype == pl.List(pl.Null):
        series = series.cast(pl.List(pl.String))
    dtype = series.dtype
    if not is_codes(dtype):
        raise ConfigError(
            f"{step}: the column {column} of items is {dtype}; expected text, categories, "
            f"integers, booleans, or lists of them (of other values, give a condition: "
            f'pl.col("{column}") > ...)'
        )
    flat = series.explode() if isinstance(dtype, pl.List) else series
    values = flat.cast(pl.String).drop_nulls().unique().sort()
    return Attribute(Codes.of(series), values)


def condition(context: ListContext, step: object, expression: pl.Expr) -> Codes:
    """One kind of items: those for which a condition is true."""
    mask = item_mask(context, step, expression)
    indptr = np.concatenate(([0], np.cumsum(mask))).astype(np.int64)
    return Codes(indptr, np.zeros(int(mask.sum()), np.int32), 1)


def check_counts(step: object, of: object, argument: str, counts: object) -> None:
    """Make sure that a column or a condition comes with numbers of items, at least 1 each."""
    if isinstance(of, pl.Expr):
        root_names(step, of)
        if isinstance(counts, Mapping):
            raise ConfigError(
                f"{type(step).__name__}: {argument}={counts!r} names values, but {of} has none; "
                f"expected a whole number"
            )
    else:
        check_name(step, "of", of)
    if not isinstance(counts, Mapping):
        check_whole(step, 1, **{argument: counts})
        return
    if not counts:
        raise ConfigError(f"{type(step).__name__}: {argument} is empty; name a value and a number")
    for value, number in counts.items():
        if not isinstance(value, str | int):
            raise ConfigError(
                f"{type(step).__name__}: {argument} names the value {value!r}; expected text, a "
                f"whole number or True or False"
            )
        check_whole(step, 1, **{f"{argument}[{value!r}]": number})
