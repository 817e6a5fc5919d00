"""A folder that keeps the versions of a model, and a pointer to the one that is served.

``versions/000003-1a2b3c4d5e6f/``
    A saved model, whole and never changed: its number and the first digits of its fingerprint.
``current``
    The name of the version that is loaded. It is replaced by one rename, so that a reader sees
    the version before or the one after, whatever happens in between: a save, a rollback, a crash.

A version is a model by itself: it can be copied elsewhere and loaded from there. So is a folder
with a manifest and its files, as they were saved before there were versions.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from features.errors import ConfigError, ModelFormatError
from ranker.arguments import check_count
from ranker.disk import flush_folder, remove_leftovers, replacing
from ranker.persistence import MANIFEST, read_model, write_model

_CURRENT = "current"
_VERSIONS = "versions"
_NAME = re.compile(r"[0-9]{6,12}-[0-9a-f]{12}")


def save_version(
    path: str | Path,
    files: Mapping[str, bytes],
    settings: Mapping[str, Any],
    *,
    fingerprint: str,
    keep: int,
) -> None:
    """Add a version to a folder and make it the current one.

    Versions that a rollback has left behind are deleted, and then the oldest ones.

    Parameters
    ----------
    path : str or Path
    files : mapping of file name to bytes
    settings : mapping
        What JSON can hold.
    fingerprint : str
        At least twelve hexadecimal digits.
    keep : int
        How many versions to keep, the new one included.

    Raises
    ------
    ModelFormatError
        If something that is no model of ours stands at the path.
    ConfigError
        If nothing can be written there.
    """
    check_count(keep=keep)
    folder = Path(path)
    check_destination(folder)
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            # Again: another save may just have begun to fill an empty folder.
            check_destination(folder)
            (folder / _VERSIONS).mkdir(exist_ok=True)
            names = _names(folder)
            newest = _number(names[-1])[0] if names else 0
            name = f"{newest + 1:06}-{fingerprint[:12]}"
            try:
                current = _pointed_at(folder)
            except ModelFormatError:
                current = None
            former = [one for one in names if current is None or _number(one) <= _number(current)]
            with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
                write_model(Path(scratch) / "model", files, settings)
                (Path(scratch) / "model").rename(folder / _VERSIONS / name)
            flush_folder(folder / _VERSIONS / name)
            flush_folder(folder / _VERSIONS)
            _point_at(folder, name)
            _delete(folder, kept={name, *former[::-1][: keep - 1]})


def check_destination(path: str | Path) -> None:
    """Make sure that a model can be saved to a folder, which need not be there.

    Raises
    ------
    ModelFormatError
        If something that is no model of ours stands there, or it is a version within one.
    ConfigError
        If nothing can be written there.
    """
    folder = Path(path)
    place = folder.resolve()
    if place.parent.name == _VERSIONS and _NAME.fullmatch(place.name):
        raise ModelFormatError(
            f"{path} is a version of the model in {place.parent.parent}, and stays as it is; save "
            f"to that folder, or to another"
        )
    with _explained(folder):
        if not folder.exists():
            there = next(parent for parent in place.parents if parent.exists())
            if not there.is_dir():
                raise NotADirectoryError(f"{there} is no folder")
        else:
            there = folder
            is_ours = (
                (folder / MANIFEST).is_file()
                or (folder / _VERSIONS).is_dir()
                or (folder / _CURRENT).is_file()
            )
            if not folder.is_dir() or (not is_ours and any(folder.iterdir())):
                raise _not_ours(path)
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(f"no permission to write to {there}")


def _not_ours(path: str | Path) -> ModelFormatError:
    return ModelFormatError(
        f"{path} exists and is not a saved model; choose another path or remove it"
    )


def load_version(path: str | Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Read the current version of a folder, or a folder that is a single model; check every byte.

    Returns
    -------
    files : dict of file name to bytes
    settings : dict

    Raises
    ------
    ModelFormatError
        If the directory is no model, of another format, incomplete or changed.
    """
    folder = Path(path)
    while True:
        name = _pointed_at(folder)
        if name is None:
            return read_model(folder)
        version = folder / _VERSIONS / name
        if version.is_symlink() or version.parent.is_symlink():
            raise ModelFormatError(f"{version} is a link; put a copy of the model there")
        try:
            return read_model(version)
        except ModelFormatError:
            if _pointed_at(folder) == name:
                raise
            # A save has finished meanwhile and deleted what was being read: read the new one.


