"""Several systems judged on the same users, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from features.arrays import Float64Array, FrameLike
from features.errors import ConfigError
from ranker.evaluation.beyond import LOWER_IS_BETTER
from ranker.evaluation.evaluate import Embedding, evaluate_per_user
from ranker.evaluation.frames import IDS, check_pairs
from ranker.evaluation.intervals import bootstrap_interval, paired_interval
from ranker.evaluation.segments import user_segments
from ranker.evaluation.significance import effect_size, holm, permutation_p_value

EVERYBODY = "everybody"
"""What the segment of all users is called."""

SUMMARY_COLUMNS = ("mean", "ci_low", "ci_high", "difference", "difference_low", "difference_high")
_KEYS = {"system": pl.String, "metric": pl.String, "k": pl.Int64}
_SEGMENT = {"segment": pl.String, "level": pl.String}
_TESTS = {
    "p_bootstrap": pl.Float64,
    "p_permutation": pl.Float64,
    "p_holm": pl.Float64,
    "effect_size": pl.Float64,
    "reference_better": pl.Int64,
    "ties": pl.Int64,
    "system_better": pl.Int64,
    "n_users": pl.Int64,
}


def compare(
    systems: Mapping[str, FrameLike],
    test: FrameLike,
    *,
    reference: str | None = None,
    metric: str | Sequence[str] = "ndcg",
    k: int = 10,
    train: FrameLike | None = None,
    exclude_seen: bool = False,
    other: FrameLike | None = None,
    embedding: Embedding | None = None,
    categories: FrameLike | None = None,
    segments: Sequence[str] = (),
    users: FrameLike | None = None,
    n_resamples: int = 1000,
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
    metric : str or sequence of str
        Metrics that have a value for each user, such as ``"ndcg"`` or ``"recall@20"``.
    k : int
        Depth of those that name none.
    train, exclude_seen, other, embedding, categories
        See :func:`evaluate`; ``other`` is what all systems overlap with.
    segments : sequence of str
        Groups of users that are compared apart as well: ``"history_length"``,
        ``"item_popularity"`` or columns of ``users``, see
        :func:`ranker.evaluation.user_segments`.
    users : DataFrame or LazyFrame, optional
        ``user_id`` and attributes.
    n_resamples : int
        Of the bootstrap and of the permutation test.
    random_state : int
        Of both.

    Returns
    -------
    DataFrame
        One row per system, metric and group of users, best first within the last two: system,
        metric, k, (segment, level: where there are segments; all users are ``"everybody"``),
        mean, ci_low, ci_high (of the metric), difference, difference_low, difference_high
        (reference minus system over the same users; above zero the reference has more, which of
        all metrics but ``"miscalibration"`` is counted as better),
        p_bootstrap, p_permutation (two-sided, see :func:`ranker.evaluation.permutation_p_value`),
        p_holm (p_permutation adjusted for all systems and metrics of everybody; the rows of
        segments are a family of their own), effect_size (Cohen's d_z; null where all users differ
        by the same), reference_better, ties, system_better (numbers of users) and n_users. What
        compares is null for the reference itself.

    Raises
    ------
    ConfigError
        If the systems have no names, the reference is none of them, or a segment is unknown.

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
            lists,
            test,
            k=k,
            metrics=metric,
            train=train,
            exclude_seen=exclude_seen,
            other=other,
            embedding=embedding,
            categories=categories,
        )
        for name, lists in systems.items()
    }
    groups = list(_groups(test, segments, train, users, exclude_seen=exclude_seen))
    options = {"n_resamples": n_resamples, "random_state": random_state}
    rows = []
    cells = values[reference].select("metric", "k").unique(maintain_order=True).rows()
    for name, depth in cells:
        of_cell = {
            system: frame.filter(metric=name, k=depth)["value"].to_numpy()
            for system, frame in values.items()
        }
        for segment, level, members in groups:
            sign = -1.0 if name in LOWER_IS_BETTER else 1.0
            apart = [
                {"system": system, "metric": name, "k": depth, "segment": segment, "level": level}
                | _row(
                    of_cell[reference][members], own[members], sign, system != reference, options
                )
                for system, own in of_cell.items()
            ]
            rows += sorted(apart, key=lambda row: -sign * row["mean"])
    schema = _KEYS | _SEGMENT | dict.fromkeys(SUMMARY_COLUMNS, pl.Float64) | _TESTS
    table = _adjusted(pl.DataFrame(rows, schema=schema))
    return table if segments else table.drop(_SEGMENT)


def compare_over(comparisons: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Put comparisons on several data sets below each other, p_holm adjusted for all of them.

    Parameters
    ----------
    comparisons : mapping of name to DataFrame
        What :func:`compare` returned, by the name of the data; all with the same columns.

    Returns
    -------
    DataFrame
        A column ``data`` (String) and those of :func:`compare`.

    Raises
    ------
    ConfigError
        No comparisons, or such as have different columns.
    """
    if not comparisons:
        raise ConfigError("comparisons is empty; expected frames of compare by name of the data")
    shapes = {tuple(frame.columns) for frame in comparisons.values()}
    if len(shapes) > 1 or not set(shapes.pop()) >= {"system", "metric", "p_permutation", "p_holm"}:
        raise ConfigError(
            "comparisons have different columns, or are not what compare returned; ask all of them "
            "for the same segments"
        )
    return _adjusted(
        pl.concat(
            frame.select(pl.lit(name).alias("data"), pl.all())
            for name, frame in comparisons.items()
        )
    )


