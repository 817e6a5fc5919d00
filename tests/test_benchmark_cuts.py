"""Cuts of published protocols: who is known, who is asked for, and among which items."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from ranker.benchmark import PROTOCOLS, Case, load_case

N_USERS, N_ITEMS, N_EACH = 12, 20, 8


def pairs(frame: pl.DataFrame) -> set[tuple[int, int]]:
    return set(frame.select("user_id", "item_id").iter_rows())


@pytest.fixture
def log() -> pl.DataFrame:
    """Each user's own items in an order of his own; none twice."""
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.choice(N_ITEMS, N_EACH, replace=False) for _ in range(N_USERS)])
    return pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(N_USERS), N_EACH),
            "item_id": items,
            "timestamp": np.tile(np.arange(N_EACH), N_USERS),
        }
    )


def write(folder: Path, name: str, log: pl.DataFrame, **tables: pl.DataFrame) -> Path:
    (folder / name).mkdir()
    log.write_parquet(folder / name / "interactions.parquet")
    for table, frame in tables.items():
        frame.write_parquet(folder / name / f"{table}.parquet")
    return folder


def test_the_last_item_is_asked_for_and_the_one_before_is_told_but_not_learned(tmp_path, log):
    place = pl.col("timestamp")
    part = pl.when(place == N_EACH - 1).then(pl.lit("test"))
    part = part.when(place == N_EACH - 2).then(pl.lit("valid")).otherwise(pl.lit("train"))
    items = pl.DataFrame({"item_id": range(N_ITEMS + 5), "title": "x", "rating_count": 1})
    write(tmp_path, "amazon-beauty", log.with_columns(split=part), items=items)
    case = load_case("amazon-beauty", tmp_path)
    (split,) = case.splits
    assert pairs(split.test) == pairs(log.filter(place == N_EACH - 1))
    assert split.train["timestamp"].max() == N_EACH - 3
    assert split.histories is not None
    assert pairs(split.histories) == pairs(log.filter(place < N_EACH - 1))
    assert case.exclude_seen
    assert case.items is not None
    assert case.items.columns == ["item_id", "title"], "counts are not of an instant"
    assert set(case.items["item_id"]) == set(log["item_id"]), "what occurs nowhere cannot compete"


def test_rows_outside_a_split_and_items_known_only_there_are_left_out(tmp_path, log):
    part = pl.when(pl.col("item_id") == 3).then(None).otherwise(pl.lit("train"))
    part = pl.when(pl.col("timestamp") == N_EACH - 1).then(pl.lit("test")).otherwise(part)
    frame = log.with_columns(split_sasrec=part)
    frame = frame.with_columns(
        split_sasrec=pl.when(pl.col("item_id") != 3).then(pl.col("split_sasrec"))
    )
    items = pl.DataFrame({"item_id": range(N_ITEMS)})
    case = load_case("ml-1m", write(tmp_path, "ml-1m", frame, items=items))
    assert 3 not in case.splits[0].train["item_id"]
    assert case.items is not None
    assert 3 not in case.items["item_id"]


def test_some_rows_of_each_user_are_drawn_to_be_known(tmp_path, log):
    frame = log.drop("timestamp").vstack(
        pl.DataFrame({"user_id": [0] * 9, "item_id": range(N_ITEMS, N_ITEMS + 9)})
    )
    folder = write(tmp_path, "citeulike-a", frame)
    (split,) = load_case("citeulike-a-drawn", folder).splits
    assert pairs(split.train) | pairs(split.test) == pairs(frame)
    assert split.train.group_by("user_id").len()["len"].sort().to_list() == [*[N_EACH] * 11, 10]
    assert set(split.test["user_id"]) == {0}
    other, again = (load_case("citeulike-a-drawn", folder, seed).splits[0] for seed in (1, 0))
    assert pairs(other.test) != pairs(split.test) == pairs(again.test)


