"""A limit on memory: what chunks it leads to, and that it holds."""

from __future__ import annotations

import logging
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError, ExportError
from ranker.export import export_recommendations
from ranker.export.memory import ChunkSizes, parse_bytes, resident_bytes
from tests.export.fake_recommender import FakeRecommender

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux only")
MB = 10**6


class Hungry(FakeRecommender):
    """Takes half a megabyte for each user while it works."""

    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
    ) -> pl.DataFrame:
        block = np.ones(len(user_ids) * MB // 16)
        lists = super().recommend(user_ids, k=k, exclude_seen=exclude_seen)
        return lists if block.sum() >= 0 else lists.clear()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), ("4GB", 4 * 10**9), ("1.5 MiB", 3 * 2**19), ("7b", 7), (" 2kb ", 2000)],
)
def test_sizes_of_memory(value: int | str, expected: int) -> None:
    assert parse_bytes(value) == expected


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "4", "GB", "-4GB", "4 parsecs", "0GB", ""])
def test_what_is_no_size_of_memory(value: object) -> None:
    with pytest.raises(ConfigError, match=r"max_memory is .*expected bytes"):
        parse_bytes(value)  # type: ignore[arg-type]


def test_without_a_limit_chunks_are_as_large_as_asked_for() -> None:
    sizes = ChunkSizes(100)
    assert sizes.measured(100, lambda: "done") == "done"
    assert sizes.next == 100


def test_chunks_grow_as_far_as_memory_allows() -> None:
    def take(n_users: int) -> None:
        np.ones(n_users * MB // 8).sum()

    limit = int(resident_bytes() / 0.9) + 400 * MB
    sizes, seen = ChunkSizes(100_000, limit), []
    for _ in range(9):
        seen.append(sizes.next)
        sizes.measured(sizes.next, lambda: take(sizes.next))
    assert seen[:2] == [32, 64]
    # A megabyte each, and a tenth of the limit stays free.
    room = (0.9 * limit - resident_bytes()) / MB
    assert 0.7 * room < seen[-1] < 1.3 * room


def test_a_limit_below_what_the_process_holds() -> None:
    with pytest.raises(ConfigError, match=r"holds .* before the first list.*give at least"):
        ChunkSizes(10, resident_bytes())


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets what the process holds: what it truly holds depends on the tests before."""
    held = [1000 * MB]
    monkeypatch.setattr("ranker.export.memory.resident_bytes", lambda: held[0])
    return lambda n_bytes: held.__setitem__(0, n_bytes)


def test_a_limit_that_a_chunk_breaks_is_told(
    caplog: pytest.LogCaptureFixture, holds: Callable[[int], None]
) -> None:
    sizes = ChunkSizes(1000, 1200 * MB)
    with caplog.at_level(logging.WARNING, logger="ranker.export"):
        sizes.measured(32, lambda: holds(1640 * MB))
    # 20 MB each, of the 80 that are left when a tenth stays free.
    assert (
        "32 users at a time took the process to 1.64 GB, above max_memory of 1.20 GB; "
        "going on with 4 users" in caplog.text
    )
    assert sizes.next == 4
    with pytest.raises(ExportError, match="with them: give more, or make"):
        sizes.measured(32, lambda: holds(5000 * MB))


def test_a_small_last_chunk_is_not_taken_for_a_costly_one(holds: Callable[[int], None]) -> None:
    sizes = ChunkSizes(64, 1200 * MB)
    sizes.measured(32, lambda: holds(1010 * MB))
    sizes.measured(64, lambda: holds(1020 * MB))
    sizes.measured(1, lambda: holds(1050 * MB))  # 30 MB, which are not this user's
    assert sizes.next == 64


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranker.export.memory._STATM", Path("/nowhere/statm"))
    with pytest.raises(ConfigError, match=r"which only Linux has.*give chunk_size instead"):
        ChunkSizes(10, 10**12)
    assert ChunkSizes(10).next == 10


def test_the_limit_changes_no_byte(tmp_path: Path) -> None:
    limit = resident_bytes() + 500 * MB
    hungry = Hungry(user_ids=pl.Series("user_id", range(600)))
    export_recommendations(hungry, None, tmp_path / "a", k=3, max_memory=limit, n_shards=2)
    export_recommendations(hungry, None, tmp_path / "b", k=3, n_shards=2)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert hungry.calls[0] == 32


HEAPS = """
import ctypes, sys, threading, time
from ranker.heap import keep_heap_small
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p

def count(name):
    file = ctypes.c_void_p(libc.fopen(name.encode(), b"w"))
    libc.malloc_info(0, file)
    libc.fclose(file)
    with open(name) as text:
        return text.read().count("<heap nr=")

before = count(sys.argv[1])
if sys.argv[2] == "small":
    keep_heap_small()
held = []

def take():
    held.append(ctypes.create_string_buffer(50_000))
    time.sleep(0.2)

threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(count(sys.argv[1]) - max(2, before))
"""


@pytest.mark.parametrize("small", [True, False])
def test_threads_share_the_heaps_that_are_there(tmp_path: Path, small: bool) -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not glibc")
    arguments = [str(tmp_path / "heaps.xml"), "small" if small else "as they come"]
    done = subprocess.run(
        [sys.executable, "-c", HEAPS, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (int(done.stdout) <= 0) == small


PEAK = """
import re, sys
from pathlib import Path
import polars as pl
from ranker.export import export_recommendations
from tests.export.test_export_memory import Hungry
hungry = Hungry(user_ids=pl.Series("user_id", range(2000)))
export_recommendations(hungry, None, sys.argv[1], k=3, n_shards=1, max_memory=sys.argv[2])
# Not getrusage: there the peak of a child begins with that of its parent.
kilobytes = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(max(hungry.calls), int(kilobytes) * 1024)
"""


def test_the_peak_of_a_process_stays_below(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path), "600MB"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    largest, peak = map(int, done.stdout.split())
    # All at once, the users would take a gigabyte.
    assert peak < 600 * MB
    assert 128 < largest < 1000
