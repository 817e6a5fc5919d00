"""How similar the candidate is to what the user took, by what the items are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import sparse

from features.arrays import BoolArray, Float32Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.choice import Choice, ColumnKind, choose_columns, spell
from features.clock import ClockKind
from features.decay import decay_weights, length_ticks
from features.errors import ConfigError
from features.history import History
from features.kernel import kernel
from features.tfidf import heaviest, tfidf, unit_rows, word_counts
from features.vectors import is_vector, ready_made
from features.words import WORDS

_KINDS = {
    "last": "the item's words and those of the user's last item with any",
    "max": "the item's words and those of the most similar of the user's latest items",
    "mean": "the item's words and those of the user's latest items, on average",
    "recent": "the item's words and those of the user's latest items, old ones fading",
}


@dataclass(frozen=True)
class WordSimilarity:
    """Cosine of the words of the candidate and of the user's latest items, weighted by TF-IDF.

    Text counts by its words; tags, genres and other lists by their values. The words are those of
    the whole catalogue, so that items without events have similarities too. Items without words
    are unknown as candidates and left out of the user's.

    Parameters
    ----------
    columns : tuple of str, optional
        Columns of the item table: text, categories, integers, or lists of text or integers.
        Default: all texts, lists of values and categories.
    n_latest : int
        How many of the user's latest events count. Without timestamps, all do.
    fading : float
        Half-life of an event in the fading mean, as a share of the log's length.
    max_words : int
        Of a long text the heaviest words stand for it.
    """

    columns: tuple[str, ...] | None = None
    n_latest: int = 20
    fading: float = 1 / 6
    max_words: int = 32

    def choose(self, context: Context) -> Choice:
        """The columns, and why these; see :class:`features.block.ChoosesColumns`."""
        return choose_columns(context.items, self.columns, WORDS)

    def fit(self, context: Context) -> FittedWordSimilarity:
        """Weigh the words of each item.

        Raises
        ------
        ConfigError
            If a column does not exist or holds no words.
        """
        history, items = context.history, context.items
        columns = self.choose(context).columns
        words = None
        if items is not None and columns:
            parts = [word_counts(items[name]) for name in columns]
            words = tfidf(sparse.hstack(parts, format="csr"))
            words = unit_rows(heaviest(words, self.max_words))
        is_ordered = history.clock.kind is not ClockKind.NONE
        return FittedWordSimilarity(
            words, self.n_latest if is_ordered else None, length_ticks(history, self.fading)
        )


@dataclass(frozen=True)
class FittedWordSimilarity:
    """The block at an instant.

    Attributes
    ----------
    words : csr_matrix [n_items, n_words] or None
        Rows of length one, or empty.
    n_latest : int or None
        None = all.
    fading_ticks : float
    """

    words: sparse.csr_matrix | None
    n_latest: int | None
    fading_ticks: float

    @property
    def features(self) -> tuple[Feature, ...]:
        """Four columns, where there are words."""
        if self.words is None:
            return ()
        return tuple(
            Feature(f"words_{name}", "content", "score", f"cosine of {meaning}")
            for name, meaning in _KINDS.items()
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        if self.words is None:
            return
        _fill_words(
            self.words.indptr.astype(np.int64, copy=False),
            self.words.indices,
            self.words.data,
            self.words.shape[1],
            history.indptr,
            history.item,
            decay_weights(history, self.fading_ticks),
            history.n_events if self.n_latest is None else self.n_latest,
            candidates.indptr,
            candidates.item,
            out,
        )


@kernel
def _fill_words(
    word_indptr: Int64Array,
    word: Int32Array,
    weight: Float32Array,
    n_words: int,
    indptr: Int64Array,
    item: Int32Array,
    fading: Float32Array,
    n_latest: int,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    of_item = np.zeros(n_words, np.float32)  # the words of one of the user's items, spread out
    for user in range(len(indptr) - 1):
        first, end = row_indptr[user], row_indptr[user + 1]
        n_known, total = 0, 0.0
        # From the last event back, so that the first one with words is the last of all.
        start = max(indptr[user], indptr[user + 1] - n_latest)
        for at in range(indptr[user + 1] - 1, start - 1, -1):
            begin, stop = word_indptr[item[at]], word_indptr[item[at] + 1]
            if begin == stop:
                continue
            for place in range(begin, stop):
                of_item[word[place]] = weight[place]
            for row in range(first, end):
                cosine = 0.0
                for place in range(word_indptr[row_item[row]], word_indptr[row_item[row] + 1]):
                    cosine += weight[place] * of_item[word[place]]
                if n_known == 0:
                    out[row] = 0.0
                    out[row, 0] = cosine
                out[row, 1] = max(out[row, 1], cosine)
                out[row, 2] += cosine
                out[row, 3] += cosine * fading[at]
            for place in range(begin, stop):
                of_item[word[place]] = 0.0
            n_known += 1
            total += fading[at]
        for row in range(first, end):
            if word_indptr[row_item[row]] == word_indptr[row_item[row] + 1]:
                out[row] = np.nan
            elif n_known:
                out[row, 2] /= n_known
                out[row, 3] = out[row, 3] / total if total > 0.0 else 0.0


@dataclass(frozen=True)
class LatestCosine:
    """Cosine of the candidate's vector and the mean of those of the user's latest items.

    Vectors are ready-made embeddings in the item table, and those of the sources that have some.
    They are brought to length one before the mean is taken. Items whose vector is null, not
    finite, zero, or of another length than most are unknown as candidates and left out of the
    user's.

    Parameters
    ----------
    columns : tuple of str, optional
        Columns of the item table: Array or List of numbers. Default: all with floats.
    latest : tuple of int
        Over how many of the user's latest events with a vector. Without timestamps there is no
        latest one, and the mean is over all.
    """

    columns: tuple[str, ...] | None = None
    latest: tuple[int, ...] = (1, 5, 20)

    def choose(self, context: Context) -> Choice:
        """The columns, and why these; see :class:`features.block.ChoosesColumns`."""
        return choose_columns(context.items, self.columns, VECTORS)

    def fit(self, context: Context) -> FittedLatestCosine:
        """Take the vectors.

        Raises
        ------
        ConfigError
            If a column does not exist or holds no vectors.
        """
        if not self.latest or min(self.latest) < 1:
            raise ConfigError(f"LatestCosine: latest={self.latest}; expected numbers from 1 on")
        columns = self.choose(context).columns
        vectors = {}
        if context.items is not None:
            for name in columns:
                vectors[f"vector_{name}"] = _unit_length(ready_made(context.items[name])[0])
        for name, source in context.sources.items():
            of_source = source.item_vectors
            if of_source is not None:
                vectors[name] = _unit_length(of_source)
        is_ordered = context.history.clock.kind is not ClockKind.NONE
        return FittedLatestCosine(
            vectors,
            {name: np.linalg.norm(matrix, axis=1) > 0.0 for name, matrix in vectors.items()},
            tuple(sorted(self.latest)) if is_ordered else None,
        )


@dataclass(frozen=True)
class FittedLatestCosine:
    """The block at an instant.

    Attributes
    ----------
    vectors : dict of name to float32 array [n_items, n]
        Of length one; zeros where unknown.
    is_known : dict of name to bool array [n_items]
    latest : tuple of int or None
        Ascending; None = all.
    """

    vectors: dict[str, Float32Array]
    is_known: dict[str, BoolArray]
    latest: tuple[int, ...] | None

    @property
    def features(self) -> tuple[Feature, ...]:
        """A column for each kind of vector and number of events."""
        if self.latest is None:
            kinds = [("latest_all", "all events")]
        else:
            kinds = [(f"latest_{n}", f"the latest {n} events") for n in self.latest]
        return tuple(
            Feature(
                f"{name}_{kind}",
                "embedding",
                "score",
                f"{name}: cosine of the item's vector and the mean over {meaning} of the user",
                about=name,
            )
            for name in self.vectors
            for kind, meaning in kinds
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        latest = (history.n_events,) if self.latest is None else self.latest
        for index, (name, vectors) in enumerate(self.vectors.items()):
            _fill_cosine(
                vectors,
                self.is_known[name],
                np.array(latest, np.int64),
                history.indptr,
                history.item,
                candidates.indptr,
                candidates.item,
                out[:, index * len(latest) : (index + 1) * len(latest)],
            )


def _why_no_vector(column: pl.Series) -> str:
    dtype = column.dtype
    is_floats = is_vector(dtype) and dtype.inner.is_float()  # type: ignore[attr-defined]  # by then
    return "" if is_floats else spell(dtype)


VECTORS = ColumnKind(
    "items", "vectors of floats", "an Array or List of numbers", is_vector, _why_no_vector
)


def _unit_length(vectors: Float32Array) -> Float32Array:
    """The rows brought to length one; zeros where that cannot be."""
    wide = vectors.astype(np.float64)
    wide[~np.isfinite(wide).all(axis=1)] = 0.0
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Float32Array = np.divide(wide, norms, out=wide, where=norms > 0.0).astype(np.float32)
    return unit


@kernel
def _fill_cosine(
    vectors: Float32Array,
    is_known: BoolArray,
    latest: Int64Array,
    indptr: Int64Array,
    item: Int32Array,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    n_factors = vectors.shape[1]
    mean = np.zeros((len(latest), n_factors), np.float64)
    for user in range(len(indptr) - 1):
        total = np.zeros(n_factors, np.float64)
        n_found, window = 0, 0
        for at in range(indptr[user + 1] - 1, indptr[user] - 1, -1):
            if window == len(latest):
                break
            if not is_known[item[at]]:
                continue
            total += vectors[item[at]]
            n_found += 1
            while window < len(latest) and n_found == latest[window]:
                mean[window] = total
                window += 1
        if n_found == 0:
            continue
        for short in range(window, len(latest)):  # fewer events than asked for: all of them
            mean[short] = total
        for window in range(len(latest)):
            norm = np.sqrt(np.sum(mean[window] ** 2))
            if not norm > 1e-6:
                continue  # opposite vectors cancel out, but for their rounding
            for row in range(row_indptr[user], row_indptr[user + 1]):
                if is_known[row_item[row]]:
                    dot = 0.0
                    for factor in range(n_factors):
                        dot += mean[window, factor] * vectors[row_item[row], factor]
                    out[row, window] = dot / norm
