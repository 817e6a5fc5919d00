"""The sentence of an item: what moved its score most, told by the renderer of each."""

from __future__ import annotations

from collections.abc import Callable

from features.arrays import Float64Array
from ranker.explain.affinity import tell_affinity
from ranker.explain.case import Case
from ranker.explain.described import tell_described
from ranker.explain.history import tell_history
from ranker.explain.popularity import tell_popularity
from ranker.explain.similarity import tell_similarity
from ranker.explain.sources import tell_source
from ranker.explain.taste import tell_taste
from ranker.explain.topics import Topic

_RENDERERS: dict[str, Callable[[Case, Topic], str | None]] = {
    "history": tell_history,
    "similarity": tell_similarity,
    "taste": tell_taste,
    "popularity": tell_popularity,
    "affinity": tell_affinity,
    "source": tell_source,
}
_PARTS = 2
_MINOR = 0.2  # what moved the score by less than this part of the first is left out

SILENT = "no source proposes it"
"""The reason of an item that is not among the candidates."""


def reason(case: Case, of_topics: Float64Array | None) -> str:
    """The sentence.

    Parameters
    ----------
    case : Case
    of_topics : float64 array [n_topics] or None
        How much each topic moved the score, against the user's other candidates; None where the
        trees did not order the list.
    """
    if not case.rank:
        return SILENT
    told: list[str] = []
    first = 0.0
    for credit, topic in _in_order(case, of_topics):
        if told and credit < _MINOR * first:
            break
        said = _RENDERERS.get(topic.kind, tell_described)(case, topic)
        if said is not None:
            told.append(said)
            first = first or credit
        if len(told) == _PARTS:
            break
    return "; ".join(told) or best_source(case)


def best_source(case: Case) -> str:
    """The source that ranks the item best, of equal ones the first, and its rank."""
    source = min(case.rank, key=lambda name: case.rank[name])
    return f"number {case.rank[source]:,} by {source}"


def _in_order(case: Case, of_topics: Float64Array | None) -> list[tuple[float, Topic]]:
    """The leading topic of each kind, those first that moved the score up most; no others."""
    topics = case.setting.topics.topics
    if of_topics is None:
        order = {kind: place for place, kind in enumerate(_RENDERERS)}
        proposing = [topic for topic in topics if topic.kind in order]
        return [(1.0, topic) for topic in sorted(proposing, key=lambda one: order[one.kind])]
    kinds: dict[str, float] = {}
    leading: dict[str, tuple[float, Topic]] = {}
    for credit, topic in zip(of_topics.tolist(), topics, strict=True):
        kinds[topic.kind] = kinds.get(topic.kind, 0.0) + credit
        if topic.kind not in leading or credit > leading[topic.kind][0]:
            leading[topic.kind] = credit, topic
    found = [(credit, leading[kind][1]) for kind, credit in kinds.items() if credit > 0]
    return sorted(found, key=lambda one: -one[0])
