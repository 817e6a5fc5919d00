"""The frames of an evaluation, collected and checked: all problems of a frame in one error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl

from features.arrays import FrameLike, Int64Array
from features.errors import SchemaError
from features.ids import Ids
from features.schema import canonical_ids, check_is_frame
from ranker.evaluation import kernels
from ranker.evaluation.runs import over_runs, run_starts

IDS = ("user_id", "item_id")
_N_EXAMPLES = 3
_TEXT = (pl.String, pl.Categorical, pl.Enum)


def collect(frame: FrameLike, *, table: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Collect a frame of either kind: all of it, or those of ``columns`` that it has.

    Raises
    ------
    SchemaError
        ``frame`` is not a Polars frame.
    """
    check_is_frame(frame, table)
    present = frame.collect_schema().names()
    wanted = present if columns is None else [name for name in columns if name in present]
    return frame.lazy().select(wanted).collect()


def check_pairs(frame: FrameLike, *, table: str, like: pl.DataFrame | None = None) -> pl.DataFrame:
    """The columns user_id, item_id of ``frame``, checked, ids as Int64 or String; at least one row.

    Parameters
    ----------
    frame : DataFrame or LazyFrame
    table : str
        What the errors call the frame.
    like : pl.DataFrame, optional
        The checked test frame, whose ids this frame must be able to match.

    Raises
    ------
    SchemaError
        Missing columns, null ids, ids that are neither numbers nor text or not what ``like`` has,
        no rows.
    """
    pairs = collect(frame, table=table, columns=IDS)
    problems = _column_problems(pairs, IDS, like)
    if pairs.height == 0 and len(pairs.columns) == len(IDS):
        problems.append("has no rows; expected at least one interaction")
    if problems:
        raise SchemaError(table, problems)
    return _canonical(pairs)


def check_recommendations(frame: FrameLike, *, like: pl.DataFrame) -> pl.DataFrame:
    """The columns user_id, item_id, rank of ``frame``, checked, ids as Int64 or String.

    A frame without rows is let through: everybody has the empty list.

    Raises
    ------
    SchemaError
        As :func:`check_pairs`, and ranks that are null, not integers or below 1, a user with an
        item twice, a user with a rank twice.
    """
    columns = (*IDS, "rank")
    lists = collect(frame, table="recommendations", columns=columns)
    problems = _column_problems(lists, columns, like)
    if "rank" in lists.columns:
        problems += _rank_problems(lists["rank"])
    if len(lists.columns) == len(columns) and all(map(_is_comparable, lists.dtypes)):
        problems += _repeat_problems(lists.drop_nulls())
    if problems:
        raise SchemaError("recommendations", problems)
    return _canonical(lists)


