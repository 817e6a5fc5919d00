"""Ids and their row numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.arrays import Int32Array, Int64Array
from features.lookup import find, hash_table

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
        ids = pl.concat([s.rename("id") for s in series])
        if ids.dtype != pl.Int64 or ids.null_count():
            return cls(ids.unique().sort())
        ordered = np.sort(ids.to_numpy())
        is_first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
        return cls(pl.Series("id", ordered[is_first]).set_sorted())

    def __len__(self) -> int:
        return len(self.values)

    def encode(self, ids: pl.Series) -> Int32Array:
        """Row number of each id, int32; -1 where the id is not among the values."""
        if ids.dtype == self.values.dtype == pl.Int64 and not ids.null_count():
            asked = ids.to_numpy()
            if 0 < len(ids) <= _FEW and len(self) and self._is_ascending:
                # A table would be made of all the values for the sake of a few ids.
                place = np.minimum(np.searchsorted(self._numbers, asked), len(self) - 1)
                return np.where(self._numbers[place] == asked, place, -1).astype(np.int32)
            return find(asked, self._numbers, self._table)
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
    def _is_ascending(self) -> bool:
        return self.values.is_sorted()

    @cached_property
    def _numbers(self) -> Int64Array:
        return self.values.to_numpy()

    @cached_property
    def _table(self) -> Int32Array:
        return hash_table(self._numbers)

    @cached_property
    def _rows(self) -> pl.DataFrame:
        return pl.DataFrame({"id": self.values, "row": np.arange(len(self.values), dtype=np.int32)})
