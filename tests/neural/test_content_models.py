"""Networks over content: who is served with what, and tables in a bad state."""

from __future__ import annotations

import json
import logging

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from ranker.components import from_json, to_json
from ranker.neural import (
    Hybrid,
    ImageContent,
    SequenceHybrid,
    TextContent,
    TwoTower,
    history_model,
)

BRIEF = {"factors": 8, "epochs": 2, "n_negatives": 8, "random_state": 0}
KINDS = ("dog", "cat")


def world(n_users=60, n_items=40, seed=0):
    """Every user takes dogs or cats, as an attribute says; items 30 and above nobody takes."""
    rng = np.random.default_rng(seed)
    items = pl.DataFrame(
        {
            "item_id": range(n_items),
            "title": [f"{KINDS[i % 2]} toy" for i in range(n_items)],
        }
    )
    users = pl.DataFrame(
        {"user_id": range(n_users + 4), "likes": [KINDS[u % 2] for u in range(n_users + 4)]}
    )
    log = pl.DataFrame(
        [
            {"user_id": u, "item_id": int(i) * 2 + u % 2, "timestamp": t}
            for u in range(n_users)
            for t, i in enumerate(rng.choice(15, 6, replace=False))
        ]
    )
    return log, items, users


@pytest.mark.parametrize("encoder", ["cnn", "gru", "bag"])
def test_new_items_come_by_their_words(encoder):
    log, items, _ = world()
    model = TextContent(encoder=encoder, **{**BRIEF, "epochs": 8}).fit(log, items=items)
    lists = model.recommend(k=10).filter(pl.col("item_id") >= 30)
    assert lists.height
    assert (lists["item_id"] % 2 == lists["user_id"] % 2).all()


def test_order_and_words_tell_together_what_comes_next():
    """Users go from dogs to cats and back; new items are told apart by their words alone."""
    n_users, n_items = 200, 40
    items = world(n_items=n_items)[1]
    rng = np.random.default_rng(0)
    log = pl.DataFrame(
        [
            {"user_id": user, "item_id": int(rng.integers(15)) * 2 + (user + at) % 2}
            | {"timestamp": at}
            for user in range(n_users)
            for at in range(6)
        ]
    )
    longer = {"factors": 16, "epochs": 40, "patience": 40, "batch_size": 160, "learning_rate": 5e-3}
    model = SequenceHybrid(**{**BRIEF, **longer})
    lists = model.fit(log, items=items).recommend(k=10, exclude_seen=False)
    is_next = lists["item_id"] % 2 == lists["user_id"] % 2  # six events: as the first was
    assert is_next.mean() > 0.9
    is_new = lists["item_id"] >= 30
    assert is_new.any()
    assert is_next.filter(is_new).mean() > 0.9


def test_users_without_events_are_served_by_their_attributes():
    log, items, users = world(n_users=400)
    model = TwoTower(**{**BRIEF, "epochs": 10, "batch_size": 160, "learning_rate": 5e-3})
    model.fit(log, items=items, users=users)
    silent = [400, 401, 402, 403]
    lists = model.recommend(silent, k=5)
    assert lists.height == 20
    assert (lists["item_id"] % 2 == lists["user_id"] % 2).mean() > 0.9
    assert model.recommend([10_000], k=5).height == 0, "a stranger without attributes"
    # Whoever is asked for along with them, and after a restart.
    alone = model.recommend([402], k=5)
    assert alone.equals(lists.filter(pl.col("user_id") == 402))
    again = TwoTower(**model.parameters()).restore(model.arrays())
    history = model._border.history
    expected = model.retrieve(history, 7, exclude_seen=True)
    found = again.retrieve(history, 7, exclude_seen=True)
    np.testing.assert_array_equal(found.item, expected.item)
    np.testing.assert_array_equal(found.score, expected.score)


def test_a_quota_of_new_items_holds_for_users_without_events_too():
    log, items, users = world()
    model = TwoTower(max_events=0, **BRIEF).fit(log, items=items, users=users)
    lists = model.recommend([3, 62], k=5)
    assert set(lists["user_id"]) == {3, 62}
    assert lists["item_id"].min() >= 30


def test_a_checkpoint_belongs_to_the_attributes(tmp_path, monkeypatch):
    log, items, _ = world()
    other = items.with_columns(pl.col("title").reverse())
    validate, calls = history_model._Lesson.validate, []

    def breaks(self):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(self)

    kept = TextContent(checkpoints=str(tmp_path), **BRIEF)
    with monkeypatch.context() as patch:
        patch.setattr(history_model._Lesson, "validate", breaks)
        with pytest.raises(KeyboardInterrupt):
            kept.fit(log, items=items)
    assert len(list(tmp_path.iterdir())) == 1
    alone = TextContent(**BRIEF).fit(log, items=other)
    found = TextContent(checkpoints=str(tmp_path), **BRIEF).fit(log, items=other)
    np.testing.assert_array_equal(found.vectors_, alone.vectors_)
    assert len(list(tmp_path.iterdir())) == 1
    resumed = TextContent(checkpoints=str(tmp_path), **BRIEF).fit(log, items=items)
    expected = TextContent(**BRIEF).fit(log, items=items)
    np.testing.assert_array_equal(resumed.vectors_, expected.vectors_)
    assert not list(tmp_path.iterdir())


def test_the_commonest_shape_of_images_counts(caplog):
    log, items, _ = world()
    rng = np.random.default_rng(0)
    images = [rng.random((4, 6)).tolist() for _ in range(40)]
    images[0], images[1], images[2] = [[1.0]], rng.random((6, 4)).tolist(), [[np.nan]]
    items = items.with_columns(pl.Series("image", images, dtype=pl.List(pl.List(pl.Float32))))
    with caplog.at_level(logging.WARNING):
        model = ImageContent(**BRIEF).fit(log, items=items)
    assert "of 40 images 0 are missing and 3 cannot be used" in caplog.text
    assert set(model.recommend(k=40, exclude_seen=False)["item_id"]) == set(range(3, 40))