def _canonical(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(canonical_ids(frame[column]) for column in IDS)


def _is_comparable(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or dtype in _TEXT


def _column_problems(
    frame: pl.DataFrame, columns: Sequence[str], like: pl.DataFrame | None
) -> list[str]:
    problems = [
        f"column {column!r} is missing; expected the columns {', '.join(columns)}"
        for column in columns
        if column not in frame.columns
    ]
    for column in columns:
        if column not in frame.columns:
            continue
        n_null = frame[column].null_count()
        if n_null:
            problems.append(f"{column} is null in {n_null} of {frame.height} rows; drop them")
        if column in IDS:
            other = None if like is None else like.schema[column]
            problems += _dtype_problems(frame[column], other)
    return problems


def _dtype_problems(ids: pl.Series, other: pl.DataType | None) -> list[str]:
    column, dtype = ids.name, ids.dtype
    if not _is_comparable(dtype):
        return [f"{column} has dtype {dtype}; expected an integer or String: cast it"]
    if other is not None and dtype.is_integer() != other.is_integer():
        problem = f"{column} has dtype {dtype} here and {other} in test, so no row could match: "
        return [problem + f'cast one of them, as in pl.col("{column}").cast(pl.{other})']
    if dtype.is_integer():
        n_large = ids.cast(pl.Int64, strict=False).null_count() - ids.null_count()
        if n_large:
            return [f"{column} has {n_large} values beyond Int64; cast the column to String"]
    return []


def _rank_problems(rank: pl.Series) -> list[str]:
    if not rank.dtype.is_integer():
        return [f"rank has dtype {rank.dtype}; expected integers from 1 (1 = best)"]
    below = rank.filter(rank < 1)
    if below.len():
        return [f"{below.len()} ranks are below 1, the least {below.min()!r}; the best rank is 1"]
    return []


def _repeat_problems(lists: pl.DataFrame) -> list[str]:
    if _is_plainly_distinct(lists):
        return []
    # Counting within users takes a fifth of the time of grouping by both columns; the repeats
    # themselves are only looked for where there are some.
    counts = lists.group_by("user_id").agg(
        pl.len(), pl.col("item_id").n_unique(), pl.col("rank").n_unique()
    )
    problems = []
    for column in ("item_id", "rank"):
        users = counts.filter(pl.col(column) < pl.col("len"))["user_id"]
        if users.len():
            repeated = (
                lists.filter(pl.col("user_id").is_in(users.implode()))
                .group_by("user_id", column)
                .len()
                .filter(pl.col("len") > 1)
                .sort("user_id", column)
            )
            examples = repeated.select("user_id", column).head(_N_EXAMPLES).rows()
            problems.append(
                f"{repeated.height} (user_id, {column}) pairs occur more than once, "
                f"such as {', '.join(map(str, examples))}; expected each once"
            )
    return problems


def _is_plainly_distinct(lists: pl.DataFrame) -> bool:
    """Whether one pass proves that nobody has an item or a rank twice.

    It can where the rows of each user stand together, which is how lists are made; elsewhere
    nothing is said.
    """
    if not lists["rank"].dtype.is_integer():
        return False
    starts = run_starts(lists["user_id"])
    first = lists["user_id"].gather(starts[:-1])
    # A rank beyond Int64 becomes null, which is no array of integers: the slow way names it.
    rank = lists["rank"].cast(pl.Int64, strict=False)
    if rank.null_count() or first.n_unique() < len(first):
        return False
    check = partial(
        kernels.runs_are_distinct, item=_numbers(lists["item_id"]), rank=rank.to_numpy()
    )
    return all(over_runs(check, starts))


def _numbers(ids: pl.Series) -> Int64Array:
    """Equal numbers for equal ids."""
    if ids.dtype == pl.Int64:
        return ids.to_numpy()
    if ids.dtype.is_integer():
        return ids.cast(pl.Int64, wrap_numerical=True).to_numpy()
    ids = canonical_ids(ids)
    return Ids(ids.unique()).encode(ids).astype(np.int64)


def rank_by_score(scores: FrameLike) -> pl.DataFrame:
    """Turn scored pairs into lists: the highest score has rank 1.

    Equal scores are ordered by item id, never by the order of the rows or by what turned out to
    be relevant: a constant score gets the value of an arbitrary list, not of a perfect one.

    Parameters
    ----------
    scores : DataFrame or LazyFrame
        ``user_id, item_id, score``; a score is a number, and none is null or NaN.

    Returns
    -------
    DataFrame
        The same columns and ``rank`` (Int64, 1 = best), users ascending, ranks ascending.

    Raises
    ------
    SchemaError
        Missing columns, null ids, or scores that are no numbers.

    Examples
    --------
    >>> scored = pl.DataFrame({"user_id": [1, 1], "item_id": [8, 7], "score": [0.5, 0.5]})
    >>> rank_by_score(scored)["item_id"].to_list()
    [7, 8]
    """
    columns = (*IDS, "score")
    frame = collect(scores, table="scores", columns=columns)
    problems = _column_problems(frame, columns, None)
    if "score" in frame.columns:
        score = frame["score"]
        if not score.dtype.is_numeric():
            problems.append(f"score has dtype {score.dtype}; expected a number")
        elif score.dtype.is_float() and score.is_nan().any():
            problems.append(f"score is NaN in {score.is_nan().sum()} rows; drop them")
    if problems:
        raise SchemaError("scores", problems)
    ordered = frame.sort("user_id", "score", "item_id", descending=[False, True, False])
    return ordered.with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("user_id").alias("rank")
    )
