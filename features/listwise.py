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
_SIGN, _PLACE = 2**31, 2**32 - 1


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
                Feature(
                    f"{feature.name}_{kind}",
                    "list",
                    unit,
                    f"{feature.meaning}: {meaning}",
                    about=feature.name,
                )
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
    longest = 0
    for user in range(len(indptr) - 1):
        longest = max(longest, indptr[user + 1] - indptr[user])
    falling = np.empty(longest, np.float32)
    keys = np.empty(longest, np.int64)
    for user in range(len(indptr) - 1):
        first, end = indptr[user], indptr[user + 1]
        for place in range(len(columns)):
            total, n_known = 0.0, 0
            for row in range(first, end):
                value = table[row, columns[place]]
                if not np.isnan(value):
                    total += value
                    falling[n_known] = np.float32(0.0) - value  # which makes of -0 the 0 it equals
                    keys[n_known] = row - first
                    n_known += 1
            # A value and its place in one whole number, so that one sort brings both in order. The
            # bits of floats ascend as whole numbers do, of negative ones the other way round.
            bits = falling[:n_known].view(np.int32)
            for at in range(n_known):
                high = np.int64(bits[at])
                keys[at] |= (high if high >= 0 else -_SIGN - high) << 32
            ordered = keys[:n_known]
            ordered.sort()
            rank = 0
            for at in range(n_known):
                if at == 0 or ordered[at] >> 32 != ordered[at - 1] >> 32:
                    rank = at + 1
                row = first + (ordered[at] & _PLACE)
                out[row, 2 * place] = rank
                if total > 0.0:  # below, what is better would have the smaller ratio
                    out[row, 2 * place + 1] = table[row, columns[place]] * n_known / total
