"""EASE against its closed form, and the inverse that it needs against the library's."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from features.errors import ConfigError
from ranker.candidates import ease, inverse
from ranker.candidates.ease import EASE
from tests.logs import history_from

TAKEN = [[0, 1, 1], [0, 1], [0, 2], [0, 2, 3], [5], [0, 1, 3, 5]]


def dense_weights(taken, n_items, regularization):
    x = np.zeros((len(taken), n_items))
    for user, items in enumerate(taken):
        x[user, items] = 1.0
    p = np.linalg.inv(x.T @ x + regularization * np.eye(n_items))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0.0)
    return x, b


@pytest.mark.parametrize("n", [1, 2, 7, 40, 131])
def test_the_inverse_is_the_librarys(n, monkeypatch):
    monkeypatch.setattr(inverse, "_BLOCK", 16)
    monkeypatch.setattr(inverse, "_TILE", 48)
    rng = np.random.default_rng(n)
    x = rng.random((2 * n, n)) < 0.3
    matrix = (x.T.astype(np.float64) @ x + 3.0 * np.eye(n)).astype(np.float32)
    expected = np.linalg.inv(matrix.astype(np.float64))
    upper_is_not_read = np.tril(matrix) + np.triu(np.full_like(matrix, 99.0), 1)
    inverse.invert(upper_is_not_read)
    np.testing.assert_allclose(np.tril(upper_is_not_read), np.tril(expected), atol=2e-6)


def test_the_inverse_does_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(inverse, "_BLOCK", 32)
    rng = np.random.default_rng(0)
    x = (rng.random((500, 300)) < 0.1).astype(np.float32)
    results = []
    for n_threads in (1, 2, 5):
        monkeypatch.setattr(inverse, "n_cores", lambda n=n_threads: n)
        matrix = x.T @ x + np.eye(300, dtype=np.float32)
        with threadpool_limits(n_threads, "blas"):
            inverse.invert(matrix)
        results.append(np.tril(matrix))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_matrix_that_is_not_positive_definite():
    with pytest.raises(np.linalg.LinAlgError):
        inverse.invert(-np.eye(3, dtype=np.float32))


def test_all_weights_are_those_of_the_closed_form():
    x, b = dense_weights(TAKEN, 6, 2.0)
    history = history_from(TAKEN, 6)
    model = EASE(regularization=2.0, neighbours=10).fit(history)
    # Item 4 has no events and takes no part.
    np.testing.assert_allclose(model.similarity.toarray(), b, atol=1e-6)
    assert (b < 0).any()
    scores = x @ b
    found = model.retrieve(history, 6, exclude_seen=False)
    for user in range(len(TAKEN)):
        expected = [i for i in np.argsort(-scores[user], kind="stable") if scores[user, i] > 1e-7]
        assert found.item[user, : len(expected)].tolist() == expected
        np.testing.assert_allclose(
            found.score[user, : len(expected)], scores[user, expected], atol=1e-6
        )


def test_the_largest_weights_are_kept_also_negative_ones():
    _, b = dense_weights(TAKEN, 6, 2.0)
    kept = EASE(regularization=2.0, neighbours=2).fit(history_from(TAKEN, 6)).similarity.toarray()
    for item in (0, 1, 2, 3, 5):
        largest = set(np.argsort(-np.abs(b[item]), kind="stable")[:2])
        assert set(np.flatnonzero(kept[item])) == largest


def test_only_the_most_popular_items_take_part():
    model = EASE(regularization=2.0, max_items=3).fit(history_from(TAKEN, 6))
    assert set(model.similarity.nonzero()[0]) <= {0, 1, 2}
    _, b = dense_weights([[i for i in row if i < 3] for row in TAKEN], 3, 2.0)
    np.testing.assert_allclose(model.similarity.toarray()[:3, :3], b, atol=1e-6)


def test_old_events_of_a_user_fade():
    log = [[0, 1], [0, 1], [2, 3], [2, 3], [0, 2]]
    history = history_from(log, 4, time=[[0, 1]] * 4 + [[1, 99]], now=100)
    faded = EASE(regularization=1.0, half_life=5).fit(history)
    user = history.rows(4, 5)
    assert faded.retrieve(user, 1, exclude_seen=True).item[0, 0] == 3
    plain = EASE(regularization=1.0).fit(history).retrieve(user, 2, exclude_seen=True)
    assert plain.score[0, 0] == pytest.approx(plain.score[0, 1], abs=1e-6)


def test_too_many_items_for_the_memory(monkeypatch):
    monkeypatch.setattr(ease, "_available_bytes", lambda: 100)
    with pytest.raises(ConfigError, match=r"5 x 5 items.*max_items=.*ItemKNN"):
        EASE().fit(history_from(TAKEN, 6))


@pytest.mark.parametrize("keywords", [{"regularization": 0.0}, {"neighbours": 0}, {"max_items": 0}])
def test_parameters_out_of_range(keywords):
    with pytest.raises(ConfigError, match=next(iter(keywords))):
        EASE(**keywords).fit(history_from(TAKEN, 6))
