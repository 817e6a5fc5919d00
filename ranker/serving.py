"""From users' histories to lists: what training leaves behind and serving needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from features.arrays import Float32Array, Int32Array
from features.candidates import Candidates
from features.history import History
from ranker.candidates.popularity import Popularity
from ranker.defaults import popularity_of
from ranker.funnel import UNLISTED, Hits
from ranker.labelling import mark_relevant
from ranker.lists.apply import BoundPolicy
from ranker.lists.context import ListContext
from ranker.lists.topk import lists_frame, make_lists
from ranker.rerank.blend import BLEND, Blend
from ranker.rerank.first_stage import FUSION, first_stage_scores
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.gate import TWO_STAGE
from ranker.snapshot import Snapshot


@dataclass(frozen=True)
class Asked:
    """Lists that are asked for: by a system (default: what the gate chose), under a policy."""

    system: str | None = None
    policy: BoundPolicy | None = None


@dataclass(frozen=True)
class Server:
    """A snapshot, the trees, and which of the systems orders whose list.

    Attributes
    ----------
    snapshot : Snapshot
    model : FittedLambdaRank or None
    depths : dict of source name to int
    system, cold_system : str
        ``"two-stage"``, ``"fusion"``, ``"blend"`` or a source: for users with and without events.
    blend : Blend or None
    """

    snapshot: Snapshot
    model: FittedLambdaRank | None
    depths: dict[str, int]
    system: str
    cold_system: str
    blend: Blend | None = None

    @property
    def systems(self) -> tuple[str, ...]:
        """Everything that can order a list."""
        first_stage = (*self.snapshot.generators, FUSION)
        if self.model is None:
            return first_stage
        return (*first_stage, TWO_STAGE) if self.blend is None else (*first_stage, BLEND, TWO_STAGE)

    @cached_property
    def fill(self) -> Int32Array:
        """The whole catalogue, popular items first: what short lists are filled up with."""
        generators, history = self.snapshot.generators, self.snapshot.history
        name = popularity_of(generators)
        source = Popularity().fit(history) if name is None else generators[name]
        popular = source.arrays()["item_"]
        rest = np.setdiff1d(np.arange(history.n_items, dtype=np.int32), popular)
        return np.concatenate((popular, rest))

    def candidates(
        self,
        history: History,
        *,
        exclude_seen: bool,
        k: int = 0,
        seconds: dict[str, float] | None = None,
    ) -> Candidates:
        """What the sources propose; each that is asked at all is asked for at least ``k`` items."""
        depths = {name: depth and max(depth, k) for name, depth in self.depths.items()}
        return self.snapshot.candidates(history, depths, exclude_seen=exclude_seen, seconds=seconds)

    def score(
        self, history: History, candidates: Candidates, system: str | None = None
    ) -> Float32Array:
        """Scores of candidates, float32 [n_rows]; NaN = not to be listed.

        Parameters
        ----------
        history : History
        candidates : Candidates
        system : str, optional
            One of :attr:`systems` for everybody. Default: what the gate chose.
        """
        if system is not None:
            return self._score_by(system, history, candidates)
        scores = self._score_by(self.system, history, candidates)
        is_cold = history.lengths == 0
        if self.cold_system != self.system and is_cold.any():
            cold_rows = np.repeat(is_cold, candidates.lengths)
            cold_scores = self._score_by(self.cold_system, history, candidates)
            scores = np.where(cold_rows, cold_scores, scores)
        return scores

    def context(self, random_state: int) -> ListContext:
        """What the steps of a policy may know."""
        snapshot = self.snapshot
        return ListContext(
            history=snapshot.history,
            items=snapshot.items,
            users=snapshot.users,
            sources=snapshot.generators,
            fill=self.fill,
            random_state=random_state,
        )

    def lists(
        self, history: History, k: int, *, exclude_seen: bool, asked: Sequence[Asked]
    ) -> list[pl.DataFrame]:
        """Final lists as asked for, from the same candidates: user_id, item_id, rank, score."""
        k = min(k, self.snapshot.history.n_items)
        candidates = self.candidates(history, exclude_seen=exclude_seen, k=k)
        scores: dict[str | None, Float32Array] = {}
        frames = []
        for one in asked:
            if one.system not in scores:
                scores[one.system] = self.score(history, candidates, one.system)
            chosen = (candidates, scores[one.system], history)
            if one.policy is None:
                lists = make_lists(*chosen, self.fill, k, exclude_seen=exclude_seen)
            else:
                lists = one.policy.lists(*chosen, k, exclude_seen=exclude_seen)
            frames.append(lists_frame(lists, history))
        return frames

    def hits(
        self, history: History, relevant: pl.DataFrame, *, exclude_seen: bool, k: int = 0
    ) -> Hits:
        """What becomes of the relevant items of some users, in lists of k."""
        seconds: dict[str, float] = {}
        candidates = self.candidates(history, exclude_seen=exclude_seen, k=k, seconds=seconds)
        label, n_relevant = mark_relevant(candidates, relevant)
        scores = self.score(history, candidates)
        order = np.lexsort((candidates.item, -scores, candidates.user))
        rank = np.empty(candidates.n_rows, np.int64)
        rank[order] = np.arange(candidates.n_rows) - candidates.indptr[candidates.user] + 1
        rank[np.isnan(scores)] = UNLISTED
        return Hits(candidates, label > 0, n_relevant, rank, seconds)

    def _score_by(self, system: str, history: History, candidates: Candidates) -> Float32Array:
        if system == TWO_STAGE and self.model is not None:
            # One thread each: several runs of users are served at a time.
            return self.model.predict(self.snapshot.features(history, candidates), n_threads=1)
        if system == BLEND and self.blend is not None:
            return self.blend.scores(
                self._score_by(TWO_STAGE, history, candidates),
                self._score_by(self.blend.system, history, candidates),
                candidates.indptr,
            )
        fill = popularity_of(self.snapshot.generators)
        return first_stage_scores(system, candidates.sources, candidates.rank, fill=fill)
