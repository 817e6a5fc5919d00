"""Which blocks are chosen, what is said of it, and that the features are those of the defaults."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.affinity import AttributeAffinity
from features.block import Block, ChoosesColumns, Context
from features.breadth import UserBreadth
from features.catalogue import all_blocks
from features.choice import Choice
from features.content import LatestCosine, WordSimilarity
from features.encode import encode
from features.encoding import AttributeEncoding
from features.errors import ConfigError, SchemaError
from features.example_source import ExampleSource
from features.history import LogFacts
from features.numeric import NumericAttributes
from features.segment import SegmentShare
from features.stage import FeatureStage, default_blocks
from tests.features.logs import KINDS
from tests.features.test_leaks import ITEMS, LOGS

LOG = LOGS["datetime"]
TABLES = {
    "none": None,
    "brand": ITEMS,
    "titles": ITEMS.select("item_id", title="item_id"),
    "more": ITEMS.with_columns(size=pl.Series([1, 2] * 5), tags=pl.Series([["a", "b"], ["b"]] * 5)),
    "all": ITEMS.with_columns(
        title="item_id",
        price=pl.int_range(10) / 4,
        tags=pl.Series([["a", "b"], ["b"]] * 5),
        picture=pl.concat_list(pl.int_range(10) / 7, pl.lit(1.0)),
        same=pl.lit("x"),
    ),
}
PEOPLE = pl.DataFrame({"user_id": range(8), "country": ["x", "y"] * 4, "name": list("abcdefgh")})


def context_of(log, items=None, users=None, sources=True) -> Context:
    facts, tick = LogFacts.of(log), None
    if facts.clock.is_comparable:
        tick = int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step
    history, items, users = encode(log, as_of=tick, facts=facts, items=items, users=users)
    return Context(history, items, users, {"one": ExampleSource.of(history)} if sources else {})


@pytest.mark.parametrize("blocks", [default_blocks(), all_blocks()], ids=["defaults", "all"])
@pytest.mark.parametrize("items", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_features_are_those_of_the_blocks_as_they_are(kind, items, blocks):
    users = PEOPLE if items is TABLES["all"] else None
    context = context_of(LOGS[kind], items, users)
    inferred = FeatureStage.infer(LOGS[kind], items, users, blocks=blocks)
    as_they_are = FeatureStage(blocks)
    assert_frame_equal(inferred.fit(context).describe(), as_they_are.fit(context).describe())


def test_each_choice_is_a_line():
    stage = FeatureStage.infer(LOGS["datetime"].lazy(), TABLES["more"].lazy())
    lines = dict(line.split(": ", 1) for line in stage.choices)
    assert lines["clock"].startswith("one clock for everybody: times in days")
    assert lines["events"] == "counted by name too, buy, view"
    names = [type(block).__name__ for block in stage.blocks]
    kept = [name for name, line in lines.items() if not line.startswith("left out")]
    assert kept == ["clock", "events", *names]
    assert lines.keys() - kept == {"ItemLateness"}, "this clock has instants"
    assert lines["AttributeAffinity"].endswith(
        "; by brand, size, tags, with values that items share"
    )
    assert "AttributeAffinity(brand, size, tags)" in stage.summary


def test_what_is_left_out_is_said():
    log = LOGS["positions"].drop("event")
    for items, reason in (
        (None, "there is no table of items"),
        (
            TABLES["titles"],
            "no column of items with values that items share; not title (values are hardly shared)",
        ),
    ):
        stage = FeatureStage.infer(log, items)
        assert not any(isinstance(block, AttributeAffinity) for block in stage.blocks)
        assert f"AttributeAffinity: left out, {reason}" in stage.choices
        assert "events: all of one kind" in stage.choices
        assert stage.choices[0].startswith("clock: each user's own positions")
    stage = FeatureStage.infer(log, blocks=all_blocks())
    assert "LastEvents: left out, the log has nothing for it" in stage.choices


CHOSEN = {
    AttributeAffinity: ("brand", "tags"),
    AttributeEncoding: ("brand", "tags"),
    UserBreadth: ("brand", "tags"),
    WordSimilarity: ("brand", "tags", "same"),
    LatestCosine: ("picture",),
    NumericAttributes: ("price",),
    SegmentShare: ("country",),
}


def test_every_block_that_reads_attributes_names_its_columns():
    readers = [block for block in all_blocks() if hasattr(block, "columns")]
    assert {type(block) for block in readers} == set(CHOSEN)
    assert all(isinstance(block, ChoosesColumns) for block in readers)
    stage = FeatureStage.infer(LOG, TABLES["all"], PEOPLE, blocks=all_blocks())
    named = {type(block): block for block in stage.blocks if hasattr(block, "columns")}
    assert {kind: block.columns for kind, block in named.items()} == CHOSEN
    assert named[NumericAttributes].category == "brand"
    lines = dict(line.split(": ", 1) for line in stage.choices)
    for kind, columns in CHOSEN.items():
        assert f"; by {', '.join(columns)}, with " in lines[kind.__name__]
        assert "; not " in lines[kind.__name__]
    assert lines["AttributeAffinity"].endswith(
        "; not title (values are hardly shared), price (Float64), picture (List of Float64), "
        "same (the same for all)"
    )
    assert lines["SegmentShare"].endswith("; not name (values are hardly shared)")
    assert "; compared within brand" in lines["NumericAttributes"]


def test_later_tables_cannot_change_what_was_chosen():
    stage = FeatureStage.infer(LOG, TABLES["all"], PEOPLE, blocks=all_blocks())
    features = stage.fit(context_of(LOG, TABLES["all"], PEOPLE)).features
    later = TABLES["all"].select(
        pl.lit("p").alias("first"),
        pl.all().exclude("brand", "price"),
        pl.lit(None, pl.String).alias("brand"),
        pl.lit(1.0).alias("price"),
        pl.Series("shop", ["s", "t"] * 5),
        pl.Series("weight_kg", range(10)) / 3,
    )
    people = PEOPLE.with_columns(country=pl.lit("x"), city=pl.Series(["p", "q"] * 4))
    assert stage.fit(context_of(LOG, later, people)).features == features


def test_blocks_that_chose_nothing_choose_nothing_later():
    for log in (LOG, LOGS["none"]):
        stage = FeatureStage.infer(log, blocks=all_blocks())
        bare = stage.fit(context_of(log)).features
        assert stage.fit(context_of(log, TABLES["all"], PEOPLE)).features == bare
    unpriced = FeatureStage.infer(
        LOG,
        TABLES["titles"].with_columns(price=pl.int_range(10) / 4),
        blocks=(NumericAttributes(),),
    )
    assert unpriced.blocks[0].category == ""
    items = TABLES["all"].select("item_id", "price", "brand")
    assert not any("brand" in name for name in unpriced.fit(context_of(LOG, items)).names)


@pytest.mark.parametrize("block", [b for b in all_blocks() if hasattr(b, "columns")])
def test_columns_of_a_table_that_is_not_there(block):
    named = dataclasses.replace(block, columns=("brand",))
    with pytest.raises(ConfigError, match=r"columns=\('brand',\) are read of a table of (it|us)e"):
        named.fit(context_of(LOG))
    stage = FeatureStage.infer(LOG, TABLES["all"], PEOPLE, blocks=(block,))
    with pytest.raises(ConfigError, match="or leave the block out"):
        stage.snapshot(LOG)


def test_many_columns_that_are_passed_over_are_not_all_told():
    titles = {f"title {number}": [f"{number} {row}" for row in range(10)] for number in range(9)}
    line = FeatureStage.infer(LOG, ITEMS.hstack(pl.DataFrame(titles))).choices[-1]
    assert line.endswith("title 2, title 3 and 5 more (values are hardly shared)")
    many = {f"code {number}": ["x", "y"] * 5 for number in range(9)}
    line = FeatureStage.infer(LOG, ITEMS.hstack(pl.DataFrame(many))).choices[-1]
    assert line.endswith("code 8 (beyond the first 6)")


def test_ids_of_makers_are_no_sizes():
    maker = pl.Series([10, 10, 37, 4, 99, 5, 63, 80, 12, 41] * 30)
    items = pl.DataFrame({"item_id": range(300)}).with_columns(
        maker_id=maker + pl.int_range(300) // 3, grams=maker + pl.int_range(300) // 3
    )
    log = LOG.with_columns(item_id=pl.int_range(LOG.height))
    stage = FeatureStage.infer(log, items, blocks=(NumericAttributes(),))
    assert stage.blocks[0].columns == ("grams",)
    assert "not maker_id (rather names than sizes)" in stage.choices[-1]


@dataclasses.dataclass(frozen=True)
class Own:
    """A block of somebody's own that reads attributes.

    It has no columns but those of another.
    """

    columns: tuple[str, ...] | None = None

    def choose(self, context: Context) -> Choice:
        return Choice(("brand",), "by brand, as ever")

    def fit(self, context: Context):
        return AttributeAffinity(self.columns).fit(context)


def test_a_block_of_ones_own_chooses_alike():
    own: Block = Own()
    stage = FeatureStage.infer(LOG, TABLES["more"], blocks=(own,))
    assert stage.blocks == (Own(("brand",)),)
    assert stage.choices[-1] == (
        "Own: a block of somebody's own that reads attributes; by brand, as ever"
    )


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
