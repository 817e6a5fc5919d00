"""What is taken next, after what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from features.clock import ClockKind
from features.decay import Length, decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from features.kernel import kernel
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.similar import SimilarityGenerator
from ranker.topk import keep_best


@dataclass
class Transitions(SimilarityGenerator):
    """A Markov chain from the user's last items to the next one.

    ``P(b | a) = C(a, b) / (n(a) + shrink)``, where C adds ``lag_decay ** (lag - 1)`` each time b
    came ``lag`` steps after a, and n counts the events of a after which something came. With
    ``max_lag=1`` it is the chain of eq. (5) in Rendle et al.: Factorizing personalized Markov
    chains for next-basket recommendation (WWW 2010). A user's score of b is the sum over his last
    items of ``last_decay ** (rank - 1) * P(b | a)``, rank 1 being his last.

    A step leads from one instant to the next: items of one basket stand side by side, and do not
    lead to one another. Without timestamps nothing is known to come after anything, and nothing
    is proposed.

    Parameters
    ----------
    max_lag : int
        Steps between the items of a transition, at most.
    lag_decay : float
        How much a transition counts for each step more, in [0, 1].
    n_last : int
        Instants of the user, from his last one back, whose items count when he is served.
    last_decay : float
        How much each instant counts against the one after it, in (0, 1].
    half_life : str, int or float, optional
        Age at which a transition counts half. As a share of the log: a float. Default: all count
        the same.
    neighbours : int
        Successors kept of each item.
    shrink : float
        Events added to those of each item, so that a rare one promises little.

    Raises
    ------
    ConfigError
        By ``fit``, if a number is out of its range.
    """

    max_lag: int = 3
    lag_decay: float = 0.5
    n_last: int = 10
    last_decay: float = 0.7
    half_life: Length | None = None
    neighbours: int = 200
    shrink: float = 2.0

    learned: ClassVar[tuple[str, ...]] = ("similarity_",)

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Count transitions; attributes are not used."""
        self._check()
        order = np.argsort(history.item, kind="stable")
        counts = np.bincount(history.item, minlength=history.n_items)
        item, value, length = _count_transitions(
            np.concatenate(([0], np.cumsum(counts))),
            order,
            history.indptr,
            _next_instants(history),
            history.user,
            history.item,
            decay_weights(history, length_ticks(history, self.half_life)),
            self.max_lag,
            float(self.lag_decay),
            float(self.shrink),
            self.neighbours,
        )
        indptr = np.concatenate(([0], np.cumsum(length)))
        kept = np.arange(self.neighbours) < length[:, None]
        self.similarity_: sparse.csr_matrix = sparse.csr_matrix(
            (value[kept], item[kept], indptr), shape=(history.n_items, history.n_items)
        )
        self.similarity_.sort_indices()

    def _asked_weights(self, history: History) -> Float32Array:
        rank = _ranks(history)
        weights = np.float32(self.last_decay) ** (rank - 1)
        weights[rank > self.n_last] = 0.0
        return weights.astype(np.float32)

    def _check(self) -> None:
        check_count(max_lag=self.max_lag, n_last=self.n_last, neighbours=self.neighbours)
        check_from_zero(shrink=self.shrink)
        if not 0 <= self.lag_decay <= 1:
            raise ConfigError(f"lag_decay={self.lag_decay}; expected a number from 0 to 1")
        if not 0 < self.last_decay <= 1:
            raise ConfigError(f"last_decay={self.last_decay}; expected a number above 0, up to 1")


def _next_instants(history: History) -> Int64Array:
    """The first event behind each event's instant, which may be the next user's."""
    if history.clock.kind is ClockKind.NONE:
        return np.repeat(history.indptr[1:], history.lengths)
    starts = history.begins_instant()
    first = np.append(np.flatnonzero(starts), history.n_events)
    return first[np.cumsum(starts)]


def _ranks(history: History) -> Int64Array:
    """Rank of each event's instant in its user's history, 1 = the last."""
    number = np.cumsum(history.begins_instant())
    last = np.append(0, number)[history.indptr[1:]]
    ranks: Int64Array = np.repeat(last, history.lengths) - number + 1
    return ranks


@kernel
def _count_transitions(
    item_indptr: Int64Array,
    item_events: Int64Array,
    indptr: Int64Array,
    following: Int64Array,
    user: Int32Array,
    item: Int32Array,
    weight: Float32Array,
    max_lag: int,
    lag_decay: float,
    shrink: float,
    n_kept: int,
) -> tuple[Int32Array, Float32Array, Int64Array]:
    n_items = len(item_indptr) - 1
    out_item = np.empty((n_items, n_kept), np.int32)
    out_value = np.empty((n_items, n_kept), np.float32)
    out_length = np.zeros(n_items, np.int64)
    total: Float64Array = np.zeros(n_items, np.float64)
    touched = np.empty(n_items + 1, np.int32)  # the last place is written to and never counts
    share = np.empty(n_items, np.float32)
    for a in range(n_items):
        n_touched = 0
        n_followed = 0.0
        for at in range(item_indptr[a], item_indptr[a + 1]):
            event = item_events[at]
            start, last = following[event], indptr[user[event] + 1]
            gain = np.float64(weight[event])
            if start < last:
                n_followed += gain
            for _ in range(max_lag):
                if start >= last or gain == 0.0:
                    break
                end = following[start]
                for other in range(start, end):
                    b = item[other]
                    if b == a:
                        continue
                    touched[n_touched] = b
                    n_touched += total[b] == 0.0  # no branch, see _nearest
                    total[b] += gain
                start = end
                gain *= lag_decay
        for at in range(n_touched):
            b = touched[at]
            share[at] = total[b] / (n_followed + shrink)
            total[b] = 0.0
        out_length[a] = keep_best(touched, share, n_touched, out_item[a], out_value[a])
    return out_item, out_value, out_length
