"""Items similar by who took them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from implicit.nearest_neighbours import (
    ItemItemRecommender,
    bm25_weight,
    normalize,
    tfidf_weight,
)
from scipy import sparse

from features.arrays import AnyArray
from features.decay import Length, decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.retrieval import top_by_similarity

# As in implicit's recommenders of these names, items by users.
_WEIGHTINGS: dict[str, Callable[[sparse.csc_matrix], sparse.coo_matrix]] = {
    "cosine": normalize,
    "tfidf": lambda items: normalize(tfidf_weight(items)),
    "bm25": lambda items: bm25_weight(items, K1=1.2, B=0.75),
}


@dataclass
class ItemKNN(Generator):
    """Item-based nearest neighbours over the users-by-items matrix, by the library implicit.

    Sarwar et al.: Item-based collaborative filtering recommendation algorithms (WWW 2001).

    Parameters
    ----------
    weighting : "cosine", "tfidf" or "bm25"
        How a cell of the matrix counts in the similarity.
    neighbours : int
        Neighbours kept of each item; the item itself is none of them.
    half_life : str, int or float
        Age at which a user's event counts half when he is served. As a share of the log: a float.
    """

    weighting: Literal["cosine", "tfidf", "bm25"] = "cosine"
    neighbours: int = 100
    half_life: Length = 1 / 6

    learned: ClassVar[tuple[str, ...]] = ("similarity_", "half_life_ticks_")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Compute the similarities; attributes are not used."""
        if self.weighting not in _WEIGHTINGS:
            raise ConfigError(
                f"weighting={self.weighting!r} is not known; expected one of {sorted(_WEIGHTINGS)}"
            )
        self.half_life_ticks_: AnyArray = np.array(length_ticks(history, self.half_life))
        matrix = history.matrix()
        matrix.data = np.ones_like(matrix.data)
        # A user of all items but one has the weight log(1) in tf-idf; an item that only such
        # users took has no norm, and is similar to nothing.
        with np.errstate(invalid="ignore"):
            weighted = _WEIGHTINGS[self.weighting](matrix.T)
        weighted.data = np.nan_to_num(weighted.data)
        # implicit's own recommenders hand over another format, and warn of that themselves.
        model = ItemItemRecommender(K=self.neighbours + 1)
        model.fit(weighted.T.tocsr(), show_progress=False)
        similarity = sparse.csr_matrix(model.similarity, dtype=np.float32)
        similarity.setdiag(0.0)
        similarity.eliminate_zeros()
        similarity.sort_indices()
        self.similarity_: sparse.csr_matrix = similarity

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest sums of similarity to the user's events."""
        weights = decay_weights(history, float(self._get("half_life_ticks_")))
        return top_by_similarity(self.similarity_, weights, history, n, exclude_seen=exclude_seen)

    @property
    def similarity(self) -> sparse.csr_matrix:
        """Item-item similarities, CSR [n_items, n_items]."""
        return self._get("similarity_")
