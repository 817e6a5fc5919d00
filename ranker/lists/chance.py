"""Random numbers that follow from a seed and a user's id, whoever is served alongside."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from features.kernel import kernel

UInt64Array = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BITS30, _BITS27, _BITS31, _BITS11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def user_hashes(users: pl.Series, seed: str = "") -> UInt64Array:
    """The first 64 bits of BLAKE2b of a seed and each id as text, uint64 [n_users].

    Not Polars' own hash, whose values change between its versions.
    """
    start = hashlib.blake2b(seed.encode() + b"\0", digest_size=8)
    digests = []
    for user in users.cast(pl.String):
        one = start.copy()
        one.update(user.encode())
        digests.append(one.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


@kernel
def uniform(state: np.uint64) -> tuple[np.uint64, float]:
    """The next state, and a number in [0, 1).

    SplitMix64 of Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
    """
    state += _GOLDEN
    mixed = (state ^ (state >> _BITS30)) * _FIRST
    mixed = (mixed ^ (mixed >> _BITS27)) * _SECOND
    mixed ^= mixed >> _BITS31
    return state, np.float64(mixed >> _BITS11) / 9007199254740992.0
