"""Saved models: what comes back, what is refused, and that nothing is unpickled."""

from __future__ import annotations

import hashlib
import io
import json
import pickle  # noqa: TID251 - forges what loading must refuse
import shutil
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ranker import (
    ConfigError,
    LabelWindows,
    LambdaRank,
    ModelFormatError,
    Negatives,
    OwnHistory,
    Popularity,
    TwoStageRecommender,
    current_version,
)
from ranker.persistence import bytes_to_arrays, bytes_to_frame, checksum
from tests.logs import CLOCKS, make_log
from tests.recommenders import everything, item_table

LOG = make_log("datetime")
FILES = [
    "interactions.parquet",
    "items.parquet",
    "users.parquet",
    *(f"generator-{index}.npz" for index in range(5)),
    "reranker.txt",
]


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


@pytest.fixture
def model(fitted, tmp_path: Path) -> Path:
    """The one version that a folder keeps."""
    return saved(fitted, tmp_path / "model")


def saved(recommender: TwoStageRecommender, path: Path) -> Path:
    recommender.save(path)
    return path / "versions" / current_version(path)


def forge(model: Path, name: str, content: bytes) -> None:
    """Exchange a file and its checksum with it."""
    (model / name).write_bytes(content)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    sign(model, manifest)


def sign(model: Path, manifest: dict) -> None:
    """Write a manifest with its checksum, as whoever edits one on purpose can make it."""
    del manifest["sha256"]
    manifest |= {"sha256": checksum(manifest)}
    (model / "manifest.json").write_text(json.dumps(manifest))


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("clock", CLOCKS)
def test_everything_comes_back(clock, tmp_path: Path):
    fitted = everything(clock)
    fitted.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    assert again.fingerprint == fitted.fingerprint
    assert again.as_of == fitted.as_of
    assert again.user_ids.equals(fitted.user_ids)
    assert again.gate_ == fitted.gate_
    assert again.choices_ == fitted.choices_
    assert (again.system_, again.cold_system_) == (fitted.system_, fitted.cold_system_)
    assert (again.depths_, again.repeats_) == (fitted.depths_, fitted.repeats_)
    assert_frame_equal(again.recommend(k=9), fitted.recommend(k=9))
    assert_frame_equal(again.explain("u004"), fitted.explain("u004"))
    log = make_log(clock)
    assert_frame_equal(*(one.funnel(log).drop("seconds") for one in (again, fitted)))
    assert_frame_equal(
        again.recommend(histories=log.head(50), k=9), fitted.recommend(histories=log.head(50), k=9)
    )
    for recommender in (again, everything(clock)):
        recommender.refresh(log.head(30))
        assert recommender.user_ids.len() == 41
    again.save(tmp_path / "again")
    assert TwoStageRecommender.load(tmp_path / "again").fingerprint == again.fingerprint


def test_all_settings_come_back(tmp_path):
    asked = {
        "generators": [("top", Popularity()), ("mine", OwnHistory())],
        "features": None,
        "reranker": LambdaRank(n_trees=7, label_gain=(0.0, 1.0, 3.0)),
        "holdout": LabelWindows(length="9d", n_windows=2),
        "n_candidates": {"mine": 9, "top": 30},
        "repeats": True,
        "gate": "blend",
        "max_groups": 123,
        "grades": {"a": 2, "b": 1},
        "negatives": Negatives(0.5, 3, 50),
        "cold_share": 0.25,
        "chunk_size": 77,
        "n_threads": 1,
        "random_state": 5,
    }
    log = make_log("datetime")
    log = log.with_columns(event=pl.Series("ab"[at % 2] for at in range(log.height)))
    fitted = TwoStageRecommender(**asked).fit(log)
    fitted.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    for name, value in asked.items():
        assert getattr(again, name) == value, name
    assert list(again.gate_.ndcg) == list(fitted.gate_.ndcg)
    assert again.fit(log).fingerprint == fitted.fingerprint


ID_DTYPES = [
    *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128),
    *(pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128),
    *(pl.String, pl.Categorical, pl.Enum(["2", "0", "1"])),
]


@pytest.mark.parametrize("dtype", ID_DTYPES, ids=str)
def test_ids_of_every_dtype_come_back(dtype, tmp_path):
    ids = pl.Series("user_id", ["0", "1", "2"]).cast(pl.Int64 if dtype.is_integer() else dtype)
    log = pl.DataFrame({"user_id": ids.cast(dtype), "item_id": ids.cast(dtype)})
    fitted = TwoStageRecommender(generators=[("top", Popularity())], repeats=True).fit(log)
    fitted.save(tmp_path / "model")
    lists = TwoStageRecommender.load(tmp_path / "model").recommend(k=3)
    assert_frame_equal(lists, fitted.recommend(k=3))
    assert lists.schema["user_id"] == lists.schema["item_id"] == log.schema["user_id"]


def test_mappings_of_any_kind_are_saved(tmp_path):
    depths, grades = MappingProxyType({"top": 9}), MappingProxyType({"view": 1, "cart": 3})
    asked = {"n_candidates": depths, "grades": grades, "generators": {"top": Popularity()}}
    TwoStageRecommender(**asked).fit(LOG).save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    assert (again.n_candidates, again.grades) == ({"top": 9}, {"view": 1, "cart": 3})


def test_a_loaded_model_can_be_fitted_again(model, fitted):
    again = TwoStageRecommender.load(model)
    log = make_log("datetime", seed=7)
    again.fit(log, items=item_table())
    assert again.fingerprint != fitted.fingerprint
    stage = again.stage_
    again.fit(log)  # what suits the data is chosen anew, as it was before it was saved
    again.features = stage
    with pytest.raises(ConfigError, match="give items="):  # whose columns its features read
        again.fit(log)