def _unseen(test: FrameLike, train: FrameLike) -> pl.DataFrame:
    """What of test counts: users of whom nothing is left are not judged."""
    pairs = check_pairs(test, table="test")
    seen = check_pairs(train, table="train", like=pairs)
    return pairs.join(seen, on=list(IDS), how="anti")


def _groups(
    test: FrameLike,
    segments: Sequence[str],
    train: FrameLike | None,
    users: FrameLike | None,
    *,
    exclude_seen: bool,
) -> Iterator[tuple[str, str, Any]]:
    """Segment, level and the places of its users among the ascending ones that are judged."""
    yield EVERYBODY, EVERYBODY, slice(None)
    if isinstance(segments, str):
        raise ConfigError(f"segments is {segments!r}; expected a list, as in [{segments!r}]")
    if not segments:
        return
    counted = test if train is None or not exclude_seen else _unseen(test, train)
    table = user_segments(counted, segments, train=train, users=users)
    for segment in dict.fromkeys(segments):
        for level in table[segment].unique().sort():
            yield segment, level, (table[segment] == level).to_numpy()


def _row(
    of_reference: Float64Array,
    own: Float64Array,
    sign: float,
    is_other: bool,
    options: dict[str, int],
) -> dict[str, Any]:
    mean = bootstrap_interval(own, **options)
    row: dict[str, Any] = {"mean": mean.mean, "ci_low": mean.low, "ci_high": mean.high}
    row["n_users"] = len(own)
    if is_other:
        apart = paired_interval(of_reference, own, **options)
        differences = of_reference - own
        row |= {
            "difference": apart.difference,
            "difference_low": apart.low,
            "difference_high": apart.high,
            "p_bootstrap": apart.p_value,
            "p_permutation": permutation_p_value(differences, **options),
            "effect_size": effect_size(differences),
            "reference_better": int(np.count_nonzero(sign * differences > 0)),
            "ties": int(np.count_nonzero(differences == 0)),
            "system_better": int(np.count_nonzero(sign * differences < 0)),
        }
    return row


def _adjusted(table: pl.DataFrame) -> pl.DataFrame:
    whole = np.ones(table.height, bool)
    if "segment" in table.columns:
        whole = (table["segment"] == EVERYBODY).to_numpy()
    p = table["p_permutation"].to_numpy()
    adjusted = np.full(table.height, np.nan)
    for family in (whole, ~whole):
        tested = family & ~np.isnan(p)
        adjusted[tested] = holm(p[tested])
    return table.with_columns(pl.Series("p_holm", adjusted).fill_nan(None))