def test_two_towers_without_tables_know_ids_alone():
    log, _, _ = world()
    model = TwoTower(**BRIEF).fit(log)
    assert model.recommend(k=3)["user_id"].n_unique() == 60


def test_the_collaborative_part_alone_does_not_propose_new_items():
    log, items, _ = world()
    model = Hybrid(columns=(), **BRIEF).fit(log, items=items)
    assert model.recommend(k=40, exclude_seen=False)["item_id"].max() < 30


def test_text_of_items_that_were_taken_may_be_missing():
    log, items, _ = world()
    blank = items.with_columns(
        pl.when(pl.col("item_id") >= 4).then("title").alias("title"),
    )
    lists = TextContent(**BRIEF).fit(log, items=blank).recommend(k=40, exclude_seen=False)
    assert lists["item_id"].min() == 4
    hybrid = Hybrid(**BRIEF).fit(log, items=blank).recommend(k=40, exclude_seen=False)
    assert hybrid["item_id"].min() == 0, "an id speaks for itself"


@pytest.mark.parametrize("text", [None, "", "😀"])
@pytest.mark.parametrize("cls", [TextContent, Hybrid, SequenceHybrid, TwoTower])
def test_ten_thousand_items_without_telling_text(cls, text, caplog):
    log, _, _ = world()
    n = 10_000
    items = pl.DataFrame({"item_id": range(n), "title": pl.Series([text] * n, dtype=pl.String)})
    name = "item_columns" if cls is TwoTower else "columns"
    with caplog.at_level(logging.WARNING):
        model = cls(**{name: ["title"]}, **BRIEF).fit(log, items=items)
    lists = model.recommend(k=3)
    assert np.isfinite(lists["score"].to_numpy()).all()
    if cls is TextContent and text != "😀":
        assert lists.height == 0
        assert "10000 of 10000 items have no known words in title" in caplog.text


def test_images_in_a_bad_state(tmp_path, caplog):
    image = pytest.importorskip("PIL.Image")
    log, items, _ = world()
    paths = []
    for item in range(items.height):
        path = tmp_path / f"{item}.png"
        image.new("RGB", (12, 12), (255 * (item % 2), 0, 40)).save(path)
        paths.append(str(path))
    (tmp_path / "3.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "35.png").unlink()
    paths[7] = None
    items = items.with_columns(pl.Series("picture", paths))
    with caplog.at_level(logging.WARNING):
        model = ImageContent(column="picture", size=8, **BRIEF).fit(log, items=items)
    assert "of 40 images 1 are missing and 2 cannot be used" in caplog.text
    proposed = set(model.recommend(k=40, exclude_seen=False)["item_id"])
    assert proposed == set(range(40)) - {3, 7, 35}


@pytest.mark.parametrize("shape", [None, (2, 3)])
def test_embeddings_with_holes(shape, caplog):
    log, items, _ = world()
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 6))
    vectors[5, 2] = np.nan
    items = items.with_columns(pl.Series("vector", vectors.tolist()))
    with caplog.at_level(logging.WARNING):
        model = ImageContent(shape=shape, **BRIEF).fit(log, items=items)
    assert "1" in caplog.text
    proposed = set(model.recommend(k=40, exclude_seen=False)["item_id"])
    assert proposed == set(range(40)) - {5}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextContent(encoder="lstm"), "encoder='lstm' is not known"),
        (lambda: TextContent(columns=["titel"]), "no column 'titel'; there are title"),
        (lambda: TextContent(half_life=0), "half_life=0"),
        (ImageContent, "no column of items holds arrays; name the one"),
        (lambda: ImageContent(column="x"), "no column 'x'"),
        (lambda: ImageContent(column="title", shape=(8,)), r"shape=\(8,\) is no height"),
        (lambda: Hybrid(id_dropout=2.0), "id_dropout=2.0 must be at least 0 and at most 1"),
        (lambda: TwoTower(silence=-0.1), "silence=-0.1 must be at least 0 and at most 1"),
        (lambda: TextContent(max_words=0), "max_words=0 must be at least 1"),
        (lambda: ImageContent(size=0), "size=0 must be at least 1"),
        (lambda: Hybrid(columns=["size"]), "no column 'size'"),
        (lambda: SequenceHybrid(columns=["size"]), "no column 'size'"),
        (lambda: SequenceHybrid(architecture="lstm"), "architecture='lstm' is not known"),
        (lambda: SequenceHybrid(factors=9), "factors=9 cannot be parted among n_heads=2"),
    ],
)
def test_bad_parameters(make, message):
    log, items, _ = world()
    with pytest.raises(ConfigError, match=message):
        make().fit(log, items=items)


@pytest.mark.parametrize("cls", [TextContent, ImageContent, Hybrid, SequenceHybrid])
def test_items_are_needed(cls):
    with pytest.raises(ConfigError, match=r"fit\(interactions, items=items\)"):
        cls(**BRIEF).fit(world()[0])


@pytest.mark.parametrize(
    "model",
    [
        TextContent(columns=["title"]),
        ImageContent(shape=[8, 8]),
        Hybrid(columns=["title"]),
        SequenceHybrid(columns=["title"], architecture="gru"),
        TwoTower(item_columns=["title"], user_columns=["age"]),
    ],
)
def test_parameters_as_json_and_back(model):
    assert from_json(json.loads(json.dumps(to_json(model)))) == model
