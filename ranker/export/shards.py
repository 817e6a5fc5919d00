"""Which users make a shard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

SHARD_FILES = "shard-*-of-*.*"
"""Glob of the shards of any export."""

_ROWS_OF_A_SHARD = 2**19


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
        Rows of user and item in the file.
    sha256 : str
        Checksum of the file, in hex.
    """

    index: int
    file: str
    n_users: int
    n_empty: int
    n_rows: int
    sha256: str


def default_n_shards(n_users: int, k: int) -> int:
    """Shards of about half a million rows: megabytes in memory, seconds of work to lose."""
    return -(-n_users * k // _ROWS_OF_A_SHARD)


def shard_file(index: int, n_shards: int, suffix: str) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}-of-{n_shards:05d}{suffix}"


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
