"""At most so many items of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Int64Array
from features.codes import Codes
from ranker.lists.attribute import attribute, check_counts, condition
from ranker.lists.context import ListContext
from ranker.lists.step import Step

_NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Cap(Step):
    """At most so many items of a kind in a list.

    It holds for the whole list, whatever else the policy does; a list rather stays short. Items
    without a value are not limited.

    Parameters
    ----------
    of : str or Expr
        A column of the item table (text, categories, integers, or lists of them, where an item
        counts for each of its values), or a condition over the table.
    at_most : int or mapping of value to int
        Of each value, or of those that are named.

    Examples
    --------
    >>> import polars as pl
    >>> print(Cap("brand", 2), Cap("genres", {"War": 1}), Cap(pl.col("price") > 100, 1))
    Cap('brand', 2) Cap('genres', {'War': 1}) Cap([(col("price")) > (dyn int: 100)], 1)
    """

    of: str | pl.Expr
    at_most: int | Mapping[str | int, int]

    def __post_init__(self) -> None:
        check_counts(self, self.of, "at_most", self.at_most)

    def limits(self, context: ListContext) -> tuple[Codes, Int64Array]:
        """The kinds of every item, and the limit of each kind, int64 [n_kinds].

        Raises
        ------
        ConfigError
            If the column, or a value that is named, does not exist.
        """
        if isinstance(self.of, pl.Expr):
            codes = condition(context, self, self.of)
            return codes, np.full(1, self.at_most, np.int64)
        values = attribute(context, self, self.of)
        if not isinstance(self.at_most, Mapping):
            return values.codes, np.full(values.codes.n_codes, self.at_most, np.int64)
        limit = np.full(values.codes.n_codes, _NO_LIMIT, np.int64)
        for value, number in self.at_most.items():
            limit[values.code(self, self.of, value)] = number
        return values.codes, limit
