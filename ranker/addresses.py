"""Addresses as they may be shown: without passwords, keys and signatures."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qs, quote, unquote

# Two letters at least: C:\ is a drive.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LENGTH_OF_SECRETS = 8
_LENGTH_OF_PARTS = 2


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether this is an address, and no path."""
    return _SCHEME.match(os.fspath(place)) is not None


def without_password(url: str) -> str:
    """``url`` as it may be shown: no password, and no query, which may hold one too."""
    scheme, _, rest = url.partition("://")
    if not rest:
        return url
    if ":" not in re.split(r"[/?#]", rest, maxsplit=1)[0]:  # no password
        return f"{scheme}://" + re.split(r"[?#]", rest, maxsplit=1)[0]
    login, _, where = rest.rpartition("@")
    if re.search(r"[/?#]", login):
        # Where the password ends cannot be told if it has one of these, unescaped.
        return f"{scheme}://..."
    user = login.partition(":")[0]
    return f"{scheme}://{user}@"[: None if user else -1] + re.split(r"[?#]", where, maxsplit=1)[0]


def without_secrets(text: object, url: str | os.PathLike[str]) -> str:
    """What somebody says of ``url``, with *** in the place of what must not be shown of it.

    Of a path nothing is secret. Of whatever looks like an address with a login or a query nothing
    is shown: nobody knows how those who speak of it have escaped it.
    """
    said = str(text)
    if not is_url(url):
        return said
    for secret in _secrets(os.fspath(url)):
        said = said.replace(secret, "***")
    return re.sub(r"(?<=://)[^\s)]*[@?][^\s)]*", "***", said)


def place(where: str | os.PathLike[str]) -> str:
    """A path as it is, an address without its password."""
    name = os.fspath(where)
    return without_password(name) if is_url(name) else name


def shown(value: object) -> str:
    """``repr(value)`` of what a file holds, with addresses in it as they may be shown."""
    return repr(_shown(value))


def _shown(value: object) -> object:
    if isinstance(value, str):
        return place(value)
    if isinstance(value, dict):  # a query's text may hold keys, and its database may be anything
        return {
            key: "..." if key in ("sql", "database") and not is_url(str(one)) else _shown(one)
            for key, one in value.items()
        }
    return [_shown(one) for one in value] if isinstance(value, list) else value


def _secrets(url: str) -> list[str]:
    rest = url.partition("://")[2]
    login, _, behind = rest.rpartition("@")
    asked = behind.partition("?")[2]
    values = parse_qs(asked)
    password = login.partition(":")[2]
    found = {asked, password, *values.get("password", [])}
    # Of a password with a / or a # in it, drivers name the parts that they took for others.
    found |= {part for part in re.split(r"[/?#@]", password) if len(part) >= _LENGTH_OF_PARTS}
    # Signatures and tokens, whatever they are called; a value such as "1" stands anywhere.
    found |= {one for some in values.values() for one in some if len(one) >= _LENGTH_OF_SECRETS}
    found |= {write(one) for one in found for write in (unquote, _quote)}
    # Longest first, so that none leaves a part of another.
    return sorted(found - {""}, key=len, reverse=True)


def _quote(text: str) -> str:
    return quote(text, safe="")
