"""Saving and loading: JSON, npz, Parquet and text with checksums; nothing is unpickled, ever."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.arrays import AnyArray
from features.errors import ConfigError, ModelFormatError

FORMAT_VERSION = 1
_MANIFEST = "manifest.json"


def save_files(path: str | Path, files: Mapping[str, bytes], settings: Mapping[str, Any]) -> None:
    """Write a model directory: its files, and a manifest with their checksums.

    The directory is written beside its place and moved there when it is whole; one that stood
    there before is replaced.

    Parameters
    ----------
    path : str or Path
    files : mapping of file name to bytes
    settings : mapping
        What JSON can hold.

    Raises
    ------
    ModelFormatError
        If something that is no model of ours stands at the path.
    ConfigError
        If nothing can be written there.
    """
    try:
        _write(Path(path), files, settings)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error}; choose a folder that you may write to, with room"
        ) from error


def _write(path: Path, files: Mapping[str, bytes], settings: Mapping[str, Any]) -> None:
    is_ours = not path.exists() or (path / _MANIFEST).is_file()
    if not is_ours and (not path.is_dir() or any(path.iterdir())):
        raise ModelFormatError(
            f"{path} exists and is not a saved model; choose another path or remove it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)
        manifest = {
            "format": FORMAT_VERSION,
            "settings": dict(settings),
            "files": {name: _digest(content) for name, content in files.items()},
        }
        (new / _MANIFEST).write_text(json.dumps(manifest, indent=2))
        if path.exists():
            path.rename(Path(scratch) / "old")
        new.rename(path)


def load_files(path: str | Path) -> tuple[dict[str, bytes], dict[str, Any]]:
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
    path = Path(path)
    manifest_path = path / _MANIFEST
    if not manifest_path.is_file():
        raise ModelFormatError(f"{path} is not a saved model: it has no {_MANIFEST}")
    try:
        manifest = json.loads(manifest_path.read_text())
        version, listed = manifest["format"], dict(manifest["files"])
        settings = dict(manifest["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(f"{manifest_path} cannot be read: {error!r}") from None
    if version != FORMAT_VERSION:
        raise ModelFormatError(
            f"{path} has format {version!r}, this version reads {FORMAT_VERSION}; fit the model "
            f"again or install the version that saved it"
        )
    files = {}
    for name, digest in listed.items():
        file = path / name
        if Path(name).name != name or file.is_symlink() or not file.is_file():
            raise ModelFormatError(
                f"{path}: {name!r} is missing, a link, or points outside; copy the whole "
                f"directory again"
            )
        files[name] = file.read_bytes()
        if _digest(files[name]) != digest:
            raise ModelFormatError(
                f"{file} was changed or cut short after it was saved: its checksum differs; "
                f"copy the directory again or fit the model again"
            )
    return files, settings


def arrays_to_bytes(arrays: Mapping[str, AnyArray]) -> bytes:
    """Arrays as an npz archive."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # mypy takes a name for allow_pickle
    return buffer.getvalue()


def bytes_to_arrays(content: bytes) -> dict[str, AnyArray]:
    """Arrays of an npz archive; one that wants to unpickle is refused."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelFormatError(f"an archive of arrays cannot be read: {error}") from None


def frame_to_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as Parquet."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def bytes_to_frame(content: bytes) -> pl.DataFrame:
    """A frame from Parquet."""
    try:
        return pl.read_parquet(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise ModelFormatError(f"a table cannot be read: {error}") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
