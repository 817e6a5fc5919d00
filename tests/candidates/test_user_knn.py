"""User-kNN against dense vectors of all users."""

from __future__ import annotations

import numpy as np
import pytest

from features.decay import decay_weights
from features.errors import ConfigError
from features.history import History
from ranker import UserKNN as Public
from ranker.candidates.user_knn import UserKNN
from tests.logs import CLOCKS, history_from, history_of, make_log


def dense_vectors(history: History, generator: UserKNN) -> np.ndarray:
    vectors = np.zeros((history.n_users, history.n_items))
    weights = decay_weights(history, float(generator.half_life_ticks_))
    np.add.at(vectors, (history.user, history.item), weights)
    return vectors


def dense_scores(history: History, fitted: History, generator: UserKNN) -> np.ndarray:
    own, others = dense_vectors(history, generator), dense_vectors(fitted, generator)
    lengths = [np.maximum(np.linalg.norm(part, axis=1), 1e-100) for part in (own, others)]
    cosine = own @ others.T / np.outer(*lengths)
    scores = generator.own * own
    for user, row in enumerate(cosine):
        near = np.flatnonzero((row > 0) & (row < 1 - 1e-9))
        near = near[np.lexsort((near, -np.float32(row[near])))][: generator.neighbours]
        if len(near):
            strength = row[near] ** generator.power
            scores[user] += (1 - generator.own) * strength @ others[near] / strength.sum()
    return scores


SETTINGS = [
    {},
    {"neighbours": 3},
    {"own": 0.0, "power": 3.0},
    {"half_life": None, "own": 0.9},
    {"half_life": 0.05, "power": 0},
]


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("clock", CLOCKS)
def test_equals_dense_vectors(clock, options):
    fitted = history_of(make_log(clock), users=["u-silent"], items=["a-cold"])
    other = make_log(clock, n_users=30, n_events=200, seed=8)
    strangers = history_of(other, items=fitted.items.values)
    generator = UserKNN(**options).fit(fitted)
    for history in (fitted, strangers):
        expected = dense_scores(history, fitted, generator)
        for exclude_seen in (False, True):
            found = generator.retrieve(history, history.n_items, exclude_seen=exclude_seen)
            for user in range(history.n_users):
                proposed = expected[user] > 0
                if exclude_seen:
                    seen = history.item[history.indptr[user] : history.indptr[user + 1]]
                    proposed[seen] = False
                listed = found.item[user][found.item[user] >= 0]
                assert set(listed) == set(np.flatnonzero(proposed))
                np.testing.assert_allclose(
                    found.score[user, : len(listed)], expected[user, listed], rtol=1e-4
                )


def test_the_user_is_not_his_own_neighbour():
    history = history_from([[0, 1], [0, 2], [3]], 4)
    found = UserKNN(neighbours=1, own=0.0).fit(history).retrieve(history, 4, exclude_seen=False)
    # Were the first user his own only neighbour, he would be proposed 0 and 1.
    assert found.item.tolist() == [[0, 2, -1, -1], [0, 1, -1, -1], [-1] * 4]


def test_strangers_find_their_like():
    rng = np.random.default_rng(0)
    tastes = [(rng.permutation(6)[:4] + 6 * (user % 2)).tolist() for user in range(40)]
    history = history_from(tastes, 12)
    strangers = history_from([[0, 1], [6, 7]], 12)
    found = UserKNN().fit(history).retrieve(strangers, 4, exclude_seen=True)
    assert [set(items.tolist()) for items in found.item] == [{2, 3, 4, 5}, {8, 9, 10, 11}]


def test_own_share_moves_what_was_taken_before():
    log = make_log("datetime")
    history = history_of(log)
    alone, along = (UserKNN(own=own).fit(history) for own in (0.0, 0.9))
    few, many = (
        sum(
            np.isin(items, history.item[history.indptr[user] : history.indptr[user + 1]]).sum()
            for user, items in enumerate(one.retrieve(history, 5, exclude_seen=False).item)
        )
        for one in (alone, along)
    )
    assert many > few


def test_events_that_faded_to_nothing():
    history = history_from([[0, 1], [0, 2]], 3, time=[[0, 0], [0, 0]], now=100_000)
    found = UserKNN(half_life=1).fit(history).retrieve(history, 3, exclude_seen=False)
    assert (found.item == -1).all()
    generator = UserKNN(power=1e6).fit(history_from([[0, 1], [0, 2]], 3))
    found = generator.retrieve(history_from([[0, 1]], 3), 3, exclude_seen=False)
    assert found.item.tolist() == [[0, 1, -1]], "a cosine by so large a power is zero"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 0}, "neighbours=0; expected a whole number, 1 or more"),
        ({"own": 1.0}, "own=1.0; expected a share from 0 to below 1"),
        ({"power": -1.0}, "power=-1.0; expected a number from 0 on"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        Public(**options).fit(history_of(make_log("shared")))
