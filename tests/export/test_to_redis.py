"""Lists in a real Redis: content, the flip under readers, cut connections, old keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from features.errors import ConfigError, ExportError
from ranker.cli import main
from ranker.export import publish_to_redis, read_export, to_redis
from tests.export.cut import cut_after
from tests.export.lists_of import N_USERS, K, export_of
from tests.export.servers import PASSWORD, QUOTED, redis

client_library = pytest.importorskip("redis", reason="needs the extra redis")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with redis() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """An empty server."""
    connect(server).flushall()
    return server


def connect(url: str) -> Any:
    return client_library.Redis.from_url(url, decode_responses=True)


def served(client: Any) -> set[str]:
    """The models that the lists of all users are of, as a reader finds them; "" for no list."""
    version = client.get("recommendations:current")
    values = client.mget([f"recommendations:{version}:{user}" for user in range(N_USERS)])
    lists = [json.loads(value) if value else {"item_id": [""] * K} for value in values]
    assert all(len(one["item_id"]) == K for one in lists)
    return {item[:1] for one in lists for item in one["item_id"]}


def test_readers_find_the_lists(url: str, tmp_path: Path) -> None:
    folder = export_of("a", tmp_path)
    result = publish_to_redis(folder, url)
    assert (result.n_users, result.n_rows) == (N_USERS, N_USERS * K)
    client = connect(url)
    version = client.get("recommendations:current")
    assert version == result.version
    expected = read_export(folder).collect().sort("user_id", "rank")
    for user in (0, 17, N_USERS - 1):
        found = json.loads(client.get(f"recommendations:{version}:{user}"))
        rows = expected.filter(user_id=user)
        assert found["item_id"] == rows["item_id"].to_list()
        assert found["score"] == pytest.approx(rows["score"].to_list())
        assert found["score"][-1] is None
    # The keys, the pointer and the set of versions; no lock is left.
    assert client.dbsize() == N_USERS + 2


def test_ids_of_any_text(url: str, tmp_path: Path) -> None:
    result = publish_to_redis(export_of("a", tmp_path, text=True), url)
    assert connect(url).exists(f"recommendations:{result.version}:7 'ü\"") == 1


def test_old_keys_expire_and_new_ones_do_not(url: str, tmp_path: Path) -> None:
    client = connect(url)
    first = publish_to_redis(export_of("a", tmp_path), url)
    second = publish_to_redis(export_of("b", tmp_path), url, keep_old_seconds=100)
    assert served(client) == {"b"}
    assert 0 < client.ttl(f"recommendations:{first.version}:7") <= 100
    assert client.ttl(f"recommendations:{second.version}:7") == -1
    assert client.smembers("recommendations:versions") == {second.version}
    # Back again, while the old keys are still there: they must not expire under their readers.
    publish_to_redis(tmp_path / "a", url, keep_old_seconds=1)
    assert served(client) == {"a"}
    ttls = {client.ttl(f"recommendations:{first.version}:{user}") for user in range(N_USERS)}
    assert ttls == {-1}


def test_the_lock_is_held_however_long_old_keys_take_to_expire(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(url)
    first = publish_to_redis(export_of("a", tmp_path), url)
    scan, left = client_library.Redis.scan, []

    def scan_for_forty_seconds(self: Any, *arguments: Any, **keywords: Any) -> Any:
        left.append(client.pttl("recommendations:publishing"))
        client.pexpire("recommendations:publishing", left[-1] - 40_000)
        return scan(self, *arguments, **keywords)

    monkeypatch.setattr(to_redis, "_BATCH", 100)
    with monkeypatch.context() as patch:
        patch.setattr(client_library.Redis, "scan", scan_for_forty_seconds)
        publish_to_redis(export_of("b", tmp_path), url)
    assert len(left) > 3
    assert min(left) > 40_000
    assert client.exists("recommendations:publishing") == 0
    ttls = {client.ttl(f"recommendations:{first.version}:{user}") for user in range(N_USERS)}
    assert all(0 < ttl <= 3600 for ttl in ttls)
    assert served(client) == {"b"}


def test_other_names_are_left_alone(url: str, tmp_path: Path) -> None:
    client = connect(url)
    folder = export_of("a", tmp_path)
    result = publish_to_redis(folder, url, name="shop:1")
    publish_to_redis(export_of("b", tmp_path), url, name="shop")
    publish_to_redis(export_of("c", tmp_path), url, name="shop")
    assert client.get("shop:1:current") == result.version
    assert client.ttl(f"shop:1:{result.version}:7") == -1


def test_readers_never_see_a_mix_or_nothing(url: str, tmp_path: Path) -> None:
    folders = [export_of(letter, tmp_path) for letter in "ab"]
    publish_to_redis(folders[0], url)
    over = threading.Event()

    def read() -> set[frozenset[str]]:
        client, seen = connect(url), set()
        while not over.is_set():
            seen.add(frozenset(served(client)))
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for turn in range(1, 6):
                publish_to_redis(folders[turn % 2], url)
        finally:
            over.set()
        seen = set().union(*(reader.result() for reader in readers))
    assert seen == {frozenset("a"), frozenset("b")}


@pytest.mark.parametrize("n_bytes", [100, 5_000, 20_000])
def test_a_connection_that_is_cut_leaves_the_old_lists(
    url: str, tmp_path: Path, n_bytes: int
) -> None:
    client = connect(url)
    publish_to_redis(export_of("a", tmp_path), url)
    folder = export_of("b", tmp_path)
    with cut_after(url, n_bytes) as cut, pytest.raises(ExportError, match="cannot publish to"):
        publish_to_redis(folder, cut)
    assert served(client) == {"a"}
    client.delete("recommendations:publishing")  # it ends by itself, after a minute
    publish_to_redis(export_of("c", tmp_path), url)
    assert served(client) == {"c"}
    current = client.get("recommendations:current")
    # What the cut call wrote is on its way out as well.
    others = [k for k in client.scan_iter("recommendations:*:*") if current not in k]
    assert len(others) >= N_USERS
    assert all(0 < client.ttl(key) <= 3600 for key in others)


def test_two_calls_at_once(url: str, tmp_path: Path) -> None:
    lock = connect(url).lock("recommendations:publishing", timeout=60)
    assert lock.acquire(blocking=False)
    with pytest.raises(ExportError, match="another call is publishing under recommendations"):
        publish_to_redis(export_of("a", tmp_path), url)
    lock.release()
    publish_to_redis(tmp_path / "a", url)


def test_a_server_without_room_serves_the_old_lists(url: str, tmp_path: Path) -> None:
    client = connect(url)
    publish_to_redis(export_of("a", tmp_path), url)
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 20_000)
    try:
        with pytest.raises(ExportError, match="used memory > 'maxmemory'"):
            publish_to_redis(export_of("b", tmp_path), url)
        assert served(client) == {"a"}
    finally:
        client.config_set("maxmemory", 0)


def test_a_damaged_shard_is_not_published(url: str, tmp_path: Path) -> None:
    publish_to_redis(export_of("a", tmp_path), url)
    folder = export_of("b", tmp_path)
    (folder / "shard-00005-of-00006.parquet").unlink()
    with pytest.raises(ExportError, match=r"shard-00005-of-00006.parquet: it is missing"):
        publish_to_redis(folder, url)
    assert served(connect(url)) == {"a"}


@pytest.mark.parametrize("name", ["", "a*b", "a b", "ü"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="expected letters, digits"):
        publish_to_redis(tmp_path, "redis://127.0.0.1", name=name)


@pytest.mark.parametrize("seconds", [0, -1, 1.5, True])
def test_seconds_that_are_none(tmp_path: Path, seconds: object) -> None:
    with pytest.raises(ConfigError, match="keep_old_seconds="):
        publish_to_redis(tmp_path, "redis://h", keep_old_seconds=seconds)  # type: ignore[arg-type]


def test_no_password_is_ever_shown(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = export_of("a", tmp_path)
    for broken in (
        url.replace(QUOTED, f"{QUOTED}x"),
        url.replace("/0", "/999"),
        url.replace("/0", f"/0?password={QUOTED}&nonsense=1"),
        url.replace("127.0.0.1", "127.0.0.1:x"),
    ):
        assert main(["publish", str(folder), "--to", broken]) == 2
    assert main(["publish", str(folder), "--to", url]) == 0
    captured = capsys.readouterr()
    assert "published 1,500 rows for 300 users to redis://127.0.0.1" in captured.out
    for shown in (captured.out, captured.err):
        assert PASSWORD not in shown
        assert QUOTED not in shown
