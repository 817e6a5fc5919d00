"""From a fitted recommender and what was held out to the figures of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from features.arrays import FrameLike
from features.schema import canonical_ids, check_id_dtypes, check_items
from ranker.arguments import check_count, check_flag
from ranker.candidates import TextSimilarity
from ranker.distribution import package_version
from ranker.evaluation import compare, evaluate, evaluate_per_user
from ranker.evaluation.frames import IDS, check_pairs, collect
from ranker.evaluation.segments import HISTORY, POPULARITY
from ranker.lists import MMR, diversity_curve
from ranker.progress import progress_bar
from ranker.recommender import TwoStageRecommender
from ranker.report.calibration import hits_of, place_rates, score_calibration
from ranker.report.data import SERVED, Absent, Diversity, Facts, Features, Report, Systems
from ranker.report.shown import choose_users, titles_of, user_lists
from ranker.rerank.blend import BLEND
from ranker.rerank.gate import TWO_STAGE

_METRICS = ("ndcg", "recall", "mrr", "hit_rate")
_FURTHER = ("precision", "map", "coverage", "gini", "novelty", "repetition")
_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
_MOST_USERS = 500  # whose lists are made anew for each point of the curve of diversity
_NO_LABELS = (
    "There is no second stage: the labels had nothing to learn from, so that no trees "
    "were grown and {part}."
)


def collect_report(
    recommender: TwoStageRecommender,
    train: FrameLike,
    test: FrameLike,
    *,
    items: FrameLike | None = None,
    k: int = 10,
    exclude_seen: bool | None = None,
    name: str = "",
    description: str = "",
    funnel: pl.DataFrame | None = None,
    n_lists: int = 10,
    verb: str = "taken",
    random_state: int = 0,
) -> Report:
    """Judge a recommender, and find out where it loses what.

    Parameters
    ----------
    recommender : TwoStageRecommender
        Fitted on ``train``.
    train, test : DataFrame or LazyFrame
        Interactions; ``test`` are later ones, which no choice has seen.
    items : DataFrame or LazyFrame, optional
        ``item_id`` and ``title``: what items are called.
    k : int
        Length of the lists.
    exclude_seen : bool, optional
        As in :meth:`ranker.TwoStageRecommender.recommend`.
    name, description : str
        Of the data, for the head of the page.
    funnel : DataFrame, optional
        What ``recommender.funnel(test)`` returned with the same ``exclude_seen``, if it is known.
    n_lists : int
        How many users' lists are shown.
    verb : str
        What users do with items, as a participle: ``"bought"``, ``"read"``, ``"played"``.
    random_state : int
        Of intervals, and of whom is shown.

    Returns
    -------
    Report
        The same for the same arguments: it holds no times of computing.

    Raises
    ------
    ConfigError, SchemaError
        As those of ``evaluate``, ``funnel`` and ``explain``.
    """
    check_count(k=k, n_lists=n_lists)
    check_flag(exclude_seen=exclude_seen)
    excludes = not recommender.repeats_ if exclude_seen is None else exclude_seen
    log = collect(train, table="train")
    table = None if items is None else check_items(items)
    wanted = check_pairs(test, table="test").unique(maintain_order=True)
    known = check_pairs(log, table="train", like=wanted)
    check_id_dtypes("item_id", train=known, items=table)
    if excludes:
        wanted = wanted.join(known, on=list(IDS), how="anti", maintain_order="left")
    users = collect(test, table="test", columns=IDS)["user_id"].unique().sort()
    titles = titles_of(table)
    with progress_bar(6, "report", "part") as bar:
        served = recommender.recommend(users, k=k, exclude_seen=excludes)
        systems = _systems(
            recommender, served, test, log, k=k, exclude_seen=excludes, random_state=random_state
        )
        bar.update()
        if funnel is None:
            funnel = recommender.funnel(test, exclude_seen=excludes)
        headroom = recommender.headroom(test, k=k, exclude_seen=excludes)
        bar.update()
        diversity = _diversity(
            recommender, wanted, k=k, exclude_seen=excludes, random_state=random_state
        )
        bar.update()
        features = _features(recommender)
        skew = recommender.skew_ or _without_trees("there is nothing to compare serving with")
        bar.update()
        lists = _canonical(served)
        hits = hits_of(lists, wanted)
        # New users are served by another system, whose scores are on another scale.
        is_known = pl.col("user_id").is_in(known["user_id"].unique().implode())
        calibration = score_calibration(hits.filter(is_known), random_state=random_state)
        judged = pl.col("user_id").is_in(wanted["user_id"].unique().implode())
        places = place_rates(hits.filter(judged))
        bar.update()
        values = _canonical_users(
            evaluate_per_user(
                served, test, k=k, metrics="ndcg", train=log, exclude_seen=excludes
            ).select("user_id", "value")
        )
        shown = choose_users(values, n_lists, random_state=random_state)
        theirs = served.filter(lists["user_id"].is_in(shown.implode()))
        explained = recommender.explain(theirs, k=k, exclude_seen=excludes, verb=verb)
        past = known if "timestamp" not in log.columns else known[_in_time(log)]
        rows = user_lists(shown, _canonical(explained), values, past, wanted, titles)
        bar.update()
    return Report(
        facts=Facts(
            name=name,
            description=description,
            n_train=known.height,
            n_test=wanted.height,
            n_items=known["item_id"].n_unique(),
            n_users=values.height,
            train_span=_span(log),
            test_span=_span(collect(test, table="test")),
            k=k,
            exclude_seen=excludes,
            version=package_version(),
            random_state=random_state,
        ),
        systems=systems,
        gate=recommender.gate_ or _without_trees("there was nothing to compare"),
        funnel=funnel.drop("seconds"),
        headroom=headroom,
        diversity=diversity,
        features=features,
        skew=skew,
        places=places,
        calibration=calibration,
        lists=rows,
        has_titles=titles is not None,
        choices=tuple(recommender.choices_),
    )


def _systems(
    recommender: TwoStageRecommender,
    served: pl.DataFrame,
    test: FrameLike,
    log: pl.DataFrame,
    *,
    k: int,
    exclude_seen: bool,
    random_state: int,
) -> Systems:
    lists = recommender.recommend_by_system(
        served["user_id"].unique(maintain_order=True), k=k, exclude_seen=exclude_seen
    )
    own = served.select("user_id", "item_id")
    name = next(
        (name for name, other in lists.items() if other.select(own.columns).equals(own)), None
    )
    if name is None:
        name = SERVED
        lists[name] = served
    options: dict[str, Any] = {
        "reference": name,
        "k": k,
        "exclude_seen": exclude_seen,
        "random_state": random_state,
    }
    table = compare(lists, test, metric=_METRICS, train=log if exclude_seen else None, **options)
    rival = _rival(table, name)
    by_segment: pl.DataFrame | Absent = Absent("There is no other system to compare with.")
    if rival is not None:
        two = {system: lists[system] for system in (rival, name)}
        by_segment = compare(two, test, segments=(HISTORY, POPULARITY), train=log, **options)
    quality = evaluate(
        served,
        test,
        k=k,
        metrics=(*_METRICS, *_FURTHER),
        train=log,
        exclude_seen=exclude_seen,
        random_state=random_state,
    )
    return Systems(table, name, rival, by_segment, quality)


def _rival(table: pl.DataFrame, served: str) -> str | None:
    ordered = table.filter(pl.col("metric") == "ndcg").sort(
        "mean", "system", descending=[True, False]
    )["system"]
    with_trees = (TWO_STAGE, BLEND, SERVED)
    first_stage = [name for name in ordered if name not in with_trees and name != served]
    if served not in with_trees and TWO_STAGE in ordered:
        return TWO_STAGE
    return first_stage[0] if first_stage else None


def _diversity(
    recommender: TwoStageRecommender,
    wanted: pl.DataFrame,
    *,
    k: int,
    exclude_seen: bool,
    random_state: int,
) -> Diversity | Absent:
    if not recommender.embeddings:
        return Absent(
            "How much accuracy more diverse lists would cost is not known: no source has vectors "
            "of items and the table of items has no column of embeddings, so that nothing says "
            "how unlike two items are. A source such as ALS would."
        )
    by = recommender.embeddings[0]
    users = wanted["user_id"].unique().sort()
    order = np.random.default_rng(random_state).permutation(len(users))[:_MOST_USERS]
    asked = pl.col("user_id").is_in(users.gather(np.sort(order)).implode())
    curve = diversity_curve(
        recommender,
        MMR(by),
        wanted.filter(asked),
        values=_WEIGHTS,
        k=k,
        exclude_seen=exclude_seen,
    )
    return Diversity(curve, by, len(order))


def _features(recommender: TwoStageRecommender) -> Features | Absent:
    if recommender.gate_ is None:
        return _without_trees("no feature was used")
    table = recommender.feature_importances().join(
        recommender.describe_features().select("name", "meaning"),
        on="name",
        how="left",
        maintain_order="left",
    )
    reads = any(isinstance(source, TextSimilarity) for source in recommender.sources_.values())
    return Features(table, text=reads or "content" in table["family"])


def _without_trees(part: str) -> Absent:
    return Absent(_NO_LABELS.format(part=part))


def _canonical(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(canonical_ids(frame[column]) for column in IDS)


def _canonical_users(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(canonical_ids(frame["user_id"]))


def _in_time(log: pl.DataFrame) -> pl.Series:
    """Rows of a log in order of time, those of the same time as they stand."""
    order = log.select(pl.arg_sort_by("timestamp", maintain_order=True))
    return order.to_series()


def _span(log: pl.DataFrame) -> tuple[str, str] | None:
    if "timestamp" not in log.columns:
        return None
    first, last = log.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max()).row(0)
    first, last = (str(time.date() if hasattr(time, "date") else time) for time in (first, last))
    return first, last
