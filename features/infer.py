"""Which blocks suit a log and its attribute tables, and why."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import polars as pl

from features.block import Block, Context, FittedBlock
from features.clock import ClockKind
from features.encode import encode
from features.example_source import ExampleSource
from features.history import LogFacts
from features.stage import FeatureStage, default_blocks

logger = logging.getLogger(__name__)

_CLOCKS = {
    ClockKind.ABSOLUTE: "one clock for everybody: times in days, popularity in windows",
    ClockKind.SHARED: "one clock for everybody in whole numbers: popularity in windows",
    ClockKind.SEQUENCE: "each user's own positions: times in steps, popularity over all",
    ClockKind.NONE: "none: no recency, no intervals, popularity over all",
}


def infer_stage(
    log: pl.DataFrame,
    facts: LogFacts,
    *,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
) -> FeatureStage:
    """The default blocks that have something to say, with their columns settled.

    Parameters
    ----------
    log : DataFrame
        Canonical interactions.
    facts : LogFacts
    items, users : DataFrame or None
        Canonical attribute tables.

    Returns
    -------
    FeatureStage
        With a line for each choice in ``choices``.
    """
    context = _glance(log, facts, items, users)
    blocks, choices = [], [f"clock: {_CLOCKS[facts.clock.kind]}", _events(facts)]
    for block in default_blocks():
        fitted = block.fit(context)
        name = type(block).__name__
        if not fitted.features:
            choices.append(f"{name}: left out, {_tables(items, users)}")
            continue
        settled, columns = _settled(block, fitted)
        blocks.append(settled)
        choices.append(f"{name}: {_purpose(block)}" + (f", by {columns}" if columns else ""))
    for line in choices:
        logger.info(line)
    return FeatureStage(tuple(blocks), choices=tuple(choices))


def _glance(
    log: pl.DataFrame, facts: LogFacts, items: pl.DataFrame | None, users: pl.DataFrame | None
) -> Context:
    """One event and all attributes: what is computed of it is thrown away, but for its columns."""
    as_of = None
    if facts.clock.is_comparable:
        as_of = int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step
    history, items, users = encode(log.head(1), as_of=as_of, facts=facts, items=items, users=users)
    return Context(history, items, users, {"source": ExampleSource.of(history)})


def _settled(block: Any, fitted: FittedBlock) -> tuple[Block, str]:
    """The block with the attributes that it chose, so that later tables cannot change them."""
    chosen = getattr(fitted, "attributes", None)
    if not isinstance(chosen, dict) or getattr(block, "columns", ()) is not None:
        return block, ""
    return dataclasses.replace(block, columns=tuple(chosen)), ", ".join(chosen)


def _purpose(block: Block) -> str:
    first = (type(block).__doc__ or "").split("\n")[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _events(facts: LogFacts) -> str:
    if len(facts.event_names) > 1:
        return f"events: counted by name too, {', '.join(facts.event_names)}"
    return "events: all of one kind"


def _tables(items: pl.DataFrame | None, users: pl.DataFrame | None) -> str:
    """What there is, where a block finds nothing in it."""
    told = [
        f"{name} have nothing for it among {[c for c in table.columns if not c.endswith('_id')]}"
        for name, table in (("items", items), ("users", users))
        if table is not None
    ]
    return " and ".join(told) or "there are no tables of items or users"
