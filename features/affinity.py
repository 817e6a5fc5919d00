"""How much the user likes the candidate's attributes: its category, brand, author, genres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Float32Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.choice import Choice, choose_columns
from features.clock import ClockKind
from features.codes import ITEM_CODES, Codes
from features.decay import decay_weights, length_ticks
from features.history import History
from features.kernel import kernel


@dataclass(frozen=True)
class AttributeAffinity:
    """The user's events with items that share an attribute with the candidate.

    Parameters
    ----------
    columns : tuple of str, optional
        Columns of the item table: text, categories, integers, booleans, or lists of them. Default:
        see :func:`features.codes.why_not_shared`.
    fading : float
        Half-life of an event, as a share of the log's length.
    max_columns : int
        Of the default columns, the first so many.
    """

    columns: tuple[str, ...] | None = None
    fading: float = 1 / 6
    max_columns: int = 6

    def choose(self, context: Context) -> Choice:
        """The columns, and why these; see :class:`features.block.ChoosesColumns`."""
        return choose_columns(context.items, self.columns, ITEM_CODES, self.max_columns)

    def fit(self, context: Context) -> FittedAttributeAffinity:
        """Number the values of each attribute.

        Raises
        ------
        ConfigError
            If a column does not exist or holds no names.
        """
        history = context.history
        columns = self.choose(context).columns
        attributes: dict[str, Codes] = {}
        if context.items is not None:
            attributes = {name: Codes.of(context.items[name]) for name in columns}
        return FittedAttributeAffinity(
            attributes,
            length_ticks(history, self.fading),
            history.clock.kind is not ClockKind.NONE,
            history.clock.unit_name,
        )


@dataclass(frozen=True)
class FittedAttributeAffinity:
    """The block at an instant."""

    attributes: dict[str, Codes]
    fading_ticks: float
    has_time: bool
    unit_name: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """Two columns an attribute, a third where there are timestamps."""
        kinds = [
            ("count", "count", "events of the user with the item's {}"),
            ("share", "share", "share of the item's {} in the user's events, old ones fading"),
        ]
        if self.has_time:
            unit = self.unit_name
            kinds.append((f"recency_{unit}", unit, "time since the user's last of the item's {}"))
        return tuple(
            Feature(f"affinity_{name}_{kind}", "affinity", unit, meaning.format(name), about=name)
            for name in self.attributes
            for kind, unit, meaning in kinds
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        fading = decay_weights(history, self.fading_ticks)
        width = 3 if self.has_time else 2
        for index, codes in enumerate(self.attributes.values()):
            _fill_affinity(
                codes.indptr,
                codes.code,
                codes.n_codes,
                history.indptr,
                history.item,
                history.time,
                history.now,
                fading,
                history.clock.unit,
                candidates.indptr,
                candidates.item,
                out[:, width * index : width * (index + 1)],
            )


@kernel
def _fill_affinity(
    code_indptr: Int64Array,
    code: Int32Array,
    n_codes: int,
    indptr: Int64Array,
    item: Int32Array,
    time: Int64Array,
    now: Int64Array,
    fading: Float32Array,
    unit: int,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    count = np.zeros(n_codes, np.float64)
    faded = np.zeros(n_codes, np.float64)
    last = np.zeros(n_codes, np.int64)
    for user in range(len(indptr) - 1):
        start, stop = indptr[user], indptr[user + 1]
        if start == stop:
            continue
        total = 0.0
        for at in range(start, stop):
            total += fading[at]
            for place in range(code_indptr[item[at]], code_indptr[item[at] + 1]):
                count[code[place]] += 1.0
                faded[code[place]] += fading[at]
                last[code[place]] = time[at]
        for row in range(row_indptr[user], row_indptr[user + 1]):
            first, end = code_indptr[row_item[row]], code_indptr[row_item[row] + 1]
            if first == end:
                continue  # the item's attribute is unknown
            n_events, share, recency = 0.0, 0.0, -1
            for place in range(first, end):
                n_events += count[code[place]]
                share += faded[code[place]]
                if count[code[place]] > 0.0:
                    since = now[user] - last[code[place]]
                    recency = since if recency < 0 else min(recency, since)
            # Of several values (genres), the mean; of their recencies, the least.
            out[row, 0] = n_events / (end - first)
            out[row, 1] = share / (end - first) / total if total > 0.0 else 0.0
            if out.shape[1] > 2 and recency >= 0:
                out[row, 2] = recency / unit
        for at in range(start, stop):
            for place in range(code_indptr[item[at]], code_indptr[item[at] + 1]):
                count[code[place]] = 0.0
                faded[code[place]] = 0.0
