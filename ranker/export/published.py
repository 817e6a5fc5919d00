"""What sinks share: their result, and addresses that are shown without the password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from features.errors import ConfigError, ExportError


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


def without_password(url: str) -> str:
    """``url`` as it may be shown: no password, and no query, which may hold one too."""
    try:
        parts = urlsplit(url)
        login, _, host = parts.netloc.rpartition("@")
        user = login.partition(":")[0]
        netloc = f"{user}@{host}" if user else host
        return urlunsplit((parts.scheme, netloc, parts.path, "", ""))
    except ValueError:  # brackets that are not closed, say
        return f"{url.partition(':')[0]}:..."


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
        text = str(error).strip().rstrip(".")
        for secret in _secrets(url):
            text = text.replace(secret, "***")
        raise ExportError(
            f"cannot publish to {without_password(url)}: {text}. Readers find whole lists there "
            "all the same, the old or the new; once this is mended, make the same call again."
        ) from None


def _secrets(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    user, _, _ = parts.netloc.rpartition("@")
    found = {parts.query, user.partition(":")[2], *parse_qs(parts.query).get("password", [])}
    # Longest first, so that none leaves a part of another.
    return sorted(found.union(map(unquote, found)) - {""}, key=len, reverse=True)
