"""What the candidate inherits from its category, brand, author, genres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import Float32Array, Float64Array
from features.block import Context, Feature
from features.choice import Choice, choose_columns
from features.clock import ClockKind
from features.codes import ITEM_CODES, Codes
from features.decay import Length, spell_window, window_name, window_ticks
from features.history import History
from features.item_table import FittedItems


@dataclass(frozen=True)
class AttributeEncoding:
    """Popularity and repeat rate of the values of an item's attributes, in the history.

    An item without events has them as well. Of several values (genres), the mean. Rates are
    smoothed towards those of the whole log: ``(n + smoothing * overall) / (size + smoothing)``
    (Micci-Barreca: A preprocessing scheme for high-cardinality categorical attributes, SIGKDD
    Explorations 2001).

    Parameters
    ----------
    columns : tuple of str, optional
        Columns of the item table: text, categories, integers, booleans, or lists of them. Default:
        see :func:`features.codes.why_not_shared`.
    windows : tuple of str, int or float
        Lengths of the windows: ``"7d"``, a whole number on an integer clock, or a float, a share of
        the log's length. On a clock that does not compare users there is only the whole log.
    smoothing : float
        Items or takers of the whole log that are added to those of each value.
    max_columns : int
        Of the default columns, the first so many.
    """

    columns: tuple[str, ...] | None = None
    windows: tuple[Length, ...] = (1 / 48, 1 / 12)
    smoothing: float = 10.0
    max_columns: int = 4

    def choose(self, context: Context) -> Choice:
        """The columns, and why these; see :class:`features.block.ChoosesColumns`."""
        return choose_columns(context.items, self.columns, ITEM_CODES, self.max_columns)

    def fit(self, context: Context) -> FittedItems:
        """Add up the events of the items of each value.

        Raises
        ------
        ConfigError
            If a column does not exist or holds no names.
        """
        history, items = context.history, context.items
        columns = self.choose(context).columns
        if items is None:
            return FittedItems((), np.empty((history.n_items, 0), np.float32))
        counts = _event_counts(history, self.windows)
        takers = _takers(history) if history.clock.kind is not ClockKind.NONE else None
        features, table = [], []
        for name in columns:
            values = _Values.of(Codes.of(items[name]))
            for kind, unit, meaning, by_value in self._encode(values, counts, takers):
                title, line = f"encoding_{name}_{kind}", meaning.format(name)
                features.append(Feature(title, "encoding", unit, line, about=name))
                table.append(values.of_items(by_value))
        return FittedItems(
            tuple(features),
            np.stack(table, axis=1) if table else np.empty((history.n_items, 0), np.float32),
        )

    def _encode(
        self, values: _Values, counts: dict[str, Float64Array], takers: Float64Array | None
    ) -> list[tuple[str, str, str, Float64Array]]:
        """Name, unit, meaning, and what each value has."""
        encoded = []
        for label, count in counts.items():
            when = "in the whole log" if label == "all" else f"in the last {spell_window(label)}"
            share = values.add_up(count) / count.sum() if count.sum() else np.nan * values.n_items
            meaning = f"share of all events {when} with items of the same {{}}"
            encoded.append((f"share_{label}", "share", meaning, share))
        for label, count in counts.items():
            overall = count.sum() / max(len(count), 1)
            events = self._smooth(values.add_up(count), values.n_items, overall)
            per_item = events / overall if overall else np.nan * values.n_items
            meaning = "events per item of the same {}, over those per item of the catalogue"
            when = "" if label == "all" else f", in the last {spell_window(label)}"
            encoded.append((f"per_item_{label}", "ratio", meaning + when, per_item))
        if takers is not None:
            overall = takers[:, 1].sum() / max(takers[:, 0].sum(), 1.0)
            users, returned = values.add_up(takers[:, 0]), values.add_up(takers[:, 1])
            meaning = "share of the takers of items of the same {} who took one again"
            encoded.append(
                ("repeat_rate", "share", meaning, self._smooth(returned, users, overall))
            )
        return encoded

    def _smooth(self, n: Float64Array, size: Float64Array, overall: float) -> Float64Array:
        smoothed: Float64Array = (n + self.smoothing * overall) / np.maximum(
            size + self.smoothing, 1e-30
        )
        return smoothed


@dataclass(frozen=True)
class _Values:
    """Items by values, ones: adds up over the items of a value and back over those of an item."""

    belongs: sparse.csr_matrix
    n_items: Float64Array

    @classmethod
    def of(cls, codes: Codes) -> _Values:
        ones = np.ones(len(codes.code))
        shape = (len(codes.indptr) - 1, codes.n_codes)
        belongs = sparse.csr_matrix((ones, codes.code, codes.indptr), shape=shape)
        return cls(belongs, np.bincount(codes.code, minlength=codes.n_codes).astype(np.float64))

    def add_up(self, of_items: Float64Array) -> Float64Array:
        """Sum over the items of each value."""
        total: Float64Array = self.belongs.T @ of_items
        return total

    def of_items(self, of_values: Float64Array) -> Float32Array:
        """Mean over the values of each item, NaN for an item without any."""
        n_values = np.diff(self.belongs.indptr)
        total = self.belongs @ of_values
        mean = np.where(n_values > 0, total / np.maximum(n_values, 1), np.nan)
        return mean.astype(np.float32)


def _event_counts(history: History, windows: tuple[Length, ...]) -> dict[str, Float64Array]:
    """Events of each item by window, and in all."""
    counts = {}
    for window in windows if history.clock.is_comparable else ():
        late = history.time >= history.as_of - window_ticks(history, window)
        counts[window_name(window)] = np.bincount(history.item[late], minlength=history.n_items)
    counts["all"] = np.bincount(history.item, minlength=history.n_items)
    return {label: count.astype(np.float64) for label, count in counts.items()}


def _takers(history: History) -> Float64Array:
    """Users of each item, and those of them who took it at two instants or more."""
    pairs = (
        history.frame()
        .lazy()
        .group_by("item", "user")
        .agg(pl.col("time").min().alias("first"), pl.col("time").max().alias("last"))
        .group_by("item")
        .agg(pl.len().alias("users"), (pl.col("last") > pl.col("first")).sum().alias("returned"))
        .collect()
    )
    takers = np.zeros((history.n_items, 2))
    takers[pairs["item"].to_numpy()] = pairs.select("users", "returned").to_numpy()
    return takers
