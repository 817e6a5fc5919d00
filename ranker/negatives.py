"""Which of the candidates that were not taken a reranker learns from."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from features.arrays import BoolArray, Float64Array, Int8Array, Int64Array
from features.errors import ConfigError
from features.kernel import kernel
from ranker.arguments import MOST, is_number
from ranker.rerank.table import LabelledTable


@dataclass(frozen=True)
class Negatives:
    """A random part of a user's other candidates.

    Random rows of the same list: only the best-ranked ones would teach the model that a good
    rank is a bad sign.

    Parameters
    ----------
    share : float
        Of the candidates that were not taken, 0 to 1.
    per_positive : int
        For each that was; the larger of the two counts.
    at_most : int
        Of a user, whatever the others say.

    Raises
    ------
    ConfigError
        If they are no such numbers, or leave none.
    """

    share: float = 0.3
    per_positive: int = 10
    at_most: int = 100

    def __post_init__(self) -> None:
        if not is_number(self.share) or not 0 <= self.share <= 1:
            raise ConfigError(f"Negatives: share={self.share!r}; expected a number from 0 to 1")
        for name in ("per_positive", "at_most"):
            value = getattr(self, name)
            is_whole = isinstance(value, Integral) and not isinstance(value, bool)
            if not is_whole or not 0 <= int(value) <= MOST:
                raise ConfigError(f"Negatives: {name}={value!r}; expected a whole number, from 0")
        if not self.at_most or not (self.share or self.per_positive):
            raise ConfigError(f"{self} leaves no candidate that was not taken to learn from")


DEFAULT_NEGATIVES = Negatives()


def thin_out(table: LabelledTable, random_state: int, negatives: Negatives) -> LabelledTable:
    """Keep groups with a hit, their hits, and a random part of their other rows.

    Parameters
    ----------
    table : LabelledTable
    random_state : int
    negatives : Negatives
    """
    keys = np.random.default_rng(random_state).random(table.n_rows)
    return table.take(
        _choose(
            table.label,
            table.indptr,
            keys,
            float(negatives.share),
            negatives.per_positive,
            negatives.at_most,
        )
    )


@kernel
def _choose(
    label: Int8Array,
    indptr: Int64Array,
    keys: Float64Array,
    share: float,
    per_positive: int,
    at_most: int,
) -> BoolArray:
    is_kept = np.zeros(len(label), np.bool_)
    for group in range(len(indptr) - 1):
        first, end = indptr[group], indptr[group + 1]
        n_positive = 0
        for row in range(first, end):
            n_positive += label[row] > 0
        if n_positive == 0:
            continue
        n_negative = end - first - n_positive
        n_kept = min(max(share * n_negative, per_positive * n_positive), at_most, n_negative)
        negative_keys = np.empty(n_negative, np.float64)
        at = 0
        for row in range(first, end):
            if label[row] == 0:
                negative_keys[at] = keys[row]
                at += 1
        negative_keys.sort()
        limit = negative_keys[int(n_kept) - 1] if n_kept >= 1 else -1.0
        for row in range(first, end):
            is_kept[row] = label[row] > 0 or keys[row] <= limit
    return is_kept
