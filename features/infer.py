"""Which blocks suit a log and its attribute tables, and why."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, cast

import polars as pl

from features.block import Block, ChoosesColumns, Context
from features.clock import ClockKind
from features.encode import encode
from features.example_source import ExampleSource
from features.history import LogFacts
from features.stage import FeatureStage, block_name, check_blocks, default_blocks

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
    blocks: Sequence[Block] | None = None,
) -> FeatureStage:
    """The blocks that have something to say, with their columns settled.

    Parameters
    ----------
    log : DataFrame
        Canonical interactions.
    facts : LogFacts
    items, users : DataFrame or None
        Canonical attribute tables.
    blocks : sequence of Block, optional
        Default: :func:`features.stage.default_blocks`.

    Returns
    -------
    FeatureStage
        With a line for each choice in ``choices``.
    """
    check_blocks(default_blocks() if blocks is None else blocks)
    context = _glance(log, facts, items, users)
    kept, choices = [], [f"clock: {_CLOCKS[facts.clock.kind]}", _events(facts)]
    for block in default_blocks() if blocks is None else blocks:
        settled, reason = _settled(block, context)
        if settled.fit(context).features:
            kept.append(settled)
            line = _purpose(block) + (f"; {reason}" if reason else "")
        else:
            line = f"left out, {reason or 'the log has nothing for it'}"
        choices.append(f"{block_name(block)}: {line}")
    for line in choices:
        logger.info(line)
    return FeatureStage(tuple(kept), choices=tuple(choices))


def _glance(
    log: pl.DataFrame, facts: LogFacts, items: pl.DataFrame | None, users: pl.DataFrame | None
) -> Context:
    """One event and all attributes: what is computed of it is thrown away, but for its columns."""
    as_of = None
    if facts.clock.is_comparable:
        as_of = int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step
    history, items, users = encode(log.head(1), as_of=as_of, facts=facts, items=items, users=users)
    return Context(history, items, users, {"source": ExampleSource.of(history)})


def _settled(block: Block, context: Context) -> tuple[Block, str]:
    """The block with the columns that it chose, so that later tables cannot change them."""
    if not isinstance(block, ChoosesColumns):
        return block, ""
    choice = block.choose(context)
    changes = {"columns": choice.columns, **choice.others}
    return dataclasses.replace(cast(Any, block), **changes), choice.reason


def _purpose(block: Block) -> str:
    first = (type(block).__doc__ or "").split("\n")[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _events(facts: LogFacts) -> str:
    if len(facts.event_names) > 1:
        return f"events: counted by name too, {', '.join(facts.event_names)}"
    return "events: all of one kind"
