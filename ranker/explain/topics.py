"""What a reason can be about, and how much each moved a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Float64Array, Int32Array, Int64Array
from features.block import Feature
from features.candidates import FUSION_CONSTANT
from ranker.candidates.base import Generator
from ranker.candidates.popularity import Popularity

_FAMILIES = {
    "history": "history",
    "similarity": "similarity",
    "embedding": "taste",
    "item": "popularity",
    "affinity": "affinity",
}


@dataclass(frozen=True)
class Topic:
    """Columns of the feature table that one sentence part speaks for.

    Attributes
    ----------
    kind : str
        Which renderer tells it: ``"history"``, ``"similarity"``, ``"taste"``, ``"popularity"``,
        ``"affinity"``, ``"source"``, or a family of features.
    about : str or None
        The source or attribute.
    columns : int64 array
    """

    kind: str
    about: str | None
    columns: Int64Array


@dataclass(frozen=True)
class Topics:
    """All topics of a feature stage.

    A source's score and rank count for what the source goes by: those of own history for the
    history, those of similar items for the similarity. What is compared within the list counts for
    what it compares. And what the sources say together (fusion, number, best rank) is shared out
    by their parts of the reciprocal rank fusion.
    """

    topics: tuple[Topic, ...]
    joint: Int64Array
    of_source: Int64Array

    @classmethod
    def of(cls, features: Sequence[Feature], generators: Mapping[str, Generator]) -> Topics:
        """Assign every column."""
        by_name = {feature.name: feature for feature in features}
        kinds = {name: _kind(generator) for name, generator in generators.items()}
        columns: dict[tuple[str, str | None], list[int]] = {}
        joint = []
        for source, kind in kinds.items():
            columns[_subject(kind, source)] = []
        for column, feature in enumerate(features):
            told = by_name[feature.about] if feature.family == "list" else feature  # type: ignore[index]
            if told.family == "source":
                if told.about is None:
                    joint.append(column)
                    continue
                kind = kinds[told.about]
            else:
                kind = _FAMILIES.get(told.family, told.family)
            columns.setdefault(_subject(kind, told.about), []).append(column)
        places = {subject: place for place, subject in enumerate(columns)}
        return cls(
            tuple(
                Topic(kind, about, np.array(own, np.int64))
                for (kind, about), own in columns.items()
            ),
            np.array(joint, np.int64),
            np.array([places[_subject(kind, name)] for name, kind in kinds.items()], np.int64),
        )

    def credit(self, effects: Float64Array, rank: Int32Array) -> Float64Array:
        """How much each topic moved each score, float64 [n_rows, n_topics].

        Parameters
        ----------
        effects : float64 array [n_rows, n_features]
        rank : int32 array [n_rows, n_sources]
            0 = not proposed.
        """
        credit = np.stack([effects[:, topic.columns].sum(axis=1) for topic in self.topics], axis=1)
        fusion = np.where(rank > 0, 1.0 / (FUSION_CONSTANT + rank), 0.0)
        shares = fusion / np.maximum(fusion.sum(axis=1, keepdims=True), 1e-30)
        together = effects[:, self.joint].sum(axis=1)
        for source, topic in enumerate(self.of_source):
            credit[:, topic] += shares[:, source] * together
        return credit


def _kind(generator: Generator) -> str:
    if generator.lists_seen:
        return "history"
    if isinstance(generator, Popularity):
        return "popularity"
    if generator.similarity is not None:
        return "similarity"
    return "source" if generator.item_vectors is None else "taste"


def _subject(kind: str, about: str | None) -> tuple[str, str | None]:
    # One history and one popularity, however many sources list them.
    return kind, None if kind in ("history", "popularity") else about
