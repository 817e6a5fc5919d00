"""The event log in order of time, its selections and its matrix, against sorted lists."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.clock import ClockKind
from features.history import History, LogFacts
from features.ids import Ids
from tests.features.logs import STRANGERS, worlds

ARRAYS = ("indptr", "item", "time", "weight", "event", "now")
EVENT_ARRAYS = ("item", "time", "weight", "event")


def arrays(history) -> dict[str, np.ndarray]:
    return {name: getattr(history, name) for name in ARRAYS}


def assert_same(history, other) -> None:
    assert history.users.values.to_list() == other.users.values.to_list()
    assert history.items.values.to_list() == other.items.values.to_list()
    for name, values in arrays(history).items():
        assert values.dtype == arrays(other)[name].dtype
        np.testing.assert_array_equal(values, arrays(other)[name], err_msg=name)


def assert_holds(history, world, users) -> None:
    """Each user's events are the expected ones, in order, and he is looked at when expected."""
    assert history.users.values.to_list() == list(users)
    assert history.n_users == len(users)
    names = world.log.names
    for place, user in enumerate(users):
        own = slice(history.indptr[place], history.indptr[place + 1])
        found = zip(*(getattr(history, name)[own].tolist() for name in EVENT_ARRAYS), strict=True)
        assert list(found) == [
            (world.items.index(e.item), world.log.tick(e.time), e.weight, names.index(e.name))
            for e in world.events_of(user)
        ]
        assert history.now[place] == world.now(user)
        assert (history.time[own] < history.now[place]).all()


@given(world=worlds())
@settings(max_examples=80, deadline=None)
def test_build_sorts_each_users_events(world):
    history = world.history
    assert_holds(history, world, world.users)
    dtypes = [values.dtype for values in arrays(history).values()]
    assert dtypes == [np.int64, np.int32, np.int64, np.float32, np.int16, np.int64]
    assert (history.n_events, history.n_items) == (len(world.log.events), len(world.items))
    assert history.lengths.tolist() == [len(world.events_of(user)) for user in world.users]
    assert history.user.tolist() == np.repeat(range(history.n_users), history.lengths).tolist()
    assert history.as_of == max(world.now(user) for user in world.users)
    frame = history.frame()
    assert frame.columns == ["user", "item", "time", "weight", "event"]
    assert all(
        frame[name].to_numpy().tolist() == getattr(history, name).tolist() for name in frame.columns
    )


