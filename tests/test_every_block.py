"""Models with every feature block: fitted, saved, and read again."""

from __future__ import annotations

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.catalogue import all_blocks
from features.stage import FeatureStage
from ranker import TwoStageRecommender
from ranker.components import from_json, to_json
from tests.logs import make_log
from tests.recommenders import item_table, small, user_table


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: type(block).__name__)
def test_a_block_comes_back_from_json(block):
    assert from_json(json.loads(json.dumps(to_json(block)))) == block


@pytest.mark.parametrize("clock", ["datetime", "none"])
def test_a_model_comes_back(clock, tmp_path):
    items = item_table().with_columns(
        price=pl.int_range(pl.len()).cast(pl.Decimal(8, 2)),
        embedding=pl.concat_list(pl.int_range(pl.len()) / 7, pl.lit(1.0)),
    )
    users = user_table().with_columns(country=pl.col("age") % 3)
    model = small(clock=clock, features=FeatureStage(blocks=all_blocks()))
    model.fit(make_log(clock), items=items, users=users)
    families = {"content", "conversion", "segment", "encoding", "attribute", "breadth", "cold"}
    families |= {"event", "clock"} if clock == "datetime" else set()
    assert {f"{family}_effect" for family in families} <= set(model.explain("u004").columns)
    model.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    assert again.fingerprint == model.fingerprint
    assert_frame_equal(again.recommend(k=9), model.recommend(k=9))
    assert_frame_equal(again.explain("u004"), model.explain("u004"))
