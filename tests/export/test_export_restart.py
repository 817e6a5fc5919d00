"""Exports that are interrupted, damaged, mixed up or kept from writing."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from features.errors import ExportError
from ranker.export import ExportResult, export_recommendations, files, read_export, verify_export
from ranker.export.manifest import _checksum
from tests.export import fake_recommender
from tests.export.fake_recommender import INTEGERS, FakeRecommender

ROOT = Path(__file__).parents[2]


def export(folder: Path, **kwargs: object) -> ExportResult:
    fake = kwargs.pop("fake", None) or FakeRecommender()
    arguments = {"k": 7, "chunk_size": 5, "n_shards": 12, **kwargs}
    return export_recommendations(fake, None, folder, **arguments)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an uninterrupted export: 12 shards of about 5 users."""
    folder = tmp_path_factory.mktemp("whole")
    assert export(folder).n_shards == 12
    return contents(folder)


def start_script(folder: Path, n_chunks: int, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", fake_recommender.__name__, str(folder), str(n_chunks), how],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_model_that_raises_and_the_restart(tmp_path: Path, whole: dict[str, bytes]) -> None:
    def fail(n_calls: int) -> None:
        if n_calls > 9:
            raise MemoryError("no more")

    with pytest.raises(MemoryError):
        export(tmp_path, fake=FakeRecommender(on_call=fail))
    with pytest.raises(ExportError, match=r"no finished export.*_manifest.json and _SUCCESS"):
        read_export(tmp_path)
    fake = FakeRecommender()
    result = export(tmp_path, fake=fake)
    assert 0 < result.n_resumed < 12
    assert sum(fake.calls) < 60
    assert contents(tmp_path) == whole


def test_a_process_that_dies_and_the_restart(tmp_path: Path, whole: dict[str, bytes]) -> None:
    process = start_script(tmp_path, 8, "exit")
    process.communicate(timeout=30)
    assert process.returncode == 17
    assert 0 < export(tmp_path).n_resumed < 12
    assert contents(tmp_path) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_process_that_is_killed_holds_the_folder_until_then(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    process = start_script(tmp_path, 5, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(ExportError, match="another process is exporting"):
        export(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert 0 < export(tmp_path).n_resumed < 12
    assert contents(tmp_path) == whole


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may run after it."""


def kill_at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the process "die" before its ``step``-th change of the disk, clean-up included."""
    steps = [0]

    def dying(function: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **kwargs: object) -> object:
            steps[0] += 1
            if steps[0] >= step:
                raise Killed
            return function(*args, **kwargs)

        return wrapper

    for owner, name in [(os, "fsync"), (Path, "replace"), (Path, "unlink")]:
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))


def test_killed_at_every_step_in_turn(tmp_path: Path) -> None:
    arguments = {"n_shards": 2, "chunk_size": 20}
    export(tmp_path / "whole", **arguments)
    expected = contents(tmp_path / "whole")
    for step in range(1, 1000):
        folder = tmp_path / str(step)
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at_step(monkeypatch, step)
            try:
                export(folder, **arguments)
            except Killed:
                died = True
            else:
                died = False
        if (folder / "_SUCCESS").exists():
            verify_export(folder)
        export(folder, **arguments)
        assert contents(folder) == expected
        if not died:
            break
    assert step > 20


def test_killed_again_and_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    resumed = []
    for _ in range(100):
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at_step(monkeypatch, 12)
            try:
                resumed.append(export(tmp_path).n_resumed)
                break
            except Killed:
                continue
    assert resumed == [12]
    assert contents(tmp_path) == whole


def test_a_finished_export_is_checked_and_left_as_it_is(tmp_path: Path) -> None:
    export(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    fake = FakeRecommender()
    result = export(tmp_path, fake=fake, chunk_size=50)
    assert (result.n_resumed, result.n_shards, result.n_rows) == (12, 12, 420)
    assert fake.calls == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def replace_by_link(path: Path) -> None:
    copy = path.with_name("copy.bin")
    path.rename(copy)
    path.symlink_to(copy)


@pytest.mark.parametrize("damage", [flip_a_byte, truncate, Path.unlink, replace_by_link])
@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_shard_is_made_again(
    tmp_path: Path,
    whole: dict[str, bytes],
    damage: Callable[[Path], None],
    finished: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(n_calls: int) -> None:
        if not finished and n_calls > 9:
            raise RuntimeError

    try:
        export(tmp_path, fake=FakeRecommender(on_call=fail))
    except RuntimeError:
        assert not finished
    shard = tmp_path / "shard-00001-of-00012.parquet"
    damage(shard)
    if finished:
        with pytest.raises(
            ExportError, match=r"not as it was exported:\n  - shard-00001-of-00012.parquet: it"
        ):
            verify_export(tmp_path)
    with caplog.at_level(logging.WARNING, logger="ranker.export"):
        result = export(tmp_path)
    assert "shard-00001-of-00012.parquet is missing or damaged" in caplog.text
    assert result.n_resumed == (11 if finished else result.n_resumed)
    (tmp_path / "copy.bin").unlink(missing_ok=True)
    assert contents(tmp_path) == whole


def test_success_is_withdrawn_while_a_damaged_shard_is_replaced(tmp_path: Path) -> None:
    export(tmp_path)
    truncate(tmp_path / "shard-00003-of-00012.parquet")
    seen = []
    fake = FakeRecommender(on_call=lambda _: seen.append((tmp_path / "_SUCCESS").exists()))
    export(tmp_path, fake=fake)
    assert seen
    assert not any(seen)
    verify_export(tmp_path)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fake": FakeRecommender(fingerprint="b" * 64)}, "fingerprint: 'aaa.*not 'bbb"),
        ({"fake": FakeRecommender(as_of=5)}, "as_of: '2024-01-31T00:00:00', not 5"),
        ({"k": 8}, "k: 7, not 8"),
        ({"exclude_seen": False}, "exclude_seen: None, not False"),
        ({"n_shards": 11}, "n_shards: 12, not 11"),
        ({"format": "ndjson"}, "format: 'parquet', not 'ndjson'"),
        ({"fake": FakeRecommender(user_ids=INTEGERS[1:])}, "n_users: 60, not 59; users_sha256"),
        ({"fake": FakeRecommender(user_ids=INTEGERS + 1)}, "other export.*users_sha256"),
        ({"fake": FakeRecommender(user_ids=INTEGERS.cast(pl.Int32))}, "schema: .*Int32"),
    ],
)
def test_another_export_in_the_folder_is_refused(
    tmp_path: Path, finished: bool, change: dict[str, object], message: str
) -> None:
    def fail(n_calls: int) -> None:
        if not finished and n_calls > 3:
            raise RuntimeError

    try:
        export(tmp_path, fake=FakeRecommender(on_call=fail))
    except RuntimeError:
        assert not finished
    before = contents(tmp_path)
    with pytest.raises(ExportError, match=message) as caught:
        export(tmp_path, **change)
    assert "Export to another path, or delete the folder first" in str(caught.value)
    assert contents(tmp_path) == before


def test_another_version_of_the_package_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tmp_path)
    monkeypatch.setattr("ranker.export.run.package_version", lambda: "99.0")
    with pytest.raises(ExportError, match=r"package_version: .*, not '99\.0'"):
        export(tmp_path)


def test_foreign_files_stay_and_leftovers_go(tmp_path: Path, whole: dict[str, bytes]) -> None:
    foreign = ["notes.txt", "other.parquet", ".hidden", "x.tmp", "part-0.parquet"]
    for name in foreign:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".shard-00000-of-00012.parquet.ranker-tmp").write_text("half")
    (tmp_path / ".model.ranker-tmp").mkdir()
    (tmp_path / ".model.ranker-tmp" / "model.json").write_text("{}")
    export(tmp_path)
    found = contents(tmp_path)
    assert {name: found.pop(name) for name in foreign} == dict.fromkeys(foreign, b"mine")
    assert found == whole
    assert read_export(tmp_path).collect().height == 420
    verify_export(tmp_path)


