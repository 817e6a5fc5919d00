"""Sources that take in new events against sources that are fitted on all of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from features.clock import Clock, ClockKind
from features.encode import encode
from features.history import History, LogFacts
from ranker import ALS, EASE, Approximate, CoVisitation, ItemKNN, Popularity
from ranker.candidates.growth import Growth
from ranker.candidates.neighbours import renewed

EVENTS = st.tuples(st.integers(0, 7), st.integers(0, 11), st.integers(0, 60), st.integers(1, 3))
FEW = {"max_examples": 60, "deadline": None}
SPAN = 61


def history_of(events: list[tuple[int, int, int, int]], kind: ClockKind) -> History:
    log = pl.DataFrame(
        events,
        schema={
            "user_id": pl.Int64,
            "item_id": pl.Int64,
            "timestamp": pl.Int64,
            "weight": pl.Float32,
        },
        orient="row",
    )
    clock = Clock(kind)
    as_of = int(log["timestamp"].max()) + 1 if clock.is_comparable else None
    if kind is ClockKind.NONE:
        log = log.drop("timestamp")
    facts = LogFacts(clock, 1 if kind is ClockKind.NONE else SPAN)
    return encode(log, as_of=as_of, facts=facts, items=None, users=None)[0]


def growth_of(old: list, new: list, kind: ClockKind = ClockKind.SHARED) -> Growth:
    growth = Growth.between(history_of(old, kind), history_of(old + new, kind))
    assert growth is not None
    return growth


def both(source, growth: Growth):
    """The source refreshed, and fitted anew."""
    fitted = source.unfitted(0).fit(growth.before)
    kept = {name: array.copy() for name, array in fitted.arrays().items()}
    refreshed = fitted.refreshed(growth, items=None, users=None)
    for name, array in fitted.arrays().items():
        np.testing.assert_array_equal(array, kept[name], err_msg="the former has changed")
    return refreshed, source.unfitted(0).fit(growth.after)


@given(
    old=st.lists(EVENTS, min_size=1, max_size=50),
    new=st.lists(EVENTS, max_size=8),
    neighbours=st.integers(1, 6),
    shrink=st.sampled_from([0.0, 2.0]),
)
@settings(**FEW)
def test_item_knn_is_the_same_to_the_last_bit(old, new, neighbours, shrink):
    source = ItemKNN(neighbours=neighbours, shrink=shrink)
    # On as few items as these it would always begin anew.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ranker.candidates.item_knn._MANY", 1.0)
        refreshed, anew = both(source, growth_of(old, new))
    for name, array in anew.arrays().items():
        np.testing.assert_array_equal(refreshed.arrays()[name], array, err_msg=name)


@given(
    old=st.lists(EVENTS, min_size=1, max_size=50),
    new=st.lists(EVENTS, max_size=8),
    kind=st.sampled_from(list(ClockKind)[1:]),
    neighbours=st.integers(1, 12),
    max_events=st.sampled_from([1, 3, 60]),
    options=st.sampled_from(
        [{}, {"forward_only": True, "max_steps": 2}, {"discount": 0.5, "shrink": 0.0}]
    ),
)
@settings(**FEW)
def test_covisitation_is_the_same_but_for_rounding(old, new, kind, neighbours, max_events, options):
    source = CoVisitation(
        neighbours=neighbours, max_events=max_events, half_life=50, recent=5, **options
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ranker.candidates.covisitation._MANY", 1.0)
        refreshed, anew = both(source, growth_of(old, new, kind))
    found, expected = refreshed.similarity, anew.similarity
    np.testing.assert_array_equal(np.diff(found.indptr), np.diff(expected.indptr))
    for row in range(found.shape[0]):
        values, wanted = found[row].data, expected[row].data
        np.testing.assert_allclose(np.sort(values), np.sort(wanted), rtol=1e-5)
        # Of those that are as similar as the last one, rounding decides which are in.
        clear = wanted > wanted.min(initial=np.inf) * (1 + 1e-5)
        assert set(expected[row].indices[clear]) <= set(found[row].indices)


@given(old=st.lists(EVENTS, min_size=1, max_size=40), new=st.lists(EVENTS, max_size=12))
@settings(**FEW)
def test_growth_knows_what_is_new(old, new):
    growth = growth_of(old, new)
    after = growth.after
    users, items = after.users.values.to_list(), after.items.values.to_list()
    assert growth.is_user_changed.tolist() == [u in {e[0] for e in new} for u in users]
    assert growth.is_item_changed.tolist() == [i in {e[1] for e in new} for i in items]
    events = [tuple(e) for e in history_events(after)]
    for row, user in enumerate(users):
        own = [e[1:] for e in events if e[0] == user]
        former = [e[1:] for e in history_events(growth.before) if e[0] == user]
        same = [a == b for a, b in zip(own, former, strict=False)]
        expected = same.index(False) if False in same else len(former)
        assert growth.first_change[row] == expected


def history_events(history: History) -> list[tuple]:
    columns = history.interactions().select("user_id", "item_id", "timestamp", "weight")
    return list(columns.iter_rows())


def test_a_history_that_lacks_something_has_not_grown():
    long, short = (history_of([(0, 0, 1, 1), (1, 1, 2, 1)][:n], ClockKind.SHARED) for n in (2, 1))
    assert Growth.between(long, short) is None
    fewer = history_of([(0, 0, 1, 1), (1, 0, 2, 1)], ClockKind.SHARED)
    more = history_of([(0, 0, 1, 1), (0, 0, 2, 1), (1, 0, 2, 1)], ClockKind.SHARED)
    assert Growth.between(more, fewer) is None
    assert Growth.between(fewer, more) is not None


OLD = [(user, item, user + item, 1) for user in range(8) for item in range(12) if user * item % 3]


def test_als_solves_for_items_with_new_events_alone():
    growth = growth_of(OLD, [(1, 20, 30, 1), (4, 20, 30, 1), (5, 4, 31, 1), (9, 4, 31, 1)])
    source = ALS(factors=4, iterations=30, random_state=1)
    before = source.unfitted(0).fit(growth.before)
    refreshed, anew = both(source, growth)
    kept = ~growth.is_item_changed[growth.item_row]
    np.testing.assert_array_equal(
        refreshed.item_vectors[growth.item_row[kept]], before.item_vectors[kept]
    )
    changed = refreshed.item_vectors[growth.is_item_changed]
    assert (changed != 0).any(axis=1).all()
    # One more half of an iteration: users folded in by the former factors, eq. (5) of the paper.
    padded = np.zeros_like(refreshed.item_vectors)
    padded[growth.item_row] = before.item_vectors
    old = source.unfitted(0).restore(refreshed.arrays())
    old.vectors_ = padded[refreshed.item_]
    users = old.user_vectors(growth.after).astype(float)
    cells = refreshed._confidence(growth.after).toarray() * source.alpha
    for row in np.flatnonzero(growth.is_item_changed):
        c = cells[:, np.searchsorted(refreshed.item_, row)]
        left = users.T @ users + users.T @ (np.where(c > 0, c - 1, 0)[:, None] * users)
        right = users.T @ c
        expected = np.linalg.solve(left + source.regularization * np.eye(4), right)
        np.testing.assert_allclose(refreshed.item_vectors[row], expected, atol=1e-4)
    assert refreshed.item_vectors.shape == anew.item_vectors.shape


def test_als_with_a_graph_builds_it_anew():
    growth = growth_of(OLD, [(1, 20, 30, 1)])
    refreshed, _ = both(ALS(factors=4, approximate=Approximate(above=1)), growth)
    assert refreshed._graph is not None
    found = refreshed.retrieve(growth.after, 9, exclude_seen=False).item[3]
    assert 20 in growth.after.items.decode(found)


@pytest.mark.parametrize(
    "source",
    [Popularity(), EASE(), ItemKNN(weighting="tfidf"), CoVisitation(window=10)],
    ids=lambda source: type(source).__name__,
)
def test_all_others_are_fitted_anew(source):
    refreshed, anew = both(source, growth_of(OLD, [(0, 20, 30, 1), (9, 1, 31, 1)]))
    for name, array in anew.arrays().items():
        np.testing.assert_array_equal(refreshed.arrays()[name], array, err_msg=name)


def test_a_neighbour_that_fell_behind_what_is_not_known_makes_the_row_unknown():
    dense = np.array([[0, 0.9, 0.5, 0], [0, 0, 0, 0.2], [0.3, 0.3, 0, 0], [0, 0, 0, 0]], np.float32)
    nearest = sparse.csr_matrix(dense)
    is_old = nearest.data == np.float32(0.5)
    one = (np.array([0], np.int32), np.array([2], np.int32))
    lists, is_unknown = renewed(nearest, is_old, *one, np.array([0.4], np.float32), 2)
    assert is_unknown.tolist() == [True, False, False, False]
    lists, is_unknown = renewed(nearest, is_old, *one, np.array([0.6], np.float32), 2)
    assert not is_unknown.any()
    np.testing.assert_allclose(lists[0].toarray(), [[0, 0.9, 0.6, 0]])
    # One that comes in pushes out the last; a row with room takes whatever there is.
    row, item = np.array([2, 1], np.int32), np.array([3, 0], np.int32)
    value = np.array([0.7, 0.1], np.float32)
    lists, is_unknown = renewed(nearest, np.zeros(5, bool), row, item, value, 2)
    assert not is_unknown.any()
    np.testing.assert_allclose(lists.toarray()[1:3], [[0.1, 0, 0, 0.2], [0.3, 0, 0, 0.7]])
