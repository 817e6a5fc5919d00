"""How long a refresh takes, and how far its lists are from those of sources fitted anew.

    .venv/bin/python tests/benchmarks/bench_refresh.py

Complete Journey. Fitted on everything but the last five weeks, refreshed with two purchases of a
new household and a new product of which the table alone knows; then with the events of a week, once
by taking them in and once by fitting the sources anew; judged by the last 28 days.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from features.history import LogFacts
from features.schema import check_interactions
from ranker import TextSimilarity, TwoStageRecommender, evaluate_per_user, split_by_time
from ranker.datasets import load_complete_journey
from ranker.defaults import default_generators
from ranker.evaluation import paired_interval
from ranker.lists import NewItems, Policy

_NEW = 25_000  # an id that neither households nor products have


def main() -> None:
    """Fit, refresh and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data = load_complete_journey()
    known, test = split_by_time(data.interactions, test="28d")
    train, week = split_by_time(known, test="7d")
    sources = default_generators(
        LogFacts.of(check_interactions(train)),
        repeats=True,
        n_users=train["user_id"].n_unique(),
        n_items=train["item_id"].n_unique(),
    )
    sources |= {"new": TextSimilarity(columns=["title", "brand"], max_events=0)}
    recommender = TwoStageRecommender(
        generators=[*sources.items()], n_candidates={"new": 50}, random_state=options.seed
    )
    recommender.fit(train, items=data.items, users=data.users)
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        recommender.save(folder)
        report |= _somebody_new(TwoStageRecommender.load(folder), train, data.items)
        report |= _a_week(folder, week, test)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


def _somebody_new(
    recommender: TwoStageRecommender, train: pl.DataFrame, items: pl.DataFrame
) -> dict[str, Any]:
    """Two purchases of a new household, and a new product that is like a popular one."""
    popular = train["item_id"].value_counts().sort("count", "item_id", descending=True)["item_id"]
    first = items.filter(pl.col("item_id") == popular[10])
    table = pl.concat([items, first.with_columns(item_id=pl.lit(_NEW, items.schema["item_id"]))])
    cold = recommender.recommend([_NEW], k=10)["item_id"].to_list()
    bought = train.tail(2).with_columns(
        user_id=pl.lit(_NEW, train.schema["user_id"]),
        item_id=pl.Series([popular[100], popular[1000]], dtype=train.schema["item_id"]),
    )
    start = time.perf_counter()
    recommender.refresh(bought, items=table)
    seconds = time.perf_counter() - start
    own = recommender.recommend([_NEW], k=10)["item_id"].to_list()
    lists = recommender.recommend(k=10, policy=Policy([NewItems(1)]))
    shown = lists.filter(pl.col("item_id") == _NEW).height
    proposed = recommender.generate_candidates().filter(pl.col("item_id") == _NEW).height
    print(f"2 events and a product: {seconds:.2f} s; {recommender.staleness}")
    print(f"  the new household's list shares {len({*cold} & {*own})} of 10 with that of strangers")
    print(f"  the new product is a candidate of {proposed:,}, in the lists of {shown:,}")
    return {"two_events": {"seconds": seconds, "shown": shown, "proposed": proposed}}


def _a_week(folder: str, week: pl.DataFrame, test: pl.DataFrame) -> dict[str, Any]:
    lists, report = {}, {}
    users = test["user_id"].unique().sort()
    for sources in ("update", "fit"):
        recommender = TwoStageRecommender.load(folder)
        start = time.perf_counter()
        recommender.refresh(week, sources=sources)
        seconds = time.perf_counter() - start
        lists[sources] = recommender.recommend(users, k=10)
        report[f"week_{sources}"] = {"seconds": seconds}
        print(f"{week.height:,} events, sources={sources!r}: {seconds:.2f} s")
    same = lists["update"].join(lists["fit"], on=["user_id", "item_id"], how="semi").height
    values = {
        name: evaluate_per_user(found, test, k=10, metrics="ndcg").sort("user_id")["value"]
        for name, found in lists.items()
    }
    apart = paired_interval(values["update"], values["fit"], random_state=0)
    share = same / lists["fit"].height
    print(
        f"  lists of 10 share {share:.1%}; NDCG@10 {values['update'].mean():.4f} against "
        f"{values['fit'].mean():.4f}, {apart.difference:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"
    )
    return report | {"overlap": share, "ndcg": [values[name].mean() for name in values]}


if __name__ == "__main__":
    main()
