"""How many users a call of ``recommend`` may get, found by measuring the calls."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from features.errors import ConfigError, ExportError

T = TypeVar("T")

logger = logging.getLogger(__name__)
_STATM = Path("/proc/self/statm")
_DECIMAL = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS = _DECIMAL | {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_FIRST_CALL = 32
_GROWTH = 2
# Allocators give memory back late, and the sampling may miss the tip of a peak.
_USABLE = 0.9


class ChunkSizes:
    """The size of the next chunk of users, within a limit on the memory of the process.

    The first calls are small. Wherever the process holds more than ever before, that is put down
    to the users of the call if they were as many as ever, and otherwise to what is kept between
    calls, as the lists of the shard are. Each next chunk is as large as that leaves room for, and
    at most twice the last one, so that a wrong guess cannot be a large one.

    Parameters
    ----------
    at_most : int
        Users of a chunk, whatever room there is.
    limit : int, optional
        Bytes that the process may hold (resident set). None: every chunk has ``at_most`` users.

    Raises
    ------
    ConfigError
        The process holds more than ``limit`` already, or the system does not tell (no ``/proc``).
    """

    def __init__(self, at_most: int, limit: int | None = None) -> None:
        self._at_most, self._limit = at_most, limit
        self.next = at_most
        """Users of the next chunk."""
        if limit is None:
            return
        self._before = resident_bytes()
        # What the process has held beyond that: at most; for each user; and not for the users.
        self._growth, self._cost, self._kept = 0.0, 1.0, 0.0
        self._largest = 0
        if self._before >= _USABLE * limit:
            raise ConfigError(
                f"max_memory is {_text(limit)}, but the process holds {_text(self._before)} "
                "before the first list, and a tenth is kept free; give at least "
                f"{_text(1.5 * self._before)}."
            )
        self.next = min(at_most, _FIRST_CALL)

    def measured(self, n_users: int, call: Callable[[], T]) -> T:
        """Return ``call()`` and learn from its memory.

        ``n_users`` of them are asked for in it, or none where what was collected is written.
        """
        if self._limit is None:
            return call()
        with _Peak() as peak:
            result = call()
        if n_users or self._largest:
            self._learn(n_users, peak.bytes, self._limit)
        return result

    def _learn(self, n_users: int, peak: int, limit: int) -> None:
        growth = peak - self._before
        if n_users >= self._largest:
            self._cost = max(1.0, (max(growth, self._growth) - self._kept) / n_users)
            self._largest = n_users
        else:
            self._kept += max(0.0, growth - self._growth)
        self._growth = max(growth, self._growth)
        affordable = int((_USABLE * limit - self._before - self._kept) / self._cost)
        if affordable < 1:
            raise ExportError(
                f"max_memory is {_text(limit)}; the process held {_text(self._before)} before the "
                f"lists and {_text(peak)} with them: give more, or make the shards smaller "
                "(n_shards), whose lists are held until they are written."
            )
        self.next = min(self._at_most, affordable, _GROWTH * self._largest)
        if peak > limit:
            logger.warning(
                "%d users at a time took the process to %s, above max_memory of %s; going on "
                "with %d users",
                *(n_users, _text(peak), _text(limit), self.next),
            )


class _Peak:
    """The most memory the process holds while a block runs, looked at every two milliseconds."""

    def __enter__(self) -> _Peak:
        self.bytes = resident_bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self.bytes, resident_bytes())

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.bytes = max(self.bytes, resident_bytes())


def resident_bytes() -> int:
    """Memory that this process holds; raises ConfigError where the system does not tell."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except OSError as error:
        raise ConfigError(
            f"max_memory needs {_STATM}, which only Linux has ({error}); give chunk_size instead."
        ) from error
    return pages * os.sysconf("SC_PAGE_SIZE")


def parse_bytes(value: int | str) -> int:
    """Bytes from a number or from a text such as ``"4GB"`` or ``"512 MiB"``.

    Raises
    ------
    ConfigError
        It is neither, or not positive.
    """
    if type(value) is int and value > 0:
        return value
    text = value.strip().upper() if isinstance(value, str) else ""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Z]+)", text)
    n_bytes = float(match[1]) * _UNITS.get(match[2], 0) if match else 0
    if n_bytes < 1:
        raise ConfigError(
            f"max_memory is {value!r}; expected bytes as a whole number, or a text such as "
            "'4GB' or '512MiB'."
        )
    return int(n_bytes)


def _text(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
