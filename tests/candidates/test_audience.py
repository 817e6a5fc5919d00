"""Shared audiences against the formula, written down plainly."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError
from ranker.candidates.audience import Audience
from tests.logs import history_from, history_of, make_log


def by_hand(history, current, *, shrink, discount, activity):
    taken = (history.matrix().toarray() > 0).astype(float)
    of_user, of_item = np.maximum(taken.sum(1), 1.0), np.maximum(taken.sum(0) + shrink, 1.0)
    shared = taken.T @ (taken * of_user[:, None] ** -activity)
    similarity = shared / of_item[:, None] ** discount / of_item
    np.fill_diagonal(similarity, 0.0)
    return np.where(current, similarity, 0.0)


@pytest.mark.parametrize(
    "parameters",
    [
        {"shrink": 10.0, "discount": 0.5, "activity": 1.0},
        {"shrink": 0.0, "discount": 0.0, "activity": 0.0},
        {"shrink": 3.0, "discount": 1.0, "activity": 0.5},
    ],
)
@pytest.mark.parametrize("window", [0.01, 1.0])
def test_equals_the_formula(parameters, window):
    history = history_of(make_log("datetime"))
    source = Audience(window=window, n_current=history.n_items, **parameters).fit(history)
    recent = history.as_of - history.time <= history.facts.span * window
    current = np.bincount(history.item[recent], minlength=history.n_items) > 0
    assert window == 1.0 or not current.all()
    expected = by_hand(history, current, **parameters)
    np.testing.assert_allclose(source.similarity.toarray(), expected, rtol=1e-5)


def test_most_taken_of_the_current_items_are_proposed():
    history = history_of(make_log("datetime"))
    full, few = (
        Audience(window=1.0, n_current=n).fit(history).similarity.toarray()
        for n in (history.n_items, 3)
    )
    count = np.bincount(history.item, minlength=history.n_items)
    most = np.lexsort((np.arange(len(count)), -count))[:3]
    assert set(np.flatnonzero(few.any(0))) == set(most)
    np.testing.assert_array_equal(few[:, most], full[:, most])


@pytest.mark.parametrize("options", [{}, {"discount": 1.0, "shrink": 0.0}], ids=str)
def test_the_nearest_of_each_current_item_are_kept(options):
    history = history_of(make_log("shared"))
    full, few = (
        Audience(window=1.0, neighbours=n, **options).fit(history).similarity.toarray()
        for n in (history.n_items, 4)
    )
    for whole, kept in zip(full.T, few.T, strict=True):
        assert np.count_nonzero(kept) <= 4
        np.testing.assert_array_equal(kept[kept > 0], whole[kept > 0])
        assert (kept > 0).sum() == 0 or whole[kept == 0].max() <= kept[kept > 0].min()


def test_what_is_new_goes_to_those_whose_past_its_readers_share():
    # Old articles 0 (sport) and 1 (politics); within the last hour 2 and 3 have come.
    start = dt.datetime(2024, 1, 1)
    old, now = start, start + dt.timedelta(days=2)
    rows = []
    for fans, past, new in ((range(10), 0, 2), (range(10, 20), 1, 3)):
        rows += [(user, past, old) for user in fans]
        rows += [(user, new, now) for user in list(fans)[:8]]
    log = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    found = Audience(window="1h").fit(log).recommend([8, 9, 18, 19], k=5)
    assert found.select("user_id", "item_id").rows() == [(8, 2), (9, 2), (18, 3), (19, 3)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_current": 0}, "n_current=0; expected a whole number, 1 or more"),
        ({"neighbours": 0}, "neighbours=0; expected a whole number, 1 or more"),
        ({"shrink": -1.0}, "shrink=-1.0; expected a number from 0 on"),
        ({"discount": float("nan")}, "discount=nan"),
        ({"activity": -0.5}, "activity=-0.5"),
    ],
)
def test_numbers_that_cannot_be(parameters, message):
    with pytest.raises(ConfigError, match=message):
        Audience(**parameters).fit(history_from([[0, 1]], 2))
