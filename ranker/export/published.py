"""What sinks share: their result, and errors in which no password stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from features.errors import ConfigError, ExportError
from ranker.addresses import without_password, without_secrets


@dataclass(frozen=True)
class PublishResult:
    """What was put where.

    Attributes
    ----------
    target : str
        Address, without the password.
    name : str
        View, prefix or table under which readers find the lists.
    version : str
        The export's checksum, shortened; the same lists have the same one.
    n_users : int
        Users who have a list.
    n_rows : int
        Rows of user and item.
    seconds : float
        Wall-clock time of this call.
    """

    target: str
    name: str
    version: str
    n_users: int
    n_rows: int
    seconds: float


def check_scheme(url: str, *schemes: str) -> None:
    """Raise ConfigError, in which no password stands, where ``url`` begins with none of them."""
    if url.partition("://")[0] not in schemes:
        expected = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ConfigError(f"the address is no URL that begins with {expected}")


@contextmanager
def told(url: str, errors: type[Exception] | tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn errors of a driver into an ExportError in which no password stands.

    The driver's own error is not chained: its text, and the frames of its traceback, may hold one.
    """
    try:
        yield
    except errors as error:
        text = without_secrets(error, url).strip().rstrip(".")
        raise ExportError(
            f"cannot publish to {without_password(url)}: {text}. Readers find whole lists there "
            "all the same, the old or the new; once this is mended, make the same call again."
        ) from None
