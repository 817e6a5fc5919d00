"""Models that former versions saved: each is loaded, gives its lists, and can be used on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ranker import ModelFormatError, TwoStageRecommender, current_version
from ranker.persistence import FORMAT_VERSION
from tests.logs import make_log

SAVED = Path(__file__).parent / "saved"
FOLDERS = sorted(SAVED.glob("format-*"))


def lists_of(file: Path, like: pl.DataFrame) -> pl.DataFrame:
    return pl.read_ndjson(file, schema=like.schema)


def test_there_is_a_model_of_every_format_that_is_read():
    # Of format 1, of before the first release, trees had learned from features divided otherwise.
    assert [folder.name for folder in FOLDERS] == [
        f"format-{version}" for version in range(2, FORMAT_VERSION + 1)
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_saved_model_gives_the_lists_that_stand_beside_it(folder: Path):
    model = TwoStageRecommender.load(folder / "model")
    about = json.loads((folder / "about.json").read_text())
    assert model.as_of.isoformat() == about["as_of"]
    assert (model.system_, model.cold_system_) == (about["system"], about["cold_system"])
    assert model.choices_ == about["choices"]
    lists = model.recommend(k=5)
    # Items and ranks to the letter; processors round the last digits of scores in their own ways.
    assert_frame_equal(lists, lists_of(folder / "lists.ndjson", lists), rel_tol=1e-5)
    session = make_log("datetime").tail(9).select("user_id", "item_id", "timestamp")
    lists = model.recommend(histories=session, k=5)
    assert_frame_equal(lists, lists_of(folder / "session_lists.ndjson", lists), rel_tol=1e-5)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_saved_model_goes_on_in_this_version(folder: Path, tmp_path: Path):
    shutil.copytree(folder / "model", tmp_path / "model")
    model = TwoStageRecommender.load(tmp_path / "model")
    before = current_version(tmp_path / "model")
    first = model.fingerprint
    assert len(model.explain("u004", k=3)) == 3
    new = pl.DataFrame(make_log("datetime").tail(3)).with_columns(user_id=pl.lit("new"))
    model.refresh(new)
    assert "new" in model.user_ids
    model.save(tmp_path / "model")
    assert current_version(tmp_path / "model") > before
    again = TwoStageRecommender.load(tmp_path / "model")
    assert again.fingerprint == model.fingerprint != first
    manifest = tmp_path / "model" / "versions" / current_version(tmp_path / "model")
    assert json.loads((manifest / "manifest.json").read_text())["format"] == FORMAT_VERSION


@pytest.mark.parametrize("version", [1, FORMAT_VERSION + 1])
def test_another_format_is_refused_with_a_way_out(version: int, tmp_path: Path):
    shutil.copytree(FOLDERS[-1] / "model", tmp_path / "model")
    (file,) = (tmp_path / "model").glob("versions/*/manifest.json")
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | {"format": version}))
    with pytest.raises(ModelFormatError, match=r"fit the model again or install the version"):
        TwoStageRecommender.load(tmp_path / "model")
