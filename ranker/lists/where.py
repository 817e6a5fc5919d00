"""Rules that are Polars expressions over items and users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from features.arrays import BoolArray
from features.columns import listing
from features.errors import ConfigError
from features.history import History
from ranker.lists.by_segment import SegmentMasks
from ranker.lists.context import ListContext
from ranker.lists.eligible import BoundFilter, EverybodysItems, Filter, Masks
from ranker.lists.expression import evaluate, item_mask, root_names

_USER = "user_"


@dataclass(frozen=True, eq=False)
class FilterWhere(Filter):
    """Shows only items for which a condition is true, to everybody or by user.

    Columns of the item table stand there by their names, those of the user table with ``user_`` in
    front of them, and ``item_id`` and ``user_id`` are the ids (Int64 or String). Null is not true:
    write what is to be shown to users and of items of whom nothing is known, such as strangers.
    A condition on users is worked out once for each combination of values that users have in the
    columns it names; on ``user_id``, once a user.

    Parameters
    ----------
    condition : Expr
        Row by row. An aggregate is not refused, but it is over the items of the catalogue, before
        any other filter.

    Examples
    --------
    >>> import polars as pl
    >>> is_adult = pl.col("user_age").fill_null(0) >= 18
    >>> print(FilterWhere((pl.col("department") != "SPIRITS") | is_adult))
    FilterWhere(...)
    """

    condition: pl.Expr

    def __post_init__(self) -> None:
        given: object = self.condition
        if not isinstance(given, pl.Expr):
            shown = " is" if isinstance(given, pl.Series) else f"={given!r} is"
            raise ConfigError(
                f"FilterWhere: condition{shown} a {type(given).__name__}; expected a "
                f'Polars expression, such as pl.col("price") < 10'
            )
        root_names(self, self.condition)

    def bind(self, context: ListContext) -> BoundFilter:
        """Find the columns, and work the condition out where it is on items alone.

        Raises
        ------
        ConfigError
            If a column is in neither table, or could be in both, or the condition fails.
        """
        of_users = self._user_columns(context)
        if not of_users:
            return EverybodysItems(item_mask(context, self, self.condition))
        of_items = [name for name in root_names(self, self.condition) if name not in of_users]
        items = context.item_columns(self, *of_items, "item_id")
        dtypes = {"user_id": context.history.users.values.dtype}
        if context.users is not None:
            dtypes |= dict(context.users.schema)

        def mask_of(values: dict[str, Any]) -> BoolArray:
            literals = [
                pl.lit(value, dtypes[name]).alias(of_users_by_column[name])
                for name, value in values.items()
            ]
            return evaluate(self, items.with_columns(literals), self.condition)

        of_users_by_column = {column: name for name, column in of_users.items()}
        # With what is known of nobody: a mistake is told now, and not by the first user.
        mask_of(dict.fromkeys(of_users_by_column))
        masks = SegmentMasks(context.users, list(of_users_by_column), mask_of)
        return BoundFilterWhere(masks)

    def _user_columns(self, context: ListContext) -> dict[str, str]:
        """Names that mean users, and their columns of the user table."""
        users = [] if context.users is None else context.users.columns
        items = [] if context.items is None else context.items.columns
        found, unknown = {}, []
        for name in root_names(self, self.condition):
            column = name.removeprefix(_USER)
            is_of_users = name == "user_id" or (name.startswith(_USER) and column in users)
            if is_of_users and name in items:
                raise ConfigError(
                    f"{self}: {name} is a column of items, and {column} one of users; rename one"
                )
            if is_of_users:
                found[name] = "user_id" if name == "user_id" else column
            elif name not in items and name != "item_id":
                unknown.append(name)
        if unknown:
            known = (
                "there is no table of items"
                if context.items is None
                else (f"of items {listing(context.items)}")
            )
            also = (
                "no table of users"
                if context.users is None
                else (f"of users, with {_USER} in front, {listing(context.users)}")
            )
            meant = [f"{_USER}{name}" for name in unknown if name in users]
            hint = f"; perhaps {', '.join(map(repr, meant))}" if meant else ""
            raise ConfigError(
                f"{self}: no column {', '.join(map(repr, unknown))}{hint}; {known}; {also}"
            )
        return found


@dataclass(frozen=True)
class BoundFilterWhere(BoundFilter):
    """:class:`FilterWhere` on attributes of users."""

    segments: SegmentMasks

    def by_user(self, history: History) -> Masks:
        """The items for which the condition is true."""
        return self.segments.masks(history)
