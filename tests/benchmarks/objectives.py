"""Prints what objectives and their mean are worth where labels are random, on train rows alone.

    python tests/benchmarks/objectives.py --data FOLDER --seed 0

Of the train rows of MovieLens 100k (the first of the protocol's random quarters) another random
quarter is held out, as the protocol holds out its test rows, which play no part.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import polars as pl

from ranker import LambdaRank, TwoStageRecommender, compare
from ranker.benchmark import load_case

VARIANTS = {
    "lambdarank": LambdaRank(),
    "rank_xendcg": LambdaRank(objective="rank_xendcg"),
    "binary": LambdaRank(objective="binary"),
    "three of lambdarank": LambdaRank(n_models=3),
    "one of each": LambdaRank(n_models=3, vary="objectives"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("RANKER_DATA"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    asked = parser.parse_args()
    case = load_case("ml-100k", asked.data, asked.seed)
    log = case.splits[0].train.sort("user_id", "item_id")
    draw = pl.Series("draw", np.random.default_rng(asked.seed + 1).random(log.height))
    place = log.with_columns(draw).select(
        (pl.col("draw").rank("ordinal").over("user_id") - 0.5) / pl.len().over("user_id")
    )["draw"]
    train, held_out = log.filter(place > 0.25), log.filter(place <= 0.25)
    for name in asked.only:
        recommender = TwoStageRecommender(reranker=VARIANTS[name], random_state=asked.seed)
        recommender.fit(train, items=case.items)
        lists = recommender.recommend_by_system(held_out["user_id"].unique().sort(), k=10)
        table = compare(lists, held_out, reference="two-stage", random_state=asked.seed)
        ours = table.filter(system="two-stage")["mean"].item()
        best = table.filter(~pl.col("system").is_in(["two-stage", "fusion"])).sort("mean")[-1]
        system, mean, difference, low, high = best.select(
            "system", "mean", "difference", "difference_low", "difference_high"
        ).row(0)
        print(
            f"{name:20}  NDCG@10 {ours:.4f}, {system} {mean:.4f}: {difference:+.4f} "
            f"[{low:+.4f}, {high:+.4f}]; {recommender.choices_[4]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
