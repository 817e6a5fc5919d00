"""Item tables with content of every kind, and generators that always get one."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from features.history import History
from ranker.candidates.base import Generator


def catalogue(history: History) -> pl.DataFrame:
    """Content of every item of a history, which follows from its id."""
    ids = history.items.values
    rngs = [np.random.default_rng(zlib.crc32(str(one).encode())) for one in ids]
    return pl.DataFrame(
        {
            "item_id": ids,
            "title": [" ".join(f"word{w}" for w in rng.integers(0, 9, 3)) for rng in rngs],
            "tags": [[f"tag{t}" for t in rng.integers(0, 6, 2)] for rng in rngs],
            "price": [float(rng.random()) for rng in rngs],
            "vector": pl.Series(
                [rng.standard_normal(5).tolist() for rng in rngs], dtype=pl.Array(pl.Float32, 5)
            ),
            "image": pl.Series(
                [rng.random((8, 8)).tolist() for rng in rngs], dtype=pl.Array(pl.Float32, (8, 8))
            ),
        }
    )


def people_of(history: History) -> pl.DataFrame:
    """Attributes of every user of a history, which follow from his id."""
    ids = history.users.values
    numbers = [zlib.crc32(str(one).encode()) for one in ids]
    return pl.DataFrame(
        {
            "user_id": ids,
            "region": [f"region{n % 3}" for n in numbers],
            "age": [None if n % 5 == 0 else n % 4 for n in numbers],
        }
    )


def with_catalogue(cls: type[Generator]) -> Callable[..., Any]:
    """The same generator, which is handed the catalogue with every history."""
    return _with_tables(cls, people=False)


def with_people(cls: type[Generator]) -> Callable[..., Any]:
    """The same generator, which is handed the attributes of users with every history."""
    return _with_tables(cls, people=True)


@functools.cache
def _with_tables(cls: type[Generator], people: bool) -> type[Generator]:
    def learn(self, history, *, items, users):
        users = people_of(history) if people else None
        cls._learn(self, history, items=catalogue(history), users=users)

    return type(cls.__name__, (cls,), {"_learn": learn, "__doc__": cls.__doc__})
