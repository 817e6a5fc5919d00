"""How the candidate compares with the others of its list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array, Int64Array
from features.block import Feature
from features.kernel import kernel

_DEFAULT_SUFFIXES = (
    "history_slow_share",
    "history_fast_share",
    "history_due_ratio",
    "item_share_48th",
    "item_share_all",
    "fusion",
    "_dot",
    "_recent",
    "_sum",
)


@dataclass(frozen=True)
class Listwise:
    """Rank within the user's candidates, and ratio to their mean, of other features.

    Parameters
    ----------
    suffixes : tuple of str
        Features whose names end in one of these are compared.
    """

    suffixes: tuple[str, ...] = _DEFAULT_SUFFIXES

    def fit(self, features: Sequence[Feature]) -> FittedListwise:
        """Choose among the features of the other blocks."""
        chosen = [
            (index, feature)
            for index, feature in enumerate(features)
            if feature.name.endswith(self.suffixes)
        ]
        return FittedListwise(
            np.array([index for index, _ in chosen], np.int64),
            tuple(
                Feature(f"{feature.name}_{kind}", "list", unit, f"{feature.meaning}: {meaning}")
                for _, feature in chosen
                for kind, unit, meaning in (
                    ("list_rank", "rank", "rank in the list"),
                    ("list_ratio", "ratio", "ratio to the mean of the list"),
                )
            ),
        )


@dataclass(frozen=True)
class FittedListwise:
    """The chosen columns."""

    columns: Int64Array
    features: tuple[Feature, ...]

    def fill(self, indptr: Int64Array, table: Float32Array, out: Float32Array) -> None:
        """Compare the rows of each user.

        Parameters
        ----------
        indptr : int64 array [n_users + 1]
        table : float32 array [n_rows, n_features]
        out : float32 array [n_rows, 2 * n_columns]
        """
        _fill_listwise(indptr, table, self.columns, out)


@kernel
def _fill_listwise(
    indptr: Int64Array, table: Float32Array, columns: Int64Array, out: Float32Array
) -> None:
    for user in range(len(indptr) - 1):
        first, end = indptr[user], indptr[user + 1]
        for place in range(len(columns)):
            values = np.empty(end - first, np.float32)
            total, n_known = 0.0, 0
            for row in range(first, end):
                value = table[row, columns[place]]
                values[row - first] = -value
                if not np.isnan(value):
                    total += value
                    n_known += 1
            values.sort()  # NaN goes to the end
            known = values[:n_known]
            for row in range(first, end):
                value = table[row, columns[place]]
                if not np.isnan(value):
                    out[row, 2 * place] = 1 + np.searchsorted(known, -value)
                    if total != 0.0:
                        out[row, 2 * place + 1] = value * n_known / total
