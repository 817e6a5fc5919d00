"""The feature stage: blocks become tables as of an instant, and are joined to candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from features.affinity import AttributeAffinity
from features.arrays import Float32Array
from features.block import Block, Context, Feature, FittedBlock
from features.candidates import Candidates
from features.errors import ConfigError
from features.history import History
from features.item import ItemPopularity
from features.listwise import FittedListwise, Listwise
from features.pair import UserItemHistory
from features.similarity import EmbeddingAffinity, HistorySimilarity
from features.source import SourceScores
from features.user import UserActivity


def default_blocks() -> tuple[Block, ...]:
    """The blocks that every log allows; attributes are used where there is an item table."""
    return (
        SourceScores(),
        UserItemHistory(),
        HistorySimilarity(),
        EmbeddingAffinity(),
        ItemPopularity(),
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
    """

    blocks: tuple[Block, ...] = field(default_factory=default_blocks)
    listwise: Listwise = field(default_factory=Listwise)

    def fit(self, context: Context) -> FeatureTables:
        """Compute all that can be computed before the candidates are known.

        Raises
        ------
        ConfigError
            If two blocks name a feature alike.
        """
        fitted = tuple(block.fit(context) for block in self.blocks)
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


@dataclass(frozen=True)
class FeatureTables:
    """The feature stage as of an instant."""

    blocks: tuple[FittedBlock, ...]
    listwise: FittedListwise

    @property
    def features(self) -> tuple[Feature, ...]:
        """All columns, in order."""
        single = (feature for block in self.blocks for feature in block.features)
        return (*single, *self.listwise.features)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return tuple(feature.name for feature in self.features)

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
        if not candidates.n_rows:
            return table
        start = 0
        for block in self.blocks:
            stop = start + len(block.features)
            block.fill(history, candidates, table[:, start:stop])
            start = stop
        self.listwise.fill(candidates.indptr, table, table[:, start:])
        return table

    def frame(self, history: History, candidates: Candidates) -> pl.DataFrame:
        """The feature table with ids: user_id, item_id, then Float32 columns; null = unknown."""
        table = self.transform(history, candidates)
        return pl.DataFrame(
            {
                "user_id": candidates.users.decode(candidates.user),
                "item_id": candidates.items.decode(candidates.item),
            }
            | {name: table[:, column] for column, name in enumerate(self.names)}
        ).with_columns(pl.selectors.float().fill_nan(None))

    def describe(self) -> pl.DataFrame:
        """One row per feature: name, family, unit, meaning."""
        return pl.DataFrame([vars(feature) for feature in self.features])
