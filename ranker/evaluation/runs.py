"""Rows of lists as runs that have the same user, and work on them by all cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
import polars as pl

from features.arrays import AnyArray, Int64Array
from ranker.parallel import n_cores

T = TypeVar("T")
_ROWS_OF_A_PART = 100_000  # fewer are done before a thread has started


def run_starts(ids: pl.Series) -> Int64Array:
    """Where runs of equal ids start, and the number of ids at the end.

    Examples
    --------
    >>> run_starts(pl.Series(["a", "a", "b", "a"]))
    array([0, 2, 3, 4])
    """
    starts = ids.ne_missing(ids.shift()).arg_true().to_numpy().astype(np.int64)
    # The shift puts a null before the first id, which is no id.
    return np.append(starts, len(ids))


def over_runs(work: Callable[..., T], starts: Int64Array, *of_run: AnyArray) -> list[T]:
    """Results of ``work`` for parts of the runs, in order, each part in a thread of its own.

    Parameters
    ----------
    work : callable
        A kernel, which releases the GIL. It gets the starts of some runs, with the end of the last
        one, and what belongs to these runs of each array in ``of_run``.
    starts : int64 array [n_runs + 1]
    of_run : arrays [n_runs]
    """
    n_parts = int(min(n_cores(), 1 + starts[-1] // _ROWS_OF_A_PART))
    bounds = np.linspace(0, len(starts) - 1, n_parts + 1).astype(np.int64)
    parts = [(starts[a : b + 1], *(one[a:b] for one in of_run)) for a, b in pairwise(bounds)]
    with ThreadPoolExecutor(n_parts) as pool:
        return list(pool.map(lambda part: work(*part), parts))