@pytest.mark.parametrize("name", ["shard-00000-of-00012.parquet", "_SUCCESS"])
def test_shards_that_no_plan_explains_are_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ExportError, match=f"{name}.*neither _manifest.json nor _plan.json"):
        export(tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def test_a_shard_beside_the_named_ones_fails_the_verification(tmp_path: Path) -> None:
    export(tmp_path)
    (tmp_path / "shard-00000-of-00099.parquet").write_text("x")
    with pytest.raises(ExportError, match="1 shards that its manifest does not name"):
        verify_export(tmp_path)
    assert read_export(tmp_path).collect().height == 420


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text[:-9], "is damaged"),
        (lambda text: text.replace('"k": 7', '"k": 9'), "checksum"),
        (lambda text: text.replace('"n_rows"', '"rows"'), "checksum"),
        (lambda text: text.replace('"format_version": 3', '"format_version": 4'), "version 4"),
        (lambda text: text.replace('"k": 7', '"k": true'), r"\['k'\] have the wrong type"),
        (lambda _: "[]", "holds a list"),
        (lambda _: '{"plan": 3}', "lists no shards"),
        (lambda _: "[" * 100_000, "is damaged"),
        (lambda _: "\x00", "is damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(
    tmp_path: Path, edit: Callable[[str], str], message: str
) -> None:
    export(tmp_path)
    path = tmp_path / "_manifest.json"
    path.write_text(edit(path.read_text()))
    for call in (read_export, verify_export, export):
        with pytest.raises(ExportError, match=message):
            call(tmp_path)


