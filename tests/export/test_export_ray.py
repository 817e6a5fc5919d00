"""Exports by Ray: the same bytes, also where a worker is killed or loses heart."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import polars as pl
import pytest

from features.errors import ConfigError, ExportError, MissingExtraError
from ranker.export import export_recommendations, verify_export
from ranker.export.memory import resident_bytes
from tests.export.fake_recommender import FakeRecommender


@dataclass
class Savable(FakeRecommender):
    """Can be saved, and does what ``trap`` says in a worker: once, where there is a file for it."""

    trap: str = ""

    def save(self, path: Path) -> None:
        path.mkdir(parents=True)
        (path / "model.json").write_text(json.dumps({"trap": self.trap, "n": len(self.user_ids)}))

    @classmethod
    def load(cls, path: Path) -> Self:
        saved = json.loads((path / "model.json").read_text())
        return cls(user_ids=pl.Series("user_id", range(saved["n"])), trap=saved["trap"])

    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
    ) -> pl.DataFrame:
        how, _, marker = self.trap.partition(":")
        if len(user_ids) and how == "raise":
            raise ValueError("no lists today")
        if len(user_ids) and how == "die" and 7 in user_ids:
            # With a marker once, without one every time.
            if not marker:
                os.kill(os.getpid(), signal.SIGKILL)
            if not Path(marker).exists():
                Path(marker).write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        return super().recommend(user_ids, k=k, exclude_seen=exclude_seen)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def export(folder: Path, model: Any, **keywords: Any) -> dict[str, bytes]:
    arguments = {"k": 4, "n_shards": 5, "chunk_size": 7, **keywords}
    export_recommendations(model, None, folder, **arguments)
    return contents(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray on this machine, for all tests of this file."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


USERS = pl.Series("user_id", range(80))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
@pytest.mark.usefixtures("cluster")
class TestOnACluster:
    def test_the_same_bytes_as_one_process(self, tmp_path: Path) -> None:
        whole = export(tmp_path / "local", Savable(user_ids=USERS))
        assert export(tmp_path / "ray", Savable(user_ids=USERS), engine="ray", n_workers=2) == whole
        again = {"engine": "ray", "format": "ndjson", "max_memory": "20GB"}
        lists = export(tmp_path / "lists", Savable(user_ids=USERS), **again)
        assert lists == export(tmp_path / "other", Savable(user_ids=USERS), format="ndjson")

    def test_a_worker_that_is_killed_is_started_anew(self, tmp_path: Path) -> None:
        whole = export(tmp_path / "local", Savable(user_ids=USERS))
        model = Savable(user_ids=USERS, trap=f"die:{tmp_path / 'marker'}")
        assert export(tmp_path / "ray", model, engine="ray", n_workers=2) == whole
        assert int((tmp_path / "marker").read_text()) != os.getpid()
        verify_export(tmp_path / "ray")

    def test_a_worker_that_always_dies_is_given_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ranker.export.ray._RETRIES", 1)
        whole = export(tmp_path / "local", Savable(user_ids=USERS))
        model = Savable(user_ids=USERS, trap="die")
        with pytest.raises(ExportError, match="a worker of Ray failed"):
            export(tmp_path / "ray", model, engine="ray", n_workers=1)
        assert not list((tmp_path / "ray").glob(".model*"))
        # What the others have made is kept, and one process goes on from there.
        assert export(tmp_path / "ray", Savable(user_ids=USERS)) == whole

    def test_an_error_in_a_worker_is_told(self, tmp_path: Path) -> None:
        model = Savable(user_ids=USERS, trap="raise")
        with pytest.raises(ExportError, match="no lists today"):
            export(tmp_path, model, engine="ray", n_workers=2)

    def test_a_limit_below_what_a_worker_holds(self, tmp_path: Path) -> None:
        tight = {"engine": "ray", "n_workers": 2, "max_memory": "1MB"}
        with pytest.raises(ExportError, match="max_memory is 1 MB, but the process holds"):
            export(tmp_path, Savable(user_ids=USERS), **tight)

    def test_a_real_model(self, tmp_path: Path) -> None:
        from ranker import Popularity, TwoStageRecommender

        log = pl.DataFrame(
            {"user_id": [i % 30 for i in range(600)], "item_id": [i * i % 41 for i in range(600)]}
        ).with_columns(timestamp=pl.int_range(pl.len()) * 1000)
        model = TwoStageRecommender(generators=[("popular", Popularity())], random_state=0).fit(log)
        whole = export(tmp_path / "local", model)
        assert export(tmp_path / "ray", model, engine="ray") == whole


class InProcess:
    """What the export asks of Ray, without a cluster: actors are objects, and calls happen."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self) -> None:
        self.actors: list[Any] = []

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True}, {"Alive": False}, {"Alive": True}]

    def remote(self, **_: Any) -> Any:
        return lambda kind: SimpleNamespace(remote=lambda *given: self._actor(kind(*given)))

    def _actor(self, made: Any) -> Any:
        self.actors.append(made)
        # A shard is its own promise, in a box: promises are kept apart by identity.
        return SimpleNamespace(make=SimpleNamespace(remote=lambda *given: Box(made.make(*given))))

    def wait(self, running: list[Any], *, num_returns: int) -> tuple[list[Any], list[Any]]:
        return running[:num_returns], running[num_returns:]

    def get(self, box: Any) -> Any:
        return box.content


class Box:
    def __init__(self, content: Any) -> None:
        self.content = content


def test_a_worker_for_each_machine_that_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", ray := InProcess())
    whole = export(tmp_path / "local", Savable(user_ids=USERS))
    assert export(tmp_path / "ray", Savable(user_ids=USERS), engine="ray") == whole
    assert len(ray.actors) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux only")
def test_a_worker_learns_its_memory_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ray := InProcess())
    many = Savable(user_ids=pl.Series("user_id", range(600)))
    limits = {"chunk_size": 1000, "max_memory": 2 * resident_bytes() + 10**9, "n_shards": 3}
    export(tmp_path, many, engine="ray", n_workers=1, **limits)
    (worker,) = ray.actors
    calls = worker._job.request.recommender.calls
    # 32 users at first, twice as many each time, and on from there in the next shard.
    assert calls[:2] == [32, 64]
    assert calls.count(32) == 1
    assert max(calls) > 150  # a shard at a time


def test_a_model_that_cannot_be_saved(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(ConfigError, match="FakeRecommender has none; use engine='local'"):
        export(tmp_path, FakeRecommender(), engine="ray")


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"twostage-ranker\[ray\]"):
        export(tmp_path, Savable(user_ids=USERS), engine="ray")


def test_an_engine_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="engine='spark'; expected 'local' or 'ray'"):
        export(tmp_path, Savable(user_ids=USERS), engine="spark")
    with pytest.raises(ConfigError, match="n_workers=0;"):
        export(tmp_path, Savable(user_ids=USERS), engine="ray", n_workers=0)
