"""Where the relevant items get lost: filtered, not retrieved, or ranked too low."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import BoolArray, Float64Array, Int64Array
from features.candidates import Candidates
from ranker.evaluation.metrics import ndcg

UNION, FINAL_LIST = "union", "final list"
"""Stages beside the sources."""

UNLISTED = np.iinfo(np.int64).max
"""Behind every place."""

_STEPS = (
    ("all relevant, in perfect order", None),
    ("those not filtered, in perfect order", "filtered"),
    ("those retrieved, in perfect order", "not retrieved"),
    ("the list", "badly ranked"),
)
_DEPTHS = (10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class Hits:
    """What became of the relevant items of some users.

    Attributes
    ----------
    candidates : Candidates
    is_hit : bool array [n_rows]
        The candidate is relevant.
    n_relevant : int64 array [n_users]
        Those that nobody proposed included.
    final_rank : int64 array [n_rows]
        Place in the final order of all candidates, 1 = best; :data:`UNLISTED` for those that the
        system which orders the list did not propose.
    seconds : dict of source name to float
        How long each source took.
    """

    candidates: Candidates
    is_hit: BoolArray
    n_relevant: Int64Array
    final_rank: Int64Array
    seconds: dict[str, float]


class FunnelCounts:
    """Adds up hits over runs of users.

    Parameters
    ----------
    sources : sequence of str
    depths : sequence of int
    """

    def __init__(self, sources: Sequence[str], depths: Sequence[int] = _DEPTHS) -> None:
        self.stages = [*sources, UNION]
        self.depths = depths
        self._hits: dict[tuple[str, int], list[Float64Array]] = {
            (stage, depth): [] for stage in [*self.stages, FINAL_LIST] for depth in depths
        }
        self._adds = dict.fromkeys(self._hits, 0)
        self._seconds = dict.fromkeys(sources, 0.0)
        self._n_relevant: list[Int64Array] = []

    def add(self, hits: Hits) -> None:
        """Count one run of users."""
        candidates = hits.candidates
        best = np.where(candidates.rank > 0, candidates.rank, np.iinfo(np.int32).max).min(axis=1)
        ranks = dict(zip(candidates.sources, candidates.rank.T, strict=True))
        ranks |= {UNION: best, FINAL_LIST: hits.final_rank}
        is_alone = candidates.n_sources == 1
        self._n_relevant.append(hits.n_relevant)
        for name, seconds in hits.seconds.items():
            self._seconds[name] += seconds
        for stage, rank in ranks.items():
            for depth in self.depths:
                found = hits.is_hit & (rank > 0) & (rank <= depth)
                per_user = np.bincount(candidates.user[found], minlength=candidates.n_users)
                self._hits[stage, depth].append(per_user.astype(np.float64))
                self._adds[stage, depth] += int((found & is_alone).sum())

    def frame(self, max_depth: Mapping[str, int]) -> pl.DataFrame:
        """One row per stage and depth: stage, depth, recall, found, lost, adds, seconds.

        What a source adds are the hits that no other source proposes at its own full depth.

        Parameters
        ----------
        max_depth : mapping of source name to int
            How many items each source was asked for; deeper rows would repeat the last.
        """
        n_relevant = np.concatenate(self._n_relevant)
        total = int(n_relevant.sum())
        rows = []
        for stage in [*self.stages, FINAL_LIST]:
            limit = max_depth.get(stage, max(max_depth.values(), default=0))
            for depth in _up_to(self.depths, limit):
                hits = np.concatenate(self._hits[stage, depth])
                rows.append(
                    {
                        "stage": stage,
                        "depth": depth,
                        "recall": float((hits / n_relevant).mean()),
                        "found": int(hits.sum()),
                        "lost": total - int(hits.sum()),
                        "adds": self._adds[stage, depth] if stage in self._seconds else None,
                        "seconds": self._seconds.get(stage),
                    }
                )
        return pl.DataFrame(rows)


class Headroom:
    """Adds up, over runs of users, what each stage leaves of a perfect list.

    Parameters
    ----------
    k : int
        Length of the list.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._values: list[Float64Array] = []
        self._n_items = np.zeros(len(_STEPS), np.int64)

    def add(self, hits: Hits, n_wanted: Int64Array) -> None:
        """Count one run of users.

        Parameters
        ----------
        hits : Hits
            Of the relevant items that are not filtered.
        n_wanted : int64 array [n_users]
            Relevant items of each user, the filtered ones included; at least 1.
        """
        user, n_users = hits.candidates.user, hits.candidates.n_users
        retrieved = np.bincount(user[hits.is_hit], minlength=n_users)
        is_listed = hits.is_hit & (hits.final_rank <= self.k)
        listed = np.zeros((n_users, self.k), np.bool_)
        listed[user[is_listed], hits.final_rank[is_listed] - 1] = True
        places = np.arange(self.k)
        lists = [places < n[:, None] for n in (n_wanted, hits.n_relevant, retrieved)]
        self._values.append(
            np.stack([ndcg(list_, n_wanted, k=self.k) for list_ in [*lists, listed]], axis=1)
        )
        self._n_items += [n.sum() for n in (n_wanted, hits.n_relevant, retrieved, listed)]

    def frame(self) -> pl.DataFrame:
        """One row per stage: stage, ndcg, loss, why, n_items (see the recommender's method)."""
        means = np.concatenate(self._values).mean(axis=0)
        return pl.DataFrame(
            {
                "stage": [stage for stage, _ in _STEPS],
                "ndcg": means,
                "loss": [0.0, *(means[:-1] - means[1:])],
                "why": pl.Series([why for _, why in _STEPS], dtype=pl.String),
                "n_items": self._n_items,
            }
        )


def _up_to(depths: Iterable[int], limit: int) -> list[int]:
    """The depths below the limit, and the first that reaches it."""
    kept: list[int] = []
    for depth in depths:
        kept.append(depth)
        if depth >= limit:
            break
    return kept
