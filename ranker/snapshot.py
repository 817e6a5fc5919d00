"""Everything that may be known at an instant."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from features.arrays import Float32Array
from features.block import Context
from features.candidates import Candidates
from features.encode import encode
from features.history import History, LogFacts
from features.stage import FeatureStage, FeatureTables
from ranker.candidates.base import Generator, refreshes_itself
from ranker.candidates.growth import Growth
from ranker.candidates.merge import merge, merge_with_everything
from ranker.progress import progress

logger = logging.getLogger(__name__)

_MAX_ROWS = 500_000  # candidates of the users who are served at a time


def seed_of(name: str, random_state: int) -> int:
    """The seed of a generator: by its name, so that to leave out one does not change the others."""
    return zlib.crc32(f"{random_state}/{name}".encode()) & 0x7FFFFFFF


class Taught(NamedTuple):
    """Generators and the history that they have learned from."""

    history: History
    generators: Mapping[str, Generator]


@dataclass(frozen=True)
class Snapshot:
    """The history before an instant, the generators fitted on it, the features computed from it.

    Training makes one per label window and serving one at the end of the data. They differ in
    their instant and in nothing else, and nothing outside a snapshot reads the past: that is why
    a model trained on the ones is right for the other, and why no feature can see its label.

    Attributes
    ----------
    history : History
        All users and all their events strictly before the instant.
    generators : dict of name to Generator
        Fitted on ``history``.
    tables : FeatureTables
        Computed from ``history``.
    every_item : bool
        The whole catalogue is proposed to everybody, whatever the generators say of it.
    items, users : DataFrame or None
        Attributes as of the instant, one row per row number of ``history.items`` and
        ``history.users``.
    """

    history: History
    generators: dict[str, Generator]
    tables: FeatureTables
    every_item: bool = False
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None

    @classmethod
    def build(
        cls,
        interactions: pl.DataFrame,
        *,
        as_of: int | None,
        facts: LogFacts,
        generators: Mapping[str, Generator],
        stage: FeatureStage,
        items: pl.DataFrame | None = None,
        users: pl.DataFrame | None = None,
        every_item: bool = False,
        random_state: int = 0,
        label: str = "snapshot",
        former: Taught | None = None,
    ) -> Snapshot:
        """Fit everything on the interactions before ``as_of``.

        Parameters
        ----------
        interactions : DataFrame
            Canonical; rows at or after ``as_of`` are cut off here, whoever let them in.
        as_of : int or None
            A tick; None where the clock does not compare users.
        facts : LogFacts
        generators : mapping of name to Generator
            Specifications: a fresh copy of each is fitted.
        stage : FeatureStage
        items, users : DataFrame, optional
            Attribute tables; their items and users belong to the snapshot, also without events.
        every_item : bool
        random_state : int
        label : str
            What the progress bar calls the snapshot.
        former : Taught, optional
            From fewer events: these generators take in the new ones, see
            :meth:`Generator.refreshed`. Others are fitted anew.
        """
        history, items, users = encode(
            interactions, as_of=as_of, facts=facts, items=items, users=users
        )
        growth = None if former is None else Growth.between(former.history, history)
        if former is not None and growth is None:
            logger.info("items or users of the former tables are gone: all sources are fitted anew")
        fitted: dict[str, Generator] = {}
        for name, generator in progress(generators.items(), description=f"fit {label}"):
            known = None if former is None else former.generators.get(name)
            if known is not None and growth is not None and refreshes_itself(generator):
                fitted[name] = known.refreshed(growth, items=items, users=users)
            else:
                fresh = generator.unfitted(seed_of(name, random_state))
                fitted[name] = fresh.fit(history, items=items, users=users)
        return cls.assemble(history, fitted, stage, items=items, users=users, every_item=every_item)

    @classmethod
    def assemble(
        cls,
        history: History,
        generators: dict[str, Generator],
        stage: FeatureStage,
        *,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        every_item: bool,
    ) -> Snapshot:
        """Compute the feature tables for a history and its fitted generators."""
        context = Context(history, items=items, users=users, sources=generators)
        return cls(history, generators, stage.fit(context), every_item, items, users)

    def candidates(
        self,
        history: History,
        depths: Mapping[str, int],
        *,
        exclude_seen: bool,
        seconds: dict[str, float] | None = None,
    ) -> Candidates:
        """What the generators propose to users selected from the history or to sessions.

        Parameters
        ----------
        history : History
        depths : mapping of source name to int
            How many items each source may propose to a user.
        exclude_seen : bool
        seconds : dict of source name to float, optional
            Filled in with how long each source took.
        """
        retrieved = {}
        for name, generator in self.generators.items():
            start = time.perf_counter()
            depth = min(depths[name], history.n_items)
            retrieved[name] = generator.retrieve(history, depth, exclude_seen=exclude_seen)
            if seconds is not None:
                seconds[name] = time.perf_counter() - start
        if self.every_item:
            return merge_with_everything(retrieved, history, exclude_seen=exclude_seen)
        return merge(retrieved, history)

    def some_users(self, n: int, random_state: int) -> History:
        """At most so many of the users with events, drawn at random."""
        rows = np.flatnonzero(self.history.lengths > 0)
        chosen = np.random.default_rng(random_state).permutation(rows)[:n]
        return self.history.select(self.history.users.decode(np.sort(chosen)))

    @property
    def taught(self) -> Taught:
        """All generators, to take in what is new."""
        return Taught(self.history, self.generators)

    @property
    def shared(self) -> Taught | None:
        """Those whose ``is_shared`` is set: they learn slowly. None if there are none."""
        slow = {name: one for name, one in self.generators.items() if one.is_shared}
        return Taught(self.history, slow) if slow else None

    def chunk_size(self, wanted: int) -> int:
        """Users to serve at a time: fewer where each of them has the whole catalogue."""
        if not self.every_item:
            return wanted
        return min(wanted, max(1, _MAX_ROWS // max(self.history.n_items, 1)))

    def features(self, history: History, candidates: Candidates) -> Float32Array:
        """Feature table of candidates, float32 [n_rows, n_features]; NaN = unknown."""
        return self.tables.transform(history, candidates)
