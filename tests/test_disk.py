"""A file is there whole or not at all, whatever fails, and nothing is left beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ranker.disk import aside_of, remove_leftovers, replacing


def test_the_old_content_is_read_until_the_block_ends(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        file.seek(0)
        assert file.read() == b"new"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace", None])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays_where_something_fails(
    call: str | None, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "file"

    def fail(*_: object) -> None:
        raise error

    def write() -> None:
        with replacing(path) as file:
            file.write(b"new")
            if call is None:
                fail()

    path.write_bytes(b"old")
    with monkeypatch.context() as patched:
        if call is not None:
            patched.setattr(Path if call == "replace" else os, call, fail)
        with pytest.raises(type(error)):
            write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path):
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first", "whose block ended last"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_run_are_deleted_and_nothing_else(tmp_path: Path):
    aside_of(tmp_path / "file").write_bytes(b"half")
    (aside_of(tmp_path / "folder") / "within").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"whole")
    aside_of(tmp_path / "link").symlink_to(tmp_path)
    remove_leftovers(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
