"""Generators on their own: fit on a frame, lists for its users, for strangers and for sessions."""

from __future__ import annotations

import polars as pl
import pytest

from features.errors import ConfigError, NotFittedError, SchemaError
from ranker import ALS, CategoryPopularity, CoVisitation, Popularity
from tests.logs import make_log

LOG = make_log("datetime")


def test_lists_for_everybody():
    lists = ALS(factors=4, random_state=0).fit(LOG).recommend(k=3)
    assert lists.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "rank": pl.Int64,
        "score": pl.Float32,
    }
    assert lists["user_id"].n_unique() == LOG["user_id"].n_unique()
    assert lists["rank"].max() == 3
    seen = lists.join(LOG, on=["user_id", "item_id"], how="semi")
    assert seen.is_empty()


def test_ids_come_back_as_they_came():
    log = LOG.with_columns(
        pl.col("user_id").str.slice(1).cast(pl.UInt16), pl.col("item_id").cast(pl.Categorical)
    )
    lists = Popularity().fit(log).recommend([3, 1, 3], k=2)
    assert lists.schema["user_id"] == pl.UInt16
    assert lists.schema["item_id"] == pl.Categorical
    assert lists["user_id"].to_list() == [3, 3, 1, 1]


def test_strangers_get_what_the_model_can_say():
    assert ALS(factors=4).fit(LOG).recommend(["nobody"]).is_empty()
    assert Popularity().fit(LOG).recommend(["nobody"], k=2).height == 2


def test_a_session_counts_like_the_user_whose_events_it_has():
    model = CoVisitation().fit(LOG)
    own = LOG.filter(pl.col("user_id") == "u003")
    as_session = model.recommend(histories=own.with_columns(user_id=pl.lit("new")), k=5)
    as_user = model.recommend(["u003"], k=5)
    assert as_session["item_id"].to_list() == as_user["item_id"].to_list()


def test_a_session_without_weights_has_typical_ones():
    model = ALS(factors=4).fit(LOG.with_columns(weight=pl.lit(3.0)))
    own = LOG.filter(pl.col("user_id") == "u003").drop("weight", "event")
    typical = model.recommend(histories=own, k=5)
    assert typical.equals(model.recommend(histories=own.with_columns(weight=pl.lit(3.0)), k=5))


def test_a_fit_that_fails_leaves_no_model():
    items = LOG.select("item_id").unique().with_columns(kind=pl.col("item_id").str.slice(3))
    model = CategoryPopularity(column="kind").fit(LOG, items=items)
    assert not model.recommend(k=3).is_empty()
    others = LOG.with_columns(pl.col("item_id") + "-new")
    with pytest.raises(ConfigError, match="items="):
        model.fit(others)
    with pytest.raises(NotFittedError):
        model.recommend(k=3)


def test_bad_input():
    model = Popularity()
    with pytest.raises(NotFittedError, match="was not fitted on a frame"):
        model.recommend()
    with pytest.raises(SchemaError, match="item_id: no such column"):
        model.fit(LOG.drop("item_id"))
    model.fit(LOG)
    with pytest.raises(ConfigError, match="k=0"):
        model.recommend(k=0)
    with pytest.raises(ConfigError, match="as a list"):
        model.recommend("u003")
    with pytest.raises(ConfigError, match="not both"):
        model.recommend(["u003"], histories=LOG)
    with pytest.raises(ConfigError, match="have no timestamp"):
        model.recommend(histories=LOG.drop("timestamp"))
