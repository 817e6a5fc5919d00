"""The feature stage by itself: a log and an instant in, features of any candidates out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from features.arrays import Float32Array
from features.block import Context
from features.candidates import Candidates
from features.clock import Clock
from features.custom import Instant
from features.encode import encode
from features.errors import ConfigError
from features.history import History, LogFacts
from features.materialize import fit_or_read
from features.schema import (
    canonical_ids,
    check_id_dtypes,
    check_interactions,
    check_pairs,
    check_tables,
    time_zone,
)
from features.stage import FeatureStage, FeatureTables, as_series

_CHUNK = 1024  # users whose features are computed at a time
_PAIR = ("user_id", "item_id")


@dataclass(frozen=True)
class NamedSource:
    """A source of which only the scores and ranks in the candidates are known."""

    similarity: None = None
    item_vectors: None = None

    def user_vectors(self, history: History) -> Float32Array | None:
        """There are none."""
        return None


@dataclass(frozen=True)
class FeatureSnapshot:
    """A stage as of an instant; see :meth:`build`.

    Attributes
    ----------
    history : History
        All users and their events strictly before the instant.
    tables : FeatureTables
    sources : tuple of str
    """

    history: History
    tables: FeatureTables
    sources: tuple[str, ...] = ()

    @classmethod
    def build(
        cls,
        stage: FeatureStage,
        interactions: pl.DataFrame | pl.LazyFrame,
        as_of: Instant = None,
        *,
        items: pl.DataFrame | pl.LazyFrame | None = None,
        users: pl.DataFrame | pl.LazyFrame | None = None,
        sources: Sequence[str] = (),
        folder: str | Path | None = None,
    ) -> FeatureSnapshot:
        """Compute everything that does not depend on the candidates.

        Parameters
        ----------
        stage : FeatureStage
        interactions, items, users : DataFrame or LazyFrame
            See :mod:`features.schema`. Of events at or after the instant nothing is known but what
            gives columns their meaning at every instant alike: the length of the log, whose shares
            open half-lives and windows are, and which names of events there are.
        as_of : datetime or int, optional
            Default: just after the last event. None where the clock compares no users: each user
            is looked at after his own last event.
        sources : sequence of str
            Candidates will have the columns ``<source>_score`` and ``<source>_rank``.
        folder : str or Path, optional
            Tables of items are written there, and read again as long as nothing has changed; see
            :mod:`features.materialize`.

        Raises
        ------
        SchemaError, ConfigError
            With every problem of a frame; if the instant does not fit the clock.
        """
        log = check_interactions(interactions)
        zone = time_zone(interactions.collect_schema())
        item_table, user_table = check_tables(log, items, users, zone=zone)
        facts = LogFacts.of(log, zone)
        history, item_table, user_table = encode(
            log,
            as_of=_tick(facts.clock, as_of, log),
            facts=facts,
            items=item_table,
            users=user_table,
        )
        context = Context(
            history, item_table, user_table, {name: NamedSource() for name in sources}
        )
        tables = stage.fit(context) if folder is None else fit_or_read(stage, context, Path(folder))
        return cls(history, tables, tuple(sources))

    def join(self, candidates: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
        """The features of candidates, beside their columns and in their order.

        Parameters
        ----------
        candidates : DataFrame or LazyFrame
            ``user_id``, ``item_id``, each pair once, and what the sources said. Whole lists: some
            features compare a candidate with the others of its user. Any user is known, if only as
            a stranger; of an item that the snapshot does not know everything is unknown.

        Returns
        -------
        DataFrame
            With Float32 columns; null = unknown. A column of the same name gives way: the score and
            rank of a source are features themselves.

        Raises
        ------
        SchemaError
            If columns are missing, ids of another kind, or a pair is there twice.
        """
        candidates = check_pairs(candidates, "candidates")
        known = {"user_id": self.history.users, "item_id": self.history.items}
        for column, ids in known.items():
            check_id_dtypes(column, candidates=candidates, interactions=ids.values.to_frame(column))
        frame = candidates.with_columns(canonical_ids(candidates[column]) for column in _PAIR)
        return candidates.with_columns(as_series(self.tables.names, self._columns(frame)))

    def describe(self) -> pl.DataFrame:
        """One row per feature: name, family, unit, meaning."""
        return self.tables.describe()

    def _columns(self, frame: pl.DataFrame) -> Float32Array:
        """Features of pairs, float32 [n_features, n_pairs]; NaN = unknown."""
        history = self.history.select(frame["user_id"].unique().sort())
        item, user = history.items.encode(frame["item_id"]), history.users.encode(frame["user_id"])
        rows = np.flatnonzero(item >= 0)
        # Candidates lie by user and item, those of the caller as he likes.
        pair = user[rows].astype(np.int64) * history.n_items + item[rows]
        if not (np.diff(pair) > 0).all():
            rows = rows[np.argsort(pair, kind="stable")]
        candidates = Candidates.from_rows(
            frame.drop(_PAIR)[rows] if self.sources else pl.DataFrame(),
            user[rows],
            item[rows],
            users=history.users,
            items=history.items,
            sources=self.sources,
        )

        columns = np.empty((len(self.tables.names), len(rows)), np.float32)

        def fill(start: int) -> None:
            stop = min(start + _CHUNK, history.n_users)
            part = columns[:, candidates.indptr[start] : candidates.indptr[stop]]
            part[:] = np.nan
            self.tables.fill(history.rows(start, stop), candidates.rows(start, stop), part.T)

        # Kernels and Polars release the GIL, so that threads suffice.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, range(0, history.n_users, _CHUNK)))
        if len(rows) == frame.height and (np.diff(rows) > 0).all():
            return columns
        as_asked = np.full((len(columns), frame.height), np.nan, np.float32)
        as_asked[:, rows] = columns
        return as_asked


def _tick(clock: Clock, as_of: Instant, log: pl.DataFrame) -> int | None:
    if as_of is not None and not clock.is_comparable:
        raise ConfigError(
            f"as_of={as_of!r}, but the clock of this log is {clock.kind.value}, and one instant "
            f"means nothing to its users; leave as_of out"
        )
    if as_of is not None:
        try:
            return clock.tick(as_of)
        except ConfigError as error:
            raise ConfigError(f"as_of: {error}") from None
    if not clock.is_comparable:
        return None
    return int(clock.ticks(log["timestamp"]).max()) + clock.step
