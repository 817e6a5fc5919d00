"""Approximate search of the largest inner products, on usearch: the optional extra ``ann``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from features.arrays import AnyArray, Float32Array, Int32Array, Int64Array
from features.errors import ConfigError, MissingExtraError
from features.history import History
from features.kernel import kernel
from ranker.candidates.base import Retrieved
from ranker.progress import progress_bar
from ranker.topk import offer, sort_best_first

_BATCH = 10_000  # items added between two steps of the progress bar
_STEP = 64  # numbers of items asked for are multiples of it


@dataclass(frozen=True)
class Approximate:
    """Search a large catalogue by a graph instead of scoring all of it.

    Malkov, Yashunin: Efficient and robust approximate nearest neighbor search using hierarchical
    navigable small world graphs (TPAMI 2020), by the library usearch. Neighbours are those of the
    largest cosine: a graph of the largest inner products leads to long vectors alone (Liu et al.:
    Understanding and improving proximity graph based maximum inner product search, AAAI 2020). It
    is made on one thread and in the order of the items, so that it is the same every time.

    Parameters
    ----------
    above : int
        Smaller catalogues are searched exactly: that is fast, and misses nothing.
    connectivity : int
        Neighbours of an item in the graph (``M`` of the paper).
    expansion_add : int
        Items looked at to find the neighbours of a new one (``efConstruction``).
    breadth : float
        Items looked at in a search, as a multiple of the items wanted (``ef``).

    Raises
    ------
    ConfigError
        If a parameter is out of range.
    """

    above: int = 200_000
    connectivity: int = 32
    expansion_add: int = 128
    breadth: float = 4.0

    def __post_init__(self) -> None:
        lowest = {"above": 0, "connectivity": 2, "expansion_add": 1, "breadth": 1}
        for name, limit in lowest.items():
            if getattr(self, name) < limit:
                raise ConfigError(f"{name}={getattr(self, name)}; expected {limit} or more")


class ItemGraph:
    """The graph of some item vectors.

    Parameters
    ----------
    index : usearch Index
        Of the vectors' numbers.
    settings : Approximate
    """

    def __init__(self, index: Any, settings: Approximate) -> None:
        self._index = index
        self._settings = settings

    @classmethod
    def build(cls, vectors: Float32Array, settings: Approximate) -> Self:
        """Add vectors one after the other; those with a number that is not finite are left out.

        Parameters
        ----------
        vectors : float32 array [n_vectors, n_factors]
        settings : Approximate

        Raises
        ------
        MissingExtraError
            Without usearch.
        """
        index = _open_index(vectors.shape[1], settings)
        usable = np.flatnonzero(np.isfinite(vectors).all(axis=1))
        with progress_bar(len(usable), "build graph", "item") as bar:
            for start in range(0, len(usable), _BATCH):
                batch = usable[start : start + _BATCH]
                index.add(batch, vectors[batch], threads=1)
                bar.update(len(batch))
        index.metric = "ip"
        return cls(index, settings)

    @classmethod
    def restore(cls, saved: AnyArray, n_factors: int, settings: Approximate) -> Self:
        """Undo :meth:`array`."""
        index = _open_index(n_factors, settings)
        index.load(saved.tobytes())
        index.metric = "ip"
        return cls(index, settings)

    def array(self) -> AnyArray:
        """The whole graph, uint8 [n_bytes]."""
        return np.frombuffer(self._index.save(), np.uint8)

    def search(
        self,
        user_vectors: Float32Array,
        item_vectors: Float32Array,
        item_rows: Int32Array,
        history: History,
        users: Int64Array,
        found: Retrieved,
        *,
        exclude_seen: bool,
    ) -> Int64Array:
        """Fill in the lists of some users; returns those who are to be served exactly.

        A user is asked for as many more items as he has events, rounded up. So what is found for
        him follows from nobody else, and users are searched for side by side who ask for the same.

        Parameters
        ----------
        user_vectors, item_vectors, item_rows, history
            As in :func:`ranker.candidates.retrieval.top_by_vectors`.
        users : int64 array
            Whom to search for.
        found : Retrieved
            Where the lists are written to; scores are exact.
        exclude_seen : bool

        Returns
        -------
        int64 array
            Users of whom too few items were left, and those who ask for much of the catalogue.
        """
        n = found.item.shape[1]
        seen = history.lengths[users] if exclude_seen else np.zeros(len(users), np.int64)
        wanted = np.ceil(self._settings.breadth * n).astype(np.int64) + seen
        asked = -(-wanted // _STEP) * _STEP
        left = [users[asked > len(item_rows) // 4]]
        for ask in np.unique(asked[asked <= len(item_rows) // 4]):
            group = users[asked == ask]
            matches = self._index.search(user_vectors[group], int(ask), threads=1)
            shape = (len(group), -1)  # of a single user usearch gives back a single list
            counts = np.full(len(group), len(matches)) if len(group) == 1 else matches.counts
            size = _best_found(
                user_vectors,
                item_vectors,
                item_rows,
                group,
                np.asarray(matches.keys).reshape(shape).astype(np.int64),
                np.asarray(counts, np.int64),
                history.n_items,
                history.indptr,
                history.item,
                exclude_seen,
                found.item,
                found.score,
            )
            left.append(group[size < n])
        return np.sort(np.concatenate(left))


def _open_index(n_factors: int, settings: Approximate) -> Any:
    try:
        from usearch.index import Index
    except ImportError:
        raise MissingExtraError("usearch", "ann") from None
    # bf16 halves the memory and finds the same items; what is found is scored anew.
    return Index(
        ndim=n_factors,
        metric="cos",
        dtype="bf16",
        connectivity=settings.connectivity,
        expansion_add=settings.expansion_add,
    )


@kernel
def _best_found(
    user_vectors: Float32Array,
    item_vectors: Float32Array,
    item_rows: Int32Array,
    users: Int64Array,
    keys: Int64Array,
    counts: Int64Array,
    n_items: int,
    indptr: Int64Array,
    seen: Int32Array,
    exclude_seen: bool,
    out_item: Int32Array,
    out_score: Float32Array,
) -> Int64Array:
    seen_by = np.full(n_items, -1, np.int64)
    sizes = np.zeros(len(users), np.int64)
    for place in range(len(users)):
        user = users[place]
        if exclude_seen:
            for event in range(indptr[user], indptr[user + 1]):
                seen_by[seen[event]] = user
        vector = user_vectors[user]
        items, scores, size = out_item[user], out_score[user], 0
        for at in range(counts[place]):
            row = item_rows[keys[place, at]]
            if seen_by[row] == user:
                continue
            other = item_vectors[keys[place, at]]
            total = 0.0
            for factor in range(len(vector)):
                total += vector[factor] * other[factor]
            score = float(np.float32(total))  # rounded first, so that ties are seen as such
            if score > -np.inf:
                size = offer(items, scores, size, row, score)
        sort_best_first(items, scores, size)
        sizes[place] = size
    return sizes
