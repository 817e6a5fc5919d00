"""Functions of one's own as features of a recommender: served, saved and loaded."""

from __future__ import annotations

import dataclasses
import functools

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.custom import CustomBlock
from features.errors import ConfigError, ModelFormatError
from features.stage import FeatureStage, default_blocks
from ranker import Popularity, TwoStageRecommender
from ranker.components import to_json
from tests.logs import make_log
from tests.recommenders import small

LOG = make_log("datetime")
TABLE = ["user_id", "item_id", "basket_size", "late_n", "both_weight"]


def basket(history, as_of):
    sizes = history.group_by("user_id", "timestamp").len()
    return sizes.group_by("user_id").agg(pl.col("len").mean().alias("size"))


def late(history, as_of):
    recent = history.filter(pl.col("timestamp") >= as_of - pl.duration(days=10))
    return recent.group_by("item_id").agg(pl.len().alias("n"))


def both(history, as_of):
    return history.group_by("user_id", "item_id").agg(pl.col("weight").sum())


BLOCKS = (
    CustomBlock("basket", key="user_id", function=basket, units={"size": "count"}),
    CustomBlock("late", key="item_id", function=late),
    CustomBlock("both", key=("user_id", "item_id"), function=both),
)


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return small(features=FeatureStage((*default_blocks(), *BLOCKS))).fit(LOG)


def test_values_are_those_of_the_log(fitted):
    table = fitted.build_features(fitted.generate_candidates(["u004", "nobody"]))
    own = LOG.filter(pl.col("user_id") == "u004")
    expected = (
        table.select("user_id", "item_id")
        .join(basket(LOG.lazy(), None).collect(), on="user_id", how="left")
        .join(late(LOG.lazy(), fitted.as_of).collect(), on="item_id", how="left")
        .join(both(own.lazy(), None).collect(), on=["user_id", "item_id"], how="left")
    )
    expected.columns = TABLE
    assert_frame_equal(table.select(TABLE), expected, check_dtypes=False, check_row_order=False)
    assert table.filter(pl.col("user_id") == "nobody")["basket_size"].null_count() > 0


def test_a_session_is_described_by_its_own_events(fitted):
    session = LOG.filter(pl.col("user_id") == "u004").sort("timestamp").tail(1)
    candidates = fitted.generate_candidates(histories=session)
    table = fitted.build_features(candidates, histories=session)
    assert table["basket_size"].to_list() == [1.0] * table.height
    known = table.drop_nulls("both_weight")
    assert set(known["item_id"]) <= set(session["item_id"])


def test_chunks_and_threads_make_no_difference(fitted):
    one = small(features=fitted.features, chunk_size=3, n_threads=2).fit(LOG)
    assert_frame_equal(one.recommend(k=5), fitted.recommend(k=5))


def test_saved_by_name_and_loaded_with_the_functions(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    with pytest.raises(ModelFormatError, match=r"'basket' is no part .* custom=\[...\]"):
        TwoStageRecommender.load(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model", custom=[basket, late, both])
    assert again.fingerprint == fitted.fingerprint
    assert again.features == fitted.features
    assert_frame_equal(again.recommend(k=5), fitted.recommend(k=5))


@pytest.mark.parametrize("function", [lambda history, as_of: None, functools.partial(basket)])
def test_a_function_without_a_name_cannot_be_saved(function):
    stage = FeatureStage((CustomBlock("x", "user_id", function),))
    with pytest.raises(ConfigError, match="cannot be saved, as it has no name"):
        to_json(stage)


def counting(column):
    def counted(history, as_of):
        return history.group_by("user_id").agg(pl.col(column).n_unique().alias("n"))

    return counted


def test_functions_of_one_name_cannot_be_told_apart(fitted, tmp_path):
    items, days = counting("item_id"), counting("timestamp")
    stage = FeatureStage((CustomBlock("a", "user_id", items), CustomBlock("b", "user_id", days)))
    model = small(features=stage).fit(LOG)
    with pytest.raises(ConfigError, match=r"'counted' is the name of two .*rename it"):
        model.save(tmp_path / "model")
    twice = FeatureStage((CustomBlock("a", "user_id", items), CustomBlock("b", "user_id", items)))
    small(features=twice).fit(LOG).save(tmp_path / "twice")
    again = TwoStageRecommender.load(tmp_path / "twice", custom=[items, items])
    assert again.features == twice
    with pytest.raises(ConfigError, match="'counted' is the name of two"):
        TwoStageRecommender.load(tmp_path / "twice", custom=[items, days])
    with pytest.raises(ConfigError, match=r"custom has functools.partial.*no name"):
        TwoStageRecommender.load(tmp_path / "twice", custom=[functools.partial(items)])


def test_a_class_called_as_one_of_ours_is_not_taken_for_it(fitted, tmp_path):
    own = dataclasses.dataclass(type("Popularity", (Popularity,), {"__module__": __name__}))
    model = small(generators=[("own", own())]).fit(LOG)
    with pytest.raises(ConfigError, match="'Popularity' is the name of a class of ours besides"):
        model.save(tmp_path / "model")
    fitted.save(tmp_path / "model")
    for custom in (own, dataclasses.make_dataclass("TwoTower", [])):
        with pytest.raises(ConfigError, match="is the name of a class of ours besides; rename it"):
            TwoStageRecommender.load(tmp_path / "model", custom=[basket, late, both, custom])
    loaded = TwoStageRecommender.load(tmp_path / "model", custom=[basket, late, both, Popularity])
    assert loaded.fingerprint == fitted.fingerprint
