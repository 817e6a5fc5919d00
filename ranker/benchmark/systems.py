"""Our systems under a protocol: the engine with all its sources, or models that predict ratings.

One recipe for all data: the defaults of a preset. What they do not settle is chosen by the engine
on labels cut from the train rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import polars as pl

from ranker.benchmark.cuts import Case, Split
from ranker.benchmark.judge import among, list_values, rating_values
from ranker.benchmark.protocols import Protocol
from ranker.evaluation import parse_metric
from ranker.recommender import TwoStageRecommender

SERVED = "two-stage as served"
"""What users get: the two stages, or what the gate chose in their place."""

DEEP_MF, MF = "deep MF", "MF with biases"
_CHUNK = 250  # users whose whole catalogue is ranked at a time


def depth_of(metrics: Sequence[str]) -> int:
    """How long lists have to be."""
    return max(parse_metric(name)[1] or 0 for name in metrics)


def recommend(model: Any, case: Case, split: Split, k: int, *, method: str = "recommend") -> Any:
    """What a fitted recommender or generator answers to the users of a split.

    Parameters
    ----------
    model : TwoStageRecommender or Generator
        Fitted on the split's train rows.
    case : Case
    split : Split
    k : int
        Length of the lists. Where the split names competitors, lists hold all of those instead.
    method : "recommend" or "recommend_by_system"

    Returns
    -------
    DataFrame, or dict of system to DataFrame
        ``user_id, item_id, rank, score``.
    """
    parts = [
        getattr(model, method)(**asked, exclude_seen=case.exclude_seen)
        for asked in _asked(case, split, k)
    ]
    if not isinstance(parts[0], dict):
        return pl.concat(_competing(part, split) for part in parts)
    return {name: pl.concat(_competing(part[name], split) for part in parts) for name in parts[0]}


def engine_values(
    protocol: Protocol, case: Case, *, preset: str, random_state: int
) -> tuple[dict[str, pl.DataFrame], list[str]]:
    """Values of the engine, of its sources alone and of their rank fusion.

    Returns
    -------
    values : dict of system to DataFrame
        As :func:`ranker.benchmark.judge.list_values` makes them, of all splits.
    choices : list of str
        What the engine found out and chose, on the first split.
    """
    k = depth_of(protocol.metrics)
    found: dict[str, list[pl.DataFrame]] = {}
    choices: list[str] = []
    for split in case.splits:
        recommender = TwoStageRecommender.preset(preset, random_state=random_state)  # type: ignore[arg-type]
        recommender.fit(split.train, items=case.items)
        choices = choices or recommender.choices_
        lists = recommend(recommender, case, split, k, method="recommend_by_system")
        lists[SERVED] = recommend(recommender, case, split, k)
        for system, frame in lists.items():
            found.setdefault(system, []).append(list_values(frame, split, protocol.metrics))
    # Every split has the same sources, since they follow from the kind of clock.
    return {system: pl.concat(parts) for system, parts in found.items()}, choices


def rating_model_values(case: Case, *, random_state: int) -> dict[str, pl.DataFrame]:
    """Squared errors of deep matrix factorisation, and of the plain one.

    Raises
    ------
    MissingExtraError
        Without the extra ``neural``.
    """
    from ranker.neural import DeepMatrixFactorization, MatrixFactorization

    # Chosen on rows that were held out of the train rows.
    towers: dict[str, Any] = {"towers": (128, 32), "dropout": 0.3, "regularization": 0.02}
    towers |= {"epochs": 40, "patience": 5, "batch_size": 8192, "learning_rate": 3e-3}
    models: dict[str, Callable[..., Any]] = {
        DEEP_MF: partial(DeepMatrixFactorization, **towers),
        MF: MatrixFactorization,
    }
    return {
        name: pl.concat(
            rating_values(predict(make(random_state=random_state), split), split, fold=fold)
            for fold, split in enumerate(case.splits, 1)
        )
        for name, make in models.items()
    }


def predict(model: Any, split: Split) -> pl.Series:
    """Fit on the train rows of a split, and score its test rows, in their order."""
    model.fit(split.train)
    predicted: pl.Series = model.predict(split.test["user_id"], split.test["item_id"])
    return predicted


def _asked(case: Case, split: Split, k: int) -> Iterator[dict[str, Any]]:
    users = split.test["user_id"].unique().sort()
    size = len(users)
    if split.competitors is not None:
        catalogue = split.train if case.items is None else case.items
        k, size = catalogue["item_id"].n_unique(), _CHUNK
    for start in range(0, len(users), size):
        part = users.slice(start, size)
        if split.histories is None:
            yield {"user_ids": part, "k": k}
        else:
            histories = split.histories.filter(pl.col("user_id").is_in(part.implode()))
            yield {"histories": histories, "k": k}


def _competing(lists: pl.DataFrame, split: Split) -> pl.DataFrame:
    return lists if split.competitors is None else among(lists, split.competitors)
