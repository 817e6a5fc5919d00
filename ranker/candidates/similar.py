"""Sources that propose what is similar to what the user took."""

from __future__ import annotations

from scipy import sparse

from features.arrays import Float32Array
from features.decay import decay_weights
from features.history import History
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.retrieval import top_by_similarity


class SimilarityGenerator(Generator):
    """Base of the sources that learn an item-item matrix, ``similarity_``.

    An item's score is the sum of its similarities to the items of the user's events, each with a
    weight, by default faded with the half-life ``half_life_ticks_``.
    """

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The items with the largest scores, as far as they are above zero."""
        return top_by_similarity(
            self._get("similarity_"),
            self._asked_weights(history),
            history,
            n,
            exclude_seen=exclude_seen,
        )

    @property
    def similarity(self) -> sparse.csr_matrix:
        """Similarity of the column's item to the row's, CSR [n_items, n_items]."""
        return self._get("similarity_")

    def _asked_weights(self, history: History) -> Float32Array:
        """How much each event of the users counts who are served, float32 [n_events]."""
        return decay_weights(history, float(self._get("half_life_ticks_")))
