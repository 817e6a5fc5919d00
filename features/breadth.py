"""How widely the user's taste spreads, and how regularly he comes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.choice import Choice, choose_columns
from features.clock import ClockKind
from features.codes import ITEM_CODES, Codes
from features.history import History
from features.kernel import kernel


@dataclass(frozen=True)
class UserBreadth:
    """Entropy of the user's items and of their attributes; regularity of his intervals.

    The entropy ``-sum p log p`` is over the shares of the values in the user's events; an item of
    several values (genres) counts once for each.

    Parameters
    ----------
    columns : tuple of str, optional
        Columns of the item table: text, categories, integers, booleans, or lists of them. Default:
        see :func:`features.codes.why_not_shared`.
    max_columns : int
        Of the default columns, the first so many.
    """

    columns: tuple[str, ...] | None = None
    max_columns: int = 3

    def choose(self, context: Context) -> Choice:
        """The columns, and why these; see :class:`features.block.ChoosesColumns`."""
        return choose_columns(context.items, self.columns, ITEM_CODES, self.max_columns)

    def fit(self, context: Context) -> FittedUserBreadth:
        """Number the values of each attribute; users are aggregated when they are served.

        Raises
        ------
        ConfigError
            If a column does not exist or holds no names.
        """
        history, items = context.history, context.items
        columns = self.choose(context).columns
        codes = {"item": Codes.each(history.n_items)}
        if items is not None:
            codes |= {f"attribute_{name}": Codes.of(items[name]) for name in columns}
        return FittedUserBreadth(codes, history.clock.kind is not ClockKind.NONE)


@dataclass(frozen=True)
class FittedUserBreadth:
    """The block at an instant."""

    codes: dict[str, Codes]
    has_time: bool

    @property
    def features(self) -> tuple[Feature, ...]:
        """A column for items and each attribute, another if there are timestamps."""
        entropies = tuple(
            Feature(
                f"breadth_{name}",
                "breadth",
                "nats",
                f"entropy of the user's events by {name.removeprefix('attribute_')}",
            )
            for name in self.codes
        )
        meaning = "standard deviation over mean of the times between the user's instants"
        rhythm = Feature("breadth_interval_variation", "breadth", "ratio", meaning)
        return (*entropies, rhythm) if self.has_time else entropies

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        table = np.empty((history.n_users, len(self.features)), np.float32)
        for column, codes in enumerate(self.codes.values()):
            table[:, column] = _entropy(
                codes.indptr, codes.code, codes.n_codes, history.indptr, history.item
            )
        if self.has_time:
            table[:, -1] = _interval_variation(history.indptr, history.time)
        out[:] = table[candidates.user]


@kernel
def _entropy(
    code_indptr: Int64Array,
    code: Int32Array,
    n_codes: int,
    indptr: Int64Array,
    item: Int32Array,
) -> Float64Array:
    """Entropy of the codes of each user's events, NaN without any."""
    entropy = np.full(len(indptr) - 1, np.nan)
    count = np.zeros(n_codes, np.int64)
    for user in range(len(indptr) - 1):
        total = 0
        for at in range(indptr[user], indptr[user + 1]):
            for place in range(code_indptr[item[at]], code_indptr[item[at] + 1]):
                count[code[place]] += 1
                total += 1
        if not total:
            continue
        entropy[user] = 0.0
        for at in range(indptr[user], indptr[user + 1]):
            for place in range(code_indptr[item[at]], code_indptr[item[at] + 1]):
                share = count[code[place]] / total
                if share > 0.0:
                    entropy[user] -= share * np.log(share)
                count[code[place]] = 0  # each value once
    return entropy


@kernel
def _interval_variation(indptr: Int64Array, time: Int64Array) -> Float64Array:
    """Coefficient of variation of the gaps between a user's instants, of two gaps or more."""
    variation = np.full(len(indptr) - 1, np.nan)
    for user in range(len(indptr) - 1):
        start, stop = indptr[user], indptr[user + 1]
        n_gaps = 0
        for at in range(start + 1, stop):
            n_gaps += time[at] != time[at - 1]
        if n_gaps < 2:
            continue
        mean = (time[stop - 1] - time[start]) / n_gaps
        squares = 0.0
        for at in range(start + 1, stop):
            if time[at] != time[at - 1]:
                squares += (time[at] - time[at - 1] - mean) ** 2
        variation[user] = np.sqrt(squares / n_gaps) / mean
    return variation
