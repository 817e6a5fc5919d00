"""What people of the same taste took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import AnyArray, Float32Array, Int32Array, Int64Array
from features.decay import Length, decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from features.kernel import kernel
from ranker.arguments import check_count, check_from_zero
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.nearest import nearest
from ranker.topk import keep_best

# Whoever took just what the user took, in the same proportions, has nothing to add. Foremost that
# is the user himself: he is known by his events alone, and so cannot be left out by his id.
_SAME = 1 - 1e-9

_RUN = 512  # users whose neighbours are held at a time


@dataclass
class UserKNN(Generator):
    """Items of the users whose histories are most similar, and the user's own.

    A user's vector x counts his events by item, each with the weight
    ``0.5 ** (age / half_life)``. His score of an item is
    ``(1 - own) * sum_v s(v) x_v(item) / sum_v s(v) + own * x_u(item)`` over the neighbours v with
    the largest cosines s(v). Hu et al.: Modeling personalized item frequency information for
    next-basket recommendation (SIGIR 2020), eq. (4), with the cosine for their distance.

    Parameters
    ----------
    neighbours : int
        Users whose items are proposed.
    half_life : str, int or float, optional
        Age at which an event counts half. As a share of the log: a float. None: all events count
        the same.
    own : float
        Share of the user's own events in the score, in [0, 1); it matters where seen items are
        proposed.
    power : float
        The cosine counts by this power: above 1 the nearest count more.

    Raises
    ------
    ConfigError
        By ``fit``, if a number is out of its range.
    """

    neighbours: int = 200
    half_life: Length | None = 1 / 4
    own: float = 0.5
    power: float = 1.0

    learned: ClassVar[tuple[str, ...]] = ("indptr_", "item_", "count_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Keep the users' vectors; attributes are not used."""
        self._check()
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        vectors = self._vectors(history)
        self.indptr_: Int64Array = vectors.indptr.astype(np.int64)
        self.item_: Int32Array = vectors.indices
        self.count_: Float32Array = vectors.data
        self._index: sparse.csr_matrix | None = None

    def restore(self, arrays: dict[str, AnyArray]) -> Self:
        """Take over what :meth:`arrays` gave."""
        self._index = None
        return super().restore(arrays)

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest means over the neighbours; nothing for users without events."""
        indptr = self._get("indptr_")
        index = self._inverted(history.n_items)
        found = Retrieved.empty(history.n_users, n)
        for start in range(0, history.n_users, _RUN):
            part = history.rows(start, start + _RUN)
            vectors = self._vectors(part)
            user, cosine = nearest(_normalized(vectors), index, self.neighbours, below=_SAME)
            rows = slice(start, start + part.n_users)
            _top_of_neighbours(
                indptr,
                self.item_,
                self.count_,
                user,
                np.where(user >= 0, cosine, np.float32(0)).astype(np.float64) ** self.power,
                vectors.indptr.astype(np.int64),
                vectors.indices,
                vectors.data,
                history.n_items,
                float(self.own),
                exclude_seen,
                found.item[rows],
                found.score[rows],
            )
        return found

    def _vectors(self, history: History) -> sparse.csr_matrix:
        """Decayed counts, users by items; what faded to nothing stays as a zero: it was seen."""
        return history.matrix(decay_weights(history, float(self.half_life_ticks_)))

    def _inverted(self, n_items: int) -> sparse.csr_matrix:
        """Normalised vectors, items by users. Threads that come first may both make it, alike."""
        if self._index is None:
            cells = (self.count_, self.item_, self.indptr_)
            vectors = sparse.csr_matrix(cells, shape=(len(self.indptr_) - 1, n_items))
            self._index = _normalized(vectors).T.tocsr()
        return self._index

    def _check(self) -> None:
        check_count(neighbours=self.neighbours)
        check_from_zero(power=self.power)
        if not 0 <= self.own < 1:
            raise ConfigError(f"own={self.own}; expected a share from 0 to below 1")


def _normalized(vectors: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows of length 1, float64; rows of zeros stay."""
    vectors = vectors.astype(np.float64)
    squares = vectors.multiply(vectors)
    norms = np.sqrt(np.asarray(squares.sum(axis=1)).ravel())
    norms[norms == 0.0] = 1.0
    vectors.data /= np.repeat(norms, np.diff(vectors.indptr))
    return vectors


@kernel
def _top_of_neighbours(
    indptr: Int64Array,
    item: Int32Array,
    count: Float32Array,
    neighbour: Int32Array,
    strength: AnyArray,
    own_indptr: Int64Array,
    own_item: Int32Array,
    own_count: Float32Array,
    n_items: int,
    own: float,
    exclude_seen: bool,
    out_item: Int32Array,
    out_score: Float32Array,
) -> None:
    total = np.zeros(n_items, np.float64)
    is_touched = np.zeros(n_items, np.bool_)
    touched = np.empty(n_items, np.int32)
    score = np.empty(n_items, np.float32)
    for user in range(len(own_indptr) - 1):
        n_touched = 0
        sum_strength = 0.0
        for place in range(neighbour.shape[1]):
            if neighbour[user, place] < 0:
                break
            sum_strength += strength[user, place]
        for place in range(neighbour.shape[1]):
            other = neighbour[user, place]
            if other < 0 or sum_strength == 0.0:
                break
            share = (1.0 - own) * strength[user, place] / sum_strength
            for at in range(indptr[other], indptr[other + 1]):
                if not is_touched[item[at]]:
                    is_touched[item[at]] = True
                    touched[n_touched] = item[at]
                    n_touched += 1
                total[item[at]] += share * count[at]
        for at in range(own_indptr[user], own_indptr[user + 1]):
            if not is_touched[own_item[at]]:
                is_touched[own_item[at]] = True
                touched[n_touched] = own_item[at]
                n_touched += 1
            total[own_item[at]] += own * own_count[at]
            if exclude_seen:
                total[own_item[at]] = 0.0
        for at in range(n_touched):
            score[at] = total[touched[at]]
            total[touched[at]] = 0.0
            is_touched[touched[at]] = False
        keep_best(touched, score, n_touched, out_item[user], out_score[user])
