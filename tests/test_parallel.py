"""Runs of users: every user once, in order, errors let through, few results at a time."""

from __future__ import annotations

import threading

import pytest

from ranker.parallel import map_chunks, n_cores
from tests.logs import history_from

HISTORY = history_from([[user % 5] * (user % 4) for user in range(23)], 5)


@pytest.mark.parametrize("n_threads", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [1, 7, 23, 1000])
def test_every_user_once_and_in_order(size, n_threads):
    parts = list(
        map_chunks(
            lambda start, part: (start, part.users.values.to_list(), part.item.tolist()),
            HISTORY,
            size,
            n_threads,
            description="work",
        )
    )
    assert [start for start, _, _ in parts] == list(range(0, 23, size))
    assert [user for _, users, _ in parts for user in users] == list(range(23))
    assert [item for _, _, items in parts for item in items] == HISTORY.item.tolist()


def test_nobody():
    work = lambda start, part: pytest.fail("called for nobody")  # noqa: E731
    assert list(map_chunks(work, HISTORY.rows(0, 0), 4, 2, description="work")) == []


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_comes_out_as_it_was_raised(n_threads):
    def work(start, part):
        if start == 8:
            raise ValueError("user 8 is bad")
        return start

    found = []
    with pytest.raises(ValueError, match="user 8 is bad"):
        found.extend(map_chunks(work, HISTORY, 4, n_threads, description="work"))


def test_few_results_wait_at_a_time():
    history = history_from([[0]] * 500, 1)
    lock, n_done, most_ahead = threading.Lock(), 0, 0

    def work(start, part):
        nonlocal n_done
        with lock:
            n_done += 1
        return start

    for n_taken, _ in enumerate(map_chunks(work, history, 1, 2, description="work"), start=1):
        with lock:
            most_ahead = max(most_ahead, n_done - n_taken)
    assert n_done == 500
    assert most_ahead <= 2 * 2 + 1


def test_a_reader_may_stop_early():
    started = []

    def work(start, part):
        started.append(start)
        return start

    reader = map_chunks(work, history_from([[0]] * 500, 1), 1, 2, description="work")
    assert next(reader) == 0
    reader.close()
    assert len(started) <= 10


def test_at_least_one_core():
    assert n_cores() >= 1
