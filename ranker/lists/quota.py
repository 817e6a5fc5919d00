"""At least so many items of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.codes import Codes
from features.errors import ConfigError
from ranker.lists.attribute import attribute, check_counts, condition
from ranker.lists.context import ListContext
from ranker.lists.floors import Floor
from ranker.lists.step import Step


@dataclass(frozen=True, eq=False)
class Quota(Step):
    """At least so many items of a kind in a list.

    The best candidates of the kind are reserved, then, if nobody proposed enough, the most popular
    items of the kind. An item counts for every quota that it meets. Where filters and caps leave
    too few items of the kind, they win and the quota stays short. Quotas are reserved in the order
    of rank, as far as the caps allow.

    Parameters
    ----------
    of : str or Expr
        A column of the item table (text, categories, integers, or lists of them), or a condition
        over the table.
    at_least : mapping of value to int, or int
        Of a column, how many of each value that is named; of a condition, how many items for which
        it is true.

    Examples
    --------
    >>> import polars as pl
    >>> print(Quota("brand", {"own": 2}), Quota(pl.col("margin") > 0.3, 3))
    Quota('brand', {'own': 2}) Quota([(col("margin")) > (dyn float: 0.3)], 3)
    """

    of: str | pl.Expr
    at_least: Mapping[str | int, int] | int

    def __post_init__(self) -> None:
        if isinstance(self.of, str) and not isinstance(self.at_least, Mapping):
            given: object = self.at_least
            number = given if isinstance(given, int) else 1
            raise ConfigError(
                f"Quota: of the column {self.of!r}, at_least={self.at_least!r} does not say which "
                f'value; expected a mapping, such as Quota({self.of!r}, {{"a value": {number}}})'
            )
        check_counts(self, self.of, "at_least", self.at_least)

    @property
    def n_places(self) -> int:
        """How many places it asks for, all kinds together."""
        counts = self.at_least.values() if isinstance(self.at_least, Mapping) else [self.at_least]
        return sum(counts)

    def floors(self, context: ListContext) -> list[Floor]:
        """The items of each kind, popular ones first, and how many are needed.

        Raises
        ------
        ConfigError
            If the column, or a value that is named, does not exist, or a condition is true for no
            item.
        """
        if isinstance(self.at_least, Mapping):
            values = attribute(context, self, str(self.of))
            kinds = [
                (values.codes, values.code(self, str(self.of), value), number)
                for value, number in self.at_least.items()
            ]
        else:
            assert isinstance(self.of, pl.Expr)  # noqa: S101  # the constructor sees to it
            kinds = [(condition(context, self, self.of), 0, self.at_least)]
        floors = [Floor(_members(context, codes, code), n) for codes, code, n in kinds]
        if not all(len(floor.members) for floor in floors):
            raise ConfigError(f"{self}: the condition is true for no item of the catalogue")
        return floors


def _members(context: ListContext, codes: Codes, code: int) -> np.ndarray:
    is_member = np.zeros(context.history.n_items, np.bool_)
    owner = np.repeat(np.arange(context.history.n_items), np.diff(codes.indptr))
    is_member[owner[codes.code == code]] = True
    return context.fill[is_member[context.fill]]
