"""Ids and their row numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.arrays import Int32Array, Int64Array

_FEW = 64


@dataclass(frozen=True)
class Ids:
    """A fixed list of distinct ids; row number ``i`` stands for ``values[i]``.

    Parameters
    ----------
    values : Series
        Distinct, without null, Int64 or String. Items and the users of a snapshot are sorted, so
        that neither the order of rows nor the number of threads can change a row number; the
        users of a query stay in the caller's order.

    Examples
    --------
    >>> import polars as pl
    >>> items = Ids.sorted(pl.Series(["pear", "fig", "pear"]))
    >>> items.encode(pl.Series(["pear", "plum"]))
    array([ 1, -1], dtype=int32)
    >>> items.decode([0]).to_list()
    ['fig']
    """

    values: pl.Series

    @classmethod
    def sorted(cls, *series: pl.Series) -> Ids:
        """Collect the distinct values of all series, in ascending order."""
        return cls(pl.concat([s.rename("id") for s in series]).unique().sort())

    def __len__(self) -> int:
        return len(self.values)

    def encode(self, ids: pl.Series) -> Int32Array:
        """Row number of each id, int32; -1 where the id is not among the values."""
        if len(ids) <= _FEW and self._ascending is not None and ids.dtype == pl.Int64:
            # A join would read all the values for the sake of a few ids.
            asked = ids.to_numpy() if not ids.null_count() else None
            if asked is not None and len(self):
                place = np.minimum(np.searchsorted(self._ascending, asked), len(self) - 1)
                rows = np.where(self._ascending[place] == asked, place, -1)
                return rows.astype(np.int32)
        found = (
            ids.rename("id")
            .to_frame()
            .join(self._rows, on="id", how="left", maintain_order="left")
            .get_column("row")
        )
        return found.fill_null(-1).to_numpy()

    def decode(self, rows: object) -> pl.Series:
        """Ids of row numbers (all must be valid)."""
        return self.values[np.asarray(rows)]  # which gather would do by way of a query plan

    @cached_property
    def _ascending(self) -> Int64Array | None:
        """The values, where they are whole numbers in ascending order."""
        if self.values.dtype != pl.Int64 or not self.values.is_sorted():
            return None
        return self.values.to_numpy()

    @cached_property
    def _rows(self) -> pl.DataFrame:
        return pl.DataFrame({"id": self.values, "row": np.arange(len(self.values), dtype=np.int32)})
