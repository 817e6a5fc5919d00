"""What a feature block is, and what it may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import polars as pl
from scipy import sparse

from features.arrays import Float32Array
from features.candidates import Candidates
from features.choice import Choice
from features.history import History


@dataclass(frozen=True)
class Feature:
    """One column of the feature table.

    Parameters
    ----------
    name : str
        Unique in the stage; ends in the unit where there is one.
    family : str
        What it is about: ``"history"``, ``"source"``, ``"item"``...
    unit : str
        ``"days"``, ``"count"``, ``"share"``, ``"rank"``, ``"score"``...
    meaning : str
        One line for people.
    about : str, optional
        What it speaks of, where that is not the pair of user and item as a whole: a source, an
        attribute of the table of items, or the feature that it compares within the list.
    """

    name: str
    family: str
    unit: str
    meaning: str
    about: str | None = None


class Source(Protocol):
    """What a block may ask of a fitted candidate generator."""

    @property
    def similarity(self) -> sparse.csr_matrix | None:
        """Item-item similarities, CSR [n_items, n_items]."""

    @property
    def item_vectors(self) -> Float32Array | None:
        """Item embeddings, float32 [n_items, n_factors]."""

    def user_vectors(self, history: History) -> Float32Array | None:
        """User embeddings, float32 [n_users, n_factors]."""


@dataclass(frozen=True)
class Context:
    """All that is known at an instant; what a block learns from.

    Attributes
    ----------
    history : History
        The events strictly before the instant.
    items, users : DataFrame or None
        Attributes, one row per row number of ``history.items`` and ``history.users``.
    sources : mapping of name to Source
        The generators fitted on ``history``.
    """

    history: History
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)


class FittedBlock(Protocol):
    """A block that has learned what it needs of a snapshot."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns that it fills."""

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """Compute the columns of some users' candidates.

        Parameters
        ----------
        history : History
            The users' events, strictly before their ``now``.
        candidates : Candidates
            Of the same users, in the same order.
        out : float32 array [n_rows, n_features]
            To be written; arrives full of NaN, which means unknown.
        """


class Block(Protocol):
    """A family of features, by its parameters alone."""

    def fit(self, context: Context) -> FittedBlock:
        """Learn what is needed of a snapshot."""


@runtime_checkable
class ChoosesColumns(Protocol):
    """A block, being a dataclass, that reads attributes, and chooses which if none are named.

    Attributes
    ----------
    columns : tuple of str or None
        None = not named.
    """

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns that were named."""

    def choose(self, context: Context) -> Choice:
        """The columns that :meth:`Block.fit` would read of these tables, and why.

        :meth:`features.stage.FeatureStage.infer` names them, so that later tables cannot change
        them.
        """
