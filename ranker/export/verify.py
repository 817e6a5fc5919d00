"""Reading an export, and proving that it is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from features.errors import ExportError
from ranker.export.files import explained, local_path, sha256_of
from ranker.export.formats import unknown_dtypes
from ranker.export.lists import check_schema, checked_lists
from ranker.export.manifest import (
    MANIFEST_FILE,
    SUCCESS_FILE,
    ExportPlan,
    Manifest,
    read_manifest,
    users_digest,
)
from ranker.export.run import ExportResult
from ranker.export.shards import SHARD_FILES, Shard, shard_numbers
from ranker.progress import progress


def read_export(path: str | os.PathLike[str]) -> pl.LazyFrame:
    """Scan a finished export, whatever its format, as long rows.

    Only the files that its manifest names are read, whatever else lies in the folder. Checksums
    are not compared here: see :func:`verify_export`.

    Parameters
    ----------
    path : str or path
        The folder that was given to :func:`~ranker.export.export_recommendations`.

    Returns
    -------
    LazyFrame[user_id, item_id, rank, score]
        One row per user and rank; with ``propensity`` where a policy explored.

    Raises
    ------
    ExportError
        ``path`` holds no export, an unfinished one, or one with a damaged manifest.
    """
    folder, manifest = finished_manifest(path)
    plan = manifest.plan
    return plan.files.read([folder / shard.file for shard in manifest.shards], plan.schema)


def verify_export(path: str | os.PathLike[str]) -> ExportResult:
    """Read every byte of a finished export again and compare it with the manifest.

    Parameters
    ----------
    path : str or path
        The folder that was given to :func:`~ranker.export.export_recommendations`.

    Returns
    -------
    ExportResult
        As of the export; all shards count as resumed.

    Raises
    ------
    ExportError
        With everything that is wrong: a shard is missing or differs in checksum, rows, dtypes,
        order, ranks or users; users are missing as a whole (told only where every user has a
        list); there are shards that the manifest does not name; the export is not finished.
    """
    started = time.perf_counter()
    folder, manifest = finished_manifest(path)
    plan, shards = manifest.plan, manifest.shards
    problems = []
    strangers = {p.name for p in folder.glob(SHARD_FILES)} - {s.file for s in shards}
    if strangers:
        problems.append(
            f"{len(strangers)} shards that its manifest does not name, among them "
            f"{min(strangers)}: move them elsewhere, since readers of the folder mix them in"
        )
    found: list[pl.Series] = []
    for shard in progress(shards, description="verifying", unit="shards"):
        try:
            found.append(_shard_lists(folder, plan, shard)["user_id"].unique())
        except ExportError as error:
            problems.append(f"{shard.file}: {error}")
    n_empty = sum(shard.n_empty for shard in shards)
    if not problems:  # otherwise the users of the wrong shards are missing here as well
        problems += _problems_of_users(plan, found, n_empty)
    if problems:
        raise ExportError(
            "\n".join([f"{folder} is not as it was exported:", *(f"  - {p}" for p in problems)])
            + "\nMake the same export again: it makes shards that are missing or damaged anew. "
            "Where that does not help, delete the folder first."
        )
    return ExportResult(
        path=folder,
        n_users=plan.n_users,
        n_duplicates=0,
        n_empty=n_empty,
        n_rows=sum(shard.n_rows for shard in shards),
        n_shards=len(shards),
        n_resumed=len(shards),
        seconds=time.perf_counter() - started,
    )


def verified_lists(folder: Path, manifest: Manifest) -> Iterator[pl.DataFrame]:
    """Yield the long rows of shard after shard, each once its file is what the manifest says.

    Raises
    ------
    ExportError
        At the first shard that is not.
    """
    for shard in progress(manifest.shards, description="publishing", unit="shards"):
        try:
            yield _shard_lists(folder, manifest.plan, shard)
        except ExportError as error:
            raise ExportError(
                f"{folder / shard.file}: {error}. Make the same export again, then publish."
            ) from error


def finished_manifest(path: str | os.PathLike[str]) -> tuple[Path, Manifest]:
    """The folder and manifest of a finished export; raises ExportError where there is none."""
    folder = local_path(path)
    with explained("read", folder):
        missing = [n for n in (MANIFEST_FILE, SUCCESS_FILE) if not (folder / n).is_file()]
    if missing:
        raise ExportError(
            f"{folder} holds no finished export: {' and '.join(missing)} missing. Make the call "
            "of export_recommendations (again): it goes on where it was interrupted."
        )
    manifest = read_manifest(folder)
    if unknown := unknown_dtypes(manifest.plan.schema):
        raise ExportError(f"{folder / MANIFEST_FILE} names the dtypes {unknown}; export again.")
    return folder, manifest


def _shard_lists(folder: Path, plan: ExportPlan, shard: Shard) -> pl.DataFrame:
    """Lists of a shard; raises ExportError with the first thing that is wrong with it."""
    path = folder / shard.file
    digest = sha256_of(path)
    if digest is None:
        raise ExportError("it is missing")
    if digest != shard.sha256:
        raise ExportError(f"it has SHA-256 {digest}, not {shard.sha256}")
    with explained("read", path):
        lists = plan.files.read([path], plan.schema).collect()
    users = lists["user_id"].unique()
    check_schema(lists, plan.schema)
    if not lists.equals(checked_lists(lists, users, plan.k)):
        raise ExportError("its rows are not sorted by user_id and rank")
    if lists.height != shard.n_rows or len(users) + shard.n_empty != shard.n_users:
        raise ExportError(
            f"it has {lists.height} rows of {len(users)} users, expected {shard.n_rows} of "
            f"{shard.n_users - shard.n_empty}"
        )
    if (shard_numbers(users, plan.n_shards) != shard.index).any():
        raise ExportError("it holds users of another shard")
    return lists


def _problems_of_users(plan: ExportPlan, found: list[pl.Series], n_empty: int) -> list[str]:
    n_users = sum(map(len, found)) + n_empty
    if n_users != plan.n_users:
        return [f"it has {n_users} of {plan.n_users} users"]
    if not n_empty and found and users_digest(pl.concat(found).sort()) != plan.users_sha256:
        return ["its users are not those of the manifest"]
    return []
