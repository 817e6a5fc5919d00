"""Reading an export, and proving that it is whole."""

from __future__ import annotations

import os
import time
from pathlib import Path

import polars as pl

from features.errors import ExportError
from ranker.export.files import explained, local_path, sha256_of
from ranker.export.manifest import (
    MANIFEST_FILE,
    SUCCESS_FILE,
    ExportPlan,
    Manifest,
    read_manifest,
    users_digest,
)
from ranker.export.run import ExportResult
from ranker.export.shards import Shard, checked_lists, shard_numbers
from ranker.progress import progress

_DTYPES: dict[str, pl.DataType] = {
    str(dtype): dtype()
    for dtype in (
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
        *(pl.String, pl.Float32, pl.Float64),
    )
}


def read_export(path: str | os.PathLike[str]) -> pl.LazyFrame:
    """Scan a finished export.

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
    folder, manifest = _finished_manifest(path)
    if not manifest.shards:
        return pl.LazyFrame(schema=_schema(folder, manifest.plan))
    # `glob=False`: the folder's name may hold brackets.
    return pl.scan_parquet([folder / shard.file for shard in manifest.shards], glob=False)


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
        A shard is missing or differs in checksum, rows, dtypes, order or users; users are missing
        as a whole (told only where every user has a list); there are shards that the manifest does
        not name; the export is not finished.
    """
    started = time.perf_counter()
    folder, manifest = _finished_manifest(path)
    plan, shards = manifest.plan, manifest.shards
    strangers = {p.name for p in folder.glob("shard-*-of-*.parquet")} - {s.file for s in shards}
    if strangers:
        raise ExportError(
            f"{folder} holds {len(strangers)} shards that its manifest does not name, among them "
            f"{min(strangers)}: move them elsewhere, since readers of the folder would mix them in."
        )
    users = pl.concat(
        [
            pl.Series("user_id", dtype=_schema(folder, plan)["user_id"]),
            *(
                _verified_users(folder, plan, shard)
                for shard in progress(shards, description="verifying", unit="shards")
            ),
        ]
    ).sort()
    n_empty = sum(shard.n_empty for shard in shards)
    if len(users) + n_empty != plan.n_users:
        raise _differs(folder, f"it has {len(users) + n_empty} of {plan.n_users} users")
    if not n_empty and users_digest(users) != plan.users_sha256:
        raise _differs(folder, "its users are not those of the manifest")
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


def _finished_manifest(path: str | os.PathLike[str]) -> tuple[Path, Manifest]:
    folder = local_path(path)
    with explained("read", folder):
        missing = [n for n in (MANIFEST_FILE, SUCCESS_FILE) if not (folder / n).is_file()]
    if missing:
        raise ExportError(
            f"{folder} holds no finished export: {' and '.join(missing)} missing. Make the call "
            "of export_recommendations (again): it goes on where it was interrupted."
        )
    return folder, read_manifest(folder)


def _schema(folder: Path, plan: ExportPlan) -> dict[str, pl.DataType]:
    unknown = sorted(set(plan.schema.values()) - set(_DTYPES))
    if unknown:
        raise _differs(folder, f"its manifest names the dtypes {unknown}")
    return {column: _DTYPES[name] for column, name in plan.schema.items()}


def _verified_users(folder: Path, plan: ExportPlan, shard: Shard) -> pl.Series:
    """Users who have rows in ``shard``, once the file is what the manifest says."""
    path = folder / shard.file
    found = sha256_of(path)
    if found != shard.sha256:
        state = "is missing" if found is None else f"has SHA-256 {found}, not {shard.sha256}"
        raise _differs(path, f"it {state}")
    with explained("read", path):
        lists = pl.read_parquet(path, glob=False)
    users = lists["user_id"].unique()
    try:
        checked = checked_lists(lists, users, plan.k, plan.schema)
    except ExportError as error:
        raise _differs(path, str(error)) from error
    if not lists.equals(checked):
        raise _differs(path, "its rows are not sorted by user_id and rank")
    if lists.height != shard.n_rows or len(users) + shard.n_empty != shard.n_users:
        raise _differs(
            path,
            f"it has {lists.height} rows of {len(users)} users, expected {shard.n_rows} of "
            f"{shard.n_users - shard.n_empty}",
        )
    if (shard_numbers(users, plan.n_shards) != shard.index).any():
        raise _differs(path, "it holds users of another shard")
    return users


def _differs(path: Path, what: str) -> ExportError:
    return ExportError(
        f"{path} is not as it was exported: {what}. Make the call of export_recommendations "
        "again: it makes damaged shards anew. Where that does not help, delete the folder first."
    )
