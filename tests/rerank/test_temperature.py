"""How often an item is taken, in three words."""

from __future__ import annotations

from ranker.rerank.temperature import COLD, HOT, WARM, item_temperature
from tests.logs import history_from


def test_by_share_of_events():
    """Ten events: four and two of the first items are the first half and more."""
    history = history_from([[0] * 4 + [1] * 2 + [2] * 2 + [3, 4]], 6)
    expected = [HOT, WARM, WARM, WARM, WARM, COLD]
    # Before item 0: nothing; before 1 and 2: .4, below one half, so that they are hot as well.
    expected[1] = expected[2] = HOT
    assert item_temperature(history).tolist() == expected


def test_items_taken_equally_often_have_the_same_temperature():
    history = history_from([[0] * 95 + [1, 2, 3, 4, 5]], 7)
    assert item_temperature(history).tolist() == [HOT, *[COLD] * 6]


def test_no_events():
    assert item_temperature(history_from([[]], 3)).tolist() == [COLD] * 3
