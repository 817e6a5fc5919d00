"""Lists of items that may be shown, and of those that must not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from features.errors import ConfigError
from features.history import History
from ranker.lists.context import ListContext
from ranker.lists.eligible import Banned, BoundFilter, EverybodysItems, Filter
from ranker.lists.item_ids import frame_of, only_columns, rows_of


@dataclass(frozen=True, eq=False)
class FilterAllowed(Filter):
    """Shows nothing but the items of a list.

    Parameters
    ----------
    items : Series, sequence, or frame with ``item_id``
        Those that the catalogue lacks are no matter.
    """

    items: Any = field()

    def __post_init__(self) -> None:
        columns = ("item_id", "user_id")
        frame = frame_of(self, "items", self.items, columns)
        only_columns(self, "items", self.items, columns)
        if "user_id" in frame.columns:
            raise ConfigError(
                "FilterAllowed: items has a column user_id, but the list is for everybody; drop "
                'it, or for lists by user use FilterAvailable(table, by="user_id")'
            )
        ids = frame["item_id"].unique().sort()
        if not len(ids):
            raise ConfigError("FilterAllowed: items is empty, so that nothing could be shown")
        object.__setattr__(self, "items", ids)

    def bind(self, context: ListContext) -> EverybodysItems:
        """Find the items in the catalogue.

        Raises
        ------
        SchemaError
            If ids are of another kind than those of the log.
        ConfigError
            If the catalogue has none of them.
        """
        rows = rows_of(self, "item_id", self.items, context.history.items)
        mask = np.zeros(context.history.n_items, np.bool_)
        mask[rows[rows >= 0]] = True
        if not mask.any():
            raise ConfigError(
                f"{self}: the catalogue has none of them, such as {self.items.head(3).to_list()}"
            )
        return EverybodysItems(mask)


@dataclass(frozen=True, eq=False)
class FilterDenied(Filter):
    """Never shows the items of a list, or, with a column ``user_id``, not to these users.

    Parameters
    ----------
    items : Series, sequence, or frame with ``item_id`` and on request ``user_id``
        Items and users that nobody knows are no matter.
    """

    items: Any = field()

    def __post_init__(self) -> None:
        columns = ("user_id", "item_id")
        frame = frame_of(self, "items", self.items, columns).unique()
        only_columns(self, "items", self.items, columns)
        object.__setattr__(self, "items", frame.sort(frame.columns))

    def bind(self, context: ListContext) -> BoundFilter:
        """Find the items in the catalogue.

        Raises
        ------
        SchemaError
            If ids are of another kind than those of the log.
        """
        history = context.history
        rows = rows_of(self, "item_id", self.items["item_id"], history.items)
        if "user_id" in self.items.columns:
            users = self.items["user_id"]
            rows_of(self, "user_id", users.head(1), history.users)
            known = pl.Series(rows >= 0)
            return DeniedPairs(
                pl.DataFrame({"user_id": users, "item": rows})
                .filter(known)
                .cast({"user_id": history.users.values.dtype})
            )
        mask = np.ones(history.n_items, np.bool_)
        mask[rows[rows >= 0]] = False
        return EverybodysItems(mask)


@dataclass(frozen=True)
class DeniedPairs(BoundFilter):
    """:class:`FilterDenied` by user: ``user_id`` and ``item`` (row number).

    By id and not by row number: strangers and sessions have ids too.
    """

    pairs: pl.DataFrame

    def by_user(self, history: History) -> Banned:
        """The items that are denied to each user."""
        rows = pl.DataFrame({"user_id": history.users.values, "row": np.arange(history.n_users)})
        found = rows.join(self.pairs, on="user_id").sort("row", "item")
        counts = np.bincount(found["row"].to_numpy(), minlength=history.n_users)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Banned(indptr, found["item"].to_numpy().astype(np.int32))
