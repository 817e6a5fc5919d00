"""How similar the candidate is to what the user took, by each source's similarity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from features.arrays import Float32Array, Int32Array, Int64Array
from features.block import Context, Feature, Source
from features.candidates import Candidates
from features.clock import ClockKind
from features.decay import decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from features.kernel import kernel

AGGREGATES = {
    "sum": "summed over the user's latest events",
    "max": "to the most similar of the user's latest events",
    "last": "summed over the events of the user's last instant",
    "recent": "summed over the user's latest events, old ones fading",
    "mean": "averaged over the user's latest events",
    "last_2": "summed over the events of the user's last two instants",
}


@dataclass(frozen=True)
class HistorySimilarity:
    """Item-item similarity of the candidate to the user's latest events.

    Parameters
    ----------
    n_latest : int
        How many of the user's latest events count; without timestamps all do.
    fading : float
        Half-life of the fading sum, as a share of the log's length.
    aggregates : tuple of str
        Of ``"sum"``, ``"max"``, ``"last"``, ``"recent"``, ``"mean"`` and ``"last_2"``. Where there
        are no timestamps, all events are of one instant.
    """

    n_latest: int = 200
    fading: float = 1 / 24
    aggregates: tuple[str, ...] = ("sum", "max", "last", "recent")

    def fit(self, context: Context) -> FittedHistorySimilarity:
        """Take the similarities of the sources that have one.

        Raises
        ------
        ConfigError
            If an aggregate is not known.
        """
        unknown = sorted(set(self.aggregates) - set(AGGREGATES))
        if unknown:
            raise ConfigError(f"aggregates {unknown} are not known; there are {[*AGGREGATES]}")
        found = {name: source.similarity for name, source in context.sources.items()}
        is_timed = context.history.clock.kind is not ClockKind.NONE
        return FittedHistorySimilarity(
            {name: matrix for name, matrix in found.items() if matrix is not None},
            # Without timestamps none are the latest: the last ones would be those of the last ids.
            self.n_latest if is_timed else np.iinfo(np.int64).max,
            length_ticks(context.history, self.fading),
            self.aggregates,
        )


@dataclass(frozen=True)
class FittedHistorySimilarity:
    """The block at an instant."""

    similarities: dict[str, sparse.csr_matrix]
    n_latest: int
    fading_ticks: float
    aggregates: tuple[str, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """A column for each similarity and aggregate."""
        return tuple(
            Feature(
                f"{name}_{aggregate}",
                "similarity",
                "score",
                f"{name} similarity {AGGREGATES[aggregate]}",
                about=name,
            )
            for name in self.similarities
            for aggregate in self.aggregates
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        fading = decay_weights(history, self.fading_ticks)
        width = len(self.aggregates)
        place = tuple(
            self.aggregates.index(name) if name in self.aggregates else -1 for name in AGGREGATES
        )
        for index, matrix in enumerate(self.similarities.values()):
            _fill_similarity(
                matrix.indptr.astype(np.int64, copy=False),
                matrix.indices,
                matrix.data,
                history.n_items,
                history.indptr,
                history.item,
                history.time,
                fading,
                self.n_latest,
                place,
                candidates.indptr,
                candidates.item,
                out[:, index * width : (index + 1) * width],
            )


@kernel
def _fill_similarity(  # noqa: PLR0912 - one compiled pass over a user's events
    sim_indptr: Int64Array,
    sim_item: Int32Array,
    sim_value: Float32Array,
    n_items: int,
    indptr: Int64Array,
    item: Int32Array,
    time: Int64Array,
    fading: Float32Array,
    n_latest: int,
    place: tuple[int, ...],
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    total, largest, last, recent, mean, last_2 = place  # columns; -1 = not wanted
    row_of = np.full(n_items, -1, np.int64)  # the candidate row of an item, for one user
    for user in range(len(indptr) - 1):
        first, end = row_indptr[user], row_indptr[user + 1]
        start, stop = indptr[user], indptr[user + 1]
        if start == stop:
            continue
        for row in range(first, end):
            row_of[row_item[row]] = row
            out[row] = 0.0
        start = max(start, stop - n_latest)
        last_time = time[stop - 1]
        second = stop - 1  # the first event of the last two instants
        while second > start and time[second - 1] == last_time:
            second -= 1
        if second > start:
            before = time[second - 1]
            while second > start and time[second - 1] == before:
                second -= 1
        for at in range(start, stop):
            for near in range(sim_indptr[item[at]], sim_indptr[item[at] + 1]):
                row = row_of[sim_item[near]]
                if row < 0:
                    continue
                value = sim_value[near]
                if total >= 0:
                    out[row, total] += value
                if largest >= 0:
                    out[row, largest] = max(out[row, largest], value)
                if last >= 0 and time[at] == last_time:
                    out[row, last] += value
                if recent >= 0:
                    out[row, recent] += value * fading[at]
                if mean >= 0:
                    out[row, mean] += value / (stop - start)
                if last_2 >= 0 and at >= second:
                    out[row, last_2] += value
        for row in range(first, end):
            row_of[row_item[row]] = -1


@dataclass(frozen=True)
class EmbeddingAffinity:
    """Inner product of the user's and the candidate's embedding, for sources that have them.

    The product is comparable across snapshots; single dimensions are not, since factors rotate
    from one fit to the next.
    """

    def fit(self, context: Context) -> FittedEmbeddingAffinity:
        """Take the item vectors of the sources that have some."""
        vectors = {name: source.item_vectors for name, source in context.sources.items()}
        return FittedEmbeddingAffinity(
            {
                name: (context.sources[name], matrix)
                for name, matrix in vectors.items()
                if matrix is not None
            }
        )


@dataclass(frozen=True)
class FittedEmbeddingAffinity:
    """The block at an instant."""

    sources: dict[str, tuple[Source, Float32Array]]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Two columns a source."""
        meanings = {
            "dot": "inner product of the user's and the item's vector",
            "cosine": "cosine of the user's and the item's vector",
        }
        return tuple(
            Feature(f"{name}_{kind}", "embedding", "score", f"{name}: {meaning}", about=name)
            for name in self.sources
            for kind, meaning in meanings.items()
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        for index, (source, vectors) in enumerate(self.sources.values()):
            users = source.user_vectors(history)
            if users is not None:
                _fill_affinity(
                    users,
                    vectors,
                    history.indptr,
                    candidates.indptr,
                    candidates.item,
                    out[:, 2 * index : 2 * index + 2],
                )


@kernel
def _fill_affinity(
    users: Float32Array,
    vectors: Float32Array,
    indptr: Int64Array,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    for user in range(len(indptr) - 1):
        if indptr[user] == indptr[user + 1]:
            continue
        user_norm = 0.0
        for factor in range(users.shape[1]):
            user_norm += users[user, factor] * users[user, factor]
        for row in range(row_indptr[user], row_indptr[user + 1]):
            vector = vectors[row_item[row]]
            dot, norm = 0.0, 0.0
            for factor in range(users.shape[1]):
                dot += users[user, factor] * vector[factor]
                norm += vector[factor] * vector[factor]
            if norm > 0.0:
                out[row, 0] = dot
                out[row, 1] = dot / np.sqrt(norm * user_norm) if user_norm > 0.0 else 0.0
