"""One item in one user's list: what its renderers may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.affinity import FittedAttributeAffinity
from features.arrays import Float32Array, Float64Array, Int16Array, Int32Array, Int64Array
from features.block import Feature
from features.clock import Clock
from features.codes import Codes
from features.history import History
from features.similarity import FittedHistorySimilarity
from ranker.explain import words
from ranker.explain.catalogue import Catalogue
from ranker.explain.topics import Topic, Topics
from ranker.snapshot import Snapshot

_LATEST = 200  # events of the user among which a similar one is looked for, by default


@dataclass(frozen=True)
class Setting:
    """What is the same for all items that are explained as of a snapshot.

    Attributes
    ----------
    snapshot : Snapshot
    catalogue : Catalogue
    """

    snapshot: Snapshot
    catalogue: Catalogue

    @property
    def clock(self) -> Clock:
        """The clock of the log."""
        return self.snapshot.history.clock

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the feature table."""
        return self.snapshot.tables.features

    @cached_property
    def column(self) -> dict[str, int]:
        """Where a feature stands."""
        return {feature.name: place for place, feature in enumerate(self.features)}

    @cached_property
    def topics(self) -> Topics:
        """What there is to tell."""
        return Topics.of(self.features, self.snapshot.generators)

    @cached_property
    def vectors(self) -> dict[str, Float32Array]:
        """Item vectors by source, float32 [n_items, n_factors]."""
        found = {name: one.item_vectors for name, one in self.snapshot.generators.items()}
        return {name: matrix for name, matrix in found.items() if matrix is not None}

    @cached_property
    def codes(self) -> Mapping[str, Codes]:
        """The attributes of items that affinity goes by."""
        blocks = self.snapshot.tables.blocks
        found = [one.attributes for one in blocks if isinstance(one, FittedAttributeAffinity)]
        return {name: codes for attributes in found for name, codes in attributes.items()}

    @cached_property
    def n_latest(self) -> int:
        """How many of a user's latest events similarity looks at."""
        blocks = self.snapshot.tables.blocks
        found = [one.n_latest for one in blocks if isinstance(one, FittedHistorySimilarity)]
        return found[0] if found else _LATEST

    @cached_property
    def takers(self) -> tuple[Int64Array, Int32Array]:
        """The users of each item: borders by item, and row numbers, distinct and ascending."""
        history = self.snapshot.history
        pair = np.unique(history.item.astype(np.int64) * history.n_users + history.user)
        item, user = np.divmod(pair, max(history.n_users, 1))
        borders = np.searchsorted(item, np.arange(history.n_items + 1))
        return borders, user.astype(np.int32)

    def takers_of(self, item: int) -> Int32Array:
        """Row numbers of the users of an item, ascending."""
        borders, user = self.takers
        return user[borders[item] : borders[item + 1]]


@dataclass(frozen=True)
class Own:
    """The events of the user whom an item is shown to.

    Attributes
    ----------
    item : int32 array [n_events]
    time : int64 array [n_events]
        Ascending.
    event : int16 array [n_events]
        See :class:`features.history.History`.
    now : int
    """

    item: Int32Array
    time: Int64Array
    event: Int16Array
    now: int

    @classmethod
    def of(cls, history: History, user: int) -> Own:
        """The events of one user of a history."""
        events = slice(int(history.indptr[user]), int(history.indptr[user + 1]))
        return cls(
            history.item[events],
            history.time[events],
            history.event[events],
            int(history.now[user]),
        )


@dataclass(frozen=True)
class Case:
    """An item in a list.

    Attributes
    ----------
    setting : Setting
    own : Own
    item : int
        Row number.
    row : float32 array [n_features]
    rank : dict of source name to int
        Of the sources that propose it.
    effects : float64 array [n_features] or None
        What each column moved the score by, against the user's other candidates.
    verb : str
        What users do with items, as a participle: ``"bought"``.
    """

    setting: Setting
    own: Own
    item: int
    row: Float32Array
    rank: dict[str, int]
    effects: Float64Array | None
    verb: str

    def value(self, name: str) -> float:
        """A feature; NaN where it is unknown or there is none of this name."""
        column = self.setting.column.get(name)
        return float("nan") if column is None else float(self.row[column])

    def strongest(self, topic: Topic) -> Feature | None:
        """The feature of a topic that moved the score up most; of compared ones, what they compare.

        None without effects.
        """
        if self.effects is None or not len(topic.columns):
            return None
        setting = self.setting
        feature = setting.features[topic.columns[self.effects[topic.columns].argmax()]]
        return (
            setting.features[setting.column[str(feature.about)]]
            if feature.family == "list"
            else feature
        )

    def ago(self, item: int) -> str | None:
        """How long ago the user had an item last, in words."""
        clock = self.setting.clock
        last = self.own.time[self.own.item == item].max()
        return words.ago(clock, (self.own.now - last) / clock.unit)

    def name_with_time(self, item: int) -> str:
        """What one of the user's own items is called, and when he had it last."""
        catalogue = self.setting.catalogue
        title, said = catalogue.title(item), self.ago(item)
        if title == catalogue.title(self.item):
            title = f"another {title}"
        return title if said is None else f"{title}, {self.verb} {said}"

    @cached_property
    def latest(self) -> Int32Array:
        """The user's latest items but this one, distinct, the latest first."""
        items = pl.Series(self.own.item[-self.setting.n_latest :][::-1])
        distinct: Int32Array = items.unique(maintain_order=True).to_numpy()
        others: Int32Array = distinct[distinct != self.item]
        return others