@given(world=worlds(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_does_not_matter(world, data):
    mixed = data.draw(st.permutations(world.log.events))
    again = History.build(
        world.log.frame(mixed),
        users=world.history.users,
        items=world.history.items,
        facts=world.history.facts,
        as_of=world.as_of,
    )
    assert_same(world.history, again)


@given(world=worlds(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_events_outside_the_ids_are_left_out(world, data):
    users = data.draw(st.permutations([0, 1, 2, 9]))[:3]
    items = ["b", "c", "zz"]
    kept = [e for e in world.log.events if e.user in users and e.item in items]
    known = {"users": Ids(pl.Series(users)), "items": Ids(pl.Series(items))}
    options = known | {"facts": world.history.facts, "as_of": world.as_of}
    found = History.build(world.log.frame(), **options)
    assert_same(found, History.build(world.log.frame(kept), **options))
    assert found.n_events == len(kept)


def tiny(rows, as_of=None, kind="timestamp") -> History:
    """A history of (user, item, time) of one Int64 clock."""
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", kind], orient="row").cast(pl.Int64)
    return History.build(
        frame,
        users=Ids.sorted(frame["user_id"]),
        items=Ids.sorted(frame["item_id"]),
        facts=LogFacts.of(frame),
        as_of=as_of,
    )


def test_no_columns_but_ids_give_ones_and_zeros():
    history = tiny([(1, 8, 0), (1, 5, 0), (2, 8, 0)], kind="ignored")
    assert history.clock.kind is ClockKind.NONE
    assert history.item.tolist() == [0, 1, 1]
    assert history.weight.tolist() == [1, 1, 1]
    assert history.time.tolist() == history.event.tolist() == [0, 0, 0]
    assert history.now.tolist() == [1, 1]


def test_rare_event_names_are_not_told_apart():
    names = [*"abcdefgh", *"abcdefgh", "rare"]
    frame = pl.DataFrame({"user_id": 1, "item_id": range(17), "event": names})
    history = History.build(
        frame,
        users=Ids(pl.Series([1])),
        items=Ids(frame["item_id"]),
        facts=LogFacts.of(frame),
        as_of=None,
    )
    assert history.event.tolist() == [*range(8), *range(8), -1]


def test_facts_of_a_longer_log_give_the_names_their_numbers():
    frame = pl.DataFrame({"user_id": 1, "item_id": 1, "event": ["buy", "view"]})
    options = {"users": Ids(pl.Series([1])), "items": Ids(pl.Series([1])), "as_of": None}
    late = History.build(frame[1:], facts=LogFacts.of(frame), **options)
    assert late.event.tolist() == [1]
    plain = History.build(frame.drop("event"), facts=LogFacts.of(frame), **options)
    assert plain.event.tolist() == [-1, -1], "of no name, rather than of the first"


def test_no_events_and_no_users():
    history = tiny([(1, 5, 7), (2, 5, 90), (2, 6, 95)])
    none = {"items": history.items, "facts": history.facts}
    frame = history.frame().clear().select(user_id="user", item_id="item", timestamp="time")
    frame = frame.cast(pl.Int64)
    silent = History.build(frame, users=history.users, as_of=50, **none)
    assert silent.indptr.tolist() == [0, 0, 0]
    assert silent.now.tolist() == [50, 50]
    assert silent.matrix().nnz == 0
    empty = History.build(frame, users=Ids(pl.Series([], dtype=pl.Int64)), as_of=50, **none)
    assert (empty.n_users, empty.n_events, empty.as_of) == (0, 0, 0)
    assert empty.matrix().shape == (0, 2)
    assert list(empty.chunks(3)) == []


# --- Selections ---------------------------------------------------------------------------------


@given(world=worlds(), data=st.data())
@settings(max_examples=80, deadline=None)
def test_select_takes_users_in_any_order_and_strangers_without_events(world, data):
    users = data.draw(st.lists(st.sampled_from([*world.users, *STRANGERS]), max_size=9))
    found = world.history.select(pl.Series(users, dtype=pl.Int64))
    assert_holds(found, world, users)
    assert found.items is world.history.items
    assert found.facts is world.history.facts


@given(world=worlds())
@settings(max_examples=30, deadline=None)
def test_select_everybody_changes_nothing(world):
    assert_same(world.history.select(world.history.users.values), world.history)


@given(world=worlds(), size=st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_chunks_are_the_users_in_order(world, size):
    parts = list(world.history.chunks(size))
    assert [part.n_users for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert 0 < parts[-1].n_users <= size
    for number, part in enumerate(parts):
        assert_holds(part, world, world.users[number * size : (number + 1) * size])


@given(world=worlds(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_rows_are_views_of_a_run_of_users(world, data):
    start = data.draw(st.integers(0, len(world.users)))
    stop = data.draw(st.integers(start, len(world.users)))
    part = world.history.rows(start, stop)
    assert_holds(part, world, world.users[start:stop])
    assert part.n_events == 0 or np.shares_memory(part.item, world.history.item)


def test_what_a_source_derives_is_derived_once_for_what_it_has_learned():
    history, calls = tiny([(1, 5, 0), (2, 5, 10)]), []

    def derive(known):
        calls.append(known)
        return np.full((known.n_users, 1), len(calls), np.float32)

    source, learned, later = object(), object(), object()
    assert history.derived(source, learned, derive).tolist() == [[1], [1]]
    assert history.derived(source, learned, derive).tolist() == [[1], [1]]
    assert history.derived(source, later, derive).tolist() == [[2], [2]]
    assert history.derived(object(), later, derive).tolist() == [[3], [3]]
    assert history.rows(0, 1).derived(source, later, derive).tolist() == [[4]]
    assert history.select(pl.Series([1])).derived(source, later, derive).tolist() == [[5]]
    assert [one.n_users for one in calls] == [2, 2, 2, 1, 1]


@given(world=worlds(), data=st.data())
@settings(max_examples=60, deadline=None)
def test_marked_users_take_along_what_was_derived_of_them(world, data):
    n = len(world.users)
    marks = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    source = learned = object()
    rows = np.arange(n, dtype=np.float32)[:, None]
    world.history.derived(source, learned, lambda _: rows)
    part = world.history.of_users(marks)
    kept = [user for user, is_kept in zip(world.users, marks, strict=True) if is_kept]
    assert_holds(part, world, kept)
    np.testing.assert_array_equal(part.derived(source, learned, None), rows[marks])
    np.testing.assert_array_equal(part.row, world.history.row[marks])


# --- The matrix ---------------------------------------------------------------------------------


@given(world=worlds(), given_values=st.booleans())
@settings(max_examples=60, deadline=None)
def test_matrix_sums_each_cell_and_leaves_the_history_alone(world, given_values):
    history = world.history
    before = {name: values.copy() for name, values in arrays(history).items()}
    values = np.arange(history.n_events, dtype=np.float32) if given_values else None
    given_before = None if values is None else values.copy()
    matrix = history.matrix(values)
    expected = np.zeros((len(world.users), len(world.items)))
    at = 0
    for row, user in enumerate(world.users):
        for event in world.events_of(user):
            expected[row, world.items.index(event.item)] += at if given_values else event.weight
            at += 1
    assert matrix.dtype == np.float32
    assert matrix.has_canonical_format
    np.testing.assert_array_equal(matrix.toarray(), expected)
    for name, unchanged in before.items():
        np.testing.assert_array_equal(getattr(history, name), unchanged, err_msg=name)
    np.testing.assert_array_equal(values, given_before)


@pytest.mark.parametrize("part", [lambda h: h, lambda h: h.rows(0, 1), lambda h: h.rows(1, 2)])
def test_trap_scipy_sums_duplicates_in_place(part):
    # It once sorted the array of items that the history, and all views of it, go on using.
    history = tiny([(1, 9, 0), (1, 7, 10), (1, 9, 25), (2, 9, 0), (2, 9, 5), (2, 7, 25)])
    assert history.item.tolist() == [1, 0, 1, 1, 1, 0]
    matrix = part(history).matrix()
    matrix.data[:] = -1
    matrix.indices[:] = 0
    assert history.item.tolist() == [1, 0, 1, 1, 1, 0]
    assert history.indptr.tolist() == [0, 3, 6]
    assert history.weight.tolist() == [1] * 6


def test_a_cell_does_not_depend_on_the_order_of_its_events():
    # In float32 the small ones would vanish behind the large one, or not, by their order.
    history = tiny([(1, 5, time) for time in range(0, 600, 3)])
    values = np.full(history.n_events, 1.0, np.float32)
    values[0] = 2.0**25
    assert history.matrix(values)[0, 0] == history.matrix(values[::-1])[0, 0]
