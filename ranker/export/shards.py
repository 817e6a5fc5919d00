"""Which users make a shard, and what the file of a shard holds."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.errors import ExportError
from ranker.export.files import write_atomically

COLUMNS = ("user_id", "item_id", "rank", "score")
PROPENSITY = "propensity"
"""A fifth column where a policy explores."""

# Polars 2.1 cuts row groups at the chunks of the frame in memory unless it is given a size, so
# equal frames would give different bytes.
_ROW_GROUP_SIZE = 2**18


@dataclass(frozen=True)
class Shard:
    """One finished shard, as the manifest names it.

    Attributes
    ----------
    index : int
        Its number, from 0.
    file : str
        Its name within the export's folder.
    n_users : int
        Users that belong to it.
    n_empty : int
        Those among them who got no list at all (they have seen everything, say).
    n_rows : int
        Rows of the file.
    sha256 : str
        Checksum of the file, in hex.
    """

    index: int
    file: str
    n_users: int
    n_empty: int
    n_rows: int
    sha256: str


def shard_file(index: int, n_shards: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}-of-{n_shards:05d}.parquet"


def shard_numbers(user_ids: pl.Series, n_shards: int) -> npt.NDArray[np.int64]:
    """Shard of each user: the first 64 bits of BLAKE2b of the id as text, modulo ``n_shards``.

    Neither the other users, nor their order, nor the version of a library has a say in it (the
    values of Polars' own hash change between its versions).

    Parameters
    ----------
    user_ids : Series of shape (n_users,)
        Strings or integers; 7 and "7" fall into the same shard.
    n_shards : int
        How many shards there are, at least 1.

    Returns
    -------
    ndarray of shape (n_users,), int64
        In ``[0, n_shards)``.
    """
    digests = b"".join(
        hashlib.blake2b(user_id.encode(), digest_size=8).digest()
        for user_id in user_ids.cast(pl.String)
    )
    hashes: npt.NDArray[np.uint64] = np.frombuffer(digests, dtype="<u8")
    return (hashes % np.uint64(n_shards)).astype(np.int64)


def split_users(user_ids: pl.Series, n_shards: int) -> Iterator[pl.Series]:
    """Yield the users of shard 0, 1, ..., ``n_shards - 1``, each in the order of ``user_ids``."""
    numbers = shard_numbers(user_ids, n_shards) if n_shards else np.empty(0, dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(n_shards + 1))
    for start, stop in pairwise(bounds):
        yield user_ids.gather(order[start:stop])


def split_chunks(user_ids: pl.Series, chunk_size: int) -> Iterator[pl.Series]:
    """Yield even slices of at most ``chunk_size`` users; of no users, one empty slice."""
    n_chunks = max(1, -(-len(user_ids) // chunk_size))
    for chunk in range(n_chunks):
        start = len(user_ids) * chunk // n_chunks
        yield user_ids.slice(start, len(user_ids) * (chunk + 1) // n_chunks - start)


def write_shard(
    folder: Path, file: str, index: int, users: pl.Series, lists: pl.DataFrame
) -> Shard:
    """Write the lists of a shard atomically.

    Parameters
    ----------
    folder, file : Path, str
        Where to.
    index : int
        The shard's number.
    users : Series of shape (n_users,)
        All users of the shard.
    lists : DataFrame[user_id, item_id, rank, score]
        Their lists, sorted by user, then rank.
    """
    buffer = io.BytesIO()
    lists.rechunk().write_parquet(buffer, compression="zstd", row_group_size=_ROW_GROUP_SIZE)
    data = buffer.getvalue()
    write_atomically(folder / file, data)
    return Shard(
        index=index,
        file=file,
        n_users=len(users),
        n_empty=len(users) - lists["user_id"].n_unique(),
        n_rows=lists.height,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def checked_lists(
    lists: pl.DataFrame, users: pl.Series, k: int, schema: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Return what an export keeps of ``lists``, sorted by user and rank, if nothing is wrong.

    Parameters
    ----------
    lists : DataFrame[user_id, item_id, rank, score, ...]
        What ``recommend`` returned for ``users``; of other columns, ``propensity`` is kept.
    users : Series
        Whose lists they are.
    k : int
        The longest a list may be.
    schema : mapping of str to str, optional
        Names of the dtypes, where they are known already.

    Raises
    ------
    ExportError
        A column is missing or of another dtype, an id is null, a user was not asked for, ranks
        are not 1, 2, ... up to k at most, an item stands twice in a list, or a propensity is not
        above 0 and at most 1.
    """
    missing = [column for column in COLUMNS if column not in lists.columns]
    if missing:
        raise ExportError(f"the lists lack the columns {missing}; they have {lists.columns}.")
    has_propensity = PROPENSITY in lists.columns
    columns = (*COLUMNS, PROPENSITY) if has_propensity else COLUMNS
    lists = lists.select(columns).sort("user_id", "rank")
    found = schema_names(lists)
    if schema is not None and found != dict(schema):
        raise ExportError(f"the lists have the dtypes {found}, expected {dict(schema)}.")
    places = pl.int_range(1, pl.len() + 1).over("user_id")
    problems = {
        "have a null": pl.any_horizontal(pl.col("user_id", "item_id", "rank").is_null()),
        "belong to users who were not asked for": ~pl.col("user_id").is_in(users.implode()),
        f"break the ranks 1, 2, ... {k}": (pl.col("rank") != places) | (places > k),
        "repeat an item within a list": pl.struct("user_id", "item_id").is_duplicated(),
    }
    if has_propensity:
        is_chance = (pl.col(PROPENSITY) > 0) & (pl.col(PROPENSITY) <= 1)
        problems["have no propensity in (0, 1]"] = ~is_chance.fill_null(value=False)
    for problem, condition in problems.items():
        bad = lists.filter(condition)
        if bad.height:
            raise ExportError(
                f"{bad.height} rows of the lists {problem}, among them {bad.row(0, named=True)}."
            )
    return lists


def schema_names(lists: pl.DataFrame) -> dict[str, str]:
    """Columns and names of their dtypes."""
    return {column: str(dtype) for column, dtype in lists.schema.items()}