def list_versions(path: str | Path) -> list[str]:
    """Names of the versions that a folder keeps, the oldest first; see :func:`rollback`.

    Raises
    ------
    ModelFormatError
        If there are none.
    """
    names = _names(Path(path))
    if not names:
        raise ModelFormatError(f"{path} keeps no versions; save a model there first")
    return names


def current_version(path: str | Path) -> str:
    """Name of the version that is loaded.

    Raises
    ------
    ModelFormatError
        If the folder keeps no versions, or does not say which one is current.
    """
    names = list_versions(path)
    name = _pointed_at(Path(path))
    if name not in names:
        raise ModelFormatError(
            f"{path} does not say which of its versions is current; choose one of {names} by a "
            f"rollback to it"
        )
    return name


def rollback(path: str | Path, to: str | int | None = None) -> str:
    """Make a former version of a saved model the current one, by one rename.

    Nothing is deleted: a rollback can be taken back by its name until the next save, which deletes
    the versions that are newer than the current one.

    Parameters
    ----------
    path : str or Path
        Folder that a model was saved to.
    to : str or int, optional
        Name of a version, or its number alone; by default the one before the current one.

    Returns
    -------
    str
        Name of the version that is current now.

    Raises
    ------
    ConfigError
        If there is no such version, or none before the current one.
    ModelFormatError
        If the folder keeps no versions, or the version is damaged: the current one stays.
    """
    folder = Path(path)
    list_versions(folder)  # for its error, before the folder is opened
    # No save may delete the version between its choice and the pointer.
    with _explained(folder), _locked(folder):
        chosen = _choose(folder, to)
        read_model(folder / _VERSIONS / chosen)
        _point_at(folder, chosen)
    return chosen


def _choose(folder: Path, to: str | int | None) -> str:
    names = list_versions(folder)
    if to is None:
        current = current_version(folder)
        former = names[: names.index(current)]
        if not former:
            raise ConfigError(
                f"{folder} has no version before {current}; it keeps {names}: save with a larger "
                f"keep= to have more of them"
            )
        return former[-1]
    to = str(to)
    number = int(to) if to.isascii() and to.isdigit() else None
    for name in names:
        if to == name or _number(name)[0] == number:
            return name
    raise ConfigError(f"{folder} has no version {to!r}; it keeps {names}")


def _names(folder: Path) -> list[str]:
    versions = folder / _VERSIONS
    if not versions.is_dir():
        return []
    found = (one.name for one in versions.iterdir() if _NAME.fullmatch(one.name))
    return sorted(found, key=_number)


def _number(name: str) -> tuple[int, str]:
    number, _, digits = name.partition("-")
    return int(number), digits


def _pointed_at(folder: Path) -> str | None:
    """The name in the pointer; None where there is no pointer."""
    try:
        with (folder / _CURRENT).open("rb") as file:
            name = file.read(100).decode("ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelFormatError(f"{folder / _CURRENT} cannot be read: {error}") from None
    # The name is compared with a pattern: it must not point out of the folder.
    if not _NAME.fullmatch(name):
        raise ModelFormatError(
            f"{folder / _CURRENT} names {name!r}, which is no version; choose one of "
            f"{_names(folder)} by a rollback to it"
        )
    return name


def _point_at(folder: Path, name: str) -> None:
    with replacing(folder / _CURRENT) as file:
        file.write(f"{name}\n".encode())


def _delete(folder: Path, kept: set[str]) -> None:
    for name in _names(folder):
        if name not in kept:
            shutil.rmtree(folder / _VERSIONS / name)
    remove_leftovers(folder)  # of a save that was killed
    for leftover in folder.glob(".new-*"):
        shutil.rmtree(leftover)
    if (folder / MANIFEST).is_file():  # a model from before there were versions stood here
        names: list[str] = []
        with suppress(ModelFormatError):
            names = list(read_model(folder)[0])
        for name in (MANIFEST, *names):
            (folder / name).unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for other saves; file systems that know no locks, and Windows, give no protection."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error}; choose a folder that you may write to, with room"
        ) from error
