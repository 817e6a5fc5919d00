"""Sources, features and labels of an hour, on the clicks of a newsroom."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.item import ItemPopularity
from features.segment import SegmentShare
from features.similarity import HistorySimilarity
from features.source import SourceScores
from features.stage import FeatureStage
from ranker import Audience, LabelWindows, LambdaRank, Popularity, TwoStageRecommender
from ranker.datasets import load_folder

NOON = dt.datetime(2017, 10, 14, 12)


@pytest.mark.slow
def test_an_hour_of_news(data_folder, tmp_path):
    log = load_folder(data_folder / "globo-news").interactions
    span = pl.col("timestamp").is_between(
        NOON - dt.timedelta(days=2), NOON + dt.timedelta(hours=1), closed="left"
    )
    log = log.filter(span & (pl.col("user_id") % 10 == 0))
    users = log.sort("timestamp").unique("user_id", keep="first", maintain_order=True)
    users = users.select("user_id", "region", valid_from="timestamp")
    clicks = log.select("user_id", "item_id", "timestamp")
    is_old = pl.col("timestamp") < NOON
    recommender = TwoStageRecommender(
        generators=[
            ("popular", Popularity(window="1h")),
            ("audience", Audience(window="3h")),
        ],
        n_candidates=40,
        features=FeatureStage(
            (
                SourceScores(),
                HistorySimilarity(aggregates=("mean",)),
                ItemPopularity(windows=("10m", "1h", "1d")),
                SegmentShare(columns=("region",), smoothing=20.0, fading="30m"),
            )
        ),
        holdout=LabelWindows("1h", n_windows=6, n_validation=3),
        reranker=LambdaRank(n_trees=20, patience=5),
    ).fit(clicks.filter(is_old), users=users.filter(pl.col("valid_from") < NOON))
    counted = {"audience_mean", "item_share_10m", "item_rank_1h", "segment_region_ratio"}
    assert counted <= set(recommender.describe_features()["name"])
    proposed = recommender.generate_candidates()
    now = clicks.filter(is_old & (pl.col("timestamp") >= NOON - dt.timedelta(hours=3)))
    by_audience = proposed.drop_nulls("audience_rank")
    assert by_audience.height
    assert by_audience["item_id"].is_in(now["item_id"].implode()).all()
    recommender.refresh(clicks.filter(~is_old), users=users)
    lists = recommender.recommend(k=10)
    assert lists.join(clicks, on=["user_id", "item_id"]).is_empty()
    recommender.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model").recommend(k=10)
    assert_frame_equal(again, lists)
