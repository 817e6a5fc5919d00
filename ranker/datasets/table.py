"""Any table file, with a mapping from its column names to ours."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import get_args

import polars as pl

from features.errors import ConfigError, SchemaError
from ranker.datasets.files import listing, read
from ranker.datasets.timestamps import TimestampUnit, parse_timestamp

_ID_COLUMNS = ("user_id", "item_id")

# Types are inferred from all rows: a guess from the first hundred fails on the first odd one.
_CSV = partial(pl.read_csv, infer_schema_length=None)
_NDJSON = partial(pl.read_ndjson, infer_schema_length=None)
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


def load_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    timestamp_unit: TimestampUnit | None = None,
) -> pl.DataFrame:
    """Read a table from CSV, TSV, Parquet, NDJSON or Arrow IPC and rename its columns to ours.

    Parameters
    ----------
    path : str or Path
        One file, or a glob such as ``"events/*.parquet"`` whose files have the same columns. The
        format is told from the ending: ``.csv``, ``.tsv`` (both also with ``.gz``),
        ``.parquet``, ``.ndjson``, ``.jsonl``, ``.arrow``, ``.feather``, ``.ipc``.
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
        If no file is there, an ending is unknown, or a file cannot be read.
    SchemaError
        With every mapped column that is not in the file, or timestamps that cannot be understood.
    """
    if timestamp_unit is not None and timestamp_unit not in get_args(TimestampUnit):
        raise ConfigError(f"timestamp_unit={timestamp_unit!r} is none of 's', 'ms' and 'us'")
    columns = dict(columns or {})
    id_columns = [columns.get(name, name) for name in _ID_COLUMNS]
    frame = _read_all(_find_files(path), id_columns)
    frame = _rename(frame, columns, table=str(path))
    if "timestamp" in frame.columns:
        timestamp = parse_timestamp(frame["timestamp"], timestamp_unit, table=str(path))
        frame = frame.with_columns(timestamp)
    elif timestamp_unit is not None:
        problem = (
            f"timestamp_unit={timestamp_unit!r}, but no column is called timestamp among "
            f"{frame.columns}; name it with columns={{'timestamp': ...}}"
        )
        raise SchemaError(str(path), [problem])
    if "valid_from" in frame.columns:
        frame = frame.with_columns(parse_timestamp(frame["valid_from"], None, table=str(path)))
    return frame


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


def _read_all(files: list[Path], id_columns: list[str]) -> pl.DataFrame:
    frames = [_read_one(file, id_columns) for file in files]
    for file, frame in zip(files, frames, strict=True):
        if set(frame.columns) != set(frames[0].columns):
            problem = (
                f"its columns are {frame.columns}, but those of {files[0]} are "
                f"{frames[0].columns}; files of one table must have the same columns"
            )
            raise SchemaError(str(file), [problem])
    order = frames[0].columns
    frame = pl.concat([frame.select(order) for frame in frames], how="vertical_relaxed")
    if _format(files[0]) not in (".csv", ".tsv"):
        return frame
    return frame.with_columns(
        _numbers_if_exact(frame[name]) for name in set(id_columns) & set(frame.columns)
    )


def _read_one(file: Path, id_columns: list[str]) -> pl.DataFrame:
    ending = _format(file)
    reader = _READERS.get(ending)
    if reader is None:
        raise ConfigError(
            f"{file}: cannot tell the format from the ending {ending!r}; expected one of "
            f"{', '.join(_READERS)}"
        )
    if ending in (".csv", ".tsv"):
        # Inference reads "00123" as 123, which is another id; the ids are looked at afterwards.
        ids_as_text = dict.fromkeys(id_columns, pl.String())
        reader = partial(reader, schema_overrides=ids_as_text)
    # Polars would expand the brackets in the name of a file once more.
    return read(lambda file: reader(glob.escape(str(file))), file)


def _format(file: Path) -> str:
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _numbers_if_exact(ids: pl.Series) -> pl.Series:
    numbers = ids.cast(pl.Int64, strict=False)
    is_exact = numbers.null_count() == ids.null_count() and (numbers.cast(pl.String) == ids).all()
    return numbers if is_exact else ids


def _rename(frame: pl.DataFrame, columns: dict[str, str], *, table: str) -> pl.DataFrame:
    problems = [
        _not_there(ours, theirs, frame.columns)
        for ours, theirs in columns.items()
        if theirs not in frame.columns
    ]
    used = set(columns.values())
    problems += [
        f"{ours}: mapped to {theirs!r}, but the file has a column {ours!r} too; map that one to "
        f"another name as well, for instance {{'other_{ours}': {ours!r}}}"
        for ours, theirs in columns.items()
        if ours in frame.columns and ours not in used
    ]
    if problems:
        raise SchemaError(table, problems)
    return frame.select(
        *(pl.col(theirs).alias(ours) for ours, theirs in columns.items()),
        *(name for name in frame.columns if name not in used),
    )


def _not_there(ours: str, theirs: str, present: list[str]) -> str:
    lowered = {name.lower(): name for name in present}
    near = difflib.get_close_matches(theirs.lower(), lowered, n=1, cutoff=0.5)
    if ours in present:
        hint = f"our name comes first, so {theirs!r} from {ours!r} would fit; it has"
    else:
        hint = f"the nearest is {lowered[near[0]]!r} of" if near else "it has"
    return f"{ours}: mapped to {theirs!r}, but the file has no such column; {hint} {present}"
