"""Splits by user, by item and by what was published. Each says what it leaks.

Where something leaks, it is what others did after the instant that is tested: popularity and
similarity of items are then known from the future. It flatters all systems, and not all alike; see
Ji et al., "A Critical Study on Data Leakage in Recommender System Offline Evaluation", TOIS 2023.
``split_by_time`` and ``rolling_origin`` leak nothing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from features.arrays import FrameLike
from features.clock import Clock, ClockKind
from features.errors import ConfigError, SchemaError
from features.problems import missing_column
from features.schema import check_interactions
from ranker.arguments import check_count, is_number
from ranker.evaluation.frames import collect


def leave_last_n(
    interactions: FrameLike, *, n: int = 1, min_train: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hold out the last n events of each user.

    Leaks the future: a user's last event may lie before most of what others did, all of which is
    in train. Of the user's own future nothing leaks but the rest of the instant at which the
    last n begin, where several events have the same time.

    Parameters
    ----------
    interactions : DataFrame or LazyFrame
        ``user_id``, ``item_id`` and ``timestamp`` of any kind, positions too. Events of a user at
        the same time are ordered by item id.
    n : int
        How many events of each user are held out.
    min_train : int
        Users who would keep fewer in train stay in train as a whole.

    Returns
    -------
    train, test : DataFrame
        Together the rows of ``interactions``, in their order.

    Raises
    ------
    SchemaError
        No ``timestamp`` or bad columns.
    ConfigError
        Bad numbers, or nobody has enough events.

    Examples
    --------
    >>> log = pl.DataFrame({"user_id": 1, "item_id": [1, 2, 3], "timestamp": [10, 30, 20]})
    >>> leave_last_n(log)[1]["item_id"].to_list()
    [2]
    """
    check_count(n=n, min_train=min_train)
    frame, canonical = _read(interactions, with_time=True)
    age = _order(canonical, newest_first=True)
    size = canonical.select(pl.len().over("user_id")).to_series()
    is_test = (age < n) & (size >= n + min_train)
    if not is_test.any():
        raise ConfigError(
            f"no user has {n + min_train} events, which n={n} and min_train={min_train} need; the "
            f"most have {size.max()!r}"
        )
    return frame.filter(~is_test), frame.filter(is_test)


