"""What the steps of a policy cost and bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import polars as pl

from features.arrays import Float32Array
from features.schema import canonical_ids
from ranker.evaluation.distance import intra_list_distance, list_rows
from ranker.evaluation.evaluate import evaluate, evaluate_per_user
from ranker.evaluation.intervals import paired_interval

NO_POLICY = "no policy"
"""Name of the lists without any rule."""


def effect_frame(
    lists: Mapping[str, pl.DataFrame],
    test: pl.DataFrame,
    train: pl.DataFrame,
    *,
    k: int,
    against: Literal["previous", "first"],
    exclude_seen: bool,
    embedding: tuple[pl.Series, Float32Array] | None,
) -> pl.DataFrame:
    """Judge lists of the same users that differ by what a policy did.

    Parameters
    ----------
    lists : mapping of name to DataFrame
        ``user_id, item_id, rank``.
    test, train : DataFrame
        ``user_id, item_id``.
    k : int
    against : "previous" or "first"
        Which lists each row is compared with.
    exclude_seen : bool
        Take what users had before out of ``test``.
    embedding : (Series, float32 array [n_items, n_factors]), optional
        Ids of items, and their vectors, for a column ``distance``.

    Returns
    -------
    DataFrame
        One row per lists: step (String), ndcg, change, change_low, change_high (of NDCG, paired;
        null in the first row), coverage (share of the items of ``train`` that are listed), novelty
        (bits), distance (in [0, 1]; where there is an embedding) and length (mean number of items
        of a list), all Float64.
    """
    values: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    for name, frame in lists.items():
        per_user = evaluate_per_user(
            frame, test, k=k, metrics="ndcg", train=train, exclude_seen=exclude_seen
        )
        values[name] = per_user["value"].to_numpy()
        row: dict[str, Any] = {"step": name, "ndcg": float(values[name].mean())}
        row |= dict.fromkeys(("change", "change_low", "change_high"))
        if rows:
            other = rows[-1 if against == "previous" else 0]["step"]
            apart = paired_interval(values[name], values[other])
            row |= {
                "change": apart.difference,
                "change_low": apart.low,
                "change_high": apart.high,
            }
        whole = evaluate(
            frame,
            test,
            k=k,
            metrics=["coverage", "novelty"],
            train=train,
            exclude_seen=exclude_seen,
        )
        row |= dict(zip(whole["metric"], whole["mean"], strict=True))
        users = canonical_ids(per_user["user_id"])
        own = frame.select(
            canonical_ids(frame["user_id"]), canonical_ids(frame["item_id"]), "rank"
        ).filter(pl.col("user_id").is_in(users.implode()))
        if embedding is not None:
            places = list_rows(own, users, embedding[0], depth=k)
            row["distance"] = float(intra_list_distance(embedding[1], places).mean())
        row["length"] = own.height / len(users)
        rows.append(row)
    floats = [name for name in rows[0] if name != "step"]
    return pl.DataFrame(rows, schema={"step": pl.String, **dict.fromkeys(floats, pl.Float64)})
