"""Any table: a file, an address or a query, with a mapping from its column names to ours."""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, get_args

import polars as pl

from features.errors import ConfigError, SchemaError
from ranker.addresses import is_url
from ranker.datasets.files import Source, listing, read, source_name
from ranker.datasets.timestamps import TimestampUnit, timestamp_parser
from ranker.query import Query

_Frame = TypeVar("_Frame", pl.DataFrame, pl.LazyFrame)

_ID_COLUMNS = ("user_id", "item_id")

# Types are inferred from all rows: a guess from the first hundred fails on the first odd one.
_CSV = partial(pl.read_csv, infer_schema_length=None)
_NDJSON = partial(pl.read_ndjson, infer_schema_length=None)
_SCANNERS: dict[str, Callable[..., pl.LazyFrame]] = {
    ".csv": partial(pl.scan_csv, infer_schema_length=None),
    ".tsv": partial(pl.scan_csv, infer_schema_length=None, separator="\t"),
    ".parquet": pl.scan_parquet,
    ".ndjson": partial(pl.scan_ndjson, infer_schema_length=None),
    ".jsonl": partial(pl.scan_ndjson, infer_schema_length=None),
    ".arrow": pl.scan_ipc,
    ".feather": pl.scan_ipc,
    ".ipc": pl.scan_ipc,
}
_READERS: dict[str, Callable[..., pl.DataFrame]] = {
    ".csv": _CSV,
    ".tsv": partial(_CSV, separator="\t"),
    ".parquet": pl.read_parquet,
    ".ndjson": _NDJSON,
    ".jsonl": _NDJSON,
    ".arrow": pl.read_ipc,
    ".feather": pl.read_ipc,
    ".ipc": pl.read_ipc,
}


def _collected(scan: Callable[..., pl.LazyFrame], url: str, **settings: Any) -> pl.DataFrame:
    return scan(url, **settings).collect()


# Scanned even if all is wanted: of addresses, the readers of Polars know less than its scanners.
_REMOTE_READERS: dict[str, Callable[..., pl.DataFrame]] = {
    ending: partial(_collected, scanner) for ending, scanner in _SCANNERS.items()
}


def load_table(
    source: Source,
    *,
    columns: Mapping[str, str] | None = None,
    timestamp_unit: TimestampUnit | None = None,
) -> pl.DataFrame:
    """Read a table from files, an address or a query, and rename its columns to ours.

    Parameters
    ----------
    source : str, Path or Query
        One file, or a glob such as ``"events/*.parquet"`` whose files have the same columns. The
        format is told from the ending: ``.csv``, ``.tsv`` (both also with ``.gz``),
        ``.parquet``, ``.ndjson``, ``.jsonl``, ``.arrow``, ``.feather``, ``.ipc``. An address
        (``s3://``, ``gs://``, ``az://``, ``https://`` and what else Polars knows) is read by
        Polars, with its keys from the environment as Polars has them; object stores have globs
        too. A :class:`~ranker.query.Query` is asked once.
    columns : mapping of str to str, optional
        From our names to the names in the file, ``{"user_id": "customer"}``. Columns that are not
        mentioned keep their names and are kept.
    timestamp_unit : {"s", "ms", "us"}, optional
        ``timestamp`` holds numbers that count from 1970 in this unit; they become Datetime.
        Without it whole numbers stay numbers.

    Returns
    -------
    DataFrame
        Rows in the order of the files. A ``timestamp`` of ISO 8601 text becomes a Date where no
        value has a time of day and a Datetime in microseconds otherwise, in UTC where it names
        zones, and so does ``valid_from``. ``user_id`` and ``item_id`` of a CSV are Int64 only
        where every value is written the way that number is: ``"00123"`` stays text.

    Raises
    ------
    ConfigError
        If no file is there, an ending is unknown, or a file, address or query cannot be read.
    SchemaError
        With every mapped column that is not in the file, or timestamps that cannot be understood.
    MissingExtraError
        Without the extra of the database that is asked.
    """
    openers = _REMOTE_READERS if _is_address(source) else _READERS
    parts = _open_parts(source, _id_columns(columns), openers)
    return _assembled(parts, source, columns, timestamp_unit).collect()


def scan_table(
    source: Source,
    *,
    columns: Mapping[str, str] | None = None,
    timestamp_unit: TimestampUnit | None = None,
) -> pl.LazyFrame:
    """The table that :func:`load_table` reads, of files that need not fit into memory.

    Parameters and errors are those of :func:`load_table`. What has to be known of all rows (the
    form of times, whether the ids of a CSV are numbers) is looked up in a stream. A fault that
    stands deep in a file may come up only where the frame is collected, as an error of Polars.
    The answer to a query is read into memory.
    """
    parts = _open_parts(source, _id_columns(columns), _SCANNERS)
    return _assembled(parts, source, columns, timestamp_unit)


def _is_address(source: Source) -> TypeGuard[str | Path]:
    return not isinstance(source, Query) and is_url(source)


def _open_parts(
    source: Source, ids: list[str], openers: Mapping[str, Callable[..., _Frame]]
) -> list[tuple[Source, pl.LazyFrame]]:
    """What is read, each with where it is from."""
    if isinstance(source, Query):
        return [(source, source.read().lazy())]
    if is_url(source):
        return [(source, _open(source, os.fspath(source), ids, openers).lazy())]
    return [
        # Polars would expand the brackets in the name of a file once more.
        (file, _open(file, glob.escape(str(file)), ids, openers).lazy())
        for file in _find_files(source)
    ]


