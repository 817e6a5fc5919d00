"""Sequences against a brute force over each user's events."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ranker.neural.sequences import N_GAPS, NextItem, latest, read
from tests.logs import history_from, history_of, make_log


def lists(lengths=(0, 1, 2, 3, 5, 9, 10, 11, 23), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 30, n).tolist() for n in lengths]


def distinct(lengths=(0, 1, 2, 3, 5, 9, 10, 11, 23)):
    """Every event has an item of its own, so that an item says where it stood."""
    ends = np.cumsum(lengths)
    return [list(range(end - n, end)) for n, end in zip(lengths, ends, strict=True)]


def examples_of(items, length, *, held_out=(), time=None):
    if time is None:
        time = [list(range(len(row))) for row in items]
    history = history_from(items, n_items=100, time=time)
    mask = np.zeros(len(items), bool)
    mask[list(held_out)] = True
    return NextItem(history, length, mask)


def drawn(examples, batch_size=4, seed=0):
    """(user, inputs before and with the event, target) of every event learned from."""
    for inputs, target in examples.batches(np.random.default_rng(seed), batch_size):
        assert inputs.item.shape == target.shape == inputs.gap.shape
        assert inputs.item.shape[1] == inputs.size.max()
        for row, size in enumerate(inputs.size):
            assert (inputs.item[row, size:] == 0).all()
            for at in range(size):
                seen = inputs.item[row, : at + 1].tolist()
                yield int(inputs.user[row]), seen, int(target[row, at])


@pytest.mark.parametrize("length", [1, 2, 5, 10, 50])
@pytest.mark.parametrize("held_out", [(), (3, 5, 8)])
@pytest.mark.parametrize("batch_size", [4, 30])
def test_every_target_comes_once_behind_its_own_past(length, held_out, batch_size):
    items = distinct()
    found = list(drawn(examples_of(items, length, held_out=held_out), batch_size))
    expected = [
        (user, row[at])
        for user, row in enumerate(items)
        for at in range(1, len(row) - (user in held_out))
    ]
    assert sorted((user, target) for user, _, target in found) == sorted(expected)
    for user, seen, target in found:
        at = items[user].index(target)
        assert seen == items[user][at - len(seen) : at]


@pytest.mark.parametrize(("batch_size", "n_batches"), [(7, 245), (40, 43), (1710, 2)])
def test_batches_have_about_as_many_targets_however_long_the_histories_are(batch_size, n_batches):
    length = 10
    examples = examples_of(lists(tuple(range(60))), length)
    batches = examples.batches(np.random.default_rng(0), batch_size)
    sizes = np.array([int(inputs.size.sum()) for inputs, _ in batches])
    total = sum(range(59))
    assert sizes.sum() == total
    assert (np.abs(sizes - total / n_batches) < length).all()


def test_the_latest_window_is_whole():
    examples = examples_of(distinct((24,)), 10)
    windows = [
        inputs.item[row, : inputs.size[row]].tolist()
        for inputs, _ in examples.batches(np.random.default_rng(0), 5)
        for row in range(len(inputs.size))
    ]
    assert sorted(windows) == [list(range(3)), list(range(3, 13)), list(range(13, 23))]


def test_target_counts_are_what_the_batches_hold():
    examples = examples_of(lists(), 5, held_out=(2, 8))
    found = Counter(target for _, _, target in drawn(examples))
    counts = examples.target_counts()
    assert {item: int(counts[item]) for item in np.flatnonzero(counts)} == found


def test_events_held_out_are_never_learned():
    items = distinct()
    time = [[7] * len(row) for row in items]  # one instant: everything else is shuffled
    held_out = (3, 4, 8)
    examples = examples_of(items, 5, held_out=held_out, time=time)
    last = {items[user][-1] for user in held_out}
    for seed in range(20):
        for _, seen, target in drawn(examples, seed=seed):
            assert target not in last
            assert not last & set(seen)
    sequences, target = examples.held_out_examples()
    assert target.tolist() == [items[user][-1] for user in held_out]
    for row, user in enumerate(held_out):
        size = sequences.size[row]
        assert sequences.item[row, :size].tolist() == items[user][:-1][-5:]


def test_ties_are_shuffled_within_their_instant_only():
    items = [list(range(12))]
    time = [[0, 0, 0, 0, 1, 2, 2, 2, 3, 4, 4, 4]]
    examples = examples_of(items, 20, time=time)
    orders = set()
    for seed in range(30):
        inputs, target = next(examples.batches(np.random.default_rng(seed), 4))
        order = [*inputs.item[0].tolist(), int(target[0, -1])]
        orders.add(tuple(order))
        assert [time[0][item] for item in order] == time[0]
        assert sorted(order) == items[0]
    assert len(orders) > 20


def test_without_ties_nothing_is_shuffled():
    examples = examples_of([list(range(12))], 20, time=[list(range(12))])
    inputs, _ = next(examples.batches(np.random.default_rng(1), 4))
    assert inputs.item[0].tolist() == list(range(11))


def test_epochs_draw_other_batches_and_the_same_seed_the_same():
    examples = examples_of(lists(tuple(range(40))), 10)

    def users(seed):
        rng = np.random.default_rng(seed)
        return [batch.user.tolist() for batch, _ in examples.batches(rng, 80)]

    assert users(1) == users(1) != users(2)


def test_gaps_are_powers_of_two_since_the_event_before():
    history = history_from([[1, 2, 3, 4, 5]], 9, time=[[5, 5, 6, 9, 9 + 2**60]])
    first, end = latest(history, 5)
    assert read(history, np.array([0]), first, end, 5).gap.tolist() == [[0, 0, 1, 2, N_GAPS - 1]]
    # The first event of a window has one before it, the first of a user has none.
    first, end = latest(history, 3)
    assert read(history, np.array([0]), first, end, 4).gap.tolist() == [[1, 2, N_GAPS - 1, 0]]


def test_nobody_and_nothing():
    examples = examples_of([[], [3]], 5)
    assert list(examples.batches(np.random.default_rng(0), 4)) == []
    assert examples.target_counts().sum() == 0
    sequences, target = examples.held_out_examples()
    assert sequences.item.shape == (0, 5)
    assert target.tolist() == []


@pytest.mark.parametrize("clock", ["datetime", "sequence", "none"])
def test_the_order_of_rows_draws_the_same_batches(clock):
    log = make_log(clock)
    mixed = log.sample(fraction=1.0, shuffle=True, seed=3)
    batches = []
    for one in (log, mixed):
        history = history_of(one)
        examples = NextItem(history, 6, np.zeros(history.n_users, bool))
        batches.append(list(examples.batches(np.random.default_rng(0), 100)))
    for (inputs, target), (others, other_target) in zip(*batches, strict=True):
        np.testing.assert_array_equal(inputs.item, others.item)
        np.testing.assert_array_equal(target, other_target)
