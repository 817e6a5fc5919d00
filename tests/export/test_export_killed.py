"""Exports in real trouble: killed at random moments, on a full disk, in a read-only folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from features.errors import ExportError
from ranker.export import read_export, verify_export
from ranker.export.formats import FORMATS
from tests.export import killed_exports
from tests.export.killed_exports import N_SHARDS, K, export

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs SIGKILL, fork and mount")
Mount = Callable[..., Path]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill(folder: Path, *, n_kills: int, seed: int, n_users: int, name: str = "parquet") -> None:
    arguments = [folder, n_kills, seed, n_users, name]
    done = subprocess.run(
        [sys.executable, "-m", killed_exports.__name__, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    left = json.loads(done.stdout)
    assert sum(map(len, left)) >= n_kills
    whole = contents(folder / "whole")
    for number in range(len(left)):
        assert contents(folder / str(number)) == whole
    lists = read_export(folder / "0").collect()
    assert lists["user_id"].sort().unique_counts().to_list() == [K] * n_users
    assert lists["user_id"].unique().sort().to_list() == list(range(n_users))
    assert verify_export(folder / "0").n_users == n_users


def test_killed_at_five_moments(tmp_path: Path) -> None:
    kill(tmp_path, n_kills=5, seed=0, n_users=2000)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_killed_at_fifty_moments(tmp_path: Path, name: str) -> None:
    kill(tmp_path, n_kills=50, seed=1, n_users=20_000, name=name)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """A function that mounts something on a new folder, until the test is over."""
    mounted: list[Path] = []

    def mount_(*arguments: str) -> Path:
        folder = tmp_path / f"mount-{len(mounted)}"
        folder.mkdir()
        try:
            done = subprocess.run(
                ["mount", *arguments, str(folder)], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            pytest.skip("there is no command mount")
        if done.returncode:
            pytest.skip(f"may not mount: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount_
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_and_the_restart(tmp_path: Path, mount: Mount, name: str) -> None:
    export(tmp_path / "whole", 4000, name)
    whole = contents(tmp_path / "whole")
    # Room for a third of it: the disk fills up in the middle.
    size = sum(map(len, whole.values())) // 3
    disk = mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    with pytest.raises(ExportError, match=r"cannot write .*No space left on device.*Free space"):
        export(disk / "lists", 4000, name)
    with pytest.raises(ExportError, match="no finished export"):
        read_export(disk / "lists")
    assert not list((disk / "lists").glob(".*"))
    subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
    assert 0 < export(disk / "lists", 4000, name) < N_SHARDS
    assert contents(disk / "lists") == whole


def test_a_read_only_file_system(tmp_path: Path, mount: Mount) -> None:
    (tmp_path / "source").mkdir()
    folder = mount("--bind", str(tmp_path / "source"))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    with pytest.raises(ExportError, match=r"cannot write .*Read-only file system.*permissions"):
        export(folder, 100, "parquet")
    with pytest.raises(ExportError, match=r"cannot create .*Read-only file system"):
        export(folder / "new", 100, "parquet")
    assert not list(folder.iterdir())


def test_a_finished_export_is_verified_on_a_read_only_file_system(
    tmp_path: Path, mount: Mount
) -> None:
    export(tmp_path / "source", 100, "parquet")
    folder = mount("--bind", str(tmp_path / "source"))
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    assert verify_export(folder).n_users == 100
    assert export(folder, 100, "parquet") == N_SHARDS
