"""Does the second stage help? Asked of the freshest labels, answered with a paired interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Float32Array, Float64Array
from ranker.evaluation.intervals import PairedInterval, paired_interval
from ranker.evaluation.metrics import ndcg
from ranker.rerank.table import LabelledTable

TWO_STAGE = "two-stage"
"""Name of the lists that the reranker orders."""

_MIN_COLD_USERS = 30


@dataclass(frozen=True)
class GateReport:
    """The second stage against everything that needs none, on the same users.

    Attributes
    ----------
    ndcg : dict of system to float
        Mean NDCG@k over the users of the freshest labels.
    against : dict of system to PairedInterval
        NDCG@k of the second stage minus that of the system.
    cold : dict of system to float
        Mean NDCG@k over those of them who had no events before; empty if there are none.
    cold_winner : str
        What to serve to them: the popular list, unless a system is better for certain (the
        paired interval is above zero, over enough of them).
    k : int
    n_users, n_cold : int
    """

    ndcg: dict[str, float]
    against: dict[str, PairedInterval]
    cold: dict[str, float]
    cold_winner: str
    k: int
    n_users: int
    n_cold: int

    @property
    def best_first_stage(self) -> str:
        """The best system without a second stage."""
        return max(self.against, key=lambda system: self.ndcg[system])

    @property
    def verdict(self) -> str:
        """``"better"``, ``"worse"`` or ``"no difference"`` than the best first stage."""
        interval = self.against[self.best_first_stage]
        if interval.low > 0:
            return "better"
        return "worse" if interval.high < 0 else "no difference"

    @property
    def winner(self) -> str:
        """What to serve: the first stage only where it is the better by its mean."""
        interval = self.against[self.best_first_stage]
        return TWO_STAGE if interval.difference > 0 else self.best_first_stage

    def __str__(self) -> str:
        best = self.best_first_stage
        interval = self.against[best]
        return (
            f"two-stage NDCG@{self.k} {self.ndcg[TWO_STAGE]:.4f} against {self.ndcg[best]:.4f} by "
            f"{best}, the best first stage: {interval.difference:+.4f} "
            f"[{interval.low:+.4f}, {interval.high:+.4f}] over {self.n_users} users, "
            f"{self.verdict}"
        )

    def frame(self) -> pl.DataFrame:
        """One row per system: system, ndcg, and two-stage minus it with its interval."""
        return pl.DataFrame(
            {
                "system": system,
                "ndcg": value,
                "two_stage_minus": None if system == TWO_STAGE else interval.difference,
                "ci_low": None if system == TWO_STAGE else interval.low,
                "ci_high": None if system == TWO_STAGE else interval.high,
            }
            for system, value in sorted(self.ndcg.items(), key=lambda pair: -pair[1])
            for interval in [self.against.get(system, PairedInterval(0.0, 0.0, 0.0, 1.0))]
        )


def open_gate(
    table: LabelledTable,
    scores: Mapping[str, Float32Array],
    *,
    fill: str,
    k: int,
    random_state: int,
) -> GateReport:
    """Compare the second stage with the systems that need none.

    Parameters
    ----------
    table : LabelledTable
        Of labels that the reranker did not learn from, all candidates kept.
    scores : mapping of system to float32 array [n_rows]
        With :data:`TWO_STAGE` among them.
    fill : str
        The system that serves users without events, for want of proof of a better one.
    k : int
    random_state : int
        Of the bootstrap.
    """
    per_user = {name: _ndcg(table, values, k) for name, values in scores.items()}
    cold = {name: values[table.is_cold] for name, values in per_user.items()}
    n_cold = int(table.is_cold.sum())
    return GateReport(
        ndcg={name: float(values.mean()) for name, values in per_user.items()},
        against={
            name: paired_interval(per_user[TWO_STAGE], values, random_state=random_state)
            for name, values in per_user.items()
            if name != TWO_STAGE
        },
        cold={name: float(values.mean()) for name, values in cold.items() if n_cold},
        cold_winner=_cold_winner(cold, fill, random_state) if n_cold >= _MIN_COLD_USERS else fill,
        k=k,
        n_users=table.n_groups,
        n_cold=n_cold,
    )


def _ndcg(table: LabelledTable, scores: Float32Array, k: int) -> Float64Array:
    return np.asarray(ndcg(table.hits(scores, k), table.n_relevant, k=k))


def _cold_winner(values: Mapping[str, Float64Array], fill: str, random_state: int) -> str:
    best = max(values, key=lambda system: values[system].mean())
    proof = paired_interval(values[best], values[fill], random_state=random_state)
    return best if proof.low > 0 else fill
