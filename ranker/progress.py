"""Progress bars for everything that takes more than a second.

Bars go to standard error, appear after one second, and stay away where standard error is not a
terminal or where the environment variable ``RANKER_QUIET`` is set to anything but ``0``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

T = TypeVar("T")


class ProgressBar(Protocol):
    """What :func:`progress_bar` yields."""

    def update(self, n: int = 1, /) -> object:
        """Say that ``n`` more units are done."""


def progress(iterable: Iterable[T], *, description: str, unit: str = "it") -> Iterator[T]:
    """Yield from ``iterable`` and show how far it is.

    Parameters
    ----------
    iterable : iterable
        What to go through.
    description : str
        What is being done, in front of the bar.
    unit : str
        The name of one value.
    """
    yield from tqdm(iterable, **_settings(description, unit))


@contextmanager
def progress_bar(total: int, description: str, unit: str) -> Iterator[ProgressBar]:
    """Open a bar that the caller moves with ``update(n)``, and close it whatever happens.

    Parameters
    ----------
    total : int
        How many units there are to do.
    description : str
        What is being done, in front of the bar.
    unit : str
        The name of one unit.
    """
    with tqdm(total=total, **_settings(description, unit)) as bar:
        yield bar


def _settings(description: str, unit: str) -> dict[str, Any]:
    # `disable=None` is tqdm's "only on a terminal"; its own TQDM_DISABLE is not read once
    # `disable` is passed.
    quiet = os.environ.get("RANKER_QUIET", "0") not in ("", "0")
    return {
        "desc": description,
        "unit": unit,
        "unit_scale": True,
        "delay": 1,
        "disable": True if quiet else None,
        "dynamic_ncols": True,
    }
