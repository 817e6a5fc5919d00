"""Formats: what the files hold for others, and that all of them read back as the same lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import ConfigError, ExportError
from ranker.export import export_recommendations, read_export, verify_export
from ranker.export.formats import FORMATS
from ranker.export.manifest import read_manifest
from tests.export.fake_recommender import INTEGERS, FakeRecommender
from tests.export.killed_exports import Vectorised

ROOT = Path(__file__).parents[2]
formats = pytest.mark.parametrize("name", FORMATS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@formats
@pytest.mark.parametrize("exclude_seen", [None, True])
def test_every_format_reads_back_as_what_recommend_gives(
    tmp_path: Path, name: str, exclude_seen: bool | None
) -> None:
    fake = FakeRecommender()
    folder = tmp_path / "a [1]*?"
    result = export_recommendations(
        fake, None, folder, k=7, exclude_seen=exclude_seen, format=name, n_shards=3, chunk_size=11
    )
    expected = fake.recommend(INTEGERS, k=7, exclude_seen=exclude_seen)
    found = read_export(folder).collect()
    assert_frame_equal(found.sort("user_id", "rank"), expected)
    assert result.n_rows == expected.height
    verified = verify_export(folder)
    assert (verified.n_rows, verified.n_empty) == (result.n_rows, result.n_empty)
    assert read_manifest(folder).plan.format == name
    assert len(list(folder.glob(f"shard-*{FORMATS[name].suffix}"))) == 3


@formats
def test_neither_chunks_nor_blocks_change_a_byte(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks of 16 rows, so that shards have many of them and chunks end within.
    monkeypatch.setattr("ranker.export.formats._LONG_BLOCK", 16)
    monkeypatch.setattr("ranker.export.formats._LISTS_BLOCK", 16)
    for chunk_size in (1, 7, 16, 1000):
        export_recommendations(
            FakeRecommender(),
            None,
            tmp_path / str(chunk_size),
            format=name,
            n_shards=2,
            chunk_size=chunk_size,
            exclude_seen=True,
        )
    first, *others = (contents(folder) for folder in tmp_path.iterdir())
    assert all(other == first for other in others)


def export_many(folder: Path, chunk_size: int) -> None:
    """Enough rows for several blocks, in every format."""
    model = Vectorised(user_ids=pl.Series("user_id", range(5000)))
    for name in FORMATS:
        export_recommendations(model, None, folder / name, k=30, format=name, chunk_size=chunk_size)


THREADS = f"""
import sys
from pathlib import Path
from {__name__} import export_many
export_many(Path(sys.argv[1]), 700)
"""


def test_threads_change_no_byte(tmp_path: Path) -> None:
    export_many(tmp_path / "here", 5000)
    subprocess.run(
        [sys.executable, "-c", THREADS, str(tmp_path / "one")],
        cwd=ROOT,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
        check=True,
    )
    assert pl.thread_pool_size() > 1 or os.cpu_count() == 1
    for name in FORMATS:
        assert contents(tmp_path / "one" / name) == contents(tmp_path / "here" / name)


def test_json_lines_are_one_user_each(tmp_path: Path) -> None:
    export_recommendations(
        FakeRecommender(), [101, 102], tmp_path, k=2, format="ndjson", n_shards=1
    )
    lines = (tmp_path / "shard-00000-of-00001.ndjson").read_text().splitlines()
    users = [json.loads(line) for line in lines]
    assert [user["user_id"] for user in users] == [101, 102]
    expected = FakeRecommender().recommend(pl.Series([101]), k=2, exclude_seen=None)
    assert users[0] == {
        "user_id": 101,
        "item_id": expected["item_id"].to_list(),
        "score": expected["score"].to_list(),
    }


def test_lists_in_parquet_are_one_row_a_user(tmp_path: Path) -> None:
    export_recommendations(FakeRecommender(), None, tmp_path, k=3, format="parquet-lists")
    frame = pl.read_parquet(tmp_path / "shard-00000-of-00001.parquet")
    assert frame.schema == {
        "user_id": pl.Int64,
        "item_id": pl.List(pl.String),
        "score": pl.List(pl.Float32),
    }
    assert frame.height == 60
    assert frame["item_id"].list.len().unique().to_list() == [3]


def test_arrow_files_are_read_by_arrow_itself(tmp_path: Path) -> None:
    ipc = pytest.importorskip("pyarrow.ipc")
    export_recommendations(FakeRecommender(), None, tmp_path, k=3, format="arrow")
    with ipc.open_file(tmp_path / "shard-00000-of-00001.arrow") as file:
        table = file.read_all()
    # Not string_view, which readers of a few years ago do not know.
    assert str(table.schema.field("item_id").type) == "large_string"
    assert_frame_equal(pl.from_arrow(table), read_export(tmp_path).collect())


class Odd(FakeRecommender):
    """Null scores and extreme ones, odd texts, propensities."""

    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
    ) -> pl.DataFrame:
        lists = super().recommend(user_ids, k=k, exclude_seen=exclude_seen)
        odd = pl.col("rank").replace_strict(
            {1: 3.4e38, 2: -1e-45, 3: 0.1}, default=None, return_dtype=pl.Float32
        )
        return lists.with_columns(
            score=odd,
            item_id=pl.col("item_id") + '"\n\\ü,',
            propensity=1.0 / pl.col("rank"),
        )


@formats
def test_null_scores_propensities_and_odd_texts_survive(tmp_path: Path, name: str) -> None:
    odd = Odd(user_ids=pl.Series(["", "a\nb", '"', "ü", "1"]))
    export_recommendations(odd, None, tmp_path, k=5, format=name)
    expected = odd.recommend(odd.user_ids.sort(), k=5, exclude_seen=None)
    assert_frame_equal(read_export(tmp_path).collect(), expected, check_exact=True)
    verify_export(tmp_path)


@settings(max_examples=30, deadline=None)
@given(
    ids=st.lists(st.integers(0, 2**64 - 1), max_size=30),
    name=st.sampled_from(sorted(FORMATS)),
    n_shards=st.none() | st.integers(1, 4),
)
def test_no_user_is_lost_in_any_format(ids: list[int], name: str, n_shards: int | None) -> None:
    known = pl.Series("user_id", ids, dtype=pl.UInt64)
    fake = FakeRecommender(user_ids=known)
    with tempfile.TemporaryDirectory() as folder:
        export_recommendations(fake, None, folder, k=2, format=name, n_shards=n_shards)
        found = read_export(folder).sort("user_id", "rank").collect()
        expected = fake.recommend(known.unique().sort(), k=2, exclude_seen=None)
        assert_frame_equal(found, expected)
        verify_export(folder)


def test_a_format_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="format is 'csv'; expected one of 'parquet', 'parquet-"):
        export_recommendations(FakeRecommender(), None, tmp_path / "out", format="csv")
    assert not (tmp_path / "out").exists()


@formats
def test_a_damaged_shard_is_named_and_made_again(tmp_path: Path, name: str) -> None:
    def export() -> int:
        return export_recommendations(
            FakeRecommender(), None, tmp_path, k=4, format=name, n_shards=4
        ).n_resumed

    export()
    whole = contents(tmp_path)
    victims = [f"shard-0000{i}-of-00004{FORMATS[name].suffix}" for i in (1, 3)]
    (tmp_path / victims[0]).write_bytes(whole[victims[0]][:-3] + b"abc")
    (tmp_path / victims[1]).unlink()
    with pytest.raises(ExportError, match="SHA-256") as caught:
        verify_export(tmp_path)
    assert all(victim in str(caught.value) for victim in victims)
    assert export() == 2
    assert contents(tmp_path) == whole


def test_users_come_from_files_and_frames(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(2):
        frame = INTEGERS[i::2].to_frame().with_columns(name=pl.lit("x"))
        frame.write_parquet(tmp_path / "in" / f"users-{i}.parquet")
    sources = {
        "glob": str(tmp_path / "in" / "users-*.parquet"),
        "path": tmp_path / "in",  # a folder of Parquet files
        "frame": pl.DataFrame({"user_id": INTEGERS}),
        "lazy": pl.scan_parquet(tmp_path / "in" / "users-*.parquet"),
        "all": None,
    }
    for name, users in sources.items():
        out = tmp_path / "out" / name
        assert export_recommendations(FakeRecommender(), users, out, k=2).n_users == 60
    first, *others = (contents(folder) for folder in (tmp_path / "out").iterdir())
    assert all(other == first for other in others)


def test_only_the_ids_of_a_lazy_frame_are_read(tmp_path: Path) -> None:
    def fail(_: object) -> pl.Series:
        raise AssertionError("this column was not asked for")

    lazy = pl.LazyFrame({"user_id": [101, 102, 101]}).with_columns(
        other=pl.col("user_id").map_batches(fail, return_dtype=pl.Int64)
    )
    result = export_recommendations(FakeRecommender(), lazy, tmp_path, k=2)
    assert (result.n_users, result.n_duplicates) == (2, 1)


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["a", "b"])])
def test_categorical_ids_are_exported_as_text(tmp_path: Path, dtype: pl.DataType) -> None:
    class Categorical(FakeRecommender):
        def recommend(
            self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
        ) -> pl.DataFrame:
            lists = super().recommend(user_ids, k=k, exclude_seen=exclude_seen)
            return lists.with_columns(pl.col("user_id", "item_id").cast(pl.Categorical))

    ids = pl.Series("user_id", ["b", "a"], dtype=dtype)
    export_recommendations(Categorical(user_ids=ids), ids, tmp_path, k=2)
    found = read_export(tmp_path).collect()
    assert found.schema["user_id"] == found.schema["item_id"] == pl.String
    assert found["user_id"].to_list() == ["a", "a", "b", "b"]
    verify_export(tmp_path)
