"""Addresses as they may be shown: without passwords, keys and signatures."""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

# Two letters at least: C:\ is a drive.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LENGTH_OF_SECRETS = 8


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether this is an address, and no path."""
    return _SCHEME.match(os.fspath(place)) is not None


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


def without_secrets(text: object, url: str | os.PathLike[str]) -> str:
    """What somebody says of ``url``, with *** in the place of what must not be shown of it.

    Of a path nothing is secret.
    """
    shown = str(text)
    if is_url(url):
        for secret in _secrets(os.fspath(url)):
            shown = shown.replace(secret, "***")
    return shown


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
    if isinstance(value, dict):
        return {key: _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list) else value


def _secrets(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        login = url.partition("://")[2].rpartition("@")[0]
        return [part for part in (url, login, login.partition(":")[2]) if part]
    user, _, _ = parts.netloc.rpartition("@")
    asked = parse_qs(parts.query)
    found = {parts.query, user.partition(":")[2], *asked.get("password", [])}
    # Signatures and tokens, whatever they are called; a value such as "1" stands anywhere.
    found |= {one for values in asked.values() for one in values if len(one) >= _LENGTH_OF_SECRETS}
    found |= {write(one) for one in found for write in (unquote, _quote)}
    # Longest first, so that none leaves a part of another.
    return sorted(found - {""}, key=len, reverse=True)


def _quote(text: str) -> str:
    return quote(text, safe="")
