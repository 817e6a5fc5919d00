"""How popular the candidate is, in several windows, and how it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from features.arrays import Float32Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.clock import ClockKind
from features.history import History


@dataclass(frozen=True)
class ItemPopularity:
    """Shares of all events and ranks by window, trends, age, repeat rate and rhythm of an item.

    Shares and ranks, not counts: those of an early and of a late snapshot mean the same.

    Parameters
    ----------
    windows : tuple of float
        Lengths of the windows, as shares of the log's length, ascending. On a clock that does
        not compare users there is only the whole log.
    """

    windows: tuple[float, ...] = (1 / 336, 1 / 48, 1 / 12)

    def fit(self, context: Context) -> FittedItemPopularity:
        """Aggregate the log by item."""
        history = context.history
        windows = self.windows if history.clock.is_comparable else ()
        labels = (*(f"{round(1 / share)}th" for share in windows), "all")
        per_pair = (
            history.frame()
            .lazy()
            .group_by("item", "user")
            .agg(
                pl.len().alias("count_all"),
                *(
                    (pl.col("time") >= history.as_of - history.facts.span * share)
                    .sum()
                    .alias(f"count_{label}")
                    for share, label in zip(windows, labels, strict=False)
                ),
                pl.col("time").n_unique().alias("visits"),
                pl.col("time").min().alias("first"),
                pl.col("time").max().alias("last"),
            )
        )
        interval = (pl.col("last") - pl.col("first")) / (pl.col("visits") - 1)
        per_item = (
            per_pair.group_by("item")
            .agg(
                *(pl.col(f"count_{label}").sum() for label in labels),
                pl.len().alias("users"),
                (pl.col("visits") > 1).mean().alias("repeat_rate"),
                (pl.col("visits").mean()).alias("visits_per_user"),
                interval.filter(pl.col("visits") > 1).median().alias("interval"),
                pl.col("first").min(),
                pl.col("last").max(),
            )
            .with_columns(
                (pl.col(f"count_{label}") / pl.col(f"count_{label}").sum()).alias(f"share_{label}")
                for label in labels
            )
            .collect()
        )
        features, columns = _describe(history, labels)
        table = np.full((history.n_items, len(features)), np.nan, np.float32)
        values = per_item.select(*columns).cast(pl.Float32).to_numpy()
        table[per_item["item"].to_numpy()] = values
        return FittedItemPopularity(features, table)


@dataclass(frozen=True)
class FittedItemPopularity:
    """The block at an instant: one row per item, NaN for items without events."""

    features: tuple[Feature, ...]
    table: Float32Array

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        out[:] = self.table[candidates.item]


def _describe(
    history: History, labels: tuple[str, ...]
) -> tuple[tuple[Feature, ...], list[pl.Expr]]:
    unit, tick = history.clock.unit_name, history.clock.unit
    described: list[tuple[str, str, str, pl.Expr]] = []
    for label in labels:
        count, share = pl.col(f"count_{label}"), pl.col(f"share_{label}")
        when = "in the whole log" if label == "all" else f"in the last {label} of the log"
        described += [
            (f"share_{label}", "share", f"share of all events {when}", share),
            (
                f"rank_{label}",
                "rank",
                f"rank by events {when}",
                pl.when(count > 0).then(count.rank("min", descending=True)),
            ),
        ]
    for short, long in pairwise(labels):
        described.append(
            (
                f"trend_{short}",
                "ratio",
                f"share of events, last {short} over {long}",
                pl.col(f"share_{short}") / pl.col(f"share_{long}"),
            )
        )
    described += [
        ("users", "share", "share of users who took it", pl.col("users") / history.n_users),
        ("repeat_rate", "share", "share of its users who came back", pl.col("repeat_rate")),
        ("visits_per_user", "count", "instants per user who took it", pl.col("visits_per_user")),
    ]
    if history.clock.kind is not ClockKind.NONE:
        interval = pl.col("interval") / tick
        described.append(
            (f"interval_{unit}", unit, "median over users of the time between events", interval)
        )
    if history.clock.is_comparable:
        age, idle = ((history.as_of - pl.col(end)) / tick for end in ("first", "last"))
        described += [
            (f"age_{unit}", unit, "time since the first event", age),
            (f"recency_{unit}", unit, "time since the last event", idle),
        ]
    features = tuple(
        Feature(f"item_{name}", "item", unit, f"{meaning}") for name, unit, meaning, _ in described
    )
    return features, [
        expression.alias(feature.name)
        for feature, (*_, expression) in zip(features, described, strict=True)
    ]
