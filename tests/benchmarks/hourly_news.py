"""Lists of news that are refreshed every hour, and judged by what is read in the next one.

    python tests/benchmarks/hourly_news.py --data FOLDER --seed 0
    python tests/benchmarks/hourly_news.py --data FOLDER --readers 0.3 --day 2017-10-14

The clicks of Globo.com (Moreira et al. 2018). The trees are fitted on the hours before the day and
stay as they are; every hour of the day `refresh` takes in the clicks since. Judged by NDCG@10 of
the articles that were read within the hour and were new to the reader; each reader counts once, by
the mean of the hours that he came in. Beside the second stage: the popular lists of the last hour
and of the last 20 minutes, refreshed as well, and the popular list of the day before, which stays.

The recipe was chosen with `--day 2017-10-14`, all of which lies before the test day, 2017-10-15.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import time
from pathlib import Path

import numpy as np
import polars as pl

from features.item import ItemPopularity
from features.listwise import Listwise
from features.segment import SegmentShare
from features.similarity import HistorySimilarity
from features.source import SourceScores
from features.stage import FeatureStage
from features.user import UserActivity
from ranker import (
    Audience,
    LabelWindows,
    LambdaRank,
    Popularity,
    TwoStageRecommender,
    evaluate_per_user,
)
from ranker.datasets import load_folder
from ranker.evaluation import paired_interval
from ranker.text import format_table

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
ATTRIBUTES = ("region", "device_group", "os", "referrer_type")
SYSTEMS = {"two-stage": None, "popular, last hour": "popular", "popular, 20 minutes": "rising"}
STATIC = "popular of the day before"
SHORT = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--day", type=dt.datetime.fromisoformat, default=dt.datetime(2017, 10, 15))
    parser.add_argument("--readers", type=float, default=1.0, help="share of the readers")
    parser.add_argument("--windows", type=int, default=48, help="hours to learn from")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    log = clicks(Path(arguments.data), arguments.day, arguments.readers, arguments.seed)
    start = time.perf_counter()
    before = log.filter(pl.col("timestamp") < arguments.day)
    recommender = recipe(arguments.windows, arguments.seed)
    recommender.fit(events(before), users=readers(before))
    print(f"fitted in {time.perf_counter() - start:.0f} s")
    print(*(f"- {line}" for line in recommender.choices_), sep="\n", flush=True)
    values, seconds = follow(recommender, log, arguments.day)
    print(f"{len(seconds)} refreshes, median {np.median(seconds):.1f} s")
    print(format_table(summary(values, arguments.seed), width=140))


def clicks(data: Path, day: dt.datetime, share: float, seed: int) -> pl.DataFrame:
    """The clicks of the week before and of the day, by a share of the readers."""
    log = load_folder(data / "globo-news").interactions
    last = dt.datetime(2017, 10, 16)  # readers are the same, whichever day is asked for
    known = log.filter(pl.col("timestamp") < last)["user_id"].unique().sort()
    some = known.sample(fraction=share, seed=seed)
    span = pl.col("timestamp").is_between(day - 7 * DAY, day + DAY, closed="left")
    return log.filter(span & pl.col("user_id").is_in(some.implode()))


def events(log: pl.DataFrame) -> pl.DataFrame:
    """Who read what, and when."""
    return log.select("user_id", "item_id", "timestamp")


def readers(log: pl.DataFrame) -> pl.DataFrame:
    """Where and by what readers came, as of each click that tells something new."""
    seen = log.sort("user_id", "timestamp").select(
        "user_id", *ATTRIBUTES, valid_from=pl.col("timestamp")
    )
    is_new = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift()) for name in ("user_id", *ATTRIBUTES)
    )
    return seen.filter(is_new).unique(["user_id", "valid_from"], keep="last", maintain_order=True)


def recipe(n_windows: int, seed: int) -> TwoStageRecommender:
    """For the next hour."""
    stage = FeatureStage(
        (
            SourceScores(),
            HistorySimilarity(aggregates=("mean", "max", "recent", "last")),
            ItemPopularity(windows=("5m", "10m", "20m", "1h", "3h", "6h", "24h")),
            SegmentShare(columns=ATTRIBUTES, smoothing=20.0, fading="30m"),
            UserActivity(),
        ),
        listwise=Listwise(("item_share_20m", "item_share_1h", "audience_mean")),
    )
    return TwoStageRecommender(
        generators=[
            ("popular", Popularity(window="1h")),
            ("rising", Popularity(window="20m")),
            ("trending", Popularity(half_life="30m")),
            ("day", Popularity(window="24h")),
            ("audience", Audience(window="3h")),
        ],
        n_candidates={"popular": 60, "rising": 60, "trending": 60, "day": 40, "audience": 30},
        features=stage,
        holdout=LabelWindows("1h", n_windows=n_windows, n_validation=max(1, n_windows // 3)),
        reranker=LambdaRank(n_models=3),
        random_state=seed,
    )


def follow(
    recommender: TwoStageRecommender, log: pl.DataFrame, day: dt.datetime
) -> tuple[pl.DataFrame, list[float]]:
    """NDCG@10 by system, hour and reader, and the seconds that each refresh took."""
    everybody = log.filter(pl.col("timestamp") >= day)["user_id"].unique().sort()
    static = recommender.recommend(everybody, k=60, system="day")
    values, seconds, taken = [], [], day
    for clock in pl.datetime_range(day, day + 23 * HOUR, "1h", eager=True):
        before = log.filter(pl.col("timestamp") < clock)
        news = before.filter(pl.col("timestamp") >= taken)
        if news.height:
            start = time.perf_counter()
            recommender.refresh(events(news), users=readers(before))
            seconds.append(time.perf_counter() - start)
        taken = clock
        read = before.select("user_id", "item_id").unique()
        now = pl.col("timestamp").is_between(clock, clock + HOUR, closed="left")
        asked = log.filter(now).select("user_id", "item_id").unique()
        asked = asked.join(read, on=["user_id", "item_id"], how="anti").sort("user_id", "item_id")
        users = asked["user_id"].unique().sort()
        old = static.filter(pl.col("user_id").is_in(users.implode()))
        lists = {STATIC: without(old, read)} | {
            name: recommender.recommend(users, k=SHORT, system=system)
            for name, system in SYSTEMS.items()
        }
        for name, found in lists.items():
            value = evaluate_per_user(found, asked, k=SHORT, metrics="ndcg")
            value = value.select("user_id", "value", system=pl.lit(name), hour=pl.lit(clock))
            values.append(value)
    return pl.concat(values), seconds


def without(lists: pl.DataFrame, read: pl.DataFrame) -> pl.DataFrame:
    """The first ten of each list that were not read by now."""
    left = lists.join(read, on=["user_id", "item_id"], how="anti").sort("user_id", "rank")
    left = left.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user_id"))
    return left.filter(pl.col("rank") <= SHORT)


def summary(values: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Means over readers, and the second stage minus each, with its paired 95 % interval."""
    of_reader = values.group_by("user_id", "system").agg(pl.col("value").mean())
    of_reader = of_reader.pivot("system", index="user_id", values="value").sort("user_id")
    rows = []
    for name in (*SYSTEMS, STATIC):
        apart = paired_interval(of_reader["two-stage"], of_reader[name], random_state=seed)
        mean = float(of_reader[name].mean())  # type: ignore[arg-type]
        share = f"{apart.difference / mean:+.1%}"
        rows.append((name, mean, apart.difference, apart.low, apart.high, share, len(of_reader)))
    columns = ["system", "NDCG@10", "two-stage minus it", "low", "high", "relative", "readers"]
    return pl.DataFrame(rows, columns, orient="row").with_columns(pl.selectors.float().round(4))


if __name__ == "__main__":
    main()
