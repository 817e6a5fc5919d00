"""BPR: what it learns, and how users are known again by their events."""

from __future__ import annotations

import numpy as np
import polars as pl

from ranker.candidates.bpr import BPR
from tests.logs import history_from


def two_tastes(n_users=60, n_items=40, n_taken=12, seed=0):
    """Users of even number take items of the first half, the others of the second."""
    rng = np.random.default_rng(seed)
    half = n_items // 2
    return [
        (rng.choice(half, n_taken, replace=False) + half * (user % 2)).tolist()
        for user in range(n_users)
    ]


def test_learns_the_taste_of_each_user():
    history = history_from(two_tastes(), 40)
    found = BPR(factors=8, random_state=0).fit(history).retrieve(history, 5, exclude_seen=True)
    is_own_half = (found.item >= 20) == (np.arange(60) % 2 == 1)[:, None]
    assert is_own_half.mean() > 0.9


def test_a_stranger_is_the_mean_of_who_took_his_items():
    taken = two_tastes()
    model = BPR(factors=8, random_state=0).fit(history_from(taken, 40))
    stranger = history_from([[0, 1, 2], [25, 26]], 40)
    found = model.retrieve(stranger, 5, exclude_seen=True)
    assert (found.item[0] < 20).all()
    assert (found.item[1] >= 20).all()


def test_the_same_events_are_the_same_user():
    history = history_from(two_tastes(), 40)
    model = BPR(factors=8, random_state=0).fit(history)
    again = history.select(pl.Series([7, 3]))
    np.testing.assert_array_equal(model.user_vectors(again), model.user_vectors(history)[[7, 3]])
    # The mean of the takers is another vector than the one that was trained.
    longer = history_from([[*two_tastes()[7], 1]], 40)
    assert np.abs(model.user_vectors(longer)[0] - model.user_vectors(history)[7]).max() > 0.01


def test_seeds_matter_and_repeat():
    history = history_from(two_tastes(), 40)
    one, again, other = (
        BPR(factors=4, iterations=5, random_state=s).fit(history) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.item_vectors, again.item_vectors)
    assert (one.item_vectors != other.item_vectors).any()
