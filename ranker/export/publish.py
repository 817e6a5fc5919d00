"""Where an export is published to, by the beginning of the address."""

from __future__ import annotations

import os

from features.errors import ConfigError
from ranker.export.published import PublishResult
from ranker.export.to_delta import publish_to_delta
from ranker.export.to_postgres import publish_to_postgres
from ranker.export.to_redis import publish_to_redis

_NAME = "recommendations"
_DELTA = "delta:"


def publish_export(
    path: str | os.PathLike[str], to: str, *, name: str | None = None
) -> PublishResult:
    """Put the lists of a finished export into a store that they are served from.

    Readers of the store find the old lists or the new ones, never a part of either.

    Parameters
    ----------
    path : str or path
        The folder that was given to :func:`~ranker.export.export_recommendations`.
    to : str
        ``postgresql://...`` (see :func:`publish_to_postgres`), ``redis://...`` (see
        :func:`publish_to_redis`), or ``delta:`` and a folder or an address in an object store (see
        :func:`publish_to_delta`).
    name : str, optional
        View in PostgreSQL, beginning of the keys in Redis; ``recommendations`` by default. A
        Delta Lake table has no other name than its address.

    Returns
    -------
    PublishResult

    Raises
    ------
    ConfigError
        ``to`` begins otherwise, or ``name`` is none.
    ExportError
        The export is not whole, or the store says no.
    MissingExtraError
        Without the extra of the store: ``postgres``, ``redis`` or ``delta``.
    """
    if not isinstance(to, str):
        raise ConfigError(f"to is a {type(to).__name__}; expected an address as text")
    if name == "":
        raise ConfigError("name is empty; leave it out for the default, or give one")
    if to.startswith(("postgresql://", "postgres://")):
        return publish_to_postgres(path, to, name=name or _NAME)
    if to.startswith(("redis://", "rediss://")):
        return publish_to_redis(path, to, name=name or _NAME)
    if to.startswith(_DELTA) and len(to) > len(_DELTA):
        if name is not None:
            raise ConfigError(f"a Delta Lake table is named by its address alone, not {name!r}")
        return publish_to_delta(path, to.removeprefix(_DELTA))
    raise ConfigError(
        "cannot tell where to publish: expected an address that begins with postgresql://, "
        "redis://, rediss:// or delta:"
    )
