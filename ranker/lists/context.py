"""What the steps of a policy may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from features.arrays import Int32Array
from features.block import Source
from features.columns import check_columns
from features.errors import ConfigError
from features.history import History


@dataclass(frozen=True)
class ListContext:
    """A served snapshot, as far as lists need it.

    Attributes
    ----------
    history : History
        Everybody's events before the snapshot's instant.
    items, users : DataFrame or None
        Attributes, one row per row number of ``history.items`` and ``history.users``.
    sources : mapping of name to Source
        The fitted generators.
    fill : int32 array [n_items]
        The whole catalogue, popular items first.
    random_state : int
        Of the recommender; a step may have its own.
    """

    history: History
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    sources: Mapping[str, Source]
    fill: Int32Array
    random_state: int

    def item_columns(self, step: object, *columns: str) -> pl.DataFrame:
        """Columns of the item table, and ``item_id``: one row per row number.

        Raises
        ------
        ConfigError
            If there is no item table, or it lacks one of them.
        """
        table = self.items
        if table is None:
            if set(columns) <= {"item_id"}:
                return pl.DataFrame({"item_id": self.history.items.values})
            raise ConfigError(
                f"{step} reads {', '.join(columns)} of items, but the recommender was fitted "
                f"without such a table; call fit(..., items=items)"
            )
        try:
            check_columns(table, columns)
        except ConfigError as error:
            raise ConfigError(f"{step}: {error}") from None
        return table.select("item_id", *(name for name in columns if name != "item_id"))
