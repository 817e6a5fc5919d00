"""Does the second stage help? Asked of the freshest labels, answered with paired intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from features.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from ranker.evaluation.intervals import PairedInterval, paired_interval, paired_intervals
from ranker.rerank.blend import BLEND, Blend, candidate_blends
from ranker.rerank.quality import default_gains, graded_ndcg
from ranker.rerank.table import LabelledTable
from ranker.rerank.temperature import TEMPERATURES
from ranker.text import count

TWO_STAGE = "two-stage"
"""Name of the lists that the reranker orders."""

GateMode = Literal["warn", "fallback", "blend"]
GATE_MODES: tuple[GateMode, ...] = ("warn", "fallback", "blend")

_MIN_USERS = 30
_MIN_COLD = 10  # users without events who decide whether the second stage serves such users
_NO_HISTORY = "history 0"
_HISTORY_BINS = {"0": (0, 0), "1-2": (1, 2), "3-9": (3, 9), "10+": (10, np.inf)}


@dataclass(frozen=True)
class Segment:
    """The comparison over some of the users, or some of their items.

    Attributes
    ----------
    ndcg : dict of system to float
        Mean NDCG@k over the users of the segment.
    against : dict of system to PairedInterval
        NDCG@k of the second stage minus that of the system.
    n_users : int
    """

    ndcg: dict[str, float]
    against: dict[str, PairedInterval]
    n_users: int


@dataclass(frozen=True)
class GateReport:
    """The second stage against everything that needs none, on the same users.

    Attributes
    ----------
    ndcg : dict of system to float
        Mean NDCG@k over the users that judge, who are those with events before, if there are any:
        what the others get is decided by ``cold``. Of the blend too, if one was asked for.
    against : dict of system to PairedInterval
        NDCG@k of the second stage minus that of the system.
    cold : dict of system to float
        Mean NDCG@k over those who had no events before; empty if there are none.
    cold_winner : str
        What to serve to them: the popular list or, over ten of them or more, the second stage if
        its mean is larger. Another system only where it is better for certain than that (the
        paired interval is above zero, over thirty or more).
    k : int
    n_users, n_cold : int
        Users that judge, and users without events before.
    segments : dict of str to Segment
        By events that a user had before (``"history 0"``, ``"history 1-2"``, ``"history 3-9"``,
        ``"history 10+"``), and by how often the relevant items had been taken (``"cold items"``,
        ``"warm items"``, ``"hot items"``: only such items count as relevant, over the users who
        took some). Without those that have no users.
    blend : Blend or None
        The best blend of the second stage with the best first stage, if one was asked for.
    """

    ndcg: dict[str, float]
    against: dict[str, PairedInterval]
    cold: dict[str, float]
    cold_winner: str
    k: int
    n_users: int
    n_cold: int
    segments: dict[str, Segment] = field(default_factory=dict)
    blend: Blend | None = None

    @property
    def best_first_stage(self) -> str:
        """The best system without a second stage."""
        systems = (system for system in self.against if system != BLEND)
        return max(systems, key=lambda system: self.ndcg[system])

    @property
    def verdict(self) -> str:
        """``"better"``, ``"worse"`` or ``"no difference"`` than the best first stage."""
        interval = self.against[self.best_first_stage]
        if interval.low > 0:
            return "better"
        return "worse" if interval.high < 0 else "no difference"

    @property
    def winner(self) -> str:
        """The second stage or the best first stage: the first only where it is better by its mean.

        Equal means go to the first stage, which costs less.
        """
        interval = self.against[self.best_first_stage]
        return TWO_STAGE if interval.difference > 0 else self.best_first_stage

    def choose(self, mode: GateMode) -> str:
        """What to serve to users with events.

        Parameters
        ----------
        mode : "warn", "fallback" or "blend"
            ``"warn"``: the second stage in any case. ``"fallback"``: :attr:`winner`. ``"blend"``:
            that, unless the blend is better by its mean than both.
        """
        if mode == "warn":
            return TWO_STAGE
        if mode == "blend" and self.ndcg.get(BLEND, 0.0) > self.ndcg[self.winner]:
            return BLEND
        return self.winner

    def __str__(self) -> str:
        best = self.best_first_stage
        interval = self.against[best]
        text = (
            f"two-stage NDCG@{self.k} {self.ndcg[TWO_STAGE]:.4f} against {self.ndcg[best]:.4f} by "
            f"{best}, the best first stage: {interval.difference:+.4f} "
            f"[{interval.low:+.4f}, {interval.high:+.4f}] over {count(self.n_users, 'user')}, "
            f"{self.verdict}"
        )
        if self.losses:
            text += f"; worse in {', '.join(self.losses)}"
        if self.blend is not None:
            text += (
                f"; a blend of {self.blend.weight:.0%} with {self.blend.system} has "
                f"{self.ndcg[BLEND]:.4f}"
            )
        return text

    @property
    def losses(self) -> list[str]:
        """Segments of enough users in which a first stage is better than the second for certain.

        Users without events are none of them where the second stage does not serve them.
        """
        unserved = () if self.cold_winner == TWO_STAGE else (_NO_HISTORY,)
        return [
            name
            for name, segment in self.segments.items()
            if segment.n_users >= _MIN_USERS
            and name not in unserved
            and any(pair.high < 0 for system, pair in segment.against.items() if system != BLEND)
        ]

    def frame(self) -> pl.DataFrame:
        """One row per system: system, ndcg, and two-stage minus it with its interval."""
        return _frame(self.ndcg, self.against)

    def segment_frame(self) -> pl.DataFrame:
        """One row per segment and system: segment, n_users, and the columns of :meth:`frame`."""
        parts = [
            _frame(segment.ndcg, segment.against).select(
                pl.lit(name).alias("segment"),
                pl.lit(segment.n_users, pl.Int64).alias("n_users"),
                pl.all(),
            )
            for name, segment in self.segments.items()
        ]
        return pl.concat(parts)


def _frame(ndcg: Mapping[str, float], against: Mapping[str, PairedInterval]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "system": system,
            "ndcg": value,
            "two_stage_minus": None if system == TWO_STAGE else interval.difference,
            "ci_low": None if system == TWO_STAGE else interval.low,
            "ci_high": None if system == TWO_STAGE else interval.high,
        }
        for system, value in sorted(ndcg.items(), key=lambda pair: -pair[1])
        for interval in [against.get(system, PairedInterval(0.0, 0.0, 0.0, 1.0))]
    )


def open_gate(
    table: LabelledTable,
    scores: Mapping[str, Float32Array],
    *,
    fill: str,
    k: int,
    gains: Sequence[float] | None = None,
    blend: bool = False,
    random_state: int,
) -> GateReport:
    """Compare the second stage with the others.

    Parameters
    ----------
    table : LabelledTable
        Users to judge by, with all candidates kept; those without a hit may have no rows.
    scores : mapping of system to float32 array [n_rows]
        With :data:`TWO_STAGE` among them.
    fill : str
        The system that serves users without events where the second stage is not better.
    k : int
    gains : sequence of float, optional
        What each grade from 0 is worth. Default: ``2**grade - 1``.
    blend : bool
        Look for the best blend of the second stage with the best first stage, too.
    random_state : int
        Of the bootstrap.
    """
    gains = default_gains() if gains is None else gains
    per_user = {name: graded_ndcg(table, x, k=k, gains=gains) for name, x in scores.items()}
    # Users whose relevant items are of grades that are worth nothing have no NDCG.
    is_judged = ~np.isnan(per_user[TWO_STAGE])
    if not is_judged.all():
        rows = np.repeat(is_judged, np.diff(table.indptr))
        table = table.groups(is_judged)
        scores = {name: values[rows] for name, values in scores.items()}
        per_user = {name: values[is_judged] for name, values in per_user.items()}
    is_cold = table.is_cold
    # Who has no events is served by the cold winner, whatever the others get.
    is_judge = is_cold if is_cold.all() else ~is_cold
    cold = {
        name: _of_users(values, table.user[is_cold])
        for name, values in _of_groups(per_user, is_cold).items()
    }
    n_cold = len(np.unique(table.user[is_cold]))
    scores, chosen = dict(scores), None
    if blend:
        chosen = _best_blend(table, scores, per_user, is_judge, k, gains)
        scores[BLEND] = chosen.scores(scores[TWO_STAGE], scores[chosen.system], table.indptr)
        per_user[BLEND] = graded_ndcg(table, scores[BLEND], k=k, gains=gains)
    overall = _segment(_of_groups(per_user, is_judge), table.user[is_judge], random_state)
    return GateReport(
        ndcg=overall.ndcg,
        against=overall.against,
        cold={name: float(values.mean()) for name, values in cold.items() if n_cold},
        cold_winner=_cold_winner(cold, fill, random_state),
        k=k,
        n_users=overall.n_users,
        n_cold=n_cold,
        segments={
            name: _segment(values, user, random_state)
            for name, values, user in _parts(table, scores, per_user, is_judge, k, gains)
        },
        blend=chosen,
    )


def _best_blend(
    table: LabelledTable,
    scores: Mapping[str, Float32Array],
    per_user: Mapping[str, Float64Array],
    is_judge: BoolArray,
    k: int,
    gains: Sequence[float],
) -> Blend:
    means = {name: values.mean() for name, values in _of_groups(per_user, is_judge).items()}
    first = max((name for name in scores if name != TWO_STAGE), key=lambda name: means[name])
    blends = candidate_blends(scores, TWO_STAGE, first, table.indptr)
    found = {
        blend: float(graded_ndcg(table, values, k=k, gains=gains)[is_judge].mean())
        for blend, values in blends.items()
    }
    return max(found, key=lambda blend: found[blend])


def _parts(
    table: LabelledTable,
    scores: Mapping[str, Float32Array],
    per_user: Mapping[str, Float64Array],
    is_judge: BoolArray,
    k: int,
    gains: Sequence[float],
) -> Iterator[tuple[str, dict[str, Float64Array], Int64Array]]:
    """NDCG of the groups of each segment, by system, and their users."""
    for name, (low, high) in _HISTORY_BINS.items():
        is_in = (table.n_events >= low) & (table.n_events <= high)
        if is_in.any():
            yield f"history {name}", _of_groups(per_user, is_in), table.user[is_in]
    for temperature, name in enumerate(TEMPERATURES):
        of_items = {
            system: graded_ndcg(table, x, k=k, gains=gains, temperature=temperature)
            for system, x in scores.items()
        }
        is_in = is_judge & ~np.isnan(of_items[TWO_STAGE])
        if is_in.any():
            yield f"{name} items", _of_groups(of_items, is_in), table.user[is_in]


def _of_groups(values: Mapping[str, Float64Array], is_in: BoolArray) -> dict[str, Float64Array]:
    return {system: of_system[is_in] for system, of_system in values.items()}


def _of_users(values: Float64Array, user: Int64Array) -> Float64Array:
    """The mean of each user's windows: only users are drawn independently of each other."""
    _, row, n = np.unique(user, return_inverse=True, return_counts=True)
    return np.bincount(row, values, minlength=len(n)) / n


def _segment(of_groups: Mapping[str, Float64Array], user: Int64Array, random_state: int) -> Segment:
    per_user = {name: _of_users(values, user) for name, values in of_groups.items()}
    others = [name for name in per_user if name != TWO_STAGE]
    differences = np.stack([per_user[TWO_STAGE] - per_user[name] for name in others], axis=1)
    intervals = paired_intervals(differences, random_state=random_state)
    return Segment(
        ndcg={name: float(values.mean()) for name, values in per_user.items()},
        against=dict(zip(others, intervals, strict=True)),
        n_users=len(differences),
    )


def _cold_winner(values: Mapping[str, Float64Array], fill: str, random_state: int) -> str:
    n_cold = len(values[TWO_STAGE])
    if n_cold < _MIN_COLD:
        return fill
    means = {system: of_system.mean() for system, of_system in values.items()}
    # Trees learn from such users too: they need no more proof than the popular list does.
    winner = TWO_STAGE if means[TWO_STAGE] > means[fill] else fill
    best = max(means, key=lambda system: means[system])
    if n_cold < _MIN_USERS or best == winner:
        return winner
    proof = paired_interval(values[best], values[winner], random_state=random_state)
    return best if proof.low > 0 else winner
