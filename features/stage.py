"""The feature stage: blocks become tables as of an instant, and are joined to candidates."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from features.affinity import AttributeAffinity
from features.arrays import Float32Array
from features.block import Block, Context, Feature, FittedBlock
from features.candidates import Candidates
from features.errors import ConfigError
from features.history import History, LogFacts
from features.item import ItemPopularity
from features.lateness import ItemLateness
from features.listwise import FittedListwise, Listwise
from features.pair import UserItemHistory
from features.schema import check_interactions, check_tables, time_zone
from features.similarity import EmbeddingAffinity, HistorySimilarity
from features.source import SourceScores
from features.user import UserActivity

if TYPE_CHECKING:
    from features.snapshot import FeatureSnapshot


def default_blocks() -> tuple[Block, ...]:
    """The blocks that every log allows; attributes are used where there is an item table."""
    return (
        SourceScores(),
        UserItemHistory(),
        HistorySimilarity(),
        EmbeddingAffinity(),
        ItemPopularity(),
        ItemLateness(),
        UserActivity(),
        AttributeAffinity(),
    )


@dataclass(frozen=True)
class FeatureStage:
    """A declaration of features.

    Parameters
    ----------
    blocks : tuple of Block
    listwise : Listwise
        Which of their features are also compared within the list of a user.
    choices : tuple of str
        Why these blocks, if :meth:`infer` chose them.
    """

    blocks: tuple[Block, ...] = field(default_factory=default_blocks)
    listwise: Listwise = field(default_factory=Listwise)
    choices: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def infer(
        cls,
        interactions: pl.DataFrame | pl.LazyFrame,
        items: pl.DataFrame | pl.LazyFrame | None = None,
        users: pl.DataFrame | pl.LazyFrame | None = None,
        *,
        blocks: Sequence[Block] | None = None,
    ) -> FeatureStage:
        """The blocks that suit the columns present; ``choices`` says which, and why.

        Parameters
        ----------
        interactions, items, users : DataFrame or LazyFrame
            See :mod:`features.schema`.
        blocks : sequence of Block, optional
            Those that are tried, such as :func:`features.catalogue.all_blocks`. Default: those that
            every log allows.

        Raises
        ------
        SchemaError
            With every problem of a frame.
        """
        from features.infer import infer_stage  # which needs the default blocks

        log, zone = check_interactions(interactions), time_zone(interactions.collect_schema())
        item_table, user_table = check_tables(log, items, users, zone=zone)
        return infer_stage(
            log, LogFacts.of(log, zone), items=item_table, users=user_table, blocks=blocks
        )

    def __post_init__(self) -> None:
        """Refuse what is no block."""
        check_blocks(self.blocks)

    @property
    def summary(self) -> str:
        """The blocks by name, with the columns that they are bound to."""
        return ", ".join(
            block_name(block)
            + (f"({', '.join(columns)})" if (columns := getattr(block, "columns", None)) else "")
            for block in self.blocks
        )

    def snapshot(
        self,
        interactions: pl.DataFrame | pl.LazyFrame,
        as_of: dt.datetime | int | None = None,
        *,
        items: pl.DataFrame | pl.LazyFrame | None = None,
        users: pl.DataFrame | pl.LazyFrame | None = None,
        sources: Sequence[str] = (),
        folder: str | Path | None = None,
    ) -> FeatureSnapshot:
        """The features as of an instant, to be joined to any candidates.

        See :meth:`features.snapshot.FeatureSnapshot.build`.
        """
        from features.snapshot import FeatureSnapshot  # which needs this class

        return FeatureSnapshot.build(
            self, interactions, as_of, items=items, users=users, sources=sources, folder=folder
        )

    def fit(self, context: Context) -> FeatureTables:
        """Compute all that can be computed before the candidates are known.

        Raises
        ------
        ConfigError
            If two blocks name a feature alike.
        """
        return self.assemble(tuple(block.fit(context) for block in self.blocks))

    def assemble(self, fitted: tuple[FittedBlock, ...]) -> FeatureTables:
        """The tables of fitted blocks, in the order of :attr:`blocks`.

        Raises
        ------
        ConfigError
            If two blocks name a feature alike.
        """
        features = [feature for block in fitted for feature in block.features]
        listwise = self.listwise.fit(features)
        names = Counter(feature.name for feature in (*features, *listwise.features))
        repeated = sorted(name for name, count in names.items() if count > 1)
        if repeated:
            raise ConfigError(
                f"feature names must be unique, but {repeated} come from two blocks; rename a "
                f"generator or leave one block out"
            )
        return FeatureTables(fitted, listwise)


def check_blocks(blocks: object) -> None:
    """Make sure that these are several blocks, as objects.

    Raises
    ------
    ConfigError
        A class is no block, nor is a function.
    """
    if isinstance(blocks, str) or not isinstance(blocks, Sequence):
        raise ConfigError(f"blocks={blocks!r}; expected several blocks, such as (UserActivity(),)")
    for block in blocks:
        if isinstance(block, type):
            raise ConfigError(f"blocks has {block!r}; give an object: {block.__name__}(...)")
        if not hasattr(block, "fit"):
            raise ConfigError(
                f"blocks has {block!r}, which is no block; of a function, make one: "
                f"CustomBlock(name, key, function)"
            )


def block_name(block: Block) -> str:
    """What a block is called in messages: a name of its own, or its type."""
    return str(getattr(block, "name", type(block).__name__))


def as_series(names: Sequence[str], columns: Float32Array) -> list[pl.Series]:
    """Features as Float32 columns, null = unknown.

    Parameters
    ----------
    names : sequence of str
    columns : float32 array [n_features, n_rows]
        NaN = unknown.
    """
    return [
        pl.Series(name, column, nan_to_null=True)
        for name, column in zip(names, columns, strict=True)
    ]


@dataclass(frozen=True)
class FeatureTables:
    """The feature stage as of an instant."""

    blocks: tuple[FittedBlock, ...]
    listwise: FittedListwise

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """All columns, in order."""
        single = (feature for block in self.blocks for feature in block.features)
        return (*single, *self.listwise.features)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        return tuple(len(block.features) for block in self.blocks)

    def transform(self, history: History, candidates: Candidates) -> Float32Array:
        """Features of candidates.

        Parameters
        ----------
        history : History
            The users' events, strictly before their ``now``.
        candidates : Candidates
            Of the same users, in the same order.

        Returns
        -------
        float32 array [n_rows, n_features]
            One row per candidate, row-major; NaN = unknown.
        """
        table = np.full((candidates.n_rows, len(self.features)), np.nan, np.float32)
        self.fill(history, candidates, table)
        return table

    def fill(self, history: History, candidates: Candidates, table: Float32Array) -> None:
        """The same into a table that is there, row-major or not.

        Parameters
        ----------
        history : History
        candidates : Candidates
        table : float32 array [n_rows, n_features]
            To be written; arrives full of NaN.
        """
        if not candidates.n_rows:
            return
        start = 0
        for block, width in zip(self.blocks, self._widths, strict=True):
            stop = start + width
            block.fill(history, candidates, table[:, start:stop])
            start = stop
        self.listwise.fill(candidates.indptr, table, table[:, start:])

    def frame(self, history: History, candidates: Candidates) -> pl.DataFrame:
        """The feature table with ids: user_id, item_id, then Float32 columns; null = unknown."""
        # A row per feature, as a frame holds them: each becomes a column in one go.
        columns = np.full((len(self.features), candidates.n_rows), np.nan, np.float32)
        self.fill(history, candidates, columns.T)
        return pl.DataFrame(
            [
                candidates.users.decode(candidates.user).rename("user_id"),
                candidates.items.decode(candidates.item).rename("item_id"),
                *as_series(self.names, columns),
            ]
        )

    def describe(self) -> pl.DataFrame:
        """One row per feature: name, family, unit, meaning."""
        columns = ("name", "family", "unit", "meaning")
        return pl.DataFrame(
            {column: [getattr(feature, column) for feature in self.features] for column in columns},
            schema=dict.fromkeys(columns, pl.String),
        )
