"""Files that are there whole or not at all, whatever happens: an error, a crash, a power cut."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

_TEMPORARY_SUFFIX = ".ranker-tmp"


@contextmanager
def replacing(path: Path) -> Iterator[BufferedRandom]:
    """Open a file that takes the place of ``path`` when the block ends.

    Whoever opens ``path`` sees the old content or the new one, after a power cut too: the file is
    flushed before the rename and the folder after it. Where something fails, an OSError or the
    block itself, what was at ``path`` is untouched, and nothing is left beside it. What was written
    can be read again from the same file.
    """
    aside = aside_of(path)
    try:
        with aside.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def aside_of(path: Path) -> Path:
    """A hidden name beside ``path``, another one at each call.

    For a worker that is thought dead may still be at the same file.
    """
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{_TEMPORARY_SUFFIX}")


@contextmanager
def temporary_folder(folder: Path, name: str) -> Iterator[Path]:
    """A path within ``folder`` for a folder that is deleted afterwards, by the next run at last."""
    path = folder / f".{name}{_TEMPORARY_SUFFIX}"
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files and folders that a killed run left in ``folder``."""
    for leftover in folder.glob(f".*{_TEMPORARY_SUFFIX}"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Write the names in a folder to the disk: of files that were renamed, made or deleted."""
    if sys.platform == "win32":  # cannot open folders; its renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