def test_the_lowest_numbers_are_told_in_their_order(tmp_path, log):
    known = (
        pl.when(pl.col("item_id") < N_ITEMS // 2).then(pl.lit("train")).otherwise(pl.lit("test"))
    )
    frame = log.select("user_id", "item_id").unique().with_columns(split_p10=known)
    folder = write(tmp_path, "citeulike-a", frame)
    (split,) = load_case("citeulike-a-in-order", folder).splits
    (unordered,) = load_case("citeulike-a", folder).splits
    assert pairs(split.train) == pairs(unordered.train)
    assert pairs(split.test) == pairs(unordered.test)
    in_order = split.train.sort("user_id", "timestamp")
    assert in_order.equals(split.train.sort("user_id", "item_id"))
    places = in_order.group_by("user_id").agg("timestamp")
    assert all(places == list(range(len(places))) for places in places["timestamp"].to_list())


def test_linked_items_stand_beside_what_is_written_in_an_item(tmp_path, log):
    part = pl.when(pl.col("timestamp") < 4).then(pl.lit("train")).otherwise(pl.lit("test"))
    items = pl.DataFrame({"item_id": range(N_ITEMS - 1, -1, -1), "tags": [["x"]] * N_ITEMS})
    links = pl.DataFrame({"item_id": [3, 3, 5, 3], "linked_item_id": [9, 5, 3, 3]})
    frame = log.drop("timestamp").with_columns(split_p10=log.select(part).to_series())
    folder = write(tmp_path, "citeulike-a", frame, items=items, item_links=links)
    table = load_case("citeulike-a", folder).items
    assert table is not None
    assert table.select("item_id", "tags").equals(items), "in its order"
    linked = dict(table.select("item_id", "links").iter_rows())
    assert linked.pop(3) == [3, 5, 9]
    assert linked.pop(5) == [3, 5]
    assert linked == {item: [item] for item in linked}


def test_drawn_items_and_the_test_item_compete_once_each(tmp_path, log):
    last = pl.col("timestamp") == N_EACH - 1
    frame = log.with_columns(
        split_ncf=pl.when(last).then(pl.lit("test")).otherwise(pl.lit("train")),
        timestamp=pl.when(pl.col("item_id") == 3).then(None).otherwise(pl.col("timestamp")),
    )
    test = log.filter(last)
    drawn = test.select("user_id", "item_id", negatives=pl.concat_list("item_id", pl.lit(99)))
    case = load_case("ml-1m-ncf", write(tmp_path, "ml-1m", frame, ncf_test_negatives=drawn))
    (split,) = case.splits
    assert split.competitors is not None
    assert split.competitors.height == 2 * N_USERS, "a drawn item that is the test item: once"
    assert pairs(split.test) <= pairs(split.competitors)
    places = split.train.group_by("user_id").agg(pl.col("timestamp").sort())["timestamp"]
    assert places.to_list() == [list(range(N_EACH - 1))] * N_USERS
    unplaced = split.train.filter(pl.col("item_id") == 3)["timestamp"]
    assert unplaced.unique().to_list() == [0], "who has no place comes first"


def test_random_quarters_are_a_quarter_of_everybody_and_differ(tmp_path, log):
    write(tmp_path, "ml-100k", log.with_columns(timestamp=dt.datetime(2020, 1, 1)))
    case = load_case("ml-100k", tmp_path, seed=1)
    assert len(case.splits) == 5
    for split in case.splits:
        assert split.test.group_by("user_id").len()["len"].to_list() == [N_EACH // 4] * N_USERS
        assert pairs(split.train) | pairs(split.test) == pairs(log)
        assert not pairs(split.train) & pairs(split.test)
        assert "timestamp" not in split.train.columns, "the protocol has no time"
    drawn = [pairs(split.test) for split in case.splits]
    assert all(one != drawn[0] for one in drawn[1:])
    again = load_case("ml-100k", tmp_path, seed=1)
    assert [pairs(split.test) for split in again.splits] == drawn
    assert pairs(load_case("ml-100k", tmp_path, seed=0).splits[0].test) not in drawn


def test_folds_have_ratings_as_weights(tmp_path, log):
    folds = {
        f"split_u{fold}": pl.when(pl.col("timestamp") == fold)
        .then(pl.lit("test"))
        .otherwise(pl.lit("train"))
        for fold in range(1, 6)
    }
    frame = log.with_columns(rating=pl.lit(4.0, pl.Float32), **folds)
    case = load_case("ml-100k-ratings", write(tmp_path, "ml-100k", frame))
    assert [pairs(split.test) for split in case.splits] == [
        pairs(log.filter(pl.col("timestamp") == fold)) for fold in range(1, 6)
    ]
    assert case.splits[0].train["weight"].unique().to_list() == [4.0]
    assert PROTOCOLS["ml-100k-ratings"].rates


def by_time(log: pl.DataFrame) -> pl.DataFrame:
    """A row an hour, and the last tenth of the rows repeats what the user took before."""
    again = log.filter(pl.col("timestamp") == 0).with_columns(timestamp=pl.lit(N_EACH + 1))
    more = log.filter((pl.col("timestamp") == 1) & (pl.col("user_id") < 6)).with_columns(
        timestamp=pl.lit(N_EACH + 2), item_id=pl.col("item_id") + N_ITEMS
    )
    rows = pl.concat([log, again, more], how="vertical_relaxed").sort("timestamp", "user_id")
    return rows.with_columns(timestamp=pl.int_range(pl.len()))


@pytest.mark.parametrize(
    ("name", "repeats"), [("foursquare-nyc", True), ("ml-latest-small", False)]
)
def test_by_time_seen_items_are_asked_for_only_where_they_may_be_listed(
    tmp_path, log, name, repeats
):
    rows = by_time(log)
    case: Case = load_case(name, write(tmp_path, name, rows))
    (split,) = case.splits
    n_test = round(0.1 * rows.height)
    assert split.train["timestamp"].max() < rows.height - n_test + 1
    assert case.exclude_seen is not repeats
    seen = pairs(split.test) & pairs(split.train)
    assert bool(seen) is repeats
    assert split.test.height == (n_test if repeats else 6)


def test_four_tenths_are_each_told_from_what_lies_before(tmp_path, log):
    case = load_case("ml-latest-small-origins", write(tmp_path, "ml-latest-small", by_time(log)))
    ends = [split.train["timestamp"].max() for split in case.splits]
    assert ends == sorted(ends, reverse=True)
    heights = [split.train.height for split in case.splits]
    n = by_time(log).height
    assert np.diff(heights) == pytest.approx([-0.1 * n] * 3, abs=2)


def test_the_data_that_are_missing_are_named(tmp_path):
    protocol = PROTOCOLS["citeulike-a"]
    missing = protocol.missing(None)
    assert missing == "a folder of data with citeulike-a; give --data or set RANKER_DATA"
    with pytest.raises(ConfigError, match=r"citeulike-a needs .*interactions\.parquet"):
        protocol.load(tmp_path)


# Test users, train rows, items of the catalogue as papers and tables of data give them.
FACTS = {
    "amazon-beauty": (22_363, 153_776, 12_101),
    "amazon-toys": (19_412, 128_773, 11_924),
    "ml-1m": (6_040, 987_531, 3_416),
    "ml-1m-ncf": (6_040, 994_169, 3_706),
    "gowalla-lightgcn": (29_858, 810_128, 40_981),
    "citeulike-a": (5_139, 55_510, 16_980),
    "citeulike-a-in-order": (5_139, 55_510, 16_980),
    "citeulike-a-drawn": (5_139, 55_510, 16_980),
    "citeulike-a-p1": (5_551, 5_551, 16_980),
    "ml-100k": (943, 74_887, 1_682),
    "ml-100k-ratings": (459, 80_000, None),
    "ml-100k-time": (166, 90_000, 1_682),
    "ml-latest-small": (74, 90_752, 9_742),
    "complete-journey": (2_014, None, None),
    "globo-news": (20_000, None, None),
}


@pytest.mark.parametrize("name", FACTS)
def test_sizes_are_the_published_ones(name, data_folder):
    protocol = PROTOCOLS[name]
    missing = protocol.missing(data_folder)
    if missing:
        pytest.skip(f"there is no {missing}")
    case = protocol.load(data_folder)
    split = case.splits[0]
    n_users, n_train, n_items = FACTS[name]
    assert split.test["user_id"].n_unique() == n_users
    assert not split.test.select("user_id", "item_id").is_duplicated().any()
    if n_train is not None:
        assert split.train.height == n_train
    if n_items is not None:
        assert case.items is not None
        assert case.items.height == n_items
    if case.exclude_seen:
        known = split.train if split.histories is None else split.histories
        assert split.test.join(known, on=["user_id", "item_id"], how="semi").is_empty()
    if name == "citeulike-a-in-order":
        highest = split.train.group_by("user_id").agg(highest=pl.col("item_id").max())
        later = split.test.join(highest, on="user_id").select(pl.col("item_id") > pl.col("highest"))
        assert later.to_series().all(), "the split was made by the numbers"
    if name == "ml-1m-ncf":
        assert split.competitors is not None
        n = split.competitors.group_by("user_id").len()["len"]
        assert n.max() == 100
        assert (100 - n).sum() == 156, "drawn items that are the test item, as published"
