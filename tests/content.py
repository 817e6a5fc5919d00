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


def with_catalogue(cls: type[Generator]) -> Callable[..., Any]:
    """The same generator, which is handed the catalogue with every history."""
    return _with_catalogue(cls)


@functools.cache
def _with_catalogue(cls: type[Generator]) -> type[Generator]:
    def learn(self, history, *, items, users):
        cls._learn(self, history, items=catalogue(history), users=None)

    return type(cls.__name__, (cls,), {"_learn": learn, "__doc__": cls.__doc__})
