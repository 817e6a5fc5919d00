"""Several systems judged on the same users, and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from features.errors import ConfigError
from ranker.evaluation.evaluate import evaluate_per_user
from ranker.evaluation.frames import FrameLike
from ranker.evaluation.intervals import bootstrap_interval, paired_interval


def compare(
    systems: Mapping[str, FrameLike],
    test: FrameLike,
    *,
    reference: str | None = None,
    metric: str = "ndcg",
    k: int = 10,
    train: FrameLike | None = None,
    exclude_seen: bool = False,
    random_state: int = 0,
) -> pl.DataFrame:
    """Judge systems on the same test users, with paired differences to one of them.

    Parameters
    ----------
    systems : mapping of name to DataFrame or LazyFrame
        Recommendations, see :func:`evaluate`.
    test : DataFrame or LazyFrame
    reference : str, optional
        The system that the others are subtracted from. Default: the last one.
    metric : str
    k : int
    train, exclude_seen
        See :func:`evaluate`.
    random_state : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row per system, best first: system, mean, ci_low, ci_high (of the metric), and
        difference, difference_low, difference_high (reference minus system over the same users,
        null for the reference itself; above zero the reference is better).

    Raises
    ------
    ConfigError
        If the systems have no names, or the reference is none of them.

    Examples
    --------
    >>> test = pl.DataFrame({"user_id": [1, 2], "item_id": [8, 7]})
    >>> good = test.with_columns(rank=pl.lit(1))
    >>> bad = good.with_columns(item_id=pl.lit(9))
    >>> compare({"bad": bad, "good": good}, test)["difference"].to_list()
    [None, 1.0]
    """
    if not isinstance(systems, Mapping):
        raise ConfigError(
            f"systems is a {type(systems).__name__}; expected lists by name, as in "
            f'{{"mine": lists, "theirs": others}}; evaluate(lists, test) judges a single one'
        )
    if reference is None and systems:
        reference = list(systems)[-1]
    if reference is None or reference not in systems:
        raise ConfigError(f"reference {reference!r} is none of the systems {list(systems)}")
    values = {
        name: evaluate_per_user(
            lists, test, k=k, metrics=metric, train=train, exclude_seen=exclude_seen
        ).sort("user_id")["value"]
        for name, lists in systems.items()
    }
    rows: list[tuple[Any, ...]] = []
    for name, per_user in values.items():
        own = bootstrap_interval(per_user.to_numpy(), random_state=random_state)
        apart = paired_interval(
            values[reference].to_numpy(), per_user.to_numpy(), random_state=random_state
        )
        difference = (apart.difference, apart.low, apart.high)
        rows.append(
            (name, own.mean, own.low, own.high)
            + (difference if name != reference else (None, None, None))
        )
    columns = ("mean", "ci_low", "ci_high", "difference", "difference_low", "difference_high")
    schema = {"system": pl.String, **dict.fromkeys(columns, pl.Float64)}
    order = np.argsort([-row[1] for row in rows], kind="stable")
    return pl.DataFrame([rows[i] for i in order], schema=schema, orient="row")
