"""Why an item is in a list: its sources, what each feature family added, and a sentence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from features.arrays import Float32Array, Float64Array, Int32Array
from features.candidates import Candidates
from features.history import History
from features.ids import Ids
from ranker.rerank.lambdarank import FittedLambdaRank
from ranker.snapshot import Snapshot


def explain_items(
    snapshot: Snapshot,
    model: FittedLambdaRank | None,
    history: History,
    candidates: Candidates,
    items: Int32Array,
    titles: pl.Series,
) -> pl.DataFrame:
    """Explain some items for one user.

    Parameters
    ----------
    snapshot : Snapshot
    model : FittedLambdaRank or None
        Without one there are sources and sentences, but no scores.
    history : History
        Of the one user.
    candidates : Candidates
        All of his: features compare an item with its list.
    items : int32 array [n]
        Row numbers; items that no source proposed are explained as such.
    titles : Series
        What to call each item of the catalogue.

    Returns
    -------
    DataFrame
        One row per item, in the order given: item_id, score (Float32), source and rank (of the
        source that ranks it best; null if none does), n_sources, one Float64 column
        ``<family>_effect`` per feature family (TreeSHAP: what it adds to the score; with
        ``base_effect``, the same for all, they add up to it) and reason.
    """
    candidates = _with_items(candidates, items)
    rows = np.searchsorted(candidates.item, items)
    table = snapshot.features(history, candidates)[rows]
    rank = candidates.rank[rows]
    best = np.where(rank > 0, rank, np.iinfo(np.int32).max).argmin(axis=1)
    best_rank = rank[np.arange(len(rows)), best]
    best_names = np.array(candidates.sources)[best].tolist()
    sources = [
        name if found else None for name, found in zip(best_names, best_rank > 0, strict=True)
    ]
    names = snapshot.tables.names
    frame = pl.DataFrame(
        {
            "item_id": snapshot.history.items.decode(items),
            "score": pl.Series(
                [None] * len(rows) if model is None else model.predict(table), dtype=pl.Float32
            ),
            "source": pl.Series(sources, dtype=pl.String),
            "rank": pl.Series(best_rank, dtype=pl.Int64).replace(0, None),
            "n_sources": candidates.n_sources[rows],
        }
    )
    families = {} if model is None else _by_family(snapshot, model.contributions(table))
    reasons = [
        _Reasoner(snapshot, history, dict(zip(names, row, strict=True)), titles).sentence(
            int(item), source, int(place)
        )
        for row, item, source, place in zip(table, items, sources, best_rank, strict=True)
    ]
    return frame.with_columns(
        *(pl.Series(family, values) for family, values in families.items()),
        pl.Series("reason", reasons, dtype=pl.String),
    )


def titles_of(items: Ids, table: pl.DataFrame | None) -> pl.Series:
    """What to call each item: its ``title`` in the item table, or its id."""
    names = pl.DataFrame({"item_id": items.values, "name": items.values.cast(pl.String)})
    if table is None or "title" not in table.columns:
        return names["name"]
    titled = names.join(
        table.select("item_id", pl.col("title").cast(pl.String)),
        on="item_id",
        how="left",
        maintain_order="left",
    )
    return titled.select(pl.coalesce("title", "name")).to_series()


def _with_items(candidates: Candidates, items: Int32Array) -> Candidates:
    """Add rows, silent in every source, for items that are not among the candidates."""
    missing = np.setdiff1d(items, candidates.item)
    order = np.argsort(np.concatenate((candidates.item, missing)), kind="stable")
    n_sources = len(candidates.sources)
    silent_score = np.full((len(missing), n_sources), np.nan, np.float32)
    silent_rank = np.zeros((len(missing), n_sources), np.int32)
    return replace(
        candidates,
        indptr=np.array([0, len(order)]),
        item=np.concatenate((candidates.item, missing))[order].astype(np.int32),
        score=np.concatenate((candidates.score, silent_score))[order],
        rank=np.concatenate((candidates.rank, silent_rank))[order],
    )


def _by_family(snapshot: Snapshot, contributions: Float64Array) -> dict[str, Float64Array]:
    families: dict[str, Float64Array] = {"base_effect": contributions[:, -1]}
    for column, feature in enumerate(snapshot.tables.features):
        name = f"{feature.family}_effect"
        families[name] = families.get(name, 0.0) + contributions[:, column]
    return families


@dataclass(frozen=True)
class _Reasoner:
    """Turns the features of one row into a sentence, the most telling fact first."""

    snapshot: Snapshot
    history: History
    features: dict[str, np.float32]
    titles: pl.Series

    def sentence(self, item: int, source: str | None, rank: int) -> str:
        facts = [self._own(), self._together(item), self._popular(), self._proposed(source, rank)]
        told = [fact for fact in facts if fact]
        return "; ".join(told[:2]) if told else "fills up the list"

    def _value(self, name: str) -> float:
        return float(self.features.get(name, np.float32(np.nan)))

    def _own(self) -> str | None:
        count = self._value("history_count")
        if not count > 0:
            return None
        unit = self.history.clock.unit_name
        text = f"taken {count:.0f} time{'s' if count > 1 else ''}"
        interval = self._value(f"history_interval_{unit}")
        if np.isfinite(interval):
            text += f", every {interval:.0f} {unit}"
        recency = self._value(f"history_recency_{unit}")
        return f"{text}, last {recency:.0f} {unit} ago" if np.isfinite(recency) else text

    def _together(self, item: int) -> str | None:
        best, partner = 0.0, -1
        recent: Int32Array = np.unique(self.history.item[-200:])
        for generator in self.snapshot.generators.values():
            if generator.similarity is None or not len(recent):
                continue
            values: Float32Array = generator.similarity[recent, item].toarray().ravel()
            # Similarities of different sources have no common scale: the larger number wins,
            # which is good enough to name one partner in a sentence.
            strongest = float(values.max(initial=0.0))
            if strongest > best:
                best, partner = strongest, int(recent[values.argmax()])
        return None if partner < 0 else f"goes with {self.titles[partner]}"

    def _popular(self) -> str | None:
        rank = self._value("item_rank_48th")
        return f"number {rank:.0f} of late" if rank <= 50 else None

    def _proposed(self, source: str | None, rank: int) -> str | None:
        return None if source is None else f"number {rank} by {source}"
