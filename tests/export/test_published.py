"""Addresses without their passwords, and extras that are not there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import ConfigError, ExportError, MissingExtraError
from ranker.addresses import without_password
from ranker.export import publish_to_delta, publish_to_postgres, publish_to_redis
from ranker.export.published import told
from tests.export.lists_of import export_of


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host:5432/db?password=secret", "postgresql://me@host:5432/db"),
        ("redis://:secret@host/0", "redis://host/0"),
        ("redis://host", "redis://host"),
        ("postgresql://me:se@cret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret@[host/db", "postgresql://me@[host/db"),
        ("/a/folder", "/a/folder"),
        ("s3://bucket/table", "s3://bucket/table"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert without_password(url) == shown


@given(
    secret=st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@/?#[]%*. &+;"),
        min_size=5,
    )
)
def test_no_driver_can_tell_the_password(secret: str) -> None:
    for url in (f"redis://me:{secret}@host/0", f"postgresql://host/db?user=me&password={secret}"):
        with (
            pytest.raises(ExportError) as caught,
            told(url, ValueError),
        ):
            raise ValueError(f"could not connect to {url} with {secret!r} ({secret})")
        assert secret not in str(caught.value).replace("***", "")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("publish", "url", "module", "extra"),
    [
        (publish_to_postgres, "postgresql://host/db", "adbc_driver_postgresql", "postgres"),
        (publish_to_redis, "redis://host", "redis", "redis"),
        (publish_to_delta, "table", "deltalake", "delta"),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    publish: Callable[..., object],
    url: str,
    module: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    folder = export_of("a", tmp_path)
    with pytest.raises(MissingExtraError, match=rf"{module} is not.*twostage-ranker\[{extra}\]"):
        publish(folder, url)


@pytest.mark.parametrize("publish", [publish_to_postgres, publish_to_redis])
def test_an_address_of_another_kind(publish: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no URL that begins with") as caught:
        publish(tmp_path, "host=h password=secret")
    assert "secret" not in str(caught.value)
