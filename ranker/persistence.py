"""Saving and loading: JSON, npz, Parquet and text with checksums; nothing is unpickled, ever."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl

from features.arrays import AnyArray
from features.errors import ModelFormatError
from ranker.arguments import plain_number

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # no folder, no drive, nothing hidden
# What zipfile and numpy raise for bytes that are no archive of arrays.
_UNREADABLE = (
    *(ValueError, TypeError, KeyError, SyntaxError, OSError, EOFError, MemoryError),
    *(NotImplementedError, RecursionError, RuntimeError, zipfile.BadZipFile, struct.error),
)


def write_model(folder: Path, files: Mapping[str, bytes], settings: Mapping[str, Any]) -> None:
    """Write a model directory: its files, and a manifest with their checksums, written last.

    The files' content is on the disk when this returns; the folder is for the caller to flush.

    Parameters
    ----------
    folder : Path
        Which is not there yet.
    files : mapping of file name to bytes
    settings : mapping
        What JSON can hold.
    """
    folder.mkdir()
    manifest: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "settings": dict(settings),
        "files": {name: _digest(content) for name, content in files.items()},
    }
    manifest["sha256"] = checksum(manifest)
    for name, content in ({**files, MANIFEST: _json(manifest, indent=2)}).items():
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def read_model(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Read a model directory and check every byte.

    Returns
    -------
    files : dict of file name to bytes
    settings : dict

    Raises
    ------
    ModelFormatError
        If the directory is no model, of another format, incomplete or changed.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise ModelFormatError(f"{path} is not a saved model: it has no {MANIFEST}")
    try:
        manifest = json.loads(_read_file(manifest_path))
        version, listed = manifest["format"], dict(manifest["files"])
        settings = dict(manifest["settings"])
        # Models that were saved before the manifest had a checksum of its own are without.
        is_unchanged = manifest.pop("sha256", None) in (None, checksum(manifest))
        is_unchanged &= set(manifest) == {"format", "settings", "files"}
    except ModelFormatError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelFormatError(f"{manifest_path} cannot be read: {error!r}") from None
    if version != FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} has format {version!r}, this version reads {FORMAT_VERSION}; fit the model "
            f"again or install the version that saved it"
        )
    if not is_unchanged:
        raise ModelFormatError(
            f"{manifest_path} was changed after it was saved: its checksum differs; copy the "
            f"directory again or fit the model again"
        )
    files = {}
    for name, digest in listed.items():
        if not _NAME.fullmatch(name):
            raise ModelFormatError(
                f"{path}: {name!r} is missing, a link, or points outside; copy the whole "
                f"directory again"
            )
        files[name] = _read_file(path / name)
        if _digest(files[name]) != digest:
            raise ModelFormatError(
                f"{path / name} was changed or cut short after it was saved: its checksum differs; "
                f"copy the directory again or fit the model again"
            )
    return files, settings


def checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest says, whatever its layout."""
    return _digest(_json(manifest, sort_keys=True))


def _json(manifest: Mapping[str, Any], **layout: Any) -> bytes:
    return json.dumps(manifest, default=plain_number, **layout).encode()


def _read_file(file: Path) -> bytes:
    """Content of a file of a model; what is no file (a link, a folder, a pipe) is refused."""
    missing = ModelFormatError(
        f"{file.parent}: {file.name!r} is missing, a link, or points outside; copy the whole "
        f"directory again"
    )
    try:
        if file.is_symlink() or not file.is_file():
            raise missing
        # Between the look above and this a file may have become a link.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read()
    except FileNotFoundError:  # deleted by a save, which has made another version the current one
        raise missing from None
    except OSError as error:
        raise ModelFormatError(f"{file} cannot be read: {error}") from None


def arrays_to_bytes(arrays: Mapping[str, AnyArray]) -> bytes:
    """Arrays as an npz archive."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # mypy takes a name for allow_pickle
    return buffer.getvalue()


def bytes_to_arrays(content: bytes) -> dict[str, AnyArray]:
    """Arrays of an npz archive; one that wants to unpickle is refused.

    So is one that says it holds more than there is, for which memory would be taken first.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(content):
                    raise ValueError(f"{member.filename} is compressed")
                with archive.open(member) as file:
                    _check_header(file, member)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _UNREADABLE as error:
        raise ModelFormatError(f"an archive of arrays cannot be read: {error}") from None


def _check_header(file: IO[bytes], member: zipfile.ZipInfo) -> None:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"{member.filename} has a header of version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects, and allow_pickle=False")
    n_bytes = math.prod(shape) * dtype.itemsize
    n_left = member.file_size - file.tell()
    if n_bytes != n_left:
        raise ValueError(f"{member.filename} says it has {n_bytes} bytes, and has {n_left}")


def frame_to_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def bytes_to_frame(content: bytes) -> pl.DataFrame:
    """A frame from Parquet."""
    try:
        return pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise ModelFormatError(f"a table cannot be read: {error}") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
