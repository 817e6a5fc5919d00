"""Measures unbiased learning to rank on the impressions of the Open Bandit Dataset.

    python tests/benchmarks/position_bias.py --data FOLDER --seeds 0 1 2 3 4

A query group is a context (campaign and the four user features) on one day, a row an impression.
Trees learn from the policy that chose its items (bts) and are judged on the impressions of the
random one, whose clicks owe nothing to a choice: by the area under the ROC curve, over contexts
that are drawn again and again.

- ``clicks as logged``: three places side by side; whatever they do to 287 clicks is small.
- ``clicks drawn``: the same impressions, but the places follow the price-like ``item_feature_0``,
  and a click needs a look, which the place decides (1, 1/2^bias, 1/3^bias), and a liking, which
  ``item_feature_0`` and the affinity decide. Here the truth is known: the judge is the liking.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from ranker import LambdaRank
from ranker.rerank.table import LabelledTable

USER = [f"user_feature_{number}" for number in range(4)]
NAMES = ["item_feature_0", "affinity", "clicks_before", "hour"]
RERANKER = LambdaRank(n_trees=60, n_leaves=7, learning_rate=0.1, min_rows_in_leaf=50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("RANKER_DATA", "../shared/data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--bias", type=float, nargs="+", default=[0.0, 1.0, 2.0])
    arguments = parser.parse_args()
    rows = load(Path(arguments.data) / "open-bandit")
    report("clicks as logged", rows, arguments.seeds)
    for bias in arguments.bias:
        report(f"clicks drawn, bias {bias}", rows, arguments.seeds, bias=bias)


def load(folder: Path) -> pl.DataFrame:
    """Impressions with features, the rows of a group one after another."""
    log = pl.read_parquet(folder / "interactions.parquet")
    items = pl.read_parquet(folder / "items.parquet")
    rows = log.join(items, on=["campaign", "item_id"], how="left", maintain_order="left")
    rows = rows.with_columns(
        pl.col("user_item_affinity").list.get(pl.col("item_id")).alias("affinity"),
        pl.col("timestamp").dt.hour().alias("hour"),
        pl.col("timestamp").dt.date().alias("day"),
    ).sort("timestamp", "campaign", "policy", "item_id", "position")
    # Of the item, strictly before the impression.
    clicks = pl.col("click").cum_sum().over("campaign", "item_id") - pl.col("click")
    shown = pl.int_range(pl.len()).over("campaign", "item_id")
    rows = rows.with_columns((clicks / (shown + 100)).alias("clicks_before"))
    return rows.sort("policy", "campaign", *USER, "day", "timestamp", maintain_order=True)


def report(name: str, rows: pl.DataFrame, seeds: list[int], bias: float | None = None) -> None:
    found = {"biased": [], "unbiased": []}
    for seed in seeds:
        drawn = rows if bias is None else draw(rows, bias, seed)
        learned, judged = (drawn.filter(pl.col("policy") == p) for p in ("bts", "random"))
        for kind, values in found.items():
            table = table_of(learned, with_positions=kind == "unbiased")
            model = RERANKER.fit(table, NAMES, random_state=seed, n_threads=2)
            values.append(model.predict(matrix(judged)))
    # Without drawing the rows of all seeds are the same: their mean score is judged.
    truth = "click" if bias is None else "likes"
    differences, means = [], {kind: [] for kind in found}
    for place, seed in enumerate(seeds):
        judged = (rows if bias is None else draw(rows, bias, seed)).filter(
            pl.col("policy") == "random"
        )
        label, context = judged[truth].to_numpy(), judged.select(pl.struct(USER).rank("dense"))
        groups = context.to_series().to_numpy() - 1
        rng = np.random.default_rng(seed)
        for kind, values in found.items():
            means[kind].append(roc_auc_score(label, values[place]))
        for _ in range(100):
            times = np.bincount(rng.integers(groups.max() + 1, size=groups.max() + 1))
            weight = np.concatenate((times, np.zeros(groups.max() + 1 - len(times))))[groups]
            auc = [
                roc_auc_score(label, values[place], sample_weight=weight)
                for values in found.values()
            ]
            differences.append(auc[1] - auc[0])
    low, high = np.quantile(differences, [0.025, 0.975])
    print(
        f"{name}: AUC biased {np.mean(means['biased']):.4f}, unbiased "
        f"{np.mean(means['unbiased']):.4f}, difference "
        f"{np.mean(means['unbiased']) - np.mean(means['biased']):+.4f} [{low:+.4f}, {high:+.4f}], "
        f"seeds {seeds}"
    )


def draw(rows: pl.DataFrame, bias: float, seed: int) -> pl.DataFrame:
    """The same impressions with places that follow a feature and clicks that follow the places."""
    rng = np.random.default_rng(seed)
    price = rows["item_feature_0"].to_numpy()
    noisy = price + rng.normal(size=rows.height)
    place = np.digitize(-noisy, np.quantile(-noisy, [1 / 3, 2 / 3])) + 1
    odds = -2.5 - 0.5 * price + 3 * rows["affinity"].to_numpy()
    likes = rng.random(rows.height) < 1 / (1 + np.exp(-odds))
    looks = rng.random(rows.height) < place ** (-bias)
    return rows.with_columns(
        pl.Series("position", place.astype(np.int8)),
        pl.Series("likes", likes.astype(np.int8)),
        pl.Series("click", (likes & looks).astype(np.int8)),
    )


def matrix(rows: pl.DataFrame) -> np.ndarray:
    return np.ascontiguousarray(rows.select(pl.col(NAMES).cast(pl.Float32)).to_numpy())


def table_of(rows: pl.DataFrame, *, with_positions: bool) -> LabelledTable:
    lengths = rows.select(pl.struct("campaign", *USER, "day").rle()).unnest("campaign")["len"]
    label = rows["click"].to_numpy().astype(np.int8)
    indptr = np.concatenate(([0], np.cumsum(lengths.to_numpy()))).astype(np.int64)
    position = rows["position"].to_numpy().astype(np.int16)
    n_clicks = np.add.reduceat(label.astype(np.int64), indptr[:-1])
    return LabelledTable(
        features=matrix(rows),
        label=label,
        indptr=indptr,
        relevant=n_clicks[:, None, None],
        rank=np.ones((rows.height, 1), np.int32),
        temperature=np.zeros(rows.height, np.int8),
        n_events=np.ones(len(n_clicks), np.int64),
        position=position if with_positions else np.zeros_like(position),
        user=np.arange(len(n_clicks)),
    )


if __name__ == "__main__":
    main()
