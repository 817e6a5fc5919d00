"""An export as keys in Redis, which readers find by a pointer that is flipped at the end."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import polars as pl

from features.errors import ConfigError, ExportError, MissingExtraError
from ranker.addresses import without_password
from ranker.arguments import check_count
from ranker.export.formats import FORMATS
from ranker.export.published import PublishResult, check_scheme, told
from ranker.export.verify import finished_manifest, verified_lists

_BATCH = 1000
# A call that died holds the lock for so long.
_LOCK_SECONDS = 60


def publish_to_redis(
    path: str | os.PathLike[str],
    url: str,
    *,
    name: str = "recommendations",
    keep_old_seconds: int = 3600,
) -> PublishResult:
    """Put the lists of a finished export where readers find them by two GETs.

    ``<name>:current`` holds a version, and ``<name>:<version>:<user_id>`` the list of a user as
    JSON: ``{"item_id": [...], "score": [...]}``, in order of rank. The keys of a new version are
    written first, then the pointer is set, then the keys of other versions expire: whoever has
    read the pointer before goes on reading whole old lists for a while. If anything fails before,
    the old lists are served on, and the next call lets the unused keys expire.

    Parameters
    ----------
    path : str or path
        Folder of a finished export; every shard is verified as it is read.
    url : str
        ``redis://user:password@host:6379/0``, or ``rediss://`` for TLS.
    name : str
        Of letters, digits, ``_``, ``.``, ``:`` and ``-``: how all keys begin.
    keep_old_seconds : int
        How long the keys of other versions live on, at least 1.

    Returns
    -------
    PublishResult

    Raises
    ------
    ConfigError
        ``name``, ``url`` or ``keep_old_seconds`` is none.
    ExportError
        The export is not whole, another call publishes under ``name`` at the moment, or the server
        says no (it is out of memory: it needs room for two versions).
    MissingExtraError
        Without the extra ``redis``.
    """
    started = time.perf_counter()
    check_scheme(url, "redis", "rediss")
    # The keys of a version are found by a pattern, in which other signs would have a meaning.
    if not re.fullmatch(r"[\w.:-]+", name, re.ASCII):
        raise ConfigError(f"name={name!r}; expected letters, digits, '_', '.', ':' and '-'")
    check_count(keep_old_seconds=keep_old_seconds)
    folder, manifest = finished_manifest(path)
    version = manifest.sha256[:12]
    n_users = n_rows = 0
    with _client(url) as client, _locked(client, name) as lock:
        client.sadd(f"{name}:versions", version)
        for lists in verified_lists(folder, manifest):
            for values in _values(lists, f"{name}:{version}:"):
                client.mset(values)
                n_users += len(values)
                lock.reacquire()  # for another minute; fails where it was lost meanwhile
            n_rows += lists.height
        client.set(f"{name}:current", version)
        _expire_others(client, lock, name, version, int(keep_old_seconds))
    return PublishResult(
        target=without_password(url),
        name=name,
        version=version,
        n_users=n_users,
        n_rows=n_rows,
        seconds=time.perf_counter() - started,
    )


@contextmanager
def _client(url: str) -> Iterator[Any]:
    try:
        import redis
    except ImportError:
        raise MissingExtraError("redis", "redis") from None
    with (
        # The latter two are about the URL: a port that is none, an option that nobody knows.
        told(url, (redis.RedisError, ValueError, TypeError)),
        closing(redis.Redis.from_url(url, socket_connect_timeout=10)) as client,
    ):
        yield client


@contextmanager
def _locked(client: Any, name: str) -> Iterator[Any]:
    lock = client.lock(f"{name}:publishing", timeout=_LOCK_SECONDS)
    if not lock.acquire(blocking=False):
        raise ExportError(
            f"another call is publishing under {name}, or one died within the last "
            f"{_LOCK_SECONDS} s: wait for it."
        )
    try:
        yield lock
    finally:
        lock.release()


def _values(lists: pl.DataFrame, prefix: str) -> Iterator[dict[str, str]]:
    """Key to value, some users at a time."""
    by_user = FORMATS["ndjson"].laid_out(lists)
    pairs = by_user.select(
        pl.concat_str(pl.lit(prefix), pl.col("user_id").cast(pl.String)),
        value=pl.struct(pl.exclude("user_id")).struct.json_encode(),
    )
    for part in pairs.iter_slices(_BATCH):
        yield dict(part.iter_rows())


def _expire_others(client: Any, lock: Any, name: str, current: str, seconds: int) -> None:
    for member in client.smembers(f"{name}:versions"):
        version = member.decode()
        if version == current:
            continue
        # A scan goes through all keys of the server, which may take longer than the lock lasts.
        cursor = None
        while cursor != 0:
            cursor, keys = client.scan(cursor or 0, match=f"{name}:{version}:*", count=_BATCH)
            lock.reacquire()
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.expire(key, seconds)
                pipeline.execute()
        client.srem(f"{name}:versions", version)
