"""A folder that keeps versions of a model: saves, rollbacks, and readers that come in between."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ranker import (
    ConfigError,
    ModelFormatError,
    TwoStageRecommender,
    current_version,
    list_versions,
    rollback,
)
from ranker.cli import main
from ranker.persistence import FORMAT_VERSION, read_model, write_model
from ranker.versions import check_destination, load_version, save_version
from tests.recommenders import everything

DIGITS = "0123456789ab"


def save(path: Path, number: int, keep: int = 2) -> None:
    """A model that is nothing but files, all of which hold its number."""
    content = bytes([number]) * 50_000
    files = {f"part-{one}": content for one in range(4)}
    save_version(path, files, {"number": number}, fingerprint=DIGITS, keep=keep)


def number_at(path: Path) -> int:
    """The number of the model that is loaded, of which every part must be the same."""
    files, settings = load_version(path)
    assert {content[0] for content in files.values()} == {settings["number"]}
    return settings["number"]


def numbers_of(path: Path) -> list[int]:
    return [int(name.split("-")[0]) for name in list_versions(path)]


def test_versions_are_kept_and_the_oldest_go(tmp_path: Path):
    for number in range(1, 6):
        save(tmp_path, number, keep=3)
        assert number_at(tmp_path) == number
    assert numbers_of(tmp_path) == [3, 4, 5]
    save(tmp_path, 6, keep=1)
    assert numbers_of(tmp_path) == [6]
    for keep in (0, -1, True, "3"):
        with pytest.raises(ConfigError, match="keep"):
            save(tmp_path, 7, keep=keep)
    assert number_at(tmp_path) == 6


def test_rollback_and_what_a_save_makes_of_it(tmp_path: Path):
    for number in range(1, 5):
        save(tmp_path, number, keep=9)
    assert rollback(tmp_path) == f"000003-{DIGITS}" == current_version(tmp_path)
    assert number_at(tmp_path) == 3
    rollback(tmp_path)
    assert number_at(tmp_path) == 2
    rollback(tmp_path, 4)  # taken back
    assert number_at(tmp_path) == 4
    assert rollback(tmp_path, "000003") == f"000003-{DIGITS}"  # as names begin
    rollback(tmp_path, f"000002-{DIGITS}")
    save(tmp_path, 5, keep=2)  # 3 and 4 were left behind: no later rollback may lead to them
    assert numbers_of(tmp_path) == [2, 5]
    rollback(tmp_path)
    assert number_at(tmp_path) == 2
    with pytest.raises(ConfigError, match=r"no version before 000002.*keep="):
        rollback(tmp_path)
    with pytest.raises(ConfigError, match=r"no version '17'; it keeps \['000002"):
        rollback(tmp_path, "17")
    with pytest.raises(ConfigError, match="has no version '²'"):
        rollback(tmp_path, "²")
    with pytest.raises(ModelFormatError, match="keeps no versions"):
        rollback(tmp_path / "versions")


def test_a_save_waits_for_a_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for number in (1, 2, 3):
        save(tmp_path, number, keep=3)
    saving: list[threading.Thread] = []

    def read_slowly(path: Path) -> tuple[dict[str, bytes], dict[str, object]]:
        # Without the lock this save would delete the version that was chosen.
        saving.append(threading.Thread(target=save, args=(tmp_path, 4, 1)))
        saving[0].start()
        saving[0].join(0.3)
        return read_model(path)

    monkeypatch.setattr("ranker.versions.read_model", read_slowly)
    chosen = rollback(tmp_path)
    monkeypatch.undo()
    saving[0].join()
    assert chosen == f"000002-{DIGITS}"
    assert number_at(tmp_path) == 4, "the save came after"


def test_a_damaged_version_is_not_rolled_back_to(tmp_path: Path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    first = tmp_path / "versions" / f"000001-{DIGITS}"
    (first / "part-2").write_bytes(b"other")
    with pytest.raises(ModelFormatError, match="part-2 was changed or cut short"):
        rollback(tmp_path)
    assert number_at(tmp_path) == 2


@pytest.mark.parametrize(
    "name", ["", "../../etc", f"../000001-{DIGITS}", "/", f"000001-{DIGITS}/..", "1", "\x00" * 200]
)
def test_a_pointer_does_not_lead_out_of_the_folder(name: str, tmp_path: Path):
    save(tmp_path, 1)
    (tmp_path / "current").write_text(name)
    for ask in (load_version, rollback):
        with pytest.raises(ModelFormatError, match="which is no version; choose one of"):
            ask(tmp_path)
    assert rollback(tmp_path, "1") == current_version(tmp_path)
    (tmp_path / "current").write_text(name)
    save(tmp_path, 2)
    assert number_at(tmp_path) == 2


def test_a_pointer_to_a_version_that_is_not_there(tmp_path: Path):
    save(tmp_path, 1)
    (tmp_path / "current").write_text("000007-" + DIGITS)
    with pytest.raises(ModelFormatError, match="is not a saved model"):
        load_version(tmp_path)
    with pytest.raises(ModelFormatError, match="does not say which of its versions is current"):
        rollback(tmp_path)


def test_a_model_from_before_there_were_versions_is_loaded_and_replaced(tmp_path: Path):
    old = tmp_path / "model"
    write_model(old, {"part-0": bytes([7])}, {"number": 7})
    (old / "notes.txt").write_text("dear")
    assert number_at(old) == 7
    save(old, 8)
    assert number_at(old) == 8
    assert {one.name for one in old.iterdir()} == {"current", "versions", "notes.txt"}


def test_a_save_that_was_killed_leaves_the_model_before(tmp_path: Path):
    save(tmp_path, 1)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "import ranker.versions as versions\n"
        "versions._point_at = lambda folder, name: os._exit(9)\n"
        "versions.save_version(Path(sys.argv[1]), {'a': b'x'}, {}, fingerprint='f' * 12, keep=2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 9
    assert number_at(tmp_path) == 1
    (tmp_path / ".new-killed").mkdir()
    save(tmp_path, 3)
    assert number_at(tmp_path) == 3
    assert not (tmp_path / ".new-killed").exists()
    rollback(tmp_path)
    assert number_at(tmp_path) == 1


@pytest.mark.parametrize("keep", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_readers_see_one_model_or_the_other(keep: int, tmp_path: Path):
    save(tmp_path, 0, keep)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ranker.versions import load_version\n"
        "seen = []\n"
        "print('ready', flush=True)\n"
        "while not seen or seen[-1] != 60:\n"
        "    files, settings = load_version(Path(sys.argv[1]))\n"
        "    assert {content[0] for content in files.values()} == {settings['number']}\n"
        "    seen.append(settings['number'])\n"
        "assert seen == sorted(seen)\n"
        "print(len(set(seen)))\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    for number in range(1, 61):
        save(tmp_path, number, keep)
    out, _ = reader.communicate(timeout=60)
    assert reader.returncode == 0
    assert int(out) > 5, "it has hardly read while there were saves"


def test_saves_at_the_same_time_are_done_in_turn(tmp_path: Path):
    threads = [
        threading.Thread(target=lambda n=n: [save(tmp_path, n) for _ in range(10)])
        for n in range(1, 4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers_of(tmp_path) == [29, 30]
    assert current_version(tmp_path).startswith("000030")
    assert number_at(tmp_path) in (1, 2, 3)


def test_nothing_can_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        save(tmp_path / "file" / "model", 1)


def test_a_recommender_and_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "model"
    fitted = everything()
    fitted.save(path)
    first = fitted.fingerprint
    fitted.random_state = 1
    fitted.refresh(everything()._state.log.head(5)).save(path)
    assert TwoStageRecommender.load(path).fingerprint == fitted.fingerprint != first
    assert main(["rollback", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"is at 000001-{first[:12]}, in place of 000002-{fitted.fingerprint[:12]}" in out
    assert TwoStageRecommender.load(path).fingerprint == first
    assert main(["rollback", str(path)]) == 2
    assert "no version before" in capsys.readouterr().err
    assert main(["--quiet", "rollback", str(path), "--to", "2"]) == 0
    assert capsys.readouterr().out == ""
    assert TwoStageRecommender.load(path).fingerprint == fitted.fingerprint
    alone = path / "versions" / list_versions(path)[0]
    assert TwoStageRecommender.load(alone).fingerprint == first
    assert json.loads((alone / "manifest.json").read_text())["format"] == FORMAT_VERSION
    assert read_model(alone)[0].keys() >= {"interactions.parquet", "reranker.txt"}


def test_a_version_is_never_saved_over(tmp_path: Path):
    model = tmp_path / "model"
    for number in (1, 2):
        save(model, number)
    version = model / "versions" / list_versions(model)[0]
    assert number_at(version) == 1
    (tmp_path / "link").symlink_to(version)
    for within in (version, tmp_path / "link"):
        with pytest.raises(ModelFormatError, match=r"is a version of the model in .*model, and"):
            save(within, 3)
    assert (number_at(version), number_at(model)) == (1, 2)
    rollback(model)
    assert number_at(model) == 1


def test_a_destination_is_looked_at_and_not_made(tmp_path: Path):
    check_destination(tmp_path / "not" / "there")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ModelFormatError, match="file exists and is not a saved model"):
        check_destination(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"cannot be written: .*file is no folder"):
        check_destination(tmp_path / "file" / "model")
    with pytest.raises(ModelFormatError, match="exists and is not a saved model"):
        check_destination(tmp_path)
