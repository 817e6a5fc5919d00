"""Lists in a real PostgreSQL: content, the swap under readers, cut connections, grants, secrets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import ConfigError, ExportError
from ranker.cli import main
from ranker.export import export_recommendations, publish_to_postgres, read_export, to_postgres
from tests.export.cut import cut_after
from tests.export.fake_recommender import FakeRecommender
from tests.export.lists_of import N_USERS, K, export_of
from tests.export.servers import PASSWORD, QUOTED, postgres

dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="needs the extra postgres")
manager = pytest.importorskip("adbc_driver_manager.dbapi", reason="needs the extra postgres")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """A server with an empty public schema."""
    run(server, "DROP SCHEMA public CASCADE")
    run(server, "CREATE SCHEMA public")
    return server


def run(url: str, query: str) -> list[Any]:
    with (
        closing(dbapi.connect(url, autocommit=True)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        cursor.execute(query)
        return cursor.fetchall() if query.startswith("SELECT") else []


def tables(url: str) -> list[str]:
    query = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    return [name for (name,) in run(url, query)]


def reader_from_before(url: str) -> Any:
    """A connection whose transaction has taken its snapshot, and has not read the view."""
    connection = dbapi.connect(url)
    with closing(connection.cursor()) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")
        cursor.fetchall()
    return connection


def served(url: str) -> tuple[int, str, str]:
    """Rows of the view, and the models that its items are of."""
    ((n, first, last),) = run(
        url, "SELECT count(*), min(left(item_id, 1)), max(left(item_id, 1)) FROM recommendations"
    )
    return n, first, last


@pytest.mark.parametrize("text", [False, True])
def test_the_view_holds_the_lists(url: str, tmp_path: Path, text: bool) -> None:
    folder = export_of("a", tmp_path, text=text)
    result = publish_to_postgres(folder, url)
    assert (result.n_users, result.n_rows) == (N_USERS, N_USERS * K)
    rows = run(url, "SELECT user_id, rank, item_id, score FROM recommendations")
    expected = read_export(folder).collect().select("user_id", "rank", "item_id", "score")
    found = pl.DataFrame(rows, schema=expected.schema, orient="row")
    assert_frame_equal(found, expected, check_row_order=False)
    plan = run(url, "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%(user_id, rank)'")
    assert plan == [(1,)]


def test_publishing_replaces_and_leaves_nothing_behind(url: str, tmp_path: Path) -> None:
    first = publish_to_postgres(export_of("a", tmp_path), url)
    assert tables(url) == [f"recommendations_{first.version}"]
    second = publish_to_postgres(export_of("b", tmp_path), url)
    assert served(url) == (N_USERS * K, "b", "b")
    assert tables(url) == [f"recommendations_{second.version}"]
    # The same once more: nothing is loaded.
    oid = run(url, "SELECT oid FROM pg_class WHERE relname LIKE 'recommendations_%' ORDER BY 1")
    assert publish_to_postgres(tmp_path / "b", url).version == second.version
    assert oid == run(
        url, "SELECT oid FROM pg_class WHERE relname LIKE 'recommendations_%' ORDER BY 1"
    )


def test_readers_never_see_a_mix_or_nothing(url: str, tmp_path: Path) -> None:
    folders = [export_of(letter, tmp_path) for letter in "ab"]
    publish_to_postgres(folders[0], url)
    over = threading.Event()
    query = "SELECT count(*), min(left(item_id, 1)), max(left(item_id, 1)) FROM recommendations"

    def read() -> set[tuple[int, str, str]]:
        seen = set()
        with (
            closing(dbapi.connect(url, autocommit=True)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            while not over.is_set():
                cursor.execute(query)
                seen.update(cursor.fetchall())
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for turn in range(1, 6):
                publish_to_postgres(folders[turn % 2], url)
        finally:
            over.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert seen == {(N_USERS * K, "a", "a"), (N_USERS * K, "b", "b")}


def test_the_lock_of_a_call_that_has_just_ended_is_waited_for(url: str, tmp_path: Path) -> None:
    folder = export_of("a", tmp_path)
    with ThreadPoolExecutor(1) as pool:
        with (
            closing(dbapi.connect(url, autocommit=True)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            view = '"public"."recommendations"'
            cursor.execute(f"SELECT pg_advisory_lock(hashtextextended('{view}', 0))")
            cursor.fetchall()
            publishing = pool.submit(publish_to_postgres, folder, url)
            with pytest.raises(TimeoutError):
                publishing.result(timeout=0.3)
        publishing.result(timeout=60)
    assert served(url) == (N_USERS * K, "a", "a")


@pytest.mark.parametrize("n_bytes", [300, 3_000, 12_000, 25_000])
def test_a_connection_that_is_cut_leaves_the_old_lists(
    url: str, tmp_path: Path, n_bytes: int
) -> None:
    publish_to_postgres(export_of("a", tmp_path), url)
    folder = export_of("b", tmp_path)
    with cut_after(url, n_bytes) as cut, pytest.raises(ExportError, match="cannot publish to"):
        publish_to_postgres(folder, cut)
    assert served(url) == (N_USERS * K, "a", "a")
    publish_to_postgres(folder, url)
    assert served(url) == (N_USERS * K, "b", "b")
    assert len(tables(url)) == 1


def test_a_table_left_by_another_version_goes_with_the_next(url: str, tmp_path: Path) -> None:
    publish_to_postgres(export_of("a", tmp_path), url)
    with cut_after(url, 12_000) as cut, pytest.raises(ExportError):
        publish_to_postgres(export_of("b", tmp_path), cut)
    assert len(tables(url)) == 2
    publish_to_postgres(export_of("c", tmp_path), url)
    assert served(url) == (N_USERS * K, "c", "c")
    assert len(tables(url)) == 1


def test_a_long_reader_is_waited_for_and_not_in_the_way_of_others(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to_postgres(export_of("a", tmp_path), url)
    folder = export_of("b", tmp_path)
    monkeypatch.setattr(to_postgres, "_LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(to_postgres, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(to_postgres, "_ATTEMPTS", 10_000)
    with (
        closing(dbapi.connect(url)) as connection,
        closing(connection.cursor()) as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor.execute("SELECT count(*) FROM recommendations")
        cursor.fetchall()  # the transaction stays open
        publishing = pool.submit(publish_to_postgres, folder, url)
        for _ in range(8):
            assert served(url)[1] == "a"
        assert not publishing.done()
        connection.commit()
        publishing.result(timeout=60)
    assert served(url)[1] == "b"
    monkeypatch.setattr(to_postgres, "_ATTEMPTS", 2)
    with closing(dbapi.connect(url)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT count(*) FROM recommendations")
        cursor.fetchall()
        with pytest.raises(ExportError, match="lock timeout"):
            publish_to_postgres(tmp_path / "a", url)
    assert served(url)[1] == "b"


@pytest.mark.parametrize("statement", ["SELECT relname", 'DROP TABLE "public"'])
def test_a_swap_that_is_interrupted_did_not_happen(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    first = publish_to_postgres(export_of("a", tmp_path), url)
    execute, ran = manager.Cursor.execute, []

    def execute_until(cursor: Any, query: str, *arguments: Any) -> None:
        ran.append(query)
        if query.startswith(statement):
            raise KeyboardInterrupt  # while the view is new and the old table still there
        execute(cursor, query, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(manager.Cursor, "execute", execute_until)
        with pytest.raises(KeyboardInterrupt):
            publish_to_postgres(export_of("b", tmp_path), url)
    assert any(query.startswith("CREATE OR REPLACE VIEW") for query in ran)
    assert served(url) == (N_USERS * K, "a", "a")
    assert f"recommendations_{first.version}" in tables(url)
    publish_to_postgres(tmp_path / "b", url)
    assert served(url) == (N_USERS * K, "b", "b")
    assert len(tables(url)) == 1


def test_grants_and_views_on_the_view_survive(url: str, tmp_path: Path) -> None:
    publish_to_postgres(export_of("a", tmp_path), url)
    run(url, "DROP ROLE IF EXISTS reader")
    run(url, "CREATE ROLE reader")
    run(url, "GRANT SELECT ON recommendations TO reader")
    run(url, "CREATE VIEW best AS SELECT user_id, item_id FROM recommendations WHERE rank = 1")
    publish_to_postgres(export_of("b", tmp_path), url)
    query = "SELECT has_table_privilege('reader', 'recommendations', 'SELECT')"
    assert run(url, query) == [(True,)]
    assert run(url, "SELECT count(*), min(left(item_id, 1)) FROM best") == [(N_USERS, "b")]


def test_a_schema_and_odd_names(url: str, tmp_path: Path) -> None:
    run(url, 'CREATE SCHEMA IF NOT EXISTS "my ""shop"')
    result = publish_to_postgres(export_of("a", tmp_path), url, name="my \"shop.Be'st")
    assert run(url, 'SELECT count(*) FROM "my ""shop"."Be\'st"') == [(N_USERS * K,)]
    publish_to_postgres(export_of("b", tmp_path), url, name=result.name)
    assert run(url, 'SELECT max(left(item_id, 1)) FROM "my ""shop"."Be\'st"') == [("b",)]
    run(url, 'DROP SCHEMA "my ""shop" CASCADE')


def test_a_table_of_that_name_is_not_touched(url: str, tmp_path: Path) -> None:
    run(url, "CREATE TABLE recommendations (mine int)")
    with pytest.raises(ExportError, match=r'"public"\."recommendations" is no view'):
        publish_to_postgres(export_of("a", tmp_path), url)
    assert tables(url) == ["recommendations"]


@pytest.mark.parametrize(
    ("query", "what"),
    [("SELECT 1 AS mine", "no table"), ("SELECT mine FROM others", r'"public"\."others"')],
)
def test_a_view_of_something_else_is_not_touched(
    url: str, tmp_path: Path, query: str, what: str
) -> None:
    run(url, "CREATE TABLE others (mine int)")
    run(url, f"CREATE VIEW recommendations AS {query}")
    with pytest.raises(ExportError, match=rf"is a view of {what}, not of .* not ours to replace"):
        publish_to_postgres(export_of("a", tmp_path), url)
    run(url, "SELECT mine FROM recommendations")
    assert tables(url) == ["others"]


def test_the_comment_on_the_view_is_its_users(url: str, tmp_path: Path) -> None:
    first = publish_to_postgres(export_of("a", tmp_path), url)
    run(url, "COMMENT ON VIEW recommendations IS 'ask Ada'")
    oid = run(url, "SELECT max(oid) FROM pg_class WHERE relname LIKE 'recommendations_%'")
    publish_to_postgres(tmp_path / "a", url)  # known without the comment: nothing is loaded
    assert oid == run(url, "SELECT max(oid) FROM pg_class WHERE relname LIKE 'recommendations_%'")
    publish_to_postgres(export_of("b", tmp_path), url)
    # Nor is the comment believed.
    run(url, f"COMMENT ON VIEW recommendations IS 'ranker: {first.version}'")
    publish_to_postgres(tmp_path / "a", url)
    assert served(url) == (N_USERS * K, "a", "a")
    comment = run(url, "SELECT obj_description('recommendations'::regclass, 'pg_class')")
    assert comment == [(f"ranker: {first.version}",)]


def test_two_calls_at_once(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export_of("a", tmp_path)
    load, errors = to_postgres._load, []

    def load_while_another_tries(*arguments: Any) -> None:
        try:
            publish_to_postgres(folder, url)
        except ExportError as error:
            errors.append(str(error))
        load(*arguments)

    monkeypatch.setattr(to_postgres, "_load", load_while_another_tries)
    publish_to_postgres(folder, url)
    assert len(errors) == 1
    assert "another call is publishing to" in errors[0]


def test_a_damaged_shard_is_not_published(url: str, tmp_path: Path) -> None:
    publish_to_postgres(export_of("a", tmp_path), url)
    folder = export_of("b", tmp_path)
    shard = folder / "shard-00004-of-00006.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ExportError, match=r"shard-00004-of-00006.parquet: it has SHA-256"):
        publish_to_postgres(folder, url)
    assert served(url) == (N_USERS * K, "a", "a")


def test_types_of_ids(url: str, tmp_path: Path) -> None:
    for dtype, values in ((pl.UInt64, [1, 2**63 - 1]), (pl.Int8, [-5, 5])):
        fake = FakeRecommender(user_ids=pl.Series("user_id", values, dtype=dtype))
        export_recommendations(fake, None, tmp_path / str(dtype), k=1)
        publish_to_postgres(tmp_path / str(dtype), url)
        rows = run(url, "SELECT user_id FROM recommendations ORDER BY 1")
        assert [user_id for (user_id,) in rows] == values
    fake = FakeRecommender(user_ids=pl.Series("user_id", [2**63], dtype=pl.UInt64))
    export_recommendations(fake, None, tmp_path / "large", k=1)
    with pytest.raises(ConfigError, match="do not fit into a bigint"):
        publish_to_postgres(tmp_path / "large", url)
    # Columns of a view cannot change their type: told before anything is loaded.
    before = tables(url)
    with pytest.raises(ExportError, match=r"has the columns user_id bigint, .* lists user_id text"):
        publish_to_postgres(export_of("a", tmp_path, text=True), url)
    assert tables(url) == before
    assert len(run(url, "SELECT user_id FROM recommendations")) == 2


class WithPropensities(FakeRecommender):
    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
    ) -> pl.DataFrame:
        lists = super().recommend(user_ids, k=k, exclude_seen=exclude_seen)
        return lists.with_columns(propensity=pl.lit(0.5, pl.Float32))


def test_a_view_gains_columns_and_does_not_lose_them(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to_postgres(export_of("a", tmp_path, text=True), url)
    users = pl.Series("user_id", ["7", "8"])
    export_recommendations(WithPropensities(user_ids=users), None, tmp_path / "with", k=1)
    publish_to_postgres(tmp_path / "with", url)
    assert run(url, "SELECT user_id, propensity FROM recommendations ORDER BY 1") == [
        ("7", 0.5),
        ("8", 0.5),
    ]
    before = tables(url)
    with monkeypatch.context() as patch:
        patch.setattr(to_postgres, "_load", None)  # not called
        with pytest.raises(ExportError, match=r"propensity real, and these lists .*DROP VIEW") as e:
            publish_to_postgres(tmp_path / "a", url)
    assert tables(url) == before
    remedy = str(e.value).partition(", or ")[2].partition(" first")[0]
    assert remedy == 'DROP VIEW "public"."recommendations"'
    run(url, remedy)
    publish_to_postgres(tmp_path / "a", url)
    assert served(url) == (N_USERS * K, "a", "a")
    assert len(tables(url)) == 1


def test_no_users_make_an_empty_view(url: str, tmp_path: Path) -> None:
    export_recommendations(FakeRecommender(), [], tmp_path)
    assert publish_to_postgres(tmp_path, url).n_rows == 0
    assert run(url, "SELECT count(*) FROM recommendations") == [(0,)]


@pytest.mark.parametrize("name", ["", "a.b.c", "a.", "x" * 51])
def test_names_that_are_none(url: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="expected that of a view"):
        publish_to_postgres(export_of("a", tmp_path), url, name=name)


def test_no_password_is_ever_shown(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export_of("a", tmp_path)
    result = publish_to_postgres(folder, url)
    assert result.target == url.replace(f":{QUOTED}", "")
    for broken in (
        url.replace("owner", "nobody"),
        url.replace(QUOTED, PASSWORD.replace("/", "")),
        url.replace("/postgres", f"/postgres?password={QUOTED}&nonsense=1"),
        url.replace("127.0.0.1", "127.0.0.1:x"),
        url.replace("127.0.0.1", "[127.0.0.1"),
    ):
        assert main(["publish", str(folder), "--to", broken]) == 2
    assert main(["publish", str(folder), "--to", url]) == 0
    monkeypatch.setenv("RANKER_PUBLISH_TO", url)
    assert main(["publish", str(folder), "--json", "--name", "other"]) == 0
    captured = capsys.readouterr()
    assert "published 1,500 rows for 300 users to postgresql://owner@" in captured.out
    assert '"name": "other"' in captured.out
    assert "cannot publish to postgresql://nobody@" in captured.err
    for shown in (captured.out, captured.err):
        for secret in (PASSWORD, QUOTED, PASSWORD.replace("/", "")):
            assert secret not in shown


def test_whoever_began_before_the_load_is_waited_for(url: str, tmp_path: Path) -> None:
    """To his snapshot the rows of the new table do not exist."""
    publish_to_postgres(export_of("a", tmp_path), url)
    later = export_of("b", tmp_path)
    with closing(reader_from_before(url)) as reader, ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish_to_postgres, later, url)
        while len(tables(url)) < 2 and not publishing.done():
            pass
        with pytest.raises(TimeoutError):
            publishing.result(timeout=1)
        with closing(reader.cursor()) as cursor:
            cursor.execute("SELECT count(*), min(left(item_id, 1)) FROM recommendations")
            assert cursor.fetchall() == [(N_USERS * K, "a")]
        reader.commit()
        publishing.result(timeout=60)
    assert served(url) == (N_USERS * K, "b", "b")


def test_whoever_stays_is_not_waited_for_forever(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish_to_postgres(export_of("a", tmp_path), url)
    monkeypatch.setattr(to_postgres, "_ATTEMPTS", 1)
    with closing(reader_from_before(url)):
        publish_to_postgres(export_of("b", tmp_path), url)
    assert served(url) == (N_USERS * K, "b", "b")
    assert "began before its load" in caplog.text