def test_a_manifest_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    export(tmp_path)
    path = tmp_path / "_manifest.json"
    document = json.loads(path.read_text())
    document["shards"][0]["file"] = "../secret.parquet"
    del document["sha256"]
    path.write_text(json.dumps({**document, "sha256": _checksum(document)}))
    with pytest.raises(ExportError, match=r"shard 0 .*'\.\./secret\.parquet'"):
        read_export(tmp_path)


def test_a_damaged_record_only_costs_its_shard(tmp_path: Path, whole: dict[str, bytes]) -> None:
    def fail(n_calls: int) -> None:
        if n_calls > 9:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        export(tmp_path, fake=FakeRecommender(on_call=fail))
    n_records = len(list(tmp_path.glob("_shard-*.json")))
    (tmp_path / "_shard-00000-of-00012.json").write_text("{")
    assert export(tmp_path).n_resumed == n_records - 1
    assert contents(tmp_path) == whole


def test_a_path_that_is_a_file_or_below_one_or_a_url(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ExportError, match="file is a file, and an export is a folder"):
        export(file)
    with pytest.raises(ExportError, match=r"cannot create .*Not a directory"):
        export(file / "below")
    with pytest.raises(ExportError, match="is a URL"):
        export_recommendations(FakeRecommender(), None, "s3://bucket/lists")
    with pytest.raises(ExportError, match="no finished export"):
        read_export(tmp_path / "nothing")
    assert file.read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
def test_an_unwritable_folder() -> None:
    # Not `tmp_path`: its parents let nobody but their owner through, and root may write anywhere.
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o555)
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(ExportError, match=r"cannot write .*Permission denied.*permissions"):
                export(folder)
        finally:
            os.seteuid(user)
        assert not list(folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
def test_a_disk_that_takes_no_more(tmp_path: Path, whole: dict[str, bytes]) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    smallest = min(len(data) for name, data in whole.items() if name.startswith("shard"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (smallest + 20, limits[1]))
    try:
        with pytest.raises(ExportError, match=r"cannot write .*too large.*Free space"):
            export(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob(".*"))
    export(tmp_path)
    assert contents(tmp_path) == whole


def test_a_file_system_without_locks_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(files._CANNOT_LOCK[0], "no locks here")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    export(tmp_path)
    verify_export(tmp_path)
