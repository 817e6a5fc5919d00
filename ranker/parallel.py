"""The same work on runs of users, several at a time, in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from features.history import History
from ranker.progress import progress_bar

T = TypeVar("T")


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep BLAS to a single thread: several round in another way, and fight with ours.

    Finding the libraries takes milliseconds, which is long beside the list of one user. They come
    with imports, so that what was found is right until the next one.
    """
    return _libraries(len(sys.modules)).limit(limits=1, user_api="blas")  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _libraries(_: int) -> ThreadpoolController:
    return ThreadpoolController()


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
    if 0 < history.n_users <= chunk_size:
        # One run needs neither threads nor a bar: both take as long as the list of a user.
        with one_blas_thread():
            yield work(0, history)
        return
    with (
        # One for all: limits that threads set and lift side by side stay behind.
        one_blas_thread(),
        progress_bar(history.n_users, description, "user") as bar,
        ThreadPoolExecutor(n_threads or n_cores()) as pool,
    ):
        waiting: deque[tuple[int, Future[T]]] = deque()

        def finish() -> T:
            n_users, future = waiting.popleft()
            result = future.result()
            bar.update(n_users)
            return result

        for number, part in enumerate(history.chunks(chunk_size)):
            waiting.append((part.n_users, pool.submit(work, number * chunk_size, part)))
            if len(waiting) > 2 * (n_threads or n_cores()):
                yield finish()
        while waiting:
            yield finish()
