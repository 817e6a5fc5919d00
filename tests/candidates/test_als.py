"""ALS: the fold-in against the paper's equation, and the traps of implicit."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from features.decay import decay_weights
from ranker.candidates.als import ALS
from ranker.parallel import map_chunks
from tests.logs import history_from, history_of, make_log


@pytest.mark.parametrize("clock", ["datetime", "none"])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0, 40.0])
def test_fold_in_solves_equation_4(clock, alpha):
    """``x_u = (Y' C^u Y + lambda I)^-1 Y' C^u p(u)``, Hu, Koren, Volinsky 2008."""
    history = history_of(make_log(clock), items=["a-cold"], users=["u-silent"])
    generator = ALS(factors=6, iterations=3, alpha=alpha, regularization=0.3).fit(history)
    vectors = generator.user_vectors(history)
    factors = generator.vectors_.astype(np.float64)
    decay = decay_weights(history, float(generator.half_life_ticks_))
    taken = np.zeros((history.n_users, history.n_items))
    np.add.at(taken, (history.user, history.item), history.weight * decay)
    for user in range(history.n_users):
        w = taken[user, generator.item_]
        p = (w > 0).astype(float)
        c = np.where(w > 0, alpha * np.log1p(w), 1.0)
        left = factors.T @ np.diag(c) @ factors + 0.3 * np.eye(6)
        expected = np.linalg.solve(left, factors.T @ (c * p))
        np.testing.assert_allclose(vectors[user], expected, rtol=2e-3, atol=2e-4)
    found = generator.retrieve(history, 5, exclude_seen=False)
    scores = vectors @ generator.item_vectors.T
    rows = np.arange(history.n_users)[:, None]
    known = found.item >= 0
    np.testing.assert_allclose(found.score[known], scores[rows, found.item][known], rtol=1e-5)


def test_two_groups_of_taste_are_told_apart():
    rng = np.random.default_rng(0)
    tastes = [(rng.permutation(6)[:4] + 6 * (user % 2)).tolist() for user in range(40)]
    history = history_from(tastes, 12)
    found = ALS(factors=2).fit(history).retrieve(history, 2, exclude_seen=True)
    for user, taste in enumerate(tastes):
        rest = set(range(6 * (user % 2), 6 * (user % 2) + 6)) - set(taste)
        assert set(found.item[user].tolist()) == rest


def test_trap_implicit_second_fit_warm_starts_or_crashes():
    wide = history_of(make_log("shared", n_users=30, n_items=40, n_events=400, seed=1))
    narrow = history_of(make_log("shared", n_users=60, n_items=20, n_events=400, seed=2))
    generator = ALS(factors=5, iterations=2)
    for history in (wide, narrow, narrow, wide):  # same and other shapes
        generator.fit(history)
        fresh = ALS(factors=5, iterations=2).fit(history)
        np.testing.assert_array_equal(generator.vectors_, fresh.vectors_)
        np.testing.assert_array_equal(generator.item_, fresh.item_)


def test_trap_implicit_takes_whole_numbers_as_seeds():
    history = history_of(make_log("shared"))
    by_seed = {
        seed: ALS(factors=5, iterations=2, random_state=seed).fit(history).vectors_
        for seed in (None, 0, 1, 2**31 - 1)
    }
    np.testing.assert_array_equal(by_seed[None], by_seed[0])
    assert not np.array_equal(by_seed[0], by_seed[1])
    filled = ALS(factors=5, iterations=2).unfitted(1).fit(history)
    np.testing.assert_array_equal(filled.vectors_, by_seed[1])


def test_trap_implicit_warns_of_openblas_threads():
    """In a process of its own: implicit looks only once."""
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from ranker.candidates.als import ALS\n"
        "from tests.logs import history_of, make_log\n"
        "history = history_of(make_log('none'))\n"
        "ALS(factors=3, iterations=1).fit(history).retrieve(history, 3, exclude_seen=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_trap_threadpool_limits_side_by_side_stay_behind():
    def n_blas_threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    history = history_of(make_log("shared", n_users=200, n_events=900))
    generator = ALS(factors=5, iterations=1).fit(history)
    before = n_blas_threads()
    for _ in map_chunks(
        lambda _, part: generator.retrieve(part, 3, exclude_seen=True),
        history,
        2,
        2,
        description="",
    ):
        assert n_blas_threads() == [1] * len(before)
    assert n_blas_threads() == before


def test_vectors_are_computed_once_for_a_history():
    history = history_of(make_log("shared"))
    one, other = (ALS(factors=5, iterations=1, random_state=seed).fit(history) for seed in (1, 2))
    first = one.user_vectors(history)
    assert one.user_vectors(history) is first
    assert not np.array_equal(other.user_vectors(history), first)
    assert one.user_vectors(history) is first
    one.fit(history)
    assert one.user_vectors(history) is not first


def test_more_factors_than_items():
    history = history_from([[0, 1], [1], [0]], 2)
    generator = ALS().fit(history)
    assert generator.vectors_.shape == (2, 64)
    found = generator.retrieve(history, 2, exclude_seen=False)
    assert np.isfinite(found.score).all()


def test_trap_implicit_users_of_whom_nothing_is_known_get_no_arbitrary_items():
    """A session of items without events, and events that have faded to nothing."""
    history = history_from([[0, 1], [1, 2], [0, 2]], 4)
    model = ALS(factors=2, iterations=2).fit(history)
    stranger = history_from([[3], [0]], 4)
    found = model.retrieve(stranger, 2, exclude_seen=False)
    assert found.item[0].tolist() == [-1, -1]
    assert (found.item[1] >= 0).all()
    log = history_from([[0, 1], [1, 2], [0]], 3, time=[[99_000, 99_990], [99_800, 99_900], [5]])
    log = dataclasses.replace(log, now=np.full(3, 100_000))
    faded = ALS(factors=2, iterations=2, half_life=100).fit(log)
    assert faded.retrieve(log, 1, exclude_seen=False).item[2].tolist() == [-1]
