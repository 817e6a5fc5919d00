"""Looking up whole numbers among others: a table of hashes, compiled."""

from __future__ import annotations

import numba as nb
import numpy as np

from features.arrays import Int32Array, Int64Array
from features.kernel import kernel


@kernel
def mixed(value: np.uint64) -> np.uint64:
    """The finisher of splitmix64 (Steele, Lea, Flood: Fast splittable generators, 2014)."""
    value = (value ^ (value >> nb.uint64(30))) * nb.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> nb.uint64(27))) * nb.uint64(0x94D049BB133111EB)
    return value ^ (value >> nb.uint64(31))


@kernel
def hash_of(value: int, bits: int) -> int:
    """Some of 2^bits places, whatever the steps between the numbers."""
    # To multiply by the golden ratio alone crowds numbers that step by one of Fibonacci's.
    return np.int64(mixed(np.uint64(value)) >> np.uint64(64 - bits))  # type: ignore[return-value]


@kernel
def hash_table(values: Int64Array) -> Int32Array:
    """Row numbers of distinct values at the places of their hashes, or the next free one.

    Its length is a power of two, and -1 stands at free places, at least half of them.
    """
    bits = 1
    while 1 << bits < 2 * len(values):
        bits += 1
    table = np.full(1 << bits, -1, np.int32)
    for row in range(len(values)):
        place = hash_of(values[row], bits)
        while table[place] >= 0:
            place = (place + 1) & (len(table) - 1)
        table[place] = row
    return table


@kernel
def find(asked: Int64Array, values: Int64Array, table: Int32Array) -> Int32Array:
    """Row number of each number that is asked for among the values of a table, -1 without.

    A number that repeats the one before it, as users of lists do, costs nothing.
    """
    bits = 0
    while 1 << bits < len(table):
        bits += 1
    rows = np.empty(len(asked), np.int32)
    for i in range(len(asked)):
        if i > 0 and asked[i] == asked[i - 1]:
            rows[i] = rows[i - 1]
            continue
        place = hash_of(asked[i], bits)
        while table[place] >= 0 and values[table[place]] != asked[i]:
            place = (place + 1) & (len(table) - 1)
        rows[i] = table[place]
    return rows
