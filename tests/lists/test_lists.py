"""Final lists against plain Python: exactly k, no duplicate, nothing seen filled in."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.history import History
from features.ids import Ids
from ranker.lists.topk import lists_frame, make_lists
from tests.lists.cases import candidates_of
from tests.logs import history_from

N_ITEMS = 10


@st.composite
def cases(draw):
    n_users = draw(st.integers(0, 4))
    some = st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=N_ITEMS)
    seen = draw(st.lists(some, min_size=n_users, max_size=n_users))
    proposed = draw(st.lists(some, min_size=n_users, max_size=n_users))
    fill = draw(st.permutations(range(N_ITEMS)))[: draw(st.integers(0, N_ITEMS))]
    return (
        seen,
        proposed,
        fill,
        draw(st.integers(1, 13)),
        draw(st.booleans()),
        draw(st.integers(0, 99)),
    )


def expected_list(proposed, scores, seen, fill, k, exclude_seen) -> list[tuple[int, float | None]]:
    scored = [(i, s) for i, s in zip(sorted(proposed), scores, strict=True) if not np.isnan(s)]
    best = sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k]
    taken = {item for item, _ in best} | (set(seen) if exclude_seen else set())
    return (best + [(item, None) for item in fill if item not in taken])[:k]


@given(case=cases())
@settings(max_examples=200, deadline=None)
def test_lists_are_the_best_candidates_then_the_fill(case):
    seen, proposed, fill, k, exclude_seen, seed = case
    history = history_from(seen, N_ITEMS)
    candidates = candidates_of(proposed, history)
    scores = np.random.default_rng(seed).choice([0.0, 1.0, 2.5, np.nan], candidates.n_rows)
    scores = scores.astype(np.float32)
    lists = make_lists(
        candidates, scores, history, np.array(fill, np.int32), k, exclude_seen=exclude_seen
    )
    assert lists.item.shape == lists.score.shape == (len(seen), k)
    assert lists.item.dtype == np.int32
    assert lists.score.dtype == np.float32
    for user in range(len(seen)):
        rows = slice(candidates.indptr[user], candidates.indptr[user + 1])
        own = scores[rows].tolist()
        expected = expected_list(proposed[user], own, seen[user], fill, k, exclude_seen)
        items = lists.item[user].tolist()
        assert items == [item for item, _ in expected] + [-1] * (k - len(expected))
        values = [np.nan if score is None else score for _, score in expected]
        np.testing.assert_array_equal(lists.score[user, : len(values)], values)
        assert np.isnan(lists.score[user, len(values) :]).all()
        shown = [item for item in items if item >= 0]
        assert len(shown) == len(set(shown))


@pytest.mark.parametrize("k", [1, 5, 10])
def test_exactly_k_whenever_there_are_enough_items(k):
    seen = [[], [0, 1], [9, 3, 2]]
    history = history_from(seen, N_ITEMS + 3)
    fill = np.arange(N_ITEMS + 3, dtype=np.int32)
    candidates = candidates_of([[], [5], [4, 7]], history)
    scores = np.array([1.0, 2.0, 3.0], np.float32)
    lists = make_lists(candidates, scores, history, fill, k, exclude_seen=True)
    frame = lists_frame(lists, history)
    assert frame.group_by("user_id").len()["len"].to_list() == [k] * 3
    for user, items in enumerate(seen):
        assert not set(lists.item[user].tolist()) & set(items)


def test_a_user_who_has_seen_everything():
    history = history_from([list(range(N_ITEMS)), [0]], N_ITEMS)
    fill = np.arange(N_ITEMS, dtype=np.int32)
    nothing = candidates_of([[], []], history)
    empty = np.zeros(0, np.float32)
    unseen = make_lists(nothing, empty, history, fill, 3, exclude_seen=True)
    assert unseen.item.tolist() == [[-1, -1, -1], [1, 2, 3]]
    assert lists_frame(unseen, history)["user_id"].to_list() == [1, 1, 1]
    again = make_lists(nothing, empty, history, fill, 3, exclude_seen=False)
    assert again.item.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_k_above_the_number_of_items():
    history = history_from([[]], 3)
    lists = make_lists(
        candidates_of([[2]], history),
        np.ones(1, np.float32),
        history,
        np.array([1, 2, 0], np.int32),
        6,
        exclude_seen=True,
    )
    assert lists.item.tolist() == [[2, 1, 0, -1, -1, -1]]


def test_candidates_are_taken_as_they_are_also_seen_ones():
    history = history_from([[0, 1, 2]], 5)
    lists = make_lists(
        candidates_of([[1]], history),
        np.ones(1, np.float32),
        history,
        np.array([0, 1, 2, 3, 4], np.int32),
        3,
        exclude_seen=True,
    )
    assert lists.item.tolist() == [[1, 3, 4]]


def test_the_frame_has_ids_ranks_and_null_for_what_was_filled_in():
    history = history_from([[0], [1]], 4)
    lists = make_lists(
        candidates_of([[2, 3], []], history),
        np.array([0.5, 0.75], np.float32),
        history,
        np.array([1, 0], np.int32),
        3,
        exclude_seen=False,
    )
    named = History(
        **{
            **{name: getattr(history, name) for name in History.__dataclass_fields__},
            "users": Ids(pl.Series(["zoe", "adam"])),
            "items": Ids(pl.Series(["fig", "kiwi", "lime", "pear"])),
        }
    )
    frame = lists_frame(lists, named)
    assert frame.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "rank": pl.Int64,
        "score": pl.Float32,
    }
    assert frame.rows() == [
        ("zoe", "pear", 1, 0.75),
        ("zoe", "lime", 2, 0.5),
        ("zoe", "kiwi", 3, None),
        ("adam", "kiwi", 1, None),
        ("adam", "fig", 2, None),
    ]


def test_nobody_and_nothing():
    history = history_from([], 4)
    lists = make_lists(
        candidates_of([], history),
        np.zeros(0, np.float32),
        history,
        np.zeros(0, np.int32),
        3,
        exclude_seen=True,
    )
    frame = lists_frame(lists, history)
    assert frame.is_empty()
    assert frame.columns == ["user_id", "item_id", "rank", "score"]


def test_the_given_arrays_stay_as_they_were():
    history = history_from([[0], [1]], 4)
    candidates = candidates_of([[2, 3], [0]], history)
    scores = np.array([1, 2, 3], np.float32)
    fill = np.array([3, 2, 1, 0], np.int32)
    make_lists(candidates, scores, history, fill, 4, exclude_seen=True)
    assert candidates.item.tolist() == [2, 3, 0]
    assert scores.tolist() == [1, 2, 3]
    assert fill.tolist() == [3, 2, 1, 0]
    assert history.item.tolist() == [0, 1]