def test_the_files_are_those_of_the_manifest_and_the_same_each_time(model, fitted, tmp_path):
    assert {file.name for file in model.iterdir()} == {*FILES, "manifest.json"}
    second = saved(fitted, tmp_path / "second")
    assert second.name == model.name == f"000001-{fitted.fingerprint[:12]}"
    first, again = ((path / "manifest.json").read_text() for path in (model, second))
    assert first == again
    assert {file.name for file in second.parents[1].iterdir()} == {"current", "versions"}
    assert not list(tmp_path.glob(".*")), "nothing is left beside the model"


def test_a_model_is_replaced_and_nothing_else_is(model, fitted, tmp_path):
    (model / "manifest.json").write_text("{}")
    fitted.save(tmp_path / "model")
    assert TwoStageRecommender.load(tmp_path / "model").fingerprint == fitted.fingerprint
    (tmp_path / "empty").mkdir()
    fitted.save(tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("mine", "file"):
        with pytest.raises(ModelFormatError, match=f"{name} exists and is not a saved model"):
            fitted.save(tmp_path / name)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_cut_short_or_changed_is_named(model, name):
    content = (model / name).read_bytes()
    changed = content[:100] + bytes([content[100] ^ 1]) + content[101:]
    for bad in (content[:-1], content[: len(content) // 2], b"", changed, content + b"\n"):
        (model / name).write_bytes(bad)
        with pytest.raises(ModelFormatError, match=f"{name} was changed or cut short"):
            TwoStageRecommender.load(model)
    (model / name).unlink()
    with pytest.raises(ModelFormatError, match=f"'{name}' is missing"):
        TwoStageRecommender.load(model)


def test_a_file_may_not_be_a_link_nor_lie_elsewhere(model, tmp_path):
    shutil.move(model / "reranker.txt", tmp_path / "reranker.txt")
    (model / "reranker.txt").symlink_to(tmp_path / "reranker.txt")
    with pytest.raises(ModelFormatError, match=r"'reranker.txt' is missing, a link"):
        TwoStageRecommender.load(model)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["files"]["../reranker.txt"] = manifest["files"].pop("reranker.txt")
    sign(model, manifest)
    with pytest.raises(ModelFormatError, match=r"'\.\./reranker\.txt' is missing.*points outside"):
        TwoStageRecommender.load(model)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 2, "files": 3}']
)
def test_a_manifest_that_is_none(model, text):
    (model / "manifest.json").write_text(text)
    with pytest.raises(ModelFormatError, match=r"manifest\.json cannot be read"):
        TwoStageRecommender.load(model)


def test_a_folder_that_is_no_model(tmp_path, model):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            ModelFormatError, match=r"is not a saved model: it has no manifest\.json"
        ):
            TwoStageRecommender.load(path)
    manifest = json.loads((model / "manifest.json").read_text())
    (model / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(ModelFormatError, match="has format 99, this version reads"):
        TwoStageRecommender.load(model)


@pytest.mark.parametrize(
    "key",
    [
        *("facts", "user_dtype", "features", "feature_names", "generators", "depths", "system"),
        *("gate", "recommender"),
    ],
)
def test_settings_that_are_missing_or_make_no_sense(model, key):
    manifest = json.loads((model / "manifest.json").read_text())
    for settings in (
        {name: value for name, value in manifest["settings"].items() if name != key},
        manifest["settings"] | {key: 3},
    ):
        sign(model, manifest | {"settings": settings})
        with pytest.raises(ModelFormatError):
            TwoStageRecommender.load(model)


class Bomb:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(model, tmp_path):
    fuse = tmp_path / "exploded"
    bomb = np.array([Bomb(fuse)], dtype=object)
    forge(model, "generator-0.npz", npz(item_=bomb, score_=bomb))
    with pytest.raises(ModelFormatError, match="allow_pickle=False"):
        TwoStageRecommender.load(model)
    forge(model, "generator-0.npz", pickle.dumps(Bomb(fuse)))
    with pytest.raises(ModelFormatError, match="cannot be read"):
        TwoStageRecommender.load(model)
    assert not fuse.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"nonsense", pickle.dumps([1])])
def test_forged_files_that_are_none(content):
    with pytest.raises(ModelFormatError, match="archive of arrays cannot be read"):
        bytes_to_arrays(content)
    with pytest.raises(ModelFormatError, match="table cannot be read"):
        bytes_to_frame(content)


@pytest.mark.parametrize("name", FILES)
def test_forged_files_are_refused_before_they_serve_anybody(model, name):
    empty = npz() if name.endswith("npz") else b"nonsense"
    forge(model, name, empty)
    with pytest.raises(ModelFormatError):
        TwoStageRecommender.load(model)


def test_classes_of_others_are_not_looked_up_by_name(model):
    manifest = json.loads((model / "manifest.json").read_text())
    text = json.dumps(manifest).replace('"Popularity"', '"os.system"')
    assert text != json.dumps(manifest)
    (model / "manifest.json").write_text(text)
    with pytest.raises(ModelFormatError, match=r"manifest\.json was changed after it was saved"):
        TwoStageRecommender.load(model)
    sign(model, json.loads(text))
    with pytest.raises(ModelFormatError, match=r"os\.system"):
        TwoStageRecommender.load(model)


def test_lists_do_not_depend_on_a_table_that_is_not_there(tmp_path):
    fitted = everything().fit(LOG)
    fitted.save(tmp_path / "model")
    assert not list((tmp_path / "model").rglob("items.parquet"))
    again = TwoStageRecommender.load(tmp_path / "model")
    assert_frame_equal(again.recommend(k=3), fitted.recommend(k=3))
    assert again.recommend(k=3).schema["score"] == pl.Float32
