"""The hash that spreads users over shards, the digest of users, and the bars."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
import pytest

from features.errors import ExportError
from ranker.export.lists import checked_lists
from ranker.export.manifest import users_digest
from ranker.export.shards import default_n_shards, shard_numbers, split_users
from ranker.progress import progress, progress_bar


def test_shard_numbers_never_change() -> None:
    # Golden: exports of earlier versions must be found where they are.
    ids = pl.Series(["", "a", "ünï", "u1", "u2"])
    expected = [
        int.from_bytes(hashlib.blake2b(i.encode(), digest_size=8).digest(), "little") % 10
        for i in ids
    ]
    assert shard_numbers(ids, 10).tolist() == expected == [6, 8, 2, 0, 4]


def test_integers_fall_where_their_text_falls() -> None:
    ids = pl.Series([0, -5, 2**40])
    assert shard_numbers(ids, 97).tolist() == shard_numbers(ids.cast(pl.String), 97).tolist()


def test_shards_are_even() -> None:
    counts = np.bincount(shard_numbers(pl.Series(range(20_000)), 10), minlength=10)
    assert 1_800 < counts.min() <= counts.max() < 2_200


def test_split_users_keeps_order_and_everybody() -> None:
    ids = pl.Series(range(50))
    shards = list(split_users(ids, 7))
    assert len(shards) == 7
    assert all(shard.is_sorted() for shard in shards)
    assert pl.concat(shards).sort().equals(ids)


def test_a_shard_has_about_half_a_million_rows():
    assert [default_n_shards(n, 50) for n in (0, 1, 10_485, 10_486, 1_000_000)] == [0, 1, 1, 2, 96]


def test_users_digest_tells_similar_lists_apart() -> None:
    lists = [["1:a"], ["1", "a"], ["a1", "a"], ["a", "1a"], [], [""], ["", ""]]
    digests = {users_digest(pl.Series(ids, dtype=pl.String)) for ids in lists}
    digests |= {users_digest(pl.Series([12], dtype=d)) for d in (pl.Int64, pl.Int32)}
    digests.add(users_digest(pl.Series(["12"])))
    assert len(digests) == 10


def test_bars_are_silent_where_nobody_looks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(progress(range(3), description="counting")) == [0, 1, 2]
    with progress_bar(3, "counting", "things") as bar:
        bar.update(3)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("RANKER_QUIET", "1")
    assert list(progress(iter("ab"), description="counting")) == ["a", "b"]
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_bars_show_on_a_terminal_after_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("RANKER_QUIET", "0")
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)
    with progress_bar(4, "counting", "things") as bar:
        start = vars(bar)["start_t"]
        monkeypatch.setattr(bar, "_time", lambda: start + next(clock), raising=False)
        for _ in range(4):
            bar.update(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "counting" in captured.err


@pytest.mark.parametrize("value", [0.0, 1.5, None, float("nan")])
def test_a_propensity_is_a_chance(value: float | None) -> None:
    lists = pl.DataFrame({"user_id": [1], "item_id": [2], "rank": [1], "score": [0.5]})
    good = lists.with_columns(propensity=pl.lit(1.0))
    assert checked_lists(good, pl.Series([1]), 3).columns[-1] == "propensity"
    bad = lists.with_columns(propensity=pl.lit(value, pl.Float64))
    with pytest.raises(ExportError, match=r"1 rows of the lists have no propensity in \(0, 1\]"):
        checked_lists(bad, pl.Series([1]), 3)
