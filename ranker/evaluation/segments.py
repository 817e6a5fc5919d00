"""Groups of test users: by length of history, by how popular their items are, by attributes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import polars as pl

from features.arrays import FrameLike
from features.errors import ConfigError, SchemaError
from features.schema import canonical_ids
from ranker.evaluation.frames import check_pairs, collect

HISTORY, POPULARITY = "history_length", "item_popularity"
"""Segments that follow from the log."""

_HISTORY_BOUNDS = (1, 3, 10, 50)
_MOST_LEVELS = 50


def user_segments(
    test: FrameLike,
    segments: Sequence[str],
    *,
    train: FrameLike | None = None,
    users: FrameLike | None = None,
) -> pl.DataFrame:
    """Say which group of each segmentation a test user is in.

    Parameters
    ----------
    test : DataFrame or LazyFrame
        ``user_id, item_id``.
    segments : sequence of str
        ``"history_length"``: events in ``train``: 0, 1-2, 3-9, 10-49, 50+. ``"item_popularity"``:
        the mean, over the user's test items, of the share of events of ``train`` that belong to
        items taken more often; the third of users with the most popular items is ``"head"``, then
        come ``"middle"`` and ``"tail"``. Else a column of ``users``.
    train : DataFrame or LazyFrame, optional
        ``user_id, item_id`` of what was known.
    users : DataFrame or LazyFrame, optional
        ``user_id``, once each, and attributes with at most 50 values; null becomes ``"unknown"``.

    Returns
    -------
    DataFrame
        ``user_id`` (Int64 or String, ascending, each test user once) and a String column for each
        segmentation.

    Raises
    ------
    ConfigError
        A segmentation is no column of ``users``, has too many values, or lacks ``train``.
    SchemaError
        Bad frames, or a user who is in ``users`` twice.

    Examples
    --------
    >>> log = pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [7, 8, 9, 7]})
    >>> user_segments(log, ["history_length"], train=log)["history_length"].to_list()
    ['3-9', '1-2']
    """
    pairs = check_pairs(test, table="test")
    known = pairs.select(pl.col("user_id").unique().sort())
    past = None if train is None else check_pairs(train, table="train", like=pairs)
    attributes = None if users is None else _attributes(users)
    columns = []
    for name in dict.fromkeys(segments):
        if name in (HISTORY, POPULARITY):
            if past is None:
                raise ConfigError(f"the segment {name!r} is made of train=: pass it, or leave it")
            made = _by_history(known, past) if name == HISTORY else _by_items(known, pairs, past)
            columns.append(made.alias(name))
        elif attributes is not None and name in attributes.columns and name != "user_id":
            columns.append(_by_attribute(known, attributes, name))
        else:
            has = [] if attributes is None else [c for c in attributes.columns if c != "user_id"]
            raise ConfigError(
                f"unknown segment {name!r}; expected {HISTORY!r}, {POPULARITY!r} or a column of "
                f"users= (it has {', '.join(has) or 'none'})"
            )
    return known.with_columns(columns)


def _by_history(known: pl.DataFrame, past: pl.DataFrame) -> pl.Series:
    n = known.join(past.group_by("user_id").len(), on="user_id", how="left", maintain_order="left")[
        "len"
    ]
    group = np.searchsorted(_HISTORY_BOUNDS, n.fill_null(0).to_numpy(), side="right")
    edges = (0, *_HISTORY_BOUNDS)
    names = [
        str(low) if high - low == 1 else f"{low}-{high - 1}"
        for low, high in itertools.pairwise(edges)
    ]
    return pl.Series([*names, f"{edges[-1]}+"]).gather(group)


def _by_items(known: pl.DataFrame, pairs: pl.DataFrame, past: pl.DataFrame) -> pl.Series:
    taken = past.group_by("item_id").len("n").sort("n", "item_id", descending=[True, False])
    # Items taken equally often share one place, so that their ids decide nothing.
    place = taken.group_by("n").agg(pl.col("n").sum().alias("events")).sort("n", descending=True)
    before = place.with_columns((pl.col("events").cum_sum() - pl.col("events")) / past.height)
    depth = taken.join(before.rename({"events": "depth"}), on="n").select("item_id", "depth")
    mean = (
        pairs.unique()
        .join(depth, on="item_id", how="left")
        .with_columns(pl.col("depth").fill_null(1.0))  # nobody took it: behind everything
        .sort("user_id", "depth")
        .group_by("user_id", maintain_order=True)
        .agg(pl.col("depth").mean())
    )
    value = known.join(mean, on="user_id", how="left", maintain_order="left")["depth"].to_numpy()
    cuts = np.quantile(value, [1 / 3, 2 / 3])
    group = np.searchsorted(cuts, value, side="left")
    return pl.Series(["head", "middle", "tail"]).gather(group)


def _attributes(users: FrameLike) -> pl.DataFrame:
    frame = collect(users, table="users")
    if "user_id" not in frame.columns:
        raise SchemaError("users", ["column 'user_id' is missing"])
    n_repeated = frame.height - frame["user_id"].n_unique()
    if n_repeated:
        raise SchemaError("users", [f"{n_repeated} rows repeat a user_id; expected each once"])
    return frame.with_columns(canonical_ids(frame["user_id"]))


def _by_attribute(known: pl.DataFrame, attributes: pl.DataFrame, name: str) -> pl.Series:
    if attributes.schema[name].is_nested():
        raise ConfigError(
            f"the segment {name!r} has dtype {attributes.schema[name]}; expected one value of a "
            f"user: choose one first, as with pl.col({name!r}).list.first()"
        )
    own = attributes.select("user_id", pl.col(name).cast(pl.String, strict=False))
    if own.schema["user_id"] != known.schema["user_id"]:
        problem = f"user_id has dtype {own.schema['user_id']} here and {known.schema['user_id']} "
        raise SchemaError("users", [problem + "in test, so no row could match: cast one of them"])
    level = known.join(own, on="user_id", how="left", maintain_order="left")[name]
    if level.n_unique() > _MOST_LEVELS:
        raise ConfigError(
            f"the segment {name!r} has {level.n_unique()} values among the test users; expected at "
            f"most {_MOST_LEVELS}: cut it into ranges first, as with pl.col({name!r}).cut([...])"
        )
    return level.fill_null("unknown")
