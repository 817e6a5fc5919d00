"""Popularity by segments of users and by categories of items."""

from __future__ import annotations

import logging

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from ranker.candidates.segments import CategoryPopularity, SegmentPopularity
from tests.logs import history_from

# Users 0 to 2 are young, 3 and 4 old, of 5 nothing is known.
TAKEN = [[0, 1], [0], [0, 2], [3], [3, 1], []]
USERS = pl.DataFrame(
    {
        "user_id": range(6),
        "age": ["young", "young", "young", "old", "old", None],
        "height": [1.71, 1.8, 1.65, 1.9, 1.77, 1.6],
    }
)


def scores_by_hand(smoothing):
    share = np.array([3, 2, 1, 2]) / 8
    counts = {"young": np.array([3, 1, 1, 0]), "old": np.array([0, 1, 0, 2])}
    return share, {
        name: (n + smoothing * share) / (n.sum() + smoothing) for name, n in counts.items()
    }


def test_the_score_is_the_smoothed_share_of_the_segment():
    history = history_from(TAKEN, 5)
    model = SegmentPopularity(smoothing=2.0).fit(history, users=USERS)
    found = model.retrieve(history, 5, exclude_seen=False)
    share, by_segment = scores_by_hand(2.0)
    expected = [by_segment["young"]] * 3 + [by_segment["old"]] * 2 + [share]
    for user, scores in enumerate(expected):
        order = np.argsort(-scores, kind="stable")
        assert found.item[user].tolist() == [*order, -1]  # nobody took item 4
        np.testing.assert_allclose(found.score[user, :4], scores[order], rtol=1e-6)


def test_a_stranger_gets_what_everybody_takes():
    history = history_from(TAKEN, 5)
    model = SegmentPopularity(smoothing=2.0).fit(history, users=USERS)
    stranger = history.select(pl.Series([77]))
    assert model.retrieve(stranger, 2, exclude_seen=True).item.tolist() == [[0, 1]]


def test_seen_items_are_left_out():
    history = history_from(TAKEN, 5)
    found = SegmentPopularity().fit(history, users=USERS).retrieve(history, 4, exclude_seen=True)
    assert set(found.item[0].tolist()) == {2, 3, -1}


def test_several_columns_are_averaged():
    users = USERS.with_columns(side=pl.Series(["left", "right", "left", "right", "left", "left"]))
    history = history_from(TAKEN, 5)
    both = SegmentPopularity(smoothing=2.0).fit(history, users=users)
    ages, sides = (
        SegmentPopularity(columns=[name], smoothing=2.0).fit(history, users=users)
        for name in ("age", "side")
    )

    def dense(model):
        found = model.retrieve(history, 5, exclude_seen=False)
        scores = np.zeros((6, 5))
        for user in range(6):
            scores[user, found.item[user, :4]] = found.score[user, :4]
        return scores

    np.testing.assert_allclose(dense(both), (dense(ages) + dense(sides)) / 2, rtol=1e-5)


def test_columns_that_are_not_there():
    with pytest.raises(
        ConfigError, match=r"no columns \['job'\]; expected some of \['age', 'height'\]"
    ):
        SegmentPopularity(columns=["job"]).fit(history_from(TAKEN, 5), users=USERS)


def test_no_table_of_users():
    with pytest.raises(ConfigError, match="give fit a table users="):
        SegmentPopularity().fit(history_from(TAKEN, 5))


def test_without_segments_everybody_is_one(caplog):
    history = history_from(TAKEN, 5)
    with caplog.at_level(logging.WARNING):
        model = SegmentPopularity().fit(history, users=USERS.select("user_id", "height"))
    assert "everybody is one segment" in caplog.text
    assert model.retrieve(history, 2, exclude_seen=False).item.tolist() == [[0, 1]] * 6


ITEMS = pl.DataFrame(
    {
        "item_id": range(5),
        "kind": ["fruit", "fruit", "fruit", "bread", None],
        "tags": [["a"], ["a", "b"], [], ["b"], ["b"]],
    }
)


def test_categories_propose_their_popular_items():
    history = history_from([[0], [0], [0, 1], [3], [2]], 5)
    model = CategoryPopularity().fit(history, items=ITEMS)
    found = model.retrieve(history, 4, exclude_seen=False)
    # Of the six events five are with fruit: three with item 0, one each with 1 and 2.
    assert found.item[0].tolist() == [1, 2, -1, -1]
    np.testing.assert_allclose(found.score[0, :2], [1 / 5, 1 / 5], rtol=1e-6)
    assert found.item[3].tolist() == [-1] * 4  # the only bread
    assert found.item[4, 0] == 0


def test_lists_of_categories():
    history = history_from([[0], [3], [1], [1]], 5)
    model = CategoryPopularity(column="tags").fit(history, items=ITEMS)
    # Item 1 shares "a" with item 0, and "b" with items 3 and 4, of which nobody took the latter.
    assert model.retrieve(history, 3, exclude_seen=True).item[:2].tolist() == [[1, -1, -1]] * 2
    similarity = model.similarity.toarray()
    assert similarity[1].tolist() == pytest.approx([1 / 3, 0, 0, 1 / 3, 0])
    assert similarity[4].tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3, 0])


def test_a_category_proposes_only_so_many():
    history = history_from([[0, 0, 1, 2], [2, 2]], 5)
    similarity = CategoryPopularity(per_category=1).fit(history, items=ITEMS).similarity
    assert similarity.nonzero()[1].tolist() == [2, 2]  # for items 0 and 1


def test_a_category_column_that_is_not_there():
    with pytest.raises(
        ConfigError, match=r"no column 'colour'; expected one of \['kind', 'tags'\]"
    ):
        CategoryPopularity(column="colour").fit(history_from(TAKEN, 5), items=ITEMS)


def test_no_table_of_items():
    with pytest.raises(ConfigError, match="give fit a table items="):
        CategoryPopularity().fit(history_from(TAKEN, 5))


def test_without_shared_values_nothing_is_proposed(caplog):
    history = history_from(TAKEN, 5)
    with caplog.at_level(logging.WARNING):
        model = CategoryPopularity().fit(history, items=ITEMS.select("item_id"))
    assert "proposes nothing" in caplog.text
    assert (model.retrieve(history, 3, exclude_seen=False).item == -1).all()
