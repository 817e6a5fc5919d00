"""Random walks against the formula of the paper, written down plainly."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import ConfigError
from ranker.candidates.random_walk import RandomWalk
from tests.logs import history_from, history_of, make_log


def by_hand(history, alpha, beta):
    taken = (history.matrix().toarray() > 0).astype(float)
    of_user, of_item = (np.maximum(taken.sum(axis), 1.0) for axis in (1, 0))
    to_user = (taken / of_item).T ** alpha
    to_item = (taken / of_user[:, None]) ** alpha
    walk = (to_user * (taken.T > 0)) @ (to_item * (taken > 0)) / of_item**beta
    np.fill_diagonal(walk, 0.0)
    return walk


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.7, 0.2), (0.4, 1.0), (0.0, 0.0)])
def test_equals_the_formula(alpha, beta):
    history = history_of(make_log("datetime"))
    walk = RandomWalk(alpha=alpha, beta=beta, neighbours=history.n_items).fit(history)
    np.testing.assert_allclose(walk.similarity.toarray(), by_hand(history, alpha, beta), rtol=1e-5)


def test_steps_are_probabilities():
    history = history_of(make_log("shared"))
    walk = RandomWalk(alpha=1.0, beta=0.0, neighbours=history.n_items).fit(history)
    taken = history.matrix().toarray() > 0
    back = (taken / taken.sum(0) / np.maximum(taken.sum(1), 1)[:, None]).sum(0)
    np.testing.assert_allclose(walk.similarity.toarray().sum(1), 1.0 - back, rtol=1e-5)


def test_walks_end_at_the_most_probable_items():
    history = history_of(make_log("datetime"))
    full, few = (
        RandomWalk(neighbours=n).fit(history).similarity.toarray() for n in (history.n_items, 3)
    )
    for row, kept in zip(full, few, strict=True):
        expected = np.zeros_like(row)
        best = np.lexsort((np.arange(len(row)), -row))[:3]
        expected[best] = row[best]
        np.testing.assert_array_equal(kept, expected)


def test_popularity_counts_against_an_item_by_beta():
    # 0 leads to 1, which all take, and to 2, which only its friends take.
    history = history_from([[0, 1, 2], [0, 1, 2], [0, 1], *[[1]] * 20], 3)
    for beta, first in ((0.0, 1), (1.0, 2)):
        walk = RandomWalk(beta=beta).fit(history)
        found = walk.retrieve(history_from([[0]], 3), 2, exclude_seen=True)
        assert found.item[0, 0] == first


def test_recent_events_count_more():
    groups = [[0, 1]] * 3 + [[2, 3]] * 3
    history = history_from([*groups, [2, 0]], 4, time=[*[[1, 2]] * 6, [0, 99]], now=100)
    found = RandomWalk(half_life=10).fit(history).retrieve(history, 2, exclude_seen=True)
    assert found.item[-1].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"neighbours": 0}, "neighbours=0; expected a whole number, 1 or more"),
        ({"alpha": -0.1}, "alpha=-0.1; expected a number from 0 on"),
        ({"beta": float("nan")}, "beta=nan; expected a number from 0 on"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ConfigError, match=message):
        RandomWalk(**parameters).fit(history_from([[0, 1]], 2))
