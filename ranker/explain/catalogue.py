"""What items and their attributes are called."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from features.ids import Ids


@dataclass(frozen=True)
class Catalogue:
    """The names of items.

    Attributes
    ----------
    titles : Series
        By row number: the ``title``, where the table of items has one, or the id.
    table : DataFrame or None
        The attributes, one row per row number.
    """

    titles: pl.Series
    table: pl.DataFrame | None

    @classmethod
    def of(cls, items: Ids, table: pl.DataFrame | None) -> Catalogue:
        """Bring a table of items, one row an id, into the order of row numbers."""
        names = pl.DataFrame({"item_id": items.values, "name": items.values.cast(pl.String)})
        if table is None:
            return cls(names["name"], None)
        rows = names.join(table, on="item_id", how="left", maintain_order="left")
        if "title" not in table.columns or table.schema["title"].is_nested():
            return cls(names["name"], rows)
        return cls(
            rows.select(pl.coalesce(pl.col("title").cast(pl.String), "name")).to_series(), rows
        )

    def title(self, item: int) -> str:
        """What to call an item."""
        return str(self.titles[item])

    def values(self, item: int, column: str) -> list[str]:
        """The item's values of an attribute, ascending, as in :class:`features.codes.Codes`."""
        if self.table is None:
            return []
        column_of_one = self.table[column][item : item + 1]
        if column_of_one.dtype == pl.List:
            column_of_one = column_of_one.explode()
        return sorted(set(column_of_one.drop_nulls().cast(pl.String)))