def _find_files(path: str | Path) -> list[Path]:
    if Path(path).is_file():
        return [Path(path)]
    if Path(path).is_dir():
        raise ConfigError(
            f"{path} is a folder; name the files in it, for instance {Path(path) / '*.parquet'}"
        )
    anchor = Path(path).anchor
    pattern = str(Path(path).relative_to(anchor))
    files = sorted(found for found in Path(anchor).glob(pattern) if found.is_file())
    if not files:
        raise ConfigError(f"{path}: no such file{listing(Path(path).parent)}")
    return files


def _id_columns(columns: Mapping[str, str] | None) -> list[str]:
    return [(columns or {}).get(name, name) for name in _ID_COLUMNS]


def _open(
    source: str | Path, name: str, ids: list[str], openers: Mapping[str, Callable[..., _Frame]]
) -> _Frame:
    ending = _format(source)
    opener = openers.get(ending)
    if opener is None:
        raise ConfigError(
            f"{source_name(source)}: cannot tell the format from the ending {ending!r}; expected "
            f"one of {', '.join(openers)}"
        )
    if _is_csv(source):
        # Inference reads "00123" as 123, which is another id; the ids are looked at afterwards.
        opener = partial(opener, schema_overrides=dict.fromkeys(ids, pl.String()))
    return read(lambda _: opener(name), source)


def _assembled(
    parts: list[tuple[Source, pl.LazyFrame]],
    source: Source,
    columns: Mapping[str, str] | None,
    unit: TimestampUnit | None,
) -> pl.LazyFrame:
    if unit is not None and unit not in get_args(TimestampUnit):
        raise ConfigError(f"timestamp_unit={unit!r} is none of 's', 'ms' and 'us'")
    table = source_name(source)
    names = [read(partial(_names, scan), one) for one, scan in parts]
    for (one, _), others in zip(parts, names, strict=True):
        if set(others) != set(names[0]):
            problem = (
                f"its columns are {others}, but those of {source_name(parts[0][0])} are "
                f"{names[0]}; files of one table must have the same columns"
            )
            raise SchemaError(source_name(one), [problem])
    if len(parts) > 1 and _is_csv(parts[0][0]):
        # Without rows every column is text, and so would be those of the other files.
        filled = [part for part in parts if read(partial(_has_rows, part[1]), part[0])]
        parts = filled or parts[:1]
    scan = pl.concat([scan.select(names[0]) for _, scan in parts], how="vertical_relaxed")
    read(lambda _: scan.collect_schema(), source)  # columns whose dtypes have nothing in common
    if _is_csv(parts[0][0]):
        ids = [name for name in names[0] if name in _id_columns(columns)]
        scan = read(lambda _: scan.with_columns(_numbers_if_exact(scan, ids)), source)
    scan = _rename(scan, names[0], dict(columns or {}), table=table)
    present = scan.collect_schema().names()
    if "timestamp" in present:
        scan = _with_times(scan, "timestamp", unit, source)
    elif unit is not None:
        problem = (
            f"timestamp_unit={unit!r}, but no column is called timestamp among "
            f"{present}; name it with columns={{'timestamp': ...}}"
        )
        raise SchemaError(table, [problem])
    return _with_times(scan, "valid_from", None, source) if "valid_from" in present else scan


def _has_rows(scan: pl.LazyFrame, _: Source) -> bool:
    return scan.head(1).collect(engine="streaming").height > 0


def _names(scan: pl.LazyFrame, _: Source) -> list[str]:
    return scan.collect_schema().names()


def _with_times(
    scan: pl.LazyFrame, column: str, unit: TimestampUnit | None, source: Source
) -> pl.LazyFrame:
    table = source_name(source)
    parser = read(lambda _: timestamp_parser(scan, column, unit, table=table), source)
    return scan.with_columns(parser)


def _is_csv(source: Source) -> bool:
    return _format(source) in (".csv", ".tsv")


def _format(source: Source) -> str:
    """The ending; that of a query is empty, for its columns have types."""
    if isinstance(source, Query):
        return ""
    path = os.fspath(source)
    name = Path(path.partition("?")[0] if is_url(path) else path).name
    return Path(name.lower().removesuffix(".gz")).suffix


def _numbers_if_exact(scan: pl.LazyFrame, ids: list[str]) -> list[pl.Expr]:
    """Casts of those ids of which each is text that is written the way its number is."""
    exact = scan.select(
        (pl.col(name).cast(pl.Int64, strict=False).cast(pl.String) == pl.col(name))
        .fill_null(pl.col(name).is_null())
        .all()
        for name in ids
    ).collect(engine="streaming")
    return [pl.col(name).cast(pl.Int64) for name in ids if exact[name].item()]


def _rename(
    frame: pl.LazyFrame, names: list[str], columns: dict[str, str], *, table: str
) -> pl.LazyFrame:
    problems = [
        _not_there(ours, theirs, names) for ours, theirs in columns.items() if theirs not in names
    ]
    used = set(columns.values())
    problems += [
        f"{ours}: mapped to {theirs!r}, but the table has a column {ours!r} too; map that one to "
        f"another name as well, for instance {{'other_{ours}': {ours!r}}}"
        for ours, theirs in columns.items()
        if ours in names and ours not in used
    ]
    if problems:
        raise SchemaError(table, problems)
    return frame.select(
        *(pl.col(theirs).alias(ours) for ours, theirs in columns.items()),
        *(name for name in names if name not in used),
    )


def _not_there(ours: str, theirs: str, present: list[str]) -> str:
    lowered = {name.lower(): name for name in present}
    near = difflib.get_close_matches(theirs.lower(), lowered, n=1, cutoff=0.5)
    if ours in present:
        hint = f"our name comes first, so {theirs!r} from {ours!r} would fit; it has"
    else:
        hint = f"the nearest is {lowered[near[0]]!r} of" if near else "it has"
    return f"{ours}: mapped to {theirs!r}, but the table has no such column; {hint} {present}"
