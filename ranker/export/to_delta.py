"""An export as one version of a Delta Lake table."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import polars.selectors as cs

from features.errors import ConfigError, MissingExtraError, RankerError
from ranker.addresses import without_password
from ranker.export.published import PublishResult, told
from ranker.export.verify import finished_manifest, read_export, verified_lists


def publish_to_delta(
    path: str | os.PathLike[str],
    url: str,
    *,
    storage_options: Mapping[str, str] | None = None,
) -> PublishResult:
    """Replace what a Delta Lake table holds by the lists of a finished export, in one commit.

    Readers of the table see the last version or this one, and go back to earlier ones by their
    number until the table is vacuumed. The commit's ``ranker_export`` names the export.

    Parameters
    ----------
    path : str or path
        Folder of a finished export; every shard is verified as it is read.
    url : str
        Folder of the table, or its address in an object store (``s3://bucket/table``); created
        where it is missing.
    storage_options : mapping of str to str, optional
        Passed on to deltalake, which reads keys for object stores from the environment as well.

    Returns
    -------
    PublishResult

    Raises
    ------
    ExportError
        The export is not whole, or the table cannot be written.
    MissingExtraError
        Without the extra ``delta``.
    """
    started = time.perf_counter()
    try:
        import deltalake
        from arro3.core import RecordBatchReader, Table
        from deltalake.exceptions import DeltaError
    except ImportError:
        raise MissingExtraError("deltalake", "delta") from None
    folder, manifest = finished_manifest(path)
    version = manifest.sha256[:12]
    schema = Table.from_arrow(_signed(read_export(folder).head(0).collect())).schema
    failures: list[RankerError] = []

    def batches() -> Iterator[Any]:
        try:
            for lists in verified_lists(folder, manifest):
                yield from Table.from_arrow(_signed(lists)).to_batches()
        except RankerError as error:  # deltalake would wrap it up
            failures.append(error)
            raise

    try:
        with told(url, (DeltaError, OSError)):
            deltalake.write_deltalake(
                url,
                RecordBatchReader.from_batches(schema, batches()),
                mode="overwrite",
                schema_mode="overwrite",
                storage_options=dict(storage_options or {}),
                commit_properties=deltalake.CommitProperties(
                    custom_metadata={"ranker_export": version}
                ),
            )
    except Exception:
        if failures:
            raise failures[0] from None
        raise
    target = without_password(url)
    return PublishResult(
        target=target,
        name=target.rstrip("/").rpartition("/")[2],
        version=version,
        n_users=sum(shard.n_users - shard.n_empty for shard in manifest.shards),
        n_rows=sum(shard.n_rows for shard in manifest.shards),
        seconds=time.perf_counter() - started,
    )


def _signed(lists: pl.DataFrame) -> pl.DataFrame:
    """Delta Lake knows no unsigned integers."""
    try:
        return lists.with_columns(cs.unsigned_integer().cast(pl.Int64))
    except pl.exceptions.InvalidOperationError as error:
        raise ConfigError(f"the ids do not fit into a long of Delta Lake ({error}).") from error