def split_new_users(
    interactions: FrameLike, *, fraction: float = 0.1, n_known: int = 0, random_state: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Hold out some users as a whole, as if they came after the fit.

    Leaks the future: the others' events at and after the time of the tested ones are in train.
    Nothing of the tested users leaks.

    Parameters
    ----------
    interactions : DataFrame or LazyFrame
        ``user_id``, ``item_id``; ``timestamp`` where ``n_known`` is not 0.
    fraction : float
        Share of users held out, in (0, 1), at random; at least one.
    n_known : int
        First events of each of them that may be known: for ``recommend(histories=)``.
    random_state : int

    Returns
    -------
    train, known, test : DataFrame
        The other users; the first events of those held out; what they did then. Together the rows
        of ``interactions``. Who has no more than ``n_known`` events has no test rows.

    Raises
    ------
    SchemaError, ConfigError
        Bad columns, a bad number, or a part that would be empty.
    """
    if isinstance(n_known, bool) or n_known != 0:
        check_count(n_known=n_known)
    frame, canonical = _read(interactions, with_time=n_known > 0)
    is_held_out = _chosen(canonical["user_id"], fraction, random_state)
    is_known = pl.repeat(value=False, n=frame.height, eager=True)
    if n_known:
        is_known = is_held_out & (_order(canonical, newest_first=False) < n_known)
    test = frame.filter(is_held_out & ~is_known)
    if not test.height:
        raise ConfigError(f"no user held out has more than n_known={n_known} events; take fewer")
    return frame.filter(~is_held_out), frame.filter(is_known), test


def split_new_items(
    interactions: FrameLike,
    *,
    fraction: float = 0.1,
    choose: Literal["random", "newest"] = "random",
    random_state: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hold out some items as a whole, as if they were new.

    Leaks the future: events of other items, of the tested users too, at and after the time of the
    tested ones are in train. Nothing of the tested items leaks. Their users' other events stay in
    train; a system is to recommend from the held-out items, or from all.

    Parameters
    ----------
    interactions : DataFrame or LazyFrame
        ``user_id``, ``item_id``; ``timestamp`` where the newest are held out.
    fraction : float
        Share of items held out, in (0, 1); at least one.
    choose : "random" or "newest"
        Which: any, or those whose first event is latest, which are as new items are, in what is
        written in them and in who takes them. Of items first taken at the same time, those with
        the larger ids.
    random_state : int
        Of the random choice.

    Returns
    -------
    train, test : DataFrame
        Together the rows of ``interactions``.

    Raises
    ------
    SchemaError, ConfigError
        Bad columns, a bad number, a part that would be empty, or the newest asked for where times
        are positions in each user's own sequence.
    """
    if choose not in ("random", "newest"):
        raise ConfigError(f"choose={choose!r}; expected 'random' or 'newest'")
    frame, canonical = _read(interactions, with_time=choose == "newest")
    if choose == "random":
        is_test = _chosen(canonical["item_id"], fraction, random_state)
    else:
        is_test = _newest(canonical, fraction)
    return frame.filter(~is_test), frame.filter(is_test)


def split_by_column(
    interactions: FrameLike,
    column: str = "split",
    *,
    valid: Literal["train", "test", "drop"] = "train",
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Divide as a published column says: ``train``, ``valid``, ``test``.

    Leaks what its authors let leak: leave-last-out and random folds leak the future of other
    users, see :func:`leave_last_n`. Choosing parameters on rows of ``test`` would leak besides;
    choose them with ``valid="test"`` on frames without the test rows.

    Parameters
    ----------
    interactions : DataFrame or LazyFrame
        Rows where the column is null belong to nothing and are dropped.
    column : str
    valid : "train", "test" or "drop"
        Where the rows ``valid`` go. With ``"test"`` they are the test set and the rows ``test``
        are dropped.

    Returns
    -------
    train, test : DataFrame
        Without the column.

    Raises
    ------
    SchemaError
        There is no such column, or it holds other values.
    ConfigError
        Another ``valid``, or a part that would be empty.

    Examples
    --------
    >>> log = pl.DataFrame(
    ...     {"user_id": 1, "item_id": [1, 2, 3], "split": ["train", "valid", "test"]}
    ... )
    >>> [part.height for part in split_by_column(log)]
    [2, 1]
    """
    if valid not in ("train", "test", "drop"):
        raise ConfigError(f"valid={valid!r}; expected 'train', 'test' or 'drop'")
    frame = collect(interactions, table="interactions")
    if column not in frame.columns:
        raise SchemaError("interactions", [missing_column(column, frame.columns)])
    part = frame[column].cast(pl.String, strict=False)
    odd = part.drop_nulls().filter(~part.drop_nulls().is_in(["train", "valid", "test"])).unique()
    if odd.len():
        examples = ", ".join(map(repr, odd.sort().head(3)))
        raise SchemaError(
            "interactions", [f"{column} holds {examples}; expected train, valid and test"]
        )
    wanted = {"train": (["train", "valid"], "test"), "test": (["train"], "valid")}
    train_parts, test_part = wanted.get(valid, (["train"], "test"))
    train = frame.filter(part.is_in(train_parts)).drop(column)
    test = frame.filter(part == test_part).drop(column)
    if not train.height or not test.height:
        raise ConfigError(
            f"{column!r} with valid={valid!r} gives {train.height} train and {test.height} test "
            f"rows; it has {dict(part.value_counts().sort(column).rows())}"
        )
    return train, test


def _read(interactions: FrameLike, *, with_time: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The frame as it came, and its ids (and times) in canonical form, row by row."""
    frame = collect(interactions, table="interactions")
    needed = ["user_id", "item_id", *(["timestamp"] if with_time else [])]
    problems = [missing_column(name, frame.columns) for name in needed if name not in frame.columns]
    if problems:
        raise SchemaError("interactions", problems)
    canonical = check_interactions(frame.select(needed))
    if with_time:
        clock = Clock.of(canonical)
        if clock.kind is ClockKind.NONE:
            raise SchemaError("interactions", ["timestamp says nothing"])
        ticks = pl.Series("tick", clock.ticks(canonical["timestamp"]))
        canonical = canonical.with_columns(ticks)
    return frame, canonical


def _order(canonical: pl.DataFrame, *, newest_first: bool) -> pl.Series:
    """Place of each row among those of its user, from 0, by time and then by item id."""
    order = (
        canonical.with_row_index("row")
        .sort("user_id", "tick", "item_id", "row", descending=[False, *[newest_first] * 3])
        .select("row", pl.int_range(pl.len()).over("user_id").alias("place"))
    )
    return order.sort("row")["place"]


def _newest(canonical: pl.DataFrame, fraction: float) -> pl.Series:
    """Which rows have one of the items that were taken first last."""
    if not Clock.of(canonical.drop("tick")).is_comparable:
        raise ConfigError(
            "choose='newest' needs times that compare users; these are positions in each user's "
            "own sequence: take choose='random'"
        )
    first = canonical.group_by("item_id").agg(pl.col("tick").min()).sort("tick", "item_id")
    newest = first["item_id"].tail(_share_of(first["item_id"], fraction))
    return canonical["item_id"].is_in(newest.implode())


def _share_of(distinct: pl.Series, fraction: float) -> int:
    """How many of the ids are held out."""
    if not is_number(fraction) or not 0.0 < fraction < 1.0:
        raise ConfigError(f"fraction={fraction!r}; expected a number between 0 and 1, such as 0.1")
    n = max(1, round(fraction * len(distinct)))
    if n >= len(distinct):
        raise ConfigError(
            f"fraction={fraction!r} of {len(distinct)} values of {distinct.name} leaves train empty"
        )
    return n


def _chosen(ids: pl.Series, fraction: float, random_state: int) -> pl.Series:
    """Which rows have one of a random share of the ids; the order of rows decides nothing."""
    distinct = ids.unique().sort()
    n = _share_of(distinct, fraction)
    picked = np.random.default_rng(random_state).choice(len(distinct), n, replace=False)
    return ids.is_in(distinct.gather(np.sort(picked)).implode())
