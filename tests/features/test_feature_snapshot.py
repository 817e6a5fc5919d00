"""The stage by itself: from frames to frames, and tables of items that are kept in a folder."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features import materialize
from features.affinity import AttributeAffinity
from features.block import Context
from features.candidates import Candidates
from features.custom import CustomBlock
from features.encode import encode
from features.errors import ConfigError, SchemaError
from features.history import LogFacts
from features.item import ItemPopularity
from features.snapshot import NamedSource
from features.stage import FeatureStage
from features.user import UserActivity
from tests.features.logs import KINDS
from tests.features.test_leaks import ITEMS, LOGS, honest

RNG = np.random.default_rng(1)
LOG = LOGS["datetime"]
HALF = LOG["timestamp"].sort()[80]
STAGE = FeatureStage.infer(LOG, ITEMS)


def pairs(*, sources=()) -> pl.DataFrame:
    """Users and items in any order, strangers and unknown items among them."""
    frame = pl.DataFrame({"user_id": [*range(8), 50]}).join(
        pl.DataFrame({"item_id": [*"abcdefghij", "zz"]}), how="cross"
    )
    frame = frame.sample(fraction=0.6, shuffle=True, seed=4)
    return frame.with_columns(
        pl.Series(f"{name}_{kind}", RNG.integers(1, 9, frame.height), dtype=dtype)
        for name in sources
        for kind, dtype in (("score", pl.Float64), ("rank", pl.Int64))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_values_are_those_of_the_tables(kind):
    log, facts, candidates = LOGS[kind], LogFacts.of(LOGS[kind]), pairs(sources=("one",))
    stage = FeatureStage.infer(log, ITEMS)
    joined = stage.snapshot(log, items=ITEMS, sources=["one"]).join(candidates)
    ids = ["user_id", "item_id"]
    assert_frame_equal(joined.select(ids), candidates.select(ids))
    tick = None
    if facts.clock.is_comparable:
        tick = int(facts.clock.ticks(log["timestamp"]).max()) + facts.clock.step
    history, items, _ = encode(log, as_of=tick, facts=facts, items=ITEMS, users=None)
    tables = stage.fit(Context(history, items, sources={"one": NamedSource()}))
    known = candidates.filter(pl.col("item_id") != "zz")
    served = history.select(known["user_id"].unique().sort())
    rows = Candidates.from_frame(known, users=served.users, items=history.items, sources=("one",))
    expected = tables.frame(served, rows)
    found = joined.filter(pl.col("item_id") != "zz").sort("user_id", "item_id")
    assert_frame_equal(found.select(expected.columns), expected)
    assert "one_percentile" in found.columns
    unknown = joined.filter(pl.col("item_id") == "zz").drop(ids)
    assert unknown.height
    assert unknown.null_count().row(0) == (unknown.height,) * unknown.width


def test_whom_and_what_a_table_alone_knows_changes_no_value():
    items = pl.DataFrame({"item_id": [*ITEMS["item_id"], *(f"new {n}" for n in range(500))]})
    users = pl.DataFrame({"user_id": range(1000)})
    stage = FeatureStage((ItemPopularity(), UserActivity()))
    expected = stage.snapshot(LOG, HALF).join(pairs())
    found = stage.snapshot(LOG, HALF, items=items, users=users).join(pairs())
    assert expected["item_users"].null_count() < expected.height
    assert expected["user_item_rank"].null_count() < expected.height
    assert_frame_equal(found, expected)


def test_the_log_is_cut_at_the_instant():
    # The same length, so that shares of it are: of what comes later nothing else is known.
    late_ends = pl.col("timestamp") < HALF, pl.col("timestamp") == LOG["timestamp"].max()
    one_late = LOG.filter(late_ends[0] | late_ends[1])
    whole, cut = (STAGE.snapshot(log, HALF, items=ITEMS) for log in (LOG, one_late))
    assert_frame_equal(whole.join(pairs()), cut.join(pairs()))
    late = STAGE.snapshot(LOG, HALF + dt.timedelta(microseconds=1), items=ITEMS)
    user = FeatureStage((UserActivity(),))
    one, two = (user.snapshot(log, HALF).join(pairs()) for log in (LOG, LOG.sort("item_id")))
    assert_frame_equal(one, two)
    assert whole.history.n_events == cut.history.n_events == (LOG["timestamp"] < HALF).sum()
    assert late.history.n_events > whole.history.n_events


def test_runs_of_users_make_no_difference(monkeypatch):
    snapshot = STAGE.snapshot(LOG, items=ITEMS)
    at_once = snapshot.join(pairs())
    monkeypatch.setattr("features.snapshot._CHUNK", 2)
    assert_frame_equal(snapshot.join(pairs()), at_once)


def test_ids_come_back_as_they_were():
    candidates = pairs().cast({"user_id": pl.Int16, "item_id": pl.Categorical})
    joined = STAGE.snapshot(LOG, items=ITEMS).join(candidates)
    assert_frame_equal(joined.select("user_id", "item_id"), candidates)


def test_describe_names_the_columns():
    snapshot = STAGE.snapshot(LOG, items=ITEMS)
    assert snapshot.join(pairs()).columns[2:] == snapshot.describe()["name"].to_list()


def test_bad_candidates_and_instants():
    snapshot = STAGE.snapshot(LOG, items=ITEMS, sources=["one"])
    with pytest.raises(SchemaError, match=r"\['one_score', 'one_rank'\] are missing"):
        snapshot.join(pairs())
    with pytest.raises(SchemaError, match="user_id is String in candidates"):
        snapshot.join(pairs(sources=("one",)).cast({"user_id": pl.String}))
    twice = pairs(sources=("one",))
    with pytest.raises(SchemaError, match="stand there twice"):
        snapshot.join(pl.concat([twice, twice]))
    with pytest.raises(ConfigError, match="leave as_of out"):
        STAGE.snapshot(LOGS["positions"], 3)
    with pytest.raises(ConfigError, match="is no instant of this log"):
        STAGE.snapshot(LOG, 3)


def test_no_candidates():
    joined = STAGE.snapshot(LOG, items=ITEMS).join(pairs().clear())
    assert joined.height == 0
    assert joined.width > 20


# --- Tables in a folder ---------------------------------------------------------------------------


@pytest.fixture
def fits(monkeypatch) -> list[str]:
    """Which blocks were fitted."""
    done = []
    for block in (ItemPopularity, UserActivity):
        fit = block.fit

        def spied(self, context, fit=fit):
            done.append(type(self).__name__)
            return fit(self, context)

        monkeypatch.setattr(block, "fit", spied)
    return done


def test_what_has_not_changed_is_read_again(tmp_path, fits):
    stage = FeatureStage((ItemPopularity(), UserActivity(), honest("item_id")))
    options = {"items": ITEMS, "folder": tmp_path / "tables"}
    first = stage.snapshot(LOG, HALF, **options)
    assert fits == ["ItemPopularity", "UserActivity"]
    again = stage.snapshot(LOG.reverse(), HALF, **options)
    assert fits == ["ItemPopularity", "UserActivity", "UserActivity"]
    assert_frame_equal(again.join(pairs()), first.join(pairs()))
    assert_frame_equal(again.describe(), first.describe())
    assert_frame_equal(first.join(pairs()), stage.snapshot(LOG, HALF, items=ITEMS).join(pairs()))
    files = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert files == ["00-ItemPopularity.parquet"], "functions have no fingerprint"
    table = pl.read_parquet(tmp_path / "tables" / files[0])
    assert table["item_id"].to_list() == first.history.items.values.to_list()
    assert set(table.dtypes[1:]) == {pl.Float32}
    about = pl.read_parquet_metadata(tmp_path / "tables" / files[0])
    assert about["as_of"] == str(HALF)


CHANGES = {
    "instant": lambda: (ItemPopularity(), LOG, HALF + dt.timedelta(hours=1), ITEMS),
    "parameters": lambda: (ItemPopularity((1 / 3,)), LOG, HALF, ITEMS),
    "an event": lambda: (ItemPopularity(), LOG.sort("timestamp")[1:], HALF, ITEMS),
    "an attribute": lambda: (ItemPopularity(), LOG, HALF, ITEMS.with_columns(brand=pl.lit("x"))),
    "a column": lambda: (ItemPopularity(), LOG, HALF, ITEMS.rename({"brand": "maker"})),
    "an item": lambda: (ItemPopularity(), LOG, HALF, ITEMS[1:]),
    "a weight": lambda: (ItemPopularity(), LOG.with_columns(pl.col("weight") * 2), HALF, ITEMS),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_the_table_is_computed_again(change, tmp_path, fits):
    folder = tmp_path
    for _ in range(2):
        FeatureStage((ItemPopularity(),)).snapshot(LOG, HALF, items=ITEMS, folder=folder)
    assert fits == ["ItemPopularity"]
    block, log, as_of, items = change()
    stage = FeatureStage((block,))
    found = stage.snapshot(log, as_of, items=items, folder=folder)
    assert fits == ["ItemPopularity"] * 2
    fresh = stage.snapshot(log, as_of, items=items)
    assert_frame_equal(found.join(pairs()), fresh.join(pairs()))


def test_a_file_that_was_cut_short_is_written_again(tmp_path, fits):
    stage = FeatureStage((ItemPopularity(),))
    whole = stage.snapshot(LOG, folder=tmp_path).join(pairs())
    path = tmp_path / "00-ItemPopularity.parquet"
    for content in (path.read_bytes()[:100], b""):
        path.write_bytes(content)
        assert_frame_equal(stage.snapshot(LOG, folder=tmp_path).join(pairs()), whole)
    assert len(fits) == 3


def test_blocks_without_a_table_of_items_leave_no_file(tmp_path):
    stage = FeatureStage((AttributeAffinity(("brand",)), CustomBlock("x", "item_id", counts)))
    stage.snapshot(LOG, items=ITEMS, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    assert materialize._VERSION == 3


def counts(history, as_of):
    return history.group_by("item_id").len()
