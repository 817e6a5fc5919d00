"""An export as a view in PostgreSQL, which changes from old lists to new ones at one instant."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from features.errors import ConfigError, ExportError, MissingExtraError
from ranker.addresses import without_password
from ranker.export.lists import PROPENSITY
from ranker.export.manifest import ExportPlan, Manifest
from ranker.export.published import PublishResult, check_scheme, told
from ranker.export.verify import finished_manifest, verified_lists

logger = logging.getLogger(__name__)

_INTEGER, _TEXT = ("bigint", pl.Int64()), ("text", pl.String())
_RANK = ("integer", pl.Int32())
_SCORES = {"Float32": ("real", pl.Float32()), "Float64": ("double precision", pl.Float64())}
# Whoever reads the view holds the swap up, and a swap that waits holds up those who come later.
_LOCK_TIMEOUT, _ATTEMPTS, _PAUSE_SECONDS = "2s", 30, 1.0
_LOCK_NOT_AVAILABLE = "55P03"
_LOCK_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 0.0)  # seconds after each failed attempt
_LONGEST_NAME = 63 - 13  # of PostgreSQL's 63 bytes, less those of a version


def publish_to_postgres(
    path: str | os.PathLike[str], url: str, *, name: str = "recommendations"
) -> PublishResult:
    """Put the lists of a finished export where ``SELECT ... FROM name`` finds them.

    The lists are loaded by COPY into a new table, ``<name>_<version>``, with the primary key
    (user_id, rank). Once nobody reads by a snapshot from before the end of the load, one
    transaction points the view ``name`` at it and drops the table that it pointed at. A query sees
    the old lists or the new ones, all of them; grants on the view stay. If anything fails before,
    the old lists are served on, and the next call clears up.

    To older snapshots rows of the new table do not exist yet: who first read the view after the
    swap would miss some. Half a minute they are waited for, and those of other roles only if the
    role that publishes may see them (``pg_read_all_stats``). So let readers in REPEATABLE READ
    begin a transaction for each read.

    Parameters
    ----------
    path : str or path
        Folder of a finished export; every shard is verified as it is read.
    url : str
        As libpq has it: ``postgresql://user@host:5432/database``. The password may stand in it,
        or in PGPASSWORD or ``~/.pgpass``, where other users of the machine do not see it.
    name : str
        The view, with its schema in front where it is not the first of the search path
        (``"shop.lists"``). Created where it is missing.

    Returns
    -------
    PublishResult

    Raises
    ------
    ConfigError
        ``name`` is none, or the ids are beyond those that PostgreSQL can hold.
    ExportError
        The export is not whole, ``name`` is a table or a view of something else, the view has
        columns that these lists lack, another call publishes to it at the moment, or the server
        says no.
    MissingExtraError
        Without the extra ``postgres``.
    """
    started = time.perf_counter()
    check_scheme(url, "postgresql", "postgres")
    folder, manifest = finished_manifest(path)
    version = manifest.sha256[:12]
    with _cursor(url) as cursor:
        view = _find_view(cursor, name)
        table = _Name(view.schema, f"{view.name}_{version}")
        if _shown(cursor, view) != table:
            columns = _columns(manifest.plan)
            _check_columns(cursor, view, {column: kind for column, (kind, _) in columns.items()})
            _load(cursor, view, table, folder, manifest)
            _outwait(cursor, view)
            _swap(cursor, view, table, list(columns))
    return PublishResult(
        target=without_password(url),
        name=name,
        version=version,
        n_users=sum(shard.n_users - shard.n_empty for shard in manifest.shards),
        n_rows=sum(shard.n_rows for shard in manifest.shards),
        seconds=time.perf_counter() - started,
    )


class _Name(NamedTuple):
    schema: str
    name: str

    def __str__(self) -> str:
        return ".".join('"' + part.replace('"', '""') + '"' for part in self)

    @property
    def mark(self) -> str:
        """The comment by which tables of this view are known."""
        return f"ranker: lists of {self}"


@contextmanager
def _cursor(url: str) -> Iterator[Any]:
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise MissingExtraError("adbc_driver_postgresql", "postgres") from None
    with (
        told(url, dbapi.Error),
        closing(dbapi.connect(url, autocommit=True)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        yield cursor


def _find_view(cursor: Any, name: str) -> _Name:
    """Complete the name of the view, and keep others from publishing to it meanwhile."""
    *schemas, own = name.split(".")
    if len(schemas) > 1 or not own or len(own.encode()) > _LONGEST_NAME:
        raise ConfigError(
            f"name={name!r}; expected that of a view, or schema.view, of at most "
            f"{_LONGEST_NAME} bytes"
        )
    view = _Name((schemas or [_one(cursor, "SELECT current_schema()") or "public"])[0], own)
    _lock(cursor, view)
    return view


def _lock(cursor: Any, view: _Name) -> None:
    """Keep others from publishing to a view until the connection ends.

    The lock of a call that has ended is there until the server has noticed that it hung up.
    """
    for pause in _LOCK_PAUSES:
        if _one(cursor, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", str(view)):
            return
        time.sleep(pause)
    raise ExportError(f"another call is publishing to {view}: wait for it.")


def _shown(cursor: Any, view: _Name) -> _Name | None:
    """Table that the view shows, or None where there is no view.

    The view itself tells nothing: its comment is for its users to write.
    """
    kind = _one(cursor, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)", str(view))
    if kind is None:
        return None
    if kind != "v":
        raise ExportError(
            f"{view} is no view, and what it holds is not ours to replace: publish under another "
            "name, or rename it."
        )
    cursor.execute(
        "SELECT DISTINCT nspname::text, relname::text, obj_description(t.oid, 'pg_class') "
        "FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass "
        "AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class "
        "JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.relnamespace "
        "WHERE r.ev_class = to_regclass($1)",
        (str(view),),
    )
    found = cursor.fetchall()
    if len(found) != 1 or found[0][2] != view.mark:
        what = ", ".join(str(_Name(*row[:2])) for row in found) or "no table"
        raise ExportError(
            f"{view} is a view of {what}, not of lists that were published under this name, and "
            "not ours to replace: publish under another name, or rename it."
        )
    return _Name(*found[0][:2])


def _check_columns(cursor: Any, view: _Name, columns: dict[str, str]) -> None:
    """Raise where the database would not let the view change to ``columns``, name to type."""
    cursor.execute(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (str(view),),
    )
    old, new = [(name, kind) for name, kind in cursor.fetchall()], list(columns.items())
    if new[: len(old)] != old:
        raise ExportError(
            f"{view} has the columns {_listed(old)}, and these lists {_listed(new)}; a view can "
            f"only gain columns at its end: publish under another name, or DROP VIEW {view} first "
            "(its grants go with it)."
        )


def _columns(plan: ExportPlan) -> dict[str, tuple[str, pl.DataType]]:
    """Types of the columns, in the order of the key, in PostgreSQL and in Polars."""
    ids = {c: _TEXT if plan.schema[c] == "String" else _INTEGER for c in ("user_id", "item_id")}
    columns = {"user_id": ids["user_id"], "rank": _RANK, "item_id": ids["item_id"]}
    return columns | {c: _SCORES[plan.schema[c]] for c in ("score", PROPENSITY) if c in plan.schema}


def _load(cursor: Any, view: _Name, table: _Name, folder: Path, manifest: Manifest) -> None:
    """Fill a table that nobody knows of yet."""
    columns = _columns(manifest.plan)
    definition = ", ".join(
        f"{column} {kind}" + ("" if column == "score" else " NOT NULL")
        for column, (kind, _) in columns.items()
    )
    cursor.execute(f"DROP TABLE IF EXISTS {table}")  # of a call that did not come to its end
    cursor.execute(f"CREATE TABLE {table} ({definition})")
    cursor.execute(f"COMMENT ON TABLE {table} IS {_literal(view.mark)}")
    for lists in verified_lists(folder, manifest):
        try:
            rows = lists.select(pl.col(c).cast(dtype) for c, (_, dtype) in columns.items())
        except pl.exceptions.InvalidOperationError as error:
            raise ConfigError(f"the ids do not fit into a bigint ({error}).") from error
        cursor.adbc_ingest(table.name, rows, mode="append", db_schema_name=table.schema)
    cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (user_id, rank)")
    cursor.execute(f"ANALYZE {table}")


def _outwait(cursor: Any, view: _Name) -> None:
    """Wait until those who read by a snapshot of now or before have done so.

    A single statement can be late, too: it takes its snapshot before it looks up the view.
    """
    old, pause = _readers(cursor), 0.01
    until = time.monotonic() + _ATTEMPTS * _PAUSE_SECONDS
    while old := old & _readers(cursor):
        if time.monotonic() > until:
            logger.warning(
                "%s is shown while %d transactions are open that began before its load: should "
                "they read it for the first time now, they miss rows",
                *(view, len(old)),
            )
            return
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS)


def _readers(cursor: Any) -> set[tuple[str, ...]]:
    """Transactions in this database that hold a snapshot, each told by what does not change."""
    cursor.execute(
        "SELECT pid::text, backend_start::text, xact_start::text, backend_xmin::text "
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' AND backend_xmin IS NOT NULL"
    )
    return set(cursor.fetchall())


def _swap(cursor: Any, view: _Name, table: _Name, columns: list[str]) -> None:
    """Show the new table and drop the others, in one transaction."""
    # Of the driver itself: commit and rollback of a DB-API connection in autocommit do nothing.
    connection, error_type = cursor.connection.adbc_connection, cursor.connection.Error
    connection.set_autocommit(False)  # and never on again: that would commit what was begun
    for attempt in range(_ATTEMPTS):
        try:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            select = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - quoted by _Name
            cursor.execute(f"CREATE OR REPLACE VIEW {view} AS {select}")
            cursor.execute(
                "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE "
                "nspname = $1 AND relname <> $2 AND obj_description(pg_class.oid, 'pg_class') = $3",
                (*table, view.mark),
            )
            for (old,) in cursor.fetchall():
                cursor.execute(f"DROP TABLE {_Name(view.schema, old)}")
            connection.commit()
            return
        except BaseException as error:  # an interrupt must leave no half of a swap either
            with suppress(error_type):  # the connection may be what is broken
                connection.rollback()
            is_locked = isinstance(error, error_type) and error.sqlstate == _LOCK_NOT_AVAILABLE
            if not is_locked or attempt == _ATTEMPTS - 1:
                raise
        logger.info("%s is being read in a long transaction; trying again", view)
        time.sleep(_PAUSE_SECONDS)


def _one(cursor: Any, query: str, *values: str) -> Any:
    cursor.execute(query, values or None)
    row = cursor.fetchone()
    return row[0] if row else None


def _listed(columns: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
