"""The same work on runs of users, several at a time, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from features.history import History
from ranker.progress import progress_bar

T = TypeVar("T")


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_chunks(
    work: Callable[[int, History], T],
    history: History,
    chunk_size: int,
    n_threads: int,
    *,
    description: str,
) -> Iterator[T]:
    """Apply ``work(first_user, part)`` to runs of users; results come in order.

    The kernels release the GIL, so threads suffice. Only a few results wait at a time, so that
    memory does not grow with the number of users.

    Parameters
    ----------
    work : callable
        Gets the number of the run's first user and the run.
    history : History
    chunk_size : int
        Users of a run.
    n_threads : int
        0 = all cores.
    description : str
        For the progress bar.
    """
    starts = range(0, history.n_users, chunk_size)
    with (
        # One for all: limits that threads set and lift side by side stay behind.
        threadpool_limits(1, "blas"),
        progress_bar(history.n_users, description, "user") as bar,
        ThreadPoolExecutor(n_threads or n_cores()) as pool,
    ):
        waiting: deque[Future[T]] = deque()
        for start in starts:
            part = history.rows(start, min(start + chunk_size, history.n_users))
            waiting.append(pool.submit(work, start, part))
            if len(waiting) > 2 * (n_threads or n_cores()):
                yield waiting.popleft().result()
                bar.update(chunk_size)
        while waiting:
            yield waiting.popleft().result()
            bar.update(min(chunk_size, history.n_users))
