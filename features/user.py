"""How much, how regularly and how widely the user takes things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Float32Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.clock import ClockKind
from features.gather import gather
from features.history import History


@dataclass(frozen=True)
class UserActivity:
    """Size, rhythm and breadth of the user's history."""

    def fit(self, context: Context) -> FittedUserActivity:
        """Take the popularity of the items; users are aggregated when they are served."""
        history = context.history
        counts = np.bincount(history.item, minlength=history.n_items)
        rank = np.full(history.n_items, np.nan, np.float32)
        order = np.lexsort((np.arange(history.n_items), -counts))
        rank[order] = np.arange(history.n_items) / max(history.n_items, 1)
        has_time = history.clock.kind is not ClockKind.NONE
        return FittedUserActivity(rank, has_time, history.clock.unit_name)


@dataclass(frozen=True)
class FittedUserActivity:
    """The block at an instant."""

    item_rank: Float32Array
    has_time: bool
    unit_name: str

    @property
    def features(self) -> tuple[Feature, ...]:
        """Breadth, then rhythm if there are timestamps."""
        unit = self.unit_name
        breadth = (
            ("events", "count", "events of the user"),
            ("items", "count", "distinct items of the user"),
            ("repeat_share", "share", "share of the user's events with an item taken before"),
            ("item_rank", "rank", "mean popularity rank of the user's items, 0 = most popular"),
        )
        rhythm = (
            ("visits", "count", "instants (baskets, sessions) of the user"),
            (f"tenure_{unit}", unit, "time since the user's first event"),
            (f"recency_{unit}", unit, "time since the user's last event"),
            (f"interval_{unit}", unit, "mean time between the user's instants"),
        )
        return tuple(
            Feature(f"user_{name}", "user", unit, meaning)
            for name, unit, meaning in breadth + (rhythm if self.has_time else ())
        )

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        tick = history.clock.unit
        events = pl.col("item").len()
        items = pl.col("item").n_unique()
        visits = pl.col("time").n_unique()
        first, last, now = pl.col("time").min(), pl.col("time").max(), pl.col("now").first()
        breadth = [events, items, 1 - items / events, pl.col("item_rank").mean()]
        rhythm = [
            visits,
            (now - first) / tick,
            (now - last) / tick,
            pl.when(visits > 1).then((last - first) / tick / (visits - 1)),
        ]
        expressions = breadth + (rhythm if self.has_time else [])
        frame = (
            history.frame()
            .lazy()
            .select("user", "item", "time")
            .with_columns(
                pl.Series("now", np.repeat(history.now, history.lengths)),
                pl.Series("item_rank", self.item_rank[history.item]),
            )
            .group_by("user", maintain_order=True)
            .agg(
                expression.cast(pl.Float32).alias(feature.name)
                for feature, expression in zip(self.features, expressions, strict=True)
            )
            .collect()
        )
        table = np.full((history.n_users, len(self.features)), np.nan, np.float32)
        table[:, :2] = 0.0  # no events are zero events; the rest is unknown
        table[frame["user"].to_numpy()] = frame.drop("user").to_numpy()
        gather(table, candidates.user, out)
