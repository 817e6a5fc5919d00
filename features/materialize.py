"""Tables of items as Parquet files, computed again only if anything has changed."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import polars as pl

from features.block import Block, Context, Feature, FittedBlock
from features.custom import CustomBlock
from features.item_table import FittedItems
from features.stage import FeatureStage, FeatureTables, block_name

_VERSION = 3  # of the files; raised when a block computes something else than before


def fit_or_read(stage: FeatureStage, context: Context, folder: Path) -> FeatureTables:
    """Fit a stage, taking from a folder what is there already.

    A block that comes down to a table of items is written to ``<place>-<block>.parquet``: item_id,
    and a Float32 column per feature. The file knows the fingerprint of all that the table depends
    on: the parameters of the block, the instant, the events before it, the attribute tables and the
    sources' names. Where it is the same the file is read, otherwise it is written anew. All other
    blocks are fitted each time: they hold references to what they were fitted on, or a function,
    which has no fingerprint.

    Parameters
    ----------
    stage : FeatureStage
    context : Context
        Sources may only be known by name: what a source has learned is not looked at.
    folder : Path
        Made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = _digest(context)
    return stage.assemble(
        tuple(
            _fit_or_read(block, context, folder / f"{place:02}-{block_name(block)}.parquet", known)
            for place, block in enumerate(stage.blocks)
        )
    )


def _fit_or_read(block: Block, context: Context, path: Path, known: str) -> FittedBlock:
    if not _has_fingerprint(block):
        return block.fit(context)
    fingerprint = hashlib.sha256(f"{_VERSION}\n{block!r}\n{known}".encode()).hexdigest()
    found = _read(path, fingerprint)
    if found is not None:
        return found
    fitted = block.fit(context)
    if isinstance(fitted, FittedItems) and fitted.features:
        _write(fitted, context, path, fingerprint)
    return fitted


def _has_fingerprint(block: Block) -> bool:
    """Whether its parameters tell what it computes: not so of code that is not ours."""
    return type(block).__module__.startswith("features.") and not isinstance(block, CustomBlock)


def _read(path: Path, fingerprint: str) -> FittedItems | None:
    try:
        about = pl.read_parquet_metadata(path)
        if about.get("fingerprint") != fingerprint:
            return None
        features = tuple(Feature(**one) for one in json.loads(about["features"]))
        table = pl.read_parquet(path).drop("item_id").to_numpy()
    except (OSError, pl.exceptions.PolarsError):
        return None  # not there, or cut short: it is written again
    return FittedItems(features, np.ascontiguousarray(table))


def _write(fitted: FittedItems, context: Context, path: Path, fingerprint: str) -> None:
    names = [feature.name for feature in fitted.features]
    columns = dict(zip(names, fitted.table.T, strict=True))
    frame = pl.DataFrame({"item_id": context.history.items.values} | columns)
    about = {
        "fingerprint": fingerprint,
        "as_of": str(context.history.clock.instant(context.history.as_of)),
        "features": json.dumps([vars(feature) for feature in fitted.features]),
    }
    # Written aside and renamed: who reads meanwhile gets the old table or the new one.
    aside = path.with_suffix(".partial")
    frame.write_parquet(aside, metadata=about)
    aside.replace(path)


def _digest(context: Context) -> str:
    """SHA-256 of everything that a block may learn from, but for the sources."""
    history = context.history
    digest = hashlib.sha256(repr((history.facts, tuple(context.sources))).encode())
    tables = {
        "user ids": history.users.values.to_frame("id"),
        "item ids": history.items.values.to_frame("id"),
        "items": context.items,
        "users": context.users,
    }
    for name, table in tables.items():
        buffer = io.BytesIO()
        if table is not None:
            table.rechunk().write_ipc(buffer)
        digest.update(name.encode() + buffer.getvalue())
    for name in ("indptr", "item", "time", "weight", "event", "now"):
        digest.update(np.ascontiguousarray(getattr(history, name)).tobytes())
    return digest.hexdigest()
