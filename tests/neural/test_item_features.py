"""Attributes of every kind and in every state, as networks read them."""

from __future__ import annotations

import datetime as dt
import logging

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from ranker.neural.images import read_arrays, read_files
from ranker.neural.item_features import from_arrays, kind_of, read_features, to_arrays

TABLE = pl.DataFrame(
    {
        "item_id": range(6),
        "title": ["red shoe", "blue shoe", "red hat", None, "", "unheard words"],
        "brand": ["x", "x", "y", "y", None, "x"],
        "code": ["q1", "q2", "q3", "q4", "q5", "q6"],
        "colour": pl.Series(["r", "b", "r", None, "r", "b"], dtype=pl.Enum(["r", "b"])),
        "shelf": [1, 1, 2, 2, 3, 3],
        "price": [1.0, 2.0, np.nan, None, np.inf, 3.0],
        "since": [dt.date(2024, 1, day) for day in range(1, 7)],
        "tags": [["a", "b"], ["a"], [], None, ["b", None], ["b"]],
        "vector": [[1.0, 2.0], [2.0, 1.0], [np.nan, 1.0], None, [0.0, 0.0], [3.0, 3.0]],
        "image": pl.Series(
            [np.full((4, 4), one).tolist() for one in range(6)], dtype=pl.Array(pl.Float32, (4, 4))
        ),
    }
)
TAUGHT = np.array([True, True, True, True, True, False])


def read(columns, table=TABLE, taught=TAUGHT):
    return read_features(table, columns, taught, max_words=5, max_vocabulary=100)


def test_kinds():
    kinds = {column.name: kind_of(column, is_named=False) for column in TABLE}
    assert kinds == {
        "item_id": "numeric",
        "title": "text",
        "brand": "category",
        "code": None,
        "colour": "category",
        "shelf": "category",
        "price": "numeric",
        "since": "numeric",
        "tags": "bag",
        "vector": "vector",
        "image": "image",
    }
    assert [one.kind for one in read(None)] == [
        kind for name, kind in kinds.items() if kind and name != "item_id"
    ]


def test_words_by_frequency_and_only_those_of_the_training():
    (title,) = read(["title"])
    # "red" and "shoe" stand in two rows of the training; the rest in one, or in none.
    assert title.values.tolist() == [[1, 2], [2, 0], [1, 0], [0, 0], [0, 0], [0, 0]]
    assert title.is_known.tolist() == [True, True, True, False, False, False]
    assert title.n_codes == 3


def test_numbers_are_standardised_and_holes_flagged():
    (price,) = read(["price"])
    assert price.values[:, 0].tolist() == [-1, 1, 0, 0, 0, 3]
    assert price.is_known.tolist() == [True, True, False, False, False, True]


def test_named_columns_that_cannot_be_used():
    with pytest.raises(ConfigError, match="no column 'colour2'; there are title"):
        read(["colour2"])
    odd = TABLE.with_columns(pl.struct("shelf").alias("odd"))
    with pytest.raises(ConfigError, match="odd is Struct"):
        read(["odd"], odd)


def test_there_and_back():
    features = read(None)
    again = from_arrays(to_arrays(features, "p."), "p.")
    assert len(again) == len(features)
    for one, other in zip(features, again, strict=True):
        assert (one.kind, one.n_codes) == (other.kind, other.n_codes)
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.is_known, other.is_known)


def test_all_values_are_finite():
    for feature in read(None):
        assert np.isfinite(feature.values).all()
        assert not feature.values[~feature.is_known].any()


def test_images_in_columns(caplog):
    ragged = pl.Series("image", [[[1, 2], [3, 4]], None, [[1, 2], [3]], [[0, 0], [0, None]]])
    with caplog.at_level(logging.WARNING):
        values, is_known = read_arrays(ragged, None, np.ones(4, bool))
    assert is_known.tolist() == [True, False, False, False]
    assert values.shape == (4, 1, 2, 2)
    assert "of 4 images 1 are missing and 2 cannot be used" in caplog.text
    flat = pl.Series("image", [list(range(12))])
    assert read_arrays(flat, (2, 2, 3), np.ones(1, bool))[0].shape == (1, 3, 2, 2)


def test_image_files(tmp_path, caplog):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (5, 9), (255, 0, 0)).save(tmp_path / "red.png")
    image.new("L", (4, 4), 7).save(tmp_path / "grey.gif")
    (tmp_path / "text.png").write_text("no image at all")
    (tmp_path / "empty.jpg").touch()
    whole = (tmp_path / "red.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    names = ["red.png", "grey.gif", "text.png", "empty.jpg", "cut.png", "absent.png"]
    column = pl.Series("file", [*(str(tmp_path / name) for name in names), None])
    with caplog.at_level(logging.WARNING):
        values, is_known = read_files(column, 8)
    assert is_known.tolist() == [True, True, False, False, False, False, False]
    assert "of 7 images 1 are missing and 4 cannot be used; the first: " in caplog.text
    assert values.shape == (7, 3, 8, 8)
    assert values[0, :, 4, 4].tolist() == [255, 0, 0]
    with pytest.raises(ConfigError, match="file is Int64; expected paths"):
        read_files(pl.Series("file", [1]), 8)
