"""Which blocks are chosen, what is said of it, and that the features are those of the defaults."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.affinity import AttributeAffinity
from features.block import Context
from features.encode import encode
from features.errors import SchemaError
from features.example_source import ExampleSource
from features.history import LogFacts
from features.stage import FeatureStage, default_blocks
from tests.features.logs import KINDS
from tests.features.test_leaks import ITEMS, LOGS

TABLES = {
    "none": None,
    "brand": ITEMS,
    "titles": ITEMS.select("item_id", title="item_id"),
    "more": ITEMS.with_columns(size=pl.Series([1, 2] * 5), tags=pl.Series([["a", "b"], ["b"]] * 5)),
}


@pytest.mark.parametrize("items", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_features_are_those_of_the_defaults(kind, items):
    log, facts = LOGS[kind], LogFacts.of(LOGS[kind])
    tick = None
    if facts.clock.is_comparable:
        tick = int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step
    history, table, _ = encode(log, as_of=tick, facts=facts, items=items, users=None)
    context = Context(history, table, sources={"one": ExampleSource.of(history)})
    inferred = FeatureStage.infer(log, items)
    default = FeatureStage(default_blocks())
    assert_frame_equal(inferred.fit(context).describe(), default.fit(context).describe())


def test_each_choice_is_a_line():
    stage = FeatureStage.infer(LOGS["datetime"].lazy(), TABLES["more"].lazy())
    lines = dict(line.split(": ", 1) for line in stage.choices)
    assert lines["clock"].startswith("one clock for everybody: times in days")
    assert lines["events"] == "counted by name too, buy, view"
    names = [type(block).__name__ for block in stage.blocks]
    assert list(lines) == ["clock", "events", *names]
    assert lines["AttributeAffinity"].endswith(", by brand, size, tags")
    assert "AttributeAffinity(brand, size, tags)" in stage.summary


def test_what_is_left_out_is_said():
    log = LOGS["positions"].drop("event")
    for items, reason in (
        (None, "there are no tables of items or users"),
        (TABLES["titles"], "items have nothing for it among ['title']"),
    ):
        stage = FeatureStage.infer(log, items)
        assert not any(isinstance(block, AttributeAffinity) for block in stage.blocks)
        assert f"AttributeAffinity: left out, {reason}" in stage.choices
        assert "events: all of one kind" in stage.choices
        assert stage.choices[0].startswith("clock: each user's own positions")


def test_columns_are_settled_so_that_later_tables_cannot_change_the_features():
    log = LOGS["clock"]
    stage = FeatureStage.infer(log, ITEMS)
    later = ITEMS.with_columns(brand=pl.lit("all the same"), shop=pl.Series(["s", "t"] * 5))
    history, table, _ = encode(log, as_of=2000, facts=LogFacts.of(log), items=later, users=None)
    names = [name for name in stage.fit(Context(history, table)).names if "affinity" in name]
    assert names == ["affinity_brand_count", "affinity_brand_share", "affinity_brand_recency_steps"]


def test_versions_are_no_attribute():
    versions = ITEMS.with_columns(valid_from=pl.Series([1000, 1010] * 5))
    stage = FeatureStage.infer(LOGS["clock"], versions)
    assert "AttributeAffinity(brand)" in stage.summary


def test_frames_are_checked():
    with pytest.raises(SchemaError, match="interactions"):
        FeatureStage.infer(LOGS["date"].drop("user_id"))
    with pytest.raises(SchemaError, match="items"):
        FeatureStage.infer(LOGS["date"], pl.concat([ITEMS, ITEMS]))
