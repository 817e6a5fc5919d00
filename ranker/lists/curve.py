"""Accuracy against diversity: the points of the curve."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import polars as pl

from features.errors import ConfigError
from ranker.lists.calibrate import Calibrate
from ranker.lists.effect import NO_POLICY
from ranker.lists.policy import Policy
from ranker.lists.reorder import Reorder
from ranker.lists.step import Step

_VALUES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Recommender(Protocol):
    """What the curve needs of a model; a fitted ``TwoStageRecommender`` has it."""

    def policy_effect(
        self,
        policy: Mapping[str, Policy],
        test: pl.DataFrame | pl.LazyFrame,
        *,
        k: int,
        embedding: str | None,
        exclude_seen: bool | None,
    ) -> pl.DataFrame:
        """One row per policy, see :meth:`ranker.TwoStageRecommender.policy_effect`."""


def diversity_curve(
    recommender: Recommender,
    policy: Policy | Step,
    test: pl.DataFrame | pl.LazyFrame,
    *,
    values: Sequence[float] = _VALUES,
    k: int = 10,
    embedding: str | None = None,
    exclude_seen: bool | None = None,
) -> pl.DataFrame:
    """What more and more of a reordering step costs in NDCG, and brings in diversity.

    Parameters
    ----------
    recommender : TwoStageRecommender
        Fitted.
    policy : Policy or Step
        ``diversity`` of its last ``MMR`` or ``DPP``, or ``strength`` of ``Calibrate``, is varied.
    test : DataFrame or LazyFrame
        ``user_id``, ``item_id``: rows that no choice has seen, of validation if the value is
        chosen by the curve.
    values : sequence of float
        From 0 to 1.
    k : int
    embedding : str, optional
        What distances are measured by. Default: what the step looks at.
    exclude_seen : bool, optional
        As in ``recommend``.

    Returns
    -------
    DataFrame
        One row per value: value (Float64), and ndcg, change (against no policy), change_low,
        change_high, coverage, novelty, distance (where there is an embedding) and length, as in
        :meth:`ranker.TwoStageRecommender.policy_effect`.

    Raises
    ------
    ConfigError
        If there is no such step, or no value.
    """
    if not isinstance(policy, Policy | Step):
        raise ConfigError(
            f"policy={policy!r}; expected a step such as MMR(...), or Policy([step, ...])"
        )
    given: object = values
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"values={given!r}; expected several numbers from 0 to 1, as a list")
    values = list(values)
    steps = [policy] if isinstance(policy, Step) else list(policy.steps)
    places = [place for place, step in enumerate(steps) if isinstance(step, Reorder)]
    if not places:
        raise ConfigError(f"{policy} has no MMR, DPP or Calibrate whose weight could be varied")
    if not values:
        raise ConfigError("values is empty; expected numbers from 0 to 1")
    varied = steps[places[-1]]
    weight = "strength" if isinstance(varied, Calibrate) else "diversity"
    policies = {}
    for value in values:
        changed = dataclasses.replace(varied, **{weight: value})  # type: ignore[type-var]
        policies[str(value)] = Policy([*steps[: places[-1]], changed, *steps[places[-1] + 1 :]])
    effect = recommender.policy_effect(
        policies,
        test,
        k=k,
        embedding=embedding or getattr(varied, "embedding", None),
        exclude_seen=exclude_seen,
    )
    return effect.filter(pl.col("step") != NO_POLICY).select(
        pl.col("step").cast(pl.Float64).alias("value"), pl.exclude("step")
    )
