"""What a configuration holds, section by section."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ranker.query import Query


@dataclass(frozen=True)
class DataConfig:
    """Where the tables are: files, addresses or queries with mappings, or a data set that we know.

    Exactly one of ``interactions`` and ``dataset`` is set. The mappings go from our column names
    to those of the table.
    """

    interactions: str | Query | None = None
    items: str | Query | None = None
    users: str | Query | None = None
    dataset: str | None = None
    path: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    item_columns: Mapping[str, str] = field(default_factory=dict)
    user_columns: Mapping[str, str] = field(default_factory=dict)
    timestamp_unit: Literal["s", "ms", "us"] | None = None


@dataclass(frozen=True)
class SplitConfig:
    """What ``ranker evaluate`` holds out: one of a length, a share of the rows, an instant.

    ``exclude_seen`` is None where the recommender is to decide; it holds for ``ranker export`` too,
    so that the lists that are written are those that were judged.
    """

    test: str | int | None = None
    test_fraction: float | None = None
    at: dt.datetime | dt.date | int | None = None
    exclude_seen: bool | None = None

    @property
    def keywords(self) -> dict[str, Any]:
        """What to hand to ``split_by_time``; the last tenth of the rows where nothing is set."""
        chosen = _present(test=self.test, test_fraction=self.test_fraction, at=self.at)
        return chosen or {"test_fraction": 0.1}


@dataclass(frozen=True)
class ModelConfig:
    """The recommender, the folder that ``ranker fit`` saves it to, and how many that keeps."""

    path: Path
    preset: Literal["fast", "balanced", "best"] = "balanced"
    random_state: int = 0
    n_candidates: int | Literal["all"] | None = None
    n_windows: int | None = None
    window_length: str | int | None = None
    gate: str | None = None
    repeats: bool | None = None
    keep: int = 2

    @property
    def keywords(self) -> dict[str, Any]:
        """The keywords that were given beside the preset."""
        names = ("n_candidates", "n_windows", "window_length", "gate", "repeats")
        return _present(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class EvaluateConfig:
    """Depths and metrics of ``ranker evaluate``; None stands for the default metrics."""

    k: tuple[int, ...] = (10, 20)
    metrics: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ExportConfig:
    """What ``ranker export`` writes, and where; ``users`` is a table, or ``"all"`` of the model."""

    path: Path
    k: int = 50
    format: str | None = None
    chunk_size: int | None = None
    max_memory: str | int | None = None
    n_shards: int | None = None
    engine: str | None = None
    n_workers: int | None = None
    users: str | Query = "all"

    @property
    def keywords(self) -> dict[str, Any]:
        """The optional keywords of ``export_recommendations`` that were given."""
        names = ("format", "chunk_size", "max_memory", "n_shards", "engine", "n_workers")
        return _present(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Config:
    """A whole configuration file; its relative paths were resolved against its folder."""

    path: Path
    data: DataConfig
    split: SplitConfig
    model: ModelConfig
    evaluate: EvaluateConfig
    export: ExportConfig


def _present(**values: object) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
