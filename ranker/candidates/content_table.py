"""The table of items, for models of their content."""

from __future__ import annotations

import logging

import polars as pl

from features.arrays import BoolArray
from features.errors import ConfigError

logger = logging.getLogger(__name__)


def need_items(model: object, items: pl.DataFrame | None) -> pl.DataFrame:
    """The table of items, which a model of their content cannot do without.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if items is None:
        raise ConfigError(
            f"{type(model).__name__} knows items by their content; hand over a table: "
            f"fit(interactions, items=items)"
        )
    return items


def report_unknown(model: object, is_known: BoolArray, expected: str) -> None:
    """Warn of the items of which there is no content."""
    n = int((~is_known).sum())
    if n:
        logger.warning(
            "%s: %d of %d items have no %s; by content they are similar to nothing",
            *(type(model).__name__, n, len(is_known), expected),
        )
