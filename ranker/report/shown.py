"""Some users' lists with reasons, from well to badly served."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from features.errors import SchemaError
from features.schema import canonical_ids
from ranker.report.data import UserList

_LAST, _MISSED = 5, 5  # how many titles are told


def choose_users(values: pl.DataFrame, n: int, *, random_state: int) -> pl.Series:
    """Users at equal distances in the order of their NDCG, the best first.

    Parameters
    ----------
    values : DataFrame
        user_id, value; each user once.
    n : int
        How many, if there are as many.
    random_state : int
        Orders those who are equal.
    """
    shuffled = values.sort("user_id")[
        np.random.default_rng(random_state).permutation(values.height).tolist()
    ]
    ranked: pl.Series = shuffled.sort("value", descending=True, maintain_order=True)["user_id"]
    places = np.linspace(0, len(ranked) - 1, min(n, len(ranked))).round().astype(int)
    return ranked.gather(places)


def titles_of(items: pl.DataFrame | None) -> pl.DataFrame | None:
    """Canonical item_id and title, one row an item; None where there are no titles."""
    if items is None or "title" not in items.columns:
        return None
    if items.schema["title"].is_nested():
        problem = f"title: dtype {items.schema['title']}; expected text"
        raise SchemaError("items", [problem])
    return items.select(
        canonical_ids(items["item_id"]), pl.col("title").cast(pl.String, strict=False)
    ).unique("item_id", keep="last", maintain_order=True)


def user_lists(
    users: pl.Series,
    explained: pl.DataFrame,
    values: pl.DataFrame,
    train: pl.DataFrame,
    test: pl.DataFrame,
    titles: pl.DataFrame | None,
) -> tuple[UserList, ...]:
    """Put together what is shown of each user.

    Parameters
    ----------
    users : Series
        Whom to show, in this order.
    explained : DataFrame
        What ``explain`` returned for their lists, in order.
    values : DataFrame
        user_id, value: NDCG.
    train : DataFrame
        user_id, item_id, in order of time.
    test : DataFrame
        user_id, item_id, each pair once.
    titles : DataFrame or None
        From :func:`titles_of`. All ids are canonical.
    """
    shown = pl.col("user_id").is_in(users.implode())
    rows = _named(explained, titles).join(
        test.with_columns(taken=pl.lit(value=True)),
        on=["user_id", "item_id"],
        how="left",
        maintain_order="left",
    )
    rows = rows.with_columns(pl.col("taken").fill_null(value=False))
    past = _named(train.filter(shown), titles)
    wanted = _named(test.filter(shown), titles).sort("user_id", "item_id")
    parts: list[UserList] = []
    for user in users:
        is_own = pl.col("user_id") == user
        own, before, later = rows.filter(is_own), past.filter(is_own), wanted.filter(is_own)
        missed = later.join(own, on="item_id", how="anti", maintain_order="left")
        latest = before.reverse().unique("item_id", maintain_order=True)
        parts.append(
            UserList(
                user_id=str(user),
                n_events=before.height,
                n_relevant=later.height,
                ndcg=float(values.filter(is_own)["value"].item()),
                past=_names(latest.head(_LAST)),
                missed=_names(missed.head(_MISSED)),
                n_missed=missed.height,
                rows=own.select(
                    pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("place"),
                    pl.col("item_id").cast(pl.String),
                    *("title", "taken", "source", "rank", "reason"),
                ),
            )
        )
    return tuple(parts)


def _named(frame: pl.DataFrame, titles: pl.DataFrame | None) -> pl.DataFrame:
    if titles is None:
        return frame.with_columns(title=pl.lit(None, pl.String))
    return frame.join(titles, on="item_id", how="left", maintain_order="left")


def _names(frame: pl.DataFrame) -> tuple[str, ...]:
    names: list[Any] = (
        frame.select(pl.coalesce("title", pl.col("item_id").cast(pl.String))).to_series().to_list()
    )
    return tuple(names)
