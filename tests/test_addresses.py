"""Tables in object stores, read over loopback, and what may be shown of an address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import ConfigError, RankerError, SchemaError
from ranker.addresses import is_url, shown, without_password, without_secrets
from ranker.cli import main
from ranker.datasets import load_table, scan_table
from ranker.export import export_recommendations, read_export
from tests.export.fake_recommender import FakeRecommender
from tests.object_store import BUCKET, object_store

LOG = pl.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"], "timestamp": [1, 2, 3]})
SIGNATURE = "X-Sig=ge%2Fheim%3D%3D&X-Expires=3600"
SECRETS = ("ge/heim", "ge%2Fheim", "kennwort")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("store")
    LOG.write_parquet(folder / "log.parquet")
    LOG.write_csv(folder / "log.csv")
    LOG.write_ndjson(folder / "log.ndjson")
    LOG.write_ipc(folder / "log.arrow")
    LOG.head(1).write_parquet(folder / "part-0.parquet")
    LOG.tail(2).write_parquet(folder / "part-1.parquet")
    (folder / "broken.parquet").write_bytes(b"no Parquet" * 100)
    with object_store(folder) as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "kennwort",
            "AWS_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        yield url


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson", "arrow"])
@pytest.mark.parametrize("read", [load_table, lambda url: scan_table(url).collect()])
def test_a_table_by_http(store: str, ending: str, read) -> None:
    assert_frame_equal(read(f"{store}/log.{ending}"), LOG)
    assert_frame_equal(read(f"{store}/log.{ending}?{SIGNATURE}"), LOG)


def test_a_table_of_an_object_store_with_keys_from_the_environment(store: str) -> None:
    assert_frame_equal(load_table(f"s3://{BUCKET}/log.parquet"), LOG)
    assert_frame_equal(load_table(f"s3://{BUCKET}/part-*.parquet"), LOG)
    renamed = scan_table(f"s3://{BUCKET}/log.csv", columns={"weight": "timestamp"}).collect()
    assert renamed.columns == ["weight", "user_id", "item_id"]


@pytest.mark.parametrize("read", [load_table, lambda url: scan_table(url).collect()])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.parquet", "none.parquet: cannot be read: .*404"),
        ("broken.parquet", "broken.parquet: cannot be read: "),
        ("log.xlsx", "log.xlsx: cannot tell the format from the ending '.xlsx'"),
    ],
)
def test_what_cannot_be_read_is_told_without_secrets(store: str, name, message, read) -> None:
    url = f"{store.replace('://', '://me:kennwort@')}/{name}?{SIGNATURE}"
    with pytest.raises(ConfigError, match=message) as caught:
        read(url)
    text = str(caught.value)
    assert not any(secret in text for secret in SECRETS), text
    assert "<p>" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("url", ["https://[x/log.parquet", "s3:///log.csv", "ftp://host/log.csv"])
def test_addresses_that_are_none(url: str) -> None:
    for read in (load_table, scan_table):
        with pytest.raises(ConfigError, match=r"cannot be read: .*check the address"):
            read(url)


def test_an_address_that_cannot_be_parsed_keeps_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        load_table("https://me:kennwort@[x/log.parquet")
    assert "kennwort" not in str(caught.value)


def test_columns_that_are_not_there(store: str) -> None:
    with pytest.raises(SchemaError, match="user_id: mapped to 'customer', but the table") as caught:
        load_table(f"{store}/log.parquet?{SIGNATURE}", columns={"user_id": "customer"})
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_doctor_reads_addresses(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ranker.toml"
    config.write_text(
        f'[data]\ninteractions = "{store}/log.parquet?{SIGNATURE}"\n[split]\nat = 3\n'
    )
    assert main(["doctor", str(config)]) == 0
    assert "3 events of 2 users and 2 items" in capsys.readouterr().out
    config.write_text(f'[data]\ninteractions = "{store}/none.csv?{SIGNATURE}"\n')
    assert main(["doctor", str(config)]) == 1
    out = capsys.readouterr().out
    assert f"[data] interactions: {store}/none.csv: cannot be read" in " ".join(out.split())
    assert not any(secret in out for secret in SECRETS)


def test_users_of_an_export_by_their_address(store: str, tmp_path: Path) -> None:
    fake = FakeRecommender(user_ids=pl.Series("user_id", [1, 2, 3]))
    export_recommendations(fake, f"s3://{BUCKET}/part-*.parquet", tmp_path, k=2)
    assert set(read_export(tmp_path).collect()["user_id"]) == {1, 2}
    with pytest.raises(RankerError, match=r"none\.parquet' cannot be read") as caught:
        export_recommendations(fake, f"{store}/none.parquet?{SIGNATURE}", tmp_path, k=2)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_what_is_an_address() -> None:
    assert is_url("s3://bucket/x")
    assert is_url("HTTPS://host/x")
    assert not any(map(is_url, ["x.csv", "/a/b", r"C:\a", "C://a", "duckdb:x", "://"]))


def test_values_of_a_file_are_shown_without_passwords() -> None:
    value = {"database": "postgresql://me:kennwort@host/db", "sql": ["x", 1]}
    assert shown(value) == "{'database': 'postgresql://me@host/db', 'sql': '...'}"
    assert shown({"database": "me:kennwort@host/db"}) == "{'database': '...'}"
    assert shown("ftp://me:kennwort@host/x?token=kennwort") == "'ftp://me@host/x'"
    assert shown("a/path?x") == "'a/path?x'"


PLAIN = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*")


@given(secret=st.text(PLAIN, min_size=8))
def test_no_signature_is_shown_however_it_is_written(secret: str) -> None:
    escaped = quote(secret, safe="")
    url = f"https://host/x.parquet?token={escaped}&b=1"
    said = f"GET {url} failed ({secret}; token={escaped})"
    told = without_secrets(said, url)
    assert secret not in told
    assert escaped not in told


@pytest.mark.parametrize("mark", ["/", "#", "?", "@", ":", "%", " ", "ä", "'", '"'])
def test_no_password_is_shown_whatever_it_is_made_of(mark: str) -> None:
    password = f"kenn{mark}wort"
    url = f"postgresql://me:{password}@host/shop"
    assert not any(part in without_password(url) for part in ("kenn", "wort"))
    for spelt in (password, quote(password), quote(password, safe="'!$&()*+,;=:@")):
        said = f"GET {url.replace(password, spelt)} failed, no host {password}"
        told = without_secrets(said, url)
        assert "kenn" not in told, told
        assert "wort" not in told, told


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:secret@host:5432/shop", "postgresql://me@host:5432/shop"),
        ("postgresql://me@host/shop?sslmode=require", "postgresql://me@host/shop"),
        ("redis://:secret@host:6379/0", "redis://host:6379/0"),
        ("s3://bucket/a@b/log.parquet", "s3://bucket/a@b/log.parquet"),
        ("postgresql://localhost?password=x@y", "postgresql://localhost"),
        ("redis://host:6379/0", "redis://host:6379/0"),
    ],
)
def test_addresses_as_they_are_shown(url: str, expected: str) -> None:
    assert without_password(url) == expected
