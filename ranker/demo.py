"""The main job from end to end, on a year of a grocer's real baskets."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl

from ranker.datasets import Dataset, load_complete_journey
from ranker.evaluation import compare, evaluate, split_by_time
from ranker.evaluation.compare import SUMMARY_COLUMNS
from ranker.export import export_recommendations
from ranker.recommender import TwoStageRecommender
from ranker.text import format_table, hanging

_N_SHOWN = 2
_K = 10


def run_demo(output: Path, *, random_state: int = 0) -> None:
    """Check, hold out, fit, compare, show, save and export; says what it does.

    Parameters
    ----------
    output : Path
        Folder for the model and the export.
    random_state : int

    Raises
    ------
    MissingExtraError
        If the demo's data are not installed.
    """
    started = time.perf_counter()
    data = load_complete_journey()
    log = data.interactions
    _head("Data")
    print(hanging(data.description, indent=0))
    first, last = log.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max()).row(0)
    print(
        f"{log.height:,} purchases of {log['item_id'].n_unique():,} products by "
        f"{log['user_id'].n_unique():,} households, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    )
    train, test = split_by_time(log, test="28d")
    users = test["user_id"].unique().sort()
    print(f"held out: the last 28 days, {test.height:,} purchases by {len(users):,} households")

    _head("Fit")
    recommender = TwoStageRecommender(random_state=random_state)
    recommender.fit(train, items=data.items, users=data.users)
    for line in recommender.choices_:
        print(hanging(f"- {line}", indent=2))

    _head("Funnel: share of the held-out products that each stage still has, mean over households")
    print(format_table(_wide(recommender.funnel(test))))

    _head(f"Lists: NDCG@{_K} on the held-out days, 95 % intervals")
    systems = recommender.recommend_by_system(users, k=_K)
    compared = compare(systems, test, k=_K, random_state=random_state)
    print(format_table(compared.select("system", *SUMMARY_COLUMNS)))
    print("difference = two-stage minus the system, over the same households")
    print()
    print(format_table(evaluate(systems["two-stage"], test, k=_K, train=train)))

    _head("Two households")
    for user_id in _shown(train, users):
        _show(recommender, data, train, test, user_id)

    _head("Serve")
    recommender.refresh(test)
    print(f"refreshed with the held-out days, without retraining: as of {recommender.as_of}")
    recommender.save(output / "model")
    result = export_recommendations(recommender, None, output / "lists", k=50)
    print(
        f"exported {result.n_rows:,} rows for {result.n_users:,} households in "
        f"{result.n_shards} shards"
    )
    print(f"the model:  {output / 'model'}\nthe lists:  {output / 'lists'}")
    print(f"all of it in {time.perf_counter() - started:.0f} seconds")
    print(f"\nnext:  ranker recommend {output / 'model'} --user {users[0]} -k 10")
    print(
        "       ranker init my.toml    # then edit it for your own tables, and: ranker fit my.toml"
    )


def _head(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _wide(funnel: pl.DataFrame) -> pl.DataFrame:
    """One row per stage, a column per depth, and the positives lost at the end."""
    lost = funnel.group_by("stage", maintain_order=True).agg(pl.col("lost").last())
    recall = funnel.pivot("depth", index="stage", values="recall", maintain_order=True)
    by_depth = sorted(recall.columns[1:], key=int)
    return (
        recall.select("stage", *(pl.col(depth).alias(f"@{depth}") for depth in by_depth))
        .join(lost, on="stage", how="left", maintain_order="left")
        .rename({"lost": "lost for good"})
    )


def _shown(train: pl.DataFrame, users: pl.Series) -> list[int]:
    """Households with a middling number of purchases: the first of them by id."""
    sizes = train.filter(pl.col("user_id").is_in(users.implode())).group_by("user_id").len()
    middling = sizes.filter(pl.col("len").is_between(200, 400)).sort("user_id")["user_id"]
    return middling.head(_N_SHOWN).to_list()


def _show(
    recommender: TwoStageRecommender,
    data: Dataset,
    train: pl.DataFrame,
    test: pl.DataFrame,
    user_id: int,
) -> None:
    titles = (pl.DataFrame() if data.items is None else data.items).select("item_id", "title")
    own = train.filter(pl.col("user_id") == user_id)
    last = own.filter(pl.col("timestamp") == own["timestamp"].max())
    names = last.join(titles, on="item_id", how="left", maintain_order="left")["title"]
    basket = ", ".join(names.fill_null("(no title)").head(8).to_list())
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    print(hanging(f"household {user_id}, last basket: {basket}{more}", indent=4))
    bought = test.filter(pl.col("user_id") == user_id).select("item_id").unique()
    lists = (
        recommender.explain(user_id, k=_K, verb="bought")
        .with_row_index("place", offset=1)
        .join(titles, on="item_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("title").fill_null("(no title)").str.slice(0, 34),
            pl.when(pl.col("item_id").is_in(bought["item_id"].implode()))
            .then(pl.lit("yes"))
            .otherwise(pl.lit(""))
            .alias("bought"),
        )
    )
    print(format_table(lists.select("place", "title", "bought", "reason")))
    print()
