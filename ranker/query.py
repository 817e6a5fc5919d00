"""A table that a database makes: an SQL query to DuckDB or to PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.errors import ConfigError, MissingExtraError
from ranker.addresses import place, without_secrets

_POSTGRES = ("postgresql://", "postgres://")
_DUCKDB = "duckdb:"
_IN_MEMORY = ":memory:"


@dataclass(frozen=True, repr=False)
class Query:
    """A table as the answer to a query; it stands where a file could stand.

    Parameters
    ----------
    sql : str
        One query. What it calls its columns counts: ``SELECT customer AS user_id, ...``. Nothing is
        written: the transaction is a reading one, and so is a DuckDB file opened.
    database : str
        ``postgresql://user@host:5432/database`` as libpq has it, with the password in it or, where
        others do not see it, in PGPASSWORD or ``~/.pgpass``; ``duckdb:FILE``; or
        ``duckdb::memory:`` for queries over files, ``FROM read_parquet('orders/*.parquet')``.
    folder : str or Path, optional
        Where relative paths start, those in the query too (DuckDB). The current folder by default.

    Raises
    ------
    ConfigError
        The database is none of those, or there is no SQL.

    Examples
    --------
    >>> Query("SELECT 7 AS user_id", "postgresql://me:secret@host/shop")
    Query(..., 'postgresql://me@host/shop')
    """

    sql: str
    database: str
    folder: str | Path | None = None

    def __post_init__(self) -> None:
        given: tuple[object, object] = (self.sql, self.database)
        if not all(isinstance(one, str) for one in given):
            raise ConfigError(
                f"Query({type(self.sql).__name__}, {type(self.database).__name__}); expected the "
                f"text of one SELECT and the address of a database"
            )
        is_duckdb = self.database.startswith(_DUCKDB) and len(self.database) > len(_DUCKDB)
        if not (is_duckdb or self.database.startswith(_POSTGRES)):
            raise self._error(
                "no such kind of database; expected 'postgresql://me@host/shop', "
                "'duckdb:shop.duckdb' or 'duckdb::memory:'"
            )
        if not self.sql.strip():
            raise self._error("there is no SQL in it; give one SELECT")

    def __repr__(self) -> str:
        return f"Query(..., {self._where()!r})"

    def __str__(self) -> str:
        return f"the query to {self._where()!r}"

    def _where(self) -> str:
        is_known = self.database.startswith((_DUCKDB, *_POSTGRES))
        return place(self.database) if is_known else "..."  # what it is nobody knows

    def read(self) -> pl.DataFrame:
        """Ask for the table.

        Returns
        -------
        DataFrame
            In memory as a whole, rows in the order of the answer. ``numeric`` of PostgreSQL is
            Float64, JSON is text.

        Raises
        ------
        ConfigError
            The database cannot be reached or does not understand; or the answer has columns of a
            type that is read as bytes (``uuid`` and ``bytea`` of PostgreSQL): cast those in the
            query. No message shows a password.
        MissingExtraError
            Without the extra ``duckdb`` or ``postgres``.
        """
        try:
            found = self._duckdb() if self.database.startswith(_DUCKDB) else self._postgres()
        except pl.exceptions.PolarsError as error:
            raise self._error(f"{str(error).strip()}; mend the query") from None
        except pl.exceptions.PanicException:
            raise self._error(
                "a column has a type that cannot be read, such as interval; cast it to a number or "
                "to text in the query"
            ) from None
        return found.with_columns(
            _plain(column, self) for column in found if _is_foreign(column.dtype)
        )

    def _duckdb(self) -> pl.DataFrame:
        try:
            import duckdb
        except ImportError:
            raise MissingExtraError("duckdb", "duckdb") from None
        name = self.database.removeprefix(_DUCKDB)
        folder = Path(self.folder or ".").absolute()
        is_file = name != _IN_MEMORY
        with self._told(duckdb.Error, "mend the query, or the path of the database"):
            connection = duckdb.connect(
                str(folder / Path(name).expanduser()) if is_file else name,
                read_only=is_file,
                config={"file_search_path": str(folder)},
            )
            with closing(connection):
                kinds = [one.type.name for one in connection.extract_statements(self.sql)]
                asked = self.sql.strip().rstrip(";")
                if kinds == ["MULTI"]:
                    # A PIVOT, or what would write the answer of one, which is no grammar here.
                    asked = f"SELECT * FROM (\n{asked}\n)"  # noqa: S608 - the caller's own
                if kinds in (["SELECT"], ["MULTI"]):
                    return pl.DataFrame(connection.sql(asked))
        raise self._error(f"expected one SELECT, not {' and '.join(kinds) or 'a mere comment'}")

    def _postgres(self) -> pl.DataFrame:
        try:
            from adbc_driver_postgresql import dbapi
        except ImportError:
            raise MissingExtraError("adbc_driver_postgresql", "postgres") from None
        remedy = "mend the query or the address; psql takes the same ones"
        with (
            self._told(dbapi.Error, remedy),
            closing(dbapi.connect(self.database)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute("SET TRANSACTION READ ONLY")
            # The driver writes `COPY (...)` around it, and a last comment must end before that.
            cursor.execute(self.sql.strip().rstrip(";") + "\n")
            return pl.DataFrame(cursor.fetch_arrow())

    @contextmanager
    def _told(self, errors: type[Exception], remedy: str) -> Iterator[None]:
        # The driver's own error is not chained: its traceback may hold a password.
        try:
            yield
        except errors as error:
            # Drivers repeat the query, which may hold a key.
            text = re.split(r"\nQuery was:|\n+LINE \d+:", without_secrets(error, self.database))[0]
            raise self._error(f"{text.strip().rstrip('.')}; {remedy}") from None

    def _error(self, problem: str) -> ConfigError:
        return ConfigError(f"{self}: {problem}")


def _is_foreign(dtype: pl.DataType) -> bool:
    """Whether it is a type of the database, or bytes, on the outside or in lists."""
    if isinstance(dtype, pl.List | pl.Array):
        return _is_foreign(dtype.inner)  # type: ignore[arg-type]
    return isinstance(dtype, pl.BaseExtension) or dtype == pl.Binary


def _plain(column: pl.Series, query: Query) -> pl.Series:
    dtype = column.dtype
    if isinstance(dtype, pl.BaseExtension) and dtype.ext_storage() == pl.String:
        text = column.ext.storage()
        is_number = '"numeric"' in (dtype.ext_metadata() or "")
        return text.cast(pl.Float64) if is_number else text
    name = column.name
    raise ConfigError(
        f"{query}: {name} has a type that is read as bytes, as uuid, bytea and arrays of numeric "
        f"are; cast it in the query, for instance CAST({name} AS text), or leave it out"
    )
