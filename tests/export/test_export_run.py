"""Exports that run through: content, layout, parameters, users."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import ConfigError, ExportError, SchemaError
from ranker.export import export_recommendations, read_export, verify_export
from tests.export.fake_recommender import INTEGERS, FakeRecommender


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_user_gets_the_list_that_recommend_gives(tmp_path: Path) -> None:
    fake = FakeRecommender()
    result = export_recommendations(fake, None, tmp_path / "out", k=7, chunk_size=16, n_shards=4)
    assert max(fake.calls) <= 16
    expected = fake.recommend(INTEGERS, k=7, exclude_seen=None)
    found = read_export(tmp_path / "out").collect().sort("user_id", "rank")
    assert_frame_equal(found, expected)
    assert (result.n_users, result.n_rows, result.n_shards, result.n_resumed) == (60, 420, 4, 0)
    assert (result.n_duplicates, result.n_empty, result.path) == (0, 0, tmp_path / "out")
    verified = verify_export(tmp_path / "out")
    assert (verified.n_users, verified.n_rows, verified.n_shards) == (60, 420, 4)


def test_a_finished_folder_holds_shards_manifest_and_success_only(tmp_path: Path) -> None:
    export_recommendations(FakeRecommender(), None, tmp_path, k=3, n_shards=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "_SUCCESS",
        "_manifest.json",
        "shard-00000-of-00002.parquet",
        "shard-00001-of-00002.parquet",
    ]
    assert (tmp_path / "_SUCCESS").read_bytes() == b""
    manifest = json.loads((tmp_path / "_manifest.json").read_text())
    assert manifest["plan"]["as_of"] == "2024-01-31T00:00:00"
    assert manifest["plan"]["schema"] == {
        "user_id": "Int64",
        "item_id": "String",
        "rank": "Int64",
        "score": "Float32",
    }
    for shard in manifest["shards"]:
        lists = pl.read_parquet(tmp_path / shard["file"])
        assert_frame_equal(lists, lists.sort("user_id", "rank"))
        assert lists.height == shard["n_rows"] == 3 * shard["n_users"]


@pytest.mark.parametrize("strings", [False, True])
def test_order_and_duplicates_do_not_change_a_byte(tmp_path: Path, strings: bool) -> None:
    ids = INTEGERS.cast(pl.String) if strings else INTEGERS
    fake = FakeRecommender(user_ids=ids)
    shuffled = ids.sample(fraction=1, shuffle=True, seed=1).to_list()
    export_recommendations(fake, ids, tmp_path / "a", k=5, chunk_size=13)
    result = export_recommendations(
        fake, shuffled + shuffled[:9], tmp_path / "b", k=5, chunk_size=13
    )
    assert result.n_duplicates == 9
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert read_export(tmp_path / "a").collect_schema()["user_id"] == ids.dtype
    verify_export(tmp_path / "b")


@pytest.mark.parametrize("n_shards", [None, 3])
def test_chunk_size_changes_nothing(tmp_path: Path, n_shards: int | None) -> None:
    for chunk_size in (1, 7, 1000):
        export_recommendations(
            FakeRecommender(),
            None,
            tmp_path / str(chunk_size),
            n_shards=n_shards,
            chunk_size=chunk_size,
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "7") == contents(tmp_path / "1000")


@pytest.mark.parametrize("n_shards", [None, 3])
def test_no_users_make_a_valid_export(tmp_path: Path, n_shards: int | None) -> None:
    result = export_recommendations(FakeRecommender(), [], tmp_path, n_shards=n_shards)
    assert (result.n_users, result.n_rows, result.n_shards) == (0, 0, n_shards or 0)
    found = read_export(tmp_path).collect()
    assert found.height == 0
    assert found.columns == ["user_id", "item_id", "rank", "score"]
    assert found.dtypes == [pl.Int64, pl.String, pl.Int64, pl.Float32]
    assert verify_export(tmp_path).n_users == 0
    assert export_recommendations(FakeRecommender(), [], tmp_path).n_resumed == (n_shards or 0)


def test_users_without_a_list_are_counted(tmp_path: Path) -> None:
    fake = FakeRecommender()
    result = export_recommendations(fake, None, tmp_path, k=5, exclude_seen=True, chunk_size=9)
    expected = fake.recommend(INTEGERS, k=5, exclude_seen=True)
    assert result.n_empty == 60 - expected["user_id"].n_unique() > 0
    assert result.n_rows == expected.height
    assert verify_export(tmp_path).n_empty == result.n_empty


def test_unknown_users_and_other_integer_types_are_exported(tmp_path: Path) -> None:
    ids = np.array([7, 100, 101], dtype=np.int16)
    export_recommendations(FakeRecommender(), pl.Series(ids), tmp_path / "a")
    export_recommendations(FakeRecommender(), [101, 100, 7], tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert read_export(tmp_path / "a").collect()["user_id"].unique().sort().to_list() == [
        7,
        100,
        101,
    ]


@pytest.mark.parametrize(
    ("user_ids", "message"),
    [
        (pl.Series([1, None, 2, None]), "2 of 4 ids are null"),
        ([1, None], "1 of 2 ids are null"),
        ([1, "2"], "not all of one kind"),
        (["100"], r"the ids are String \(the first is '100'\).*Int64"),
        ([1.5], "the ids are Float64"),
        ("nowhere.parquet", "the Parquet files 'nowhere.parquet' cannot be read"),
        (pl.DataFrame({"user": [1]}), r"no column 'user_id' among \['user'\]"),
        (pl.LazyFrame({"user_id": ["a"]}), r"the ids are String \(the first is 'a'\)"),
    ],
)
def test_users_that_cannot_be_exported(tmp_path: Path, user_ids: object, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        export_recommendations(FakeRecommender(), user_ids, tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_users_beyond_the_range_of_the_models_dtype(tmp_path: Path) -> None:
    fake = FakeRecommender(user_ids=pl.Series([1, 2], dtype=pl.Int8))
    with pytest.raises(SchemaError, match="from 1 to 300 do not fit into Int8"):
        export_recommendations(fake, [1, 300], tmp_path)


@pytest.mark.parametrize("name", ["k", "chunk_size", "n_shards", "n_workers"])
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "5"])
def test_parameters_out_of_range(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}={re.escape(repr(value))};"):
        export_recommendations(FakeRecommender(), None, tmp_path, **{name: value})  # type: ignore[arg-type]


def test_numbers_of_numpy_count(tmp_path: Path) -> None:
    fake = FakeRecommender()
    made = export_recommendations(fake, None, tmp_path, k=np.int64(3), n_shards=np.int64(2))
    assert verify_export(tmp_path).n_rows == made.n_rows
    assert export_recommendations(fake, None, tmp_path, k=3, n_shards=2).n_resumed == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("rank") + 1, "break the ranks"),
        (pl.lit("i1").alias("item_id"), "repeat an item"),
        (pl.lit(None, dtype=pl.String).alias("item_id"), "have a null"),
        (pl.col("user_id") + 1000, "users who were not asked for"),
        (pl.col("score").cast(pl.Float64), "the dtypes"),
    ],
)
def test_lists_that_break_the_contract_are_refused(
    tmp_path: Path, change: pl.Expr, message: str
) -> None:
    class Broken(FakeRecommender):
        def recommend(
            self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
        ) -> pl.DataFrame:
            lists = super().recommend(user_ids, k=k, exclude_seen=exclude_seen)
            return lists.with_columns(change) if len(user_ids) else lists

    with pytest.raises(ExportError, match=message):
        export_recommendations(Broken(), None, tmp_path, k=5)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_folder_with_odd_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a [1]*?" / "ünï"
    export_recommendations(FakeRecommender(), None, str(folder), k=2)
    assert read_export(folder).collect().height == verify_export(folder).n_rows == 120


users = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40),
    st.lists(st.text(max_size=6), max_size=40),
)


@settings(max_examples=60, deadline=None)
@given(ids=users, chunk_size=st.integers(1, 12), n_shards=st.none() | st.integers(1, 6))
def test_no_user_is_lost_or_doubled(
    ids: list[int] | list[str], chunk_size: int, n_shards: int | None
) -> None:
    strings = any(isinstance(user_id, str) for user_id in ids)
    known = pl.Series("user_id", ids, dtype=pl.String if strings else pl.Int64)
    fake = FakeRecommender(user_ids=known)
    with tempfile.TemporaryDirectory() as folder:
        result = export_recommendations(
            fake, ids, folder, k=3, chunk_size=chunk_size, n_shards=n_shards
        )
        found = read_export(folder).collect()
        assert Counter(found["user_id"]) == dict.fromkeys(ids, 3)
        assert found.select("user_id", "rank").is_duplicated().sum() == 0
        assert result.n_users + result.n_duplicates == len(ids)
        assert verify_export(folder).n_rows == found.height
