"""The kinds of files an export can have: how each is laid out, written, and read as long rows."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from features.errors import ConfigError

# Rows that are compressed together, and what a reader in search of one user has to unpack.
_LONG_BLOCK = 2**16
_LISTS_BLOCK = 2**12

_DTYPES: dict[str, pl.DataType] = {
    str(dtype): dtype()
    for dtype in (
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
        *(pl.String, pl.Float32, pl.Float64),
    )
}


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    name : str
        As ``format=`` and the manifest have it.
    suffix : str
        End of the file names.
    of_lists : bool
        One row per user, with a list in every other column and no ``rank``, which is the place in
        the list; otherwise one row per user and rank.
    write : callable
        Writes a frame in the layout of the format to an open file.
    scan : callable
        Scans files, given the columns and dtypes of that layout.
    """

    name: str
    suffix: str
    of_lists: bool
    write: Callable[[pl.DataFrame, IO[bytes]], object]
    scan: Callable[[list[Path], pl.Schema], pl.LazyFrame]

    def laid_out(self, lists: pl.DataFrame) -> pl.DataFrame:
        """Lists by long rows (sorted by user and rank) in the layout of the format."""
        if not self.of_lists:
            return lists
        return lists.drop("rank").group_by("user_id", maintain_order=True).agg(pl.all())

    def blocks(self, parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
        """One frame whose chunks have the same number of rows, wherever ``parts`` were cut.

        The writers of Polars 2.1 cut row groups and pages where the chunks of the frame end, so
        that equal frames would give different bytes.
        """
        n_rows = _LISTS_BLOCK if self.of_lists else _LONG_BLOCK
        blocks: list[pl.DataFrame] = []
        pending: list[pl.DataFrame] = []
        room = n_rows
        for part in parts:
            rest = part
            while rest.height:
                pending.append(rest.head(room))
                rest = rest.slice(room)
                room -= pending[-1].height
                if not room:
                    blocks.append(pl.concat(pending).rechunk())
                    pending, room = [], n_rows
            if not blocks and not pending:
                pending.append(rest)  # no rows so far, but their columns
        if pending:
            blocks.append(pl.concat(pending).rechunk())
        return pl.concat(blocks, rechunk=False)

    def read(self, paths: list[Path], schema: Mapping[str, str]) -> pl.LazyFrame:
        """Scan files of this format as long rows.

        Parameters
        ----------
        paths : list of Path
        schema : mapping of str to str
            Columns of the long rows, and names of their dtypes.
        """
        long = pl.Schema({column: _DTYPES[name] for column, name in schema.items()})
        if not paths:
            return pl.LazyFrame(schema=long)
        if not self.of_lists:
            return self.scan(paths, long)
        others = [column for column in schema if column not in {"user_id", "rank"}]
        stored = {"user_id": long["user_id"], **{name: pl.List(long[name]) for name in others}}
        places = pl.int_ranges(1, pl.col("item_id").list.len() + 1).cast(pl.List(long["rank"]))
        scanned = self.scan(paths, pl.Schema(stored)).with_columns(rank=places)
        return scanned.explode("rank", *others).select(list(schema))


def find_format(name: str) -> Format:
    """Look up a format by its name; raises ConfigError for others."""
    if name not in FORMATS:
        raise ConfigError(f"format is {name!r}; expected one of {', '.join(map(repr, FORMATS))}")
    return FORMATS[name]


def unknown_dtypes(schema: Mapping[str, str]) -> list[str]:
    """Names in a schema that are no dtypes of an export."""
    return sorted(set(schema.values()) - set(_DTYPES))


def _write_parquet(frame: pl.DataFrame, file: IO[bytes]) -> None:
    frame.write_parquet(file, compression="zstd")


def _write_arrow(frame: pl.DataFrame, file: IO[bytes]) -> None:
    # Not compressed: readers map it into memory. Text as every version of Arrow knows it.
    frame.write_ipc(file, compression="uncompressed", compat_level=pl.CompatLevel.oldest())


def _write_ndjson(frame: pl.DataFrame, file: IO[bytes]) -> None:
    frame.write_ndjson(file)


# `glob=False`, and where there is none escaped: the folder's name may hold brackets.
def _scan_parquet(paths: list[Path], _: pl.Schema) -> pl.LazyFrame:
    return pl.scan_parquet(paths, glob=False)


def _scan_arrow(paths: list[Path], _: pl.Schema) -> pl.LazyFrame:
    return pl.scan_ipc(paths, glob=False)


def _scan_ndjson(paths: list[Path], schema: pl.Schema) -> pl.LazyFrame:
    return pl.scan_ndjson([glob.escape(str(path)) for path in paths], schema=schema)


FORMATS = {
    one.name: one
    for one in (
        Format("parquet", ".parquet", False, _write_parquet, _scan_parquet),
        Format("parquet-lists", ".parquet", True, _write_parquet, _scan_parquet),
        Format("ndjson", ".ndjson", True, _write_ndjson, _scan_ndjson),
        Format("arrow", ".arrow", False, _write_arrow, _scan_arrow),
    )
}
