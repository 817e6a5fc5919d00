"""Explanations of the items in many users' lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import BoolArray, Float32Array, Float64Array, Int32Array
from features.candidates import Candidates
from features.history import History
from ranker.explain.case import Case, Own, Setting
from ranker.explain.catalogue import Catalogue
from ranker.explain.families import by_family
from ranker.explain.reasons import reason
from ranker.parallel import map_chunks
from ranker.rerank.fitted import FittedLambdaRank
from ranker.snapshot import Snapshot

_COMPARED = 16  # of a user's candidates: what moved a score is said against their mean


@dataclass(frozen=True)
class Explainer:
    """Explains items by a snapshot and its trees.

    Attributes
    ----------
    setting : Setting
    model : FittedLambdaRank or None
        Without one there are sources and sentences, but no scores.
    """

    setting: Setting
    model: FittedLambdaRank | None

    @classmethod
    def of(
        cls, snapshot: Snapshot, model: FittedLambdaRank | None, items: pl.DataFrame | None
    ) -> Explainer:
        """Take the names of the items from their table."""
        return cls(Setting(snapshot, Catalogue.of(snapshot.history.items, items)), model)

    def explain(
        self,
        history: History,
        user: Int32Array,
        item: Int32Array,
        *,
        propose: Callable[[History], Candidates],
        by_trees: BoolArray,
        verb: str,
        chunk_size: int,
        n_threads: int,
    ) -> pl.DataFrame:
        """Explain pairs of user and item.

        Parameters
        ----------
        history : History
            Of the users.
        user : int32 array [n]
            Rows of the history.
        item : int32 array [n]
            Row numbers; items that no source proposes are explained as such.
        propose : callable
            All candidates of some of the users: features compare an item with its list.
        by_trees : bool array [n_users]
            Whether the trees order the user's list; where they do not, there are no scores.
        verb : str
            What users do with items, as a participle: ``"bought"``.
        chunk_size : int
            Users at a time.
        n_threads : int

        Returns
        -------
        DataFrame
            One row per pair, in the order given: user_id, item_id, score (Float32), source and
            rank (of the source that ranks it best; null if none does), n_sources, one Float64
            column ``<family>_effect`` per feature family (TreeSHAP: what it adds to the score;
            with ``base_effect``, the same for all, they add up to it) and reason.
        """
        order = np.argsort(user, kind="stable")
        places = np.searchsorted(user[order], np.arange(history.n_users + 1))

        def part(start: int, some: History) -> pl.DataFrame:
            chosen = order[places[start] : places[start + some.n_users]]
            return self._explain_some(
                some,
                propose(some),
                user[chosen] - start,
                item[chosen],
                by_trees[start : start + some.n_users],
                verb,
            )

        nobody = history.rows(0, 0)
        parts = [self._explain_some(nobody, propose(nobody), user[:0], item[:0], by_trees, verb)]
        parts += map_chunks(part, history, chunk_size, n_threads, description="explain")
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return pl.concat(parts)[back]

    def _explain_some(
        self,
        history: History,
        candidates: Candidates,
        user: Int32Array,
        item: Int32Array,
        by_trees: BoolArray,
        verb: str,
    ) -> pl.DataFrame:
        features = self.setting.snapshot.features(history, candidates)
        rows = candidates.find(user, item)
        is_silent = rows < 0
        rank = (
            np.where(is_silent[:, None], 0, candidates.rank[rows])
            if len(features)
            else (np.zeros((len(rows), len(candidates.sources)), np.int32))
        )
        table = np.empty((len(rows), features.shape[1]), np.float32)
        table[~is_silent] = features[rows[~is_silent]]
        if is_silent.any():
            wider = _with_silent(candidates, user[is_silent], item[is_silent])
            wide = self.setting.snapshot.features(history, wider)
            table[is_silent] = wide[wider.find(user[is_silent], item[is_silent])]
        is_scored = by_trees[user] & (self.model is not None)
        score = np.full(len(rows), np.nan, np.float32)
        contributions = np.full((len(rows), table.shape[1] + 1), np.nan)
        moved = np.zeros(table.shape)
        if self.model is not None and is_scored.any():
            score[is_scored] = self.model.predict(table[is_scored])
            contributions[is_scored] = self.model.contributions(table[is_scored])
            moved[is_scored] = _moved(
                *(self.model, candidates, features),
                *(user[is_scored], contributions[is_scored, :-1]),
            )
        credit = self.setting.topics.credit(moved, rank)
        sources = candidates.sources
        reasons = []
        for at in range(len(rows)):
            case = Case(
                self.setting,
                Own.of(history, int(user[at])),
                int(item[at]),
                table[at],
                {name: int(place) for name, place in zip(sources, rank[at], strict=True) if place},
                moved[at] if is_scored[at] else None,
                verb,
            )
            reasons.append(reason(case, credit[at] if is_scored[at] else None))
        best = np.where(rank > 0, rank, np.iinfo(np.int32).max).argmin(axis=1)
        best_rank = np.take_along_axis(rank, best[:, None], axis=1)[:, 0]
        names = pl.Series(sources, dtype=pl.String).gather(best)
        families = by_family(self.setting.features, contributions) if self.model else {}
        return pl.DataFrame(
            {
                "user_id": history.users.decode(user),
                "item_id": history.items.decode(item),
                "score": pl.Series(score, nan_to_null=True),
                "source": names.zip_with(
                    pl.Series(best_rank > 0), pl.Series([None], dtype=pl.String)
                ),
                "rank": pl.Series(best_rank, dtype=pl.Int64).replace(0, None),
                "n_sources": (rank > 0).sum(axis=1, dtype=np.int32),
            }
            | {
                f"{family}_effect": pl.Series(total, nan_to_null=True)
                for family, total in families.items()
            }
            | {"reason": pl.Series(reasons, dtype=pl.String)}
        )


def _with_silent(candidates: Candidates, user: Int32Array, item: Int32Array) -> Candidates:
    """Add rows, silent in every source, for pairs that are not among the candidates."""
    width = len(candidates.items)
    silent = np.unique(user.astype(np.int64) * width + item)
    listed = candidates.user.astype(np.int64) * width + candidates.item
    order = np.argsort(np.concatenate((listed, silent)), kind="stable")
    pair = np.concatenate((listed, silent))[order]
    shape = len(silent), len(candidates.sources)
    lengths = np.bincount(pair // width, minlength=candidates.n_users)
    return dataclasses.replace(
        candidates,
        indptr=np.concatenate(([0], np.cumsum(lengths))),
        item=(pair % width).astype(np.int32),
        score=np.concatenate((candidates.score, np.full(shape, np.nan, np.float32)))[order],
        rank=np.concatenate((candidates.rank, np.zeros(shape, np.int32)))[order],
    )


def _moved(
    model: FittedLambdaRank,
    candidates: Candidates,
    features: Float32Array,
    user: Int32Array,
    contributions: Float64Array,
) -> Float64Array:
    """What each column adds to scores beyond its mean over the user's candidates, float64 [n, m].

    The mean is that over a few of them, spread over the whole list by id. A column that has one
    value for all of the list tells none of it apart, and moves nothing.
    """
    moved = contributions.copy()
    users = np.unique(user)
    spread = [
        np.unique(np.linspace(first, end - 1, _COMPARED if end > first else 0).astype(np.int64))
        for first, end in zip(candidates.indptr[users], candidates.indptr[users + 1], strict=True)
    ]
    flat = np.concatenate(spread)
    compared = model.contributions(features[flat])[:, :-1]
    start = 0
    for one, rows in zip(users, spread, strict=True):
        if not len(rows):
            continue
        whole = features[candidates.indptr[one] : candidates.indptr[one + 1]]
        is_constant = ((whole == whole[0]) | (np.isnan(whole) & np.isnan(whole[0]))).all(axis=0)
        is_own = user == one
        moved[is_own] -= compared[start : start + len(rows)].mean(axis=0)
        moved[np.ix_(is_own, is_constant)] = 0.0
        start += len(rows)
    return moved
