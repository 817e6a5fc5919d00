"""The files of an export, the lock on its folder, and what to do where the disk fails."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import polars as pl

from features.errors import ExportError
from ranker.disk import flush_folder, replacing

_CANNOT_LOCK = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP)


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> str:
    """Let ``write`` fill a file that then takes the place of ``path``, whole or not at all.

    Returns
    -------
    str
        SHA-256 of the file, in hex.

    Raises
    ------
    ExportError
        The disk is full, the folder cannot be written... What was at ``path`` is untouched.
    """
    with explained("write", path), replacing(path) as file:
        write(file)
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(path: Path) -> None:
    """Delete a file of ours, if it is there, and flush the folder."""
    with explained("delete", path):
        path.unlink(missing_ok=True)
        flush_folder(path.parent)


def sha256_of(path: Path) -> str | None:
    """SHA-256 of a regular file in hex; None where there is no such file or a link instead."""
    with explained("read", path):
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def prepare_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder ``path`` with its parents where it is missing.

    Raises
    ------
    ExportError
        ``path`` is a URL or a file, or cannot be created.
    """
    folder = local_path(path)
    with explained("create", folder):
        if folder.exists() and not folder.is_dir():
            raise ExportError(
                f"{folder} is a file, and an export is a folder of files: give another path, "
                "or delete the file."
            )
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def local_path(path: str | os.PathLike[str]) -> Path:
    """``path`` as a Path; refuses URLs, which ``Path`` would take for a local folder."""
    if "://" in os.fspath(path):
        raise ExportError(
            f"{os.fspath(path)!r} is a URL, and exports are written to local folders only "
            "(they need an atomic rename): export to a folder, then upload it."
        )
    return Path(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` against a second export; the system lets go when the process dies.

    File systems that know no locks, and Windows, give no such protection.

    Raises
    ------
    ExportError
        Another process holds the folder.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    # The folder itself is locked: no lock file that could be left behind.
    with explained("open", folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExportError(
                f"another process is exporting to {folder}: wait for it, or give another path."
            ) from error
        except OSError as error:
            if error.errno not in _CANNOT_LOCK:
                raise
        yield
    finally:
        os.close(descriptor)


@contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turn an OSError into an ExportError that says what to do."""
    try:
        yield
    # Polars' Parquet writer reports a full disk as a ComputeError.
    except (OSError, pl.exceptions.ComputeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExportError(
            f"cannot {action} {path}: {reason}. Free space or correct the permissions, then make "
            "the same call again: finished shards are kept."
        ) from error
