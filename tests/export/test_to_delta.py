"""Lists in a Delta Lake table: content, one commit for all of them, failures in the middle."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import ConfigError, ExportError
from ranker.cli import main
from ranker.export import export_recommendations, publish_to_delta, read_export
from tests.export.fake_recommender import FakeRecommender
from tests.export.lists_of import N_USERS, K, export_of

deltalake = pytest.importorskip("deltalake", reason="needs the extra delta")


def served(table: Path) -> tuple[int, set[str]]:
    lists = pl.read_delta(str(table))
    return lists.height, set(lists["item_id"].str.head(1).unique())


def test_the_table_holds_the_lists_of_one_commit_after_another(tmp_path: Path) -> None:
    table = tmp_path / "table"
    first = publish_to_delta(export_of("a", tmp_path), str(table))
    assert (first.n_users, first.n_rows, first.name) == (N_USERS, N_USERS * K, "table")
    assert_frame_equal(
        pl.read_delta(str(table)), read_export(tmp_path / "a").collect(), check_row_order=False
    )
    second = publish_to_delta(export_of("b", tmp_path), str(table))
    assert served(table) == (N_USERS * K, {"b"})
    opened = deltalake.DeltaTable(str(table))
    assert opened.version() == 1
    assert [commit["ranker_export"] for commit in opened.history()] == [
        second.version,
        first.version,
    ]
    opened.load_as_version(0)
    assert set(pl.read_delta(opened)["item_id"].str.head(1)) == {"a"}


def test_no_query_of_an_address_is_shown(tmp_path: Path) -> None:
    # As addresses of Azure have it, whose query is the right to write.
    address = f"file://{tmp_path}/table?sig=SECRET"
    result = publish_to_delta(export_of("a", tmp_path), address)
    assert result.name == "table"
    assert "SECRET" not in repr(result)
    assert publish_to_delta(tmp_path / "a", str(tmp_path / "other/")).name == "other"


def test_readers_never_see_a_mix_or_nothing(tmp_path: Path) -> None:
    table = tmp_path / "table"
    folders = [export_of(letter, tmp_path) for letter in "ab"]
    publish_to_delta(folders[0], str(table))
    over = threading.Event()

    def read() -> set[tuple[int, str]]:
        seen = set()
        while not over.is_set():
            n_rows, letters = served(table)
            seen.add((n_rows, "".join(sorted(letters))))
        return seen

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            for turn in range(1, 6):
                publish_to_delta(folders[turn % 2], str(table))
        finally:
            over.set()
        assert reader.result() == {(N_USERS * K, "a"), (N_USERS * K, "b")}


def test_a_shard_that_is_damaged_leaves_the_old_lists(tmp_path: Path) -> None:
    table = tmp_path / "table"
    publish_to_delta(export_of("a", tmp_path), str(table))
    folder = export_of("b", tmp_path)
    (folder / "shard-00004-of-00006.parquet").write_bytes(b"PAR1")
    with pytest.raises(ExportError, match=r"shard-00004-of-00006.parquet: it has SHA-256"):
        publish_to_delta(folder, str(table))
    assert served(table) == (N_USERS * K, {"a"})
    assert deltalake.DeltaTable(str(table)).version() == 0


def test_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    folder = export_of("a", tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExportError, match=r"cannot publish to .*file/table"):
        publish_to_delta(folder, str(tmp_path / "file" / "table"))
    assert (tmp_path / "file").read_text() == "mine"


def test_unsigned_ids(tmp_path: Path) -> None:
    for value in (2**63 - 1, 2**63):
        fake = FakeRecommender(user_ids=pl.Series("user_id", [value], dtype=pl.UInt64))
        export_recommendations(fake, None, tmp_path / str(value), k=2)
    publish_to_delta(tmp_path / str(2**63 - 1), str(tmp_path / "table"))
    assert pl.read_delta(str(tmp_path / "table"))["user_id"].to_list() == [2**63 - 1] * 2
    with pytest.raises(ConfigError, match="do not fit into a long"):
        publish_to_delta(tmp_path / str(2**63), str(tmp_path / "table"))
    assert deltalake.DeltaTable(str(tmp_path / "table")).version() == 0


def test_no_users_make_an_empty_table(tmp_path: Path) -> None:
    export_recommendations(FakeRecommender(), [], tmp_path / "none")
    publish_to_delta(tmp_path / "none", str(tmp_path / "table"))
    assert pl.read_delta(str(tmp_path / "table")).schema["score"] == pl.Float32


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(export_of("a", tmp_path))
    address = f"delta:{tmp_path / 'table'}"
    assert main(["publish", folder, "--to", address]) == 0
    assert f"published 1,500 rows for 300 users to {tmp_path / 'table'}" in capsys.readouterr().out
    assert served(tmp_path / "table") == (N_USERS * K, {"a"})
    for arguments, message in (
        ([folder, "--to", address, "--name", "x"], "named by its address alone, not 'x'"),
        ([folder, "--to", "ftp://host/x"], "cannot tell where to publish"),
        ([folder, "--to", "delta:"], "cannot tell where to publish"),
        ([folder], "give --to ADDRESS, or set RANKER_PUBLISH_TO"),
        ([str(tmp_path), "--to", address], "holds no finished export"),
    ):
        assert main(["publish", *arguments]) == 2
        assert message in capsys.readouterr().err
