"""Whether serving asks the trees about the same kind of lists as those they learned from."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Float32Array, Int32Array
from features.drift import SHIFTED, population_stability
from features.history import History
from ranker.parallel import map_chunks
from ranker.rerank.fitted import FittedLambdaRank
from ranker.snapshot import Snapshot

logger = logging.getLogger(__name__)

# Sources fitted before their labels find about as much in each window: on clean logs the older
# windows had at most 1.14 times the recall of what came after, with a leak 1.37 times.
_SUSPICIOUS_RECALL = 1.25
_SUSPICIOUS_SHARE = 0.15  # of the candidates, by which the part of a source changes

_MIN_USERS = 100  # of fewer, scores differ by chance
_MAX_USERS = 300
_MAX_ROWS = 300_000
_CHUNK = 128
_MAX_COMPARED = 20_000  # rows whose features are compared one by one: enough for ten bins


@dataclass(frozen=True)
class Sight:
    """The lists of some users with events, as a snapshot shows them.

    Attributes
    ----------
    n_users : int
    shares : dict of source name to float
        Part of the candidates that each source proposes.
    n_candidates : float
        Of a user, mean.
    features : float32 array [n_rows, n_features]
    """

    n_users: int
    shares: dict[str, float]
    n_candidates: float
    features: Float32Array


@dataclass(frozen=True)
class SkewReport:
    """Training against serving.

    Attributes
    ----------
    recall : list of float
        Share of the relevant items among the candidates, of each label window, freshest first.
    recall_ratio : float or None
        Mean of the older windows by the freshest, which is the nearest to serving that has labels.
        Far above 1, a source has seen the older labels, or the taste changes fast. None with a
        single window, or if the freshest has none.
    shares_then, shares_now : dict of source name to float
        Part of the candidates that each source proposes, in the freshest window and in serving.
    n_candidates_then, n_candidates_now : float
        Of a user, mean.
    n_users : int
        Looked at on each side, at least.
    score_psi : float
        Population stability index of the scores of the same model, 0 = the same; above 0.25
        they have shifted much (see :func:`features.drift.population_stability`).
    feature_psi : dict of feature name to float
        The same index of each feature; :meth:`ranker.TwoStageRecommender.drift` looks at all
        windows and says more.
    """

    recall: list[float]
    recall_ratio: float | None
    shares_then: dict[str, float]
    shares_now: dict[str, float]
    n_candidates_then: float
    n_candidates_now: float
    n_users: int
    score_psi: float
    feature_psi: dict[str, float] = field(default_factory=dict)

    @property
    def most_changed(self) -> tuple[str, float]:
        """The source whose part of the candidates changes most, and by how much."""
        changes = {name: self.shares_now[name] - share for name, share in self.shares_then.items()}
        name = max(changes, key=lambda source: abs(changes[source]))
        return name, changes[name]

    @property
    def warnings(self) -> list[str]:
        """What is out of the ordinary, a line each, with figures."""
        lines = []
        name, change = self.most_changed
        if self.recall_ratio is not None and self.recall_ratio > _SUSPICIOUS_RECALL:
            lines.append(
                f"the candidates of the older label windows hold {self.recall_ratio:.2f} times the "
                f"share of relevant items that those of the freshest hold: either a source has "
                f"seen its labels, or older windows are too old to learn from"
            )
        if not self.n_candidates_then or not self.n_candidates_now:
            # Whoever has taken everything is proposed nothing: there is nothing to compare.
            return lines
        if abs(change) > _SUSPICIOUS_SHARE:
            lines.append(
                f"{name} proposes {self.shares_then[name]:.0%} of the candidates in training and "
                f"{self.shares_now[name]:.0%} in serving"
            )
        if self.score_psi > SHIFTED and self.n_users >= _MIN_USERS:
            lines.append(
                f"scores in serving differ from those in training (stability index "
                f"{self.score_psi:.2f}, above {SHIFTED} is much); drift() names the features"
            )
        return lines

    def __str__(self) -> str:
        name, change = self.most_changed
        ratio = "" if self.recall_ratio is None else f" (older windows {self.recall_ratio:.2f}x)"
        return (
            f"recall of candidates {self.recall[0]:.3f}{ratio}; in serving {name} proposes "
            f"{change:+.1%} of them, scores shift by {self.score_psi:.2f}"
        )


def look_at(
    snapshot: Snapshot,
    depths: Mapping[str, int],
    *,
    exclude_seen: bool,
    random_state: int,
    n_threads: int,
) -> Sight:
    """Look at the lists of some users with events: the labels do not exist yet in serving.

    Parameters
    ----------
    snapshot : Snapshot
    depths : mapping of source name to int
    exclude_seen : bool
    random_state, n_threads : int
    """
    n_users = _MAX_USERS
    if snapshot.every_item:
        n_users = max(1, min(n_users, _MAX_ROWS // snapshot.history.n_items))
    asked = snapshot.some_users(n_users, random_state)

    def look(_: int, part: History) -> tuple[Int32Array, Float32Array]:
        candidates = snapshot.candidates(part, depths, exclude_seen=exclude_seen)
        return candidates.rank, snapshot.features(part, candidates)

    size = snapshot.chunk_size(_CHUNK)
    ranks, tables = zip(
        *map_chunks(look, asked, size, n_threads, description="training against serving"),
        strict=True,
    )
    rank = np.concatenate(ranks)
    shares = (rank > 0).mean(axis=0) if len(rank) else np.zeros(len(snapshot.generators))
    return Sight(
        asked.n_users,
        dict(zip(snapshot.generators, map(float, shares), strict=True)),
        len(rank) / asked.n_users,
        np.concatenate(tables),
    )


def check_skew(
    then: Sight,
    recall: Sequence[float],
    model: FittedLambdaRank,
    serving: Snapshot,
    depths: Mapping[str, int],
    *,
    exclude_seen: bool,
    random_state: int,
    n_threads: int,
) -> SkewReport:
    """Look at what is served, compare, and log what is out of the ordinary.

    Parameters
    ----------
    then, recall
        See :func:`compare_sights`.
    model : FittedLambdaRank
    serving : Snapshot
    depths, exclude_seen, random_state, n_threads
        See :func:`look_at`.
    """
    now = look_at(
        serving,
        depths,
        exclude_seen=exclude_seen,
        random_state=random_state,
        n_threads=n_threads,
    )
    report = compare_sights(then, now, model, recall, n_threads=n_threads)
    report = dataclasses.replace(report, feature_psi=_feature_psi(then, now, model.names))
    for line in report.warnings:
        logger.warning("%s", line)
    return report


def compare_sights(
    then: Sight, now: Sight, model: FittedLambdaRank, recall: Sequence[float], *, n_threads: int
) -> SkewReport:
    """Compare the freshest label window with what is served.

    Parameters
    ----------
    then, now : Sight
    model : FittedLambdaRank
        The one that serves.
    recall : sequence of float
        Of the candidates, by label window, freshest first.
    n_threads : int
    """
    older = recall[1:]
    scores = [model.predict(sight.features, n_threads=n_threads) for sight in (then, now)]
    return SkewReport(
        recall=[float(value) for value in recall],
        recall_ratio=float(np.mean(older) / recall[0]) if older and recall[0] > 0 else None,
        shares_then=then.shares,
        shares_now=now.shares,
        n_candidates_then=then.n_candidates,
        n_candidates_now=now.n_candidates,
        n_users=min(then.n_users, now.n_users),
        score_psi=population_stability(*scores),
    )


def _feature_psi(then: Sight, now: Sight, names: Sequence[str]) -> dict[str, float]:
    if not len(then.features) or not len(now.features):
        return {}
    old, new = (
        table[:: -(-len(table) // _MAX_COMPARED)] for table in (then.features, now.features)
    )
    return {
        name: population_stability(old[:, column], new[:, column])
        for column, name in enumerate(names)
    }
