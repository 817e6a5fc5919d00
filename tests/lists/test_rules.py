"""Rules against plain Python: never violated, and k whenever enough items exist."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.lists import (
    DPP,
    MMR,
    Calibrate,
    Cap,
    Epsilon,
    Explore,
    FilterAllowed,
    FilterDenied,
    FilterSeen,
    FilterWhere,
    NewItems,
    Policy,
    Quota,
)
from ranker.lists.topk import make_lists
from tests.lists.cases import Case, candidates_of, catalogue, one_user

BRANDS, TAGS = ("a", "b", "c", None), ("x", "y", "z")
REORDERS = (
    MMR("vectors", diversity=0.5),
    DPP("vectors", diversity=0.4),
    Calibrate("tags", strength=0.6),
    MMR("vectors", diversity=0.9, depth=2),
)


@st.composite
def cases(draw) -> Case:
    n_items, n_users = draw(st.integers(1, 14)), draw(st.integers(0, 3))
    some = st.lists(st.integers(0, n_items - 1), unique=True, max_size=n_items)
    proposed = draw(st.lists(some, min_size=n_users, max_size=n_users))
    rng = np.random.default_rng(draw(st.integers(0, 9_999)))
    n_rows = sum(map(len, proposed))
    return Case(
        seen=draw(st.lists(some, min_size=n_users, max_size=n_users)),
        proposed=proposed,
        scores=rng.choice([0.0, 1.0, 2.5, 3.0, np.nan], n_rows),
        items=catalogue(
            n_items,
            brand=pl.Series(rng.choice(len(BRANDS), n_items)).map_elements(
                BRANDS.__getitem__, return_dtype=pl.String, skip_nulls=False
            ),
            tags=[[t for t in TAGS if rng.random() < 0.4] for _ in range(n_items)],
            price=rng.integers(1, 9, n_items),
        ),
        users=pl.DataFrame({"user_id": range(n_users), "budget": rng.integers(0, 9, n_users)}),
        vectors=rng.normal(size=(n_items, 3)).astype(np.float32) * (rng.random((n_items, 1)) > 0.2),
        fill=rng.permutation(n_items).tolist(),
    )


@st.composite
def policies(draw, case: Case) -> tuple[Policy, list[set[int]], dict[str, int]]:
    """A policy, what each user may be shown by it, and its caps."""
    n_users, everything = len(case.seen), set(range(case.n_items))
    steps, allowed = [], [set(everything) for _ in case.seen]
    price, budget = case.items["price"].to_list(), case.users["budget"].to_list()
    if draw(st.booleans()):
        denied = draw(st.sets(st.integers(0, case.n_items - 1), max_size=case.n_items - 1))
        steps.append(FilterDenied(pl.Series(list(denied), dtype=pl.Int64)))
        allowed = [own - denied for own in allowed]
    if draw(st.booleans()):
        steps.append(FilterSeen())
        allowed = [own - set(seen) for own, seen in zip(allowed, case.seen, strict=True)]
    if draw(st.booleans()):
        steps.append(FilterWhere(pl.col("price") <= pl.col("user_budget")))
        allowed = [{i for i in allowed[u] if price[i] <= budget[u]} for u in range(n_users)]
    if draw(st.booleans()):
        pairs = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=9))
        frame = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
        steps.append(FilterDenied(frame.cast(pl.Int64)))
        allowed = [allowed[u] - {i for user, i in pairs if user == u} for u in range(n_users)]
    caps = {}
    for column in ("brand", "tags"):
        if draw(st.booleans()):
            caps[column] = draw(st.integers(1, 3))
            steps.append(Cap(column, caps[column]))
    steps += draw(st.lists(st.sampled_from(REORDERS), max_size=2))
    if draw(st.booleans()):
        has_cheap = (case.items["price"] <= 4).any()
        steps.append(Quota(pl.col("price") <= 4, 2) if has_cheap else NewItems(1))
    if draw(st.booleans()):
        steps.append(NewItems(2, max_events=1))
    steps = draw(st.permutations(steps))
    if draw(st.booleans()) or not steps:
        steps.append(Explore(2, by=Epsilon(0.7), depth=3))
    return Policy(steps), allowed, caps


def values_of(case: Case, column: str, item: int) -> list[str]:
    value = case.items[column].to_list()[item]
    return value if isinstance(value, list) else [] if value is None else [value]


def breaks_a_cap(case: Case, items: list[int], caps: dict[str, int]) -> bool:
    for column, limit in caps.items():
        counts = Counter(value for item in items for value in values_of(case, column, item))
        if max(counts.values(), default=0) > limit:
            return True
    return False


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_no_rule_is_ever_broken_and_no_list_could_be_longer(data):
    case = data.draw(cases())
    policy, allowed, caps = data.draw(policies(case))
    k = data.draw(st.integers(1, 13))
    lists = case.lists(policy, k)
    assert lists.item.shape == (len(case.seen), k)
    for user, row in enumerate(lists.item.tolist()):
        items = [item for item in row if item >= 0]
        assert row == items + [-1] * (k - len(items))
        assert len(set(items)) == len(items)
        assert set(items) <= allowed[user]
        assert not breaks_a_cap(case, items, caps)
        if len(items) < k:
            for more in allowed[user] - set(items):
                assert breaks_a_cap(case, [*items, more], caps)
        own = dict(case.ranked(user))
        for item, score in zip(items, lists.score[user].tolist(), strict=False):
            assert score == own[item] if item in own else np.isnan(score)
    if isinstance(policy.steps[-1], Explore):
        assert ((lists.propensity > 0) & (lists.propensity <= 1)).all()


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_exactly_k_under_one_cap_of_single_values(data):
    case = data.draw(cases())
    k, limit = data.draw(st.integers(1, 13)), data.draw(st.integers(1, 3))
    step = data.draw(st.sampled_from(REORDERS))
    counts = Counter(case.items["brand"].to_list())
    most = counts.pop(None, 0) + sum(min(limit, n) for n in counts.values())
    for items in case.items_of(Policy([step, Cap("brand", limit)]), k):
        assert len(items) == min(k, most)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_quotas_are_met_as_far_as_there_are_items(data):
    case = data.draw(cases())
    steps = data.draw(st.lists(st.sampled_from([FilterSeen(), *REORDERS]), max_size=2, unique=True))
    steps = (
        [*steps, Quota("tags", {t: 2 for t in TAGS if has(case, t)})]
        if any(has(case, t) for t in TAGS)
        else [*steps, NewItems(2)]
    )
    steps += data.draw(st.sampled_from([[], [Explore(3, by=Epsilon(1.0))]]))
    k = data.draw(st.integers(9, 13))
    policy = Policy(steps)
    lists = case.items_of(policy, k)
    for user, items in enumerate(lists):
        allowed = set(range(case.n_items))
        if any(isinstance(step, FilterSeen) for step in steps):
            allowed -= set(case.seen[user])
        assert len(items) == min(k, len(allowed))
        for quota in (step for step in steps if isinstance(step, Quota)):
            for tag, need in quota.at_least.items():
                there = sum(tag in values_of(case, "tags", item) for item in allowed)
                shown = sum(tag in values_of(case, "tags", item) for item in items)
                assert shown >= min(need, there)


def has(case: Case, tag: str) -> bool:
    return any(tag in values_of(case, "tags", item) for item in range(case.n_items))


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_without_a_rule_that_binds_lists_are_those_without_policy(data):
    case = data.draw(cases())
    k, exclude_seen = data.draw(st.integers(1, 13)), data.draw(st.booleans())
    idle = data.draw(
        st.sampled_from(
            [
                FilterDenied([]),
                FilterAllowed(range(case.n_items)),
                Cap("brand", 99),
                MMR("vectors", diversity=0.0),
                DPP("vectors", diversity=0.0),
                Calibrate("tags", strength=0.0),
                FilterWhere(pl.col("price") > 0),
                Explore(1, by=Epsilon(0.0)),
            ]
        )
    )
    found = case.lists(Policy([idle]), k, exclude_seen=exclude_seen)
    scores = case.scores.astype(np.float32)
    if exclude_seen:  # sources would not have proposed these
        own = candidates_of(case.proposed, case.history)
        seen = [i in case.seen[u] for u, i in zip(own.user, own.item, strict=True)]
        scores[np.array(seen, bool)] = np.nan
    plain = make_lists(
        candidates_of(case.proposed, case.history),
        scores,
        case.history,
        case.context.fill,
        k,
        exclude_seen=exclude_seen,
    )
    np.testing.assert_array_equal(found.item, plain.item)
    np.testing.assert_array_equal(found.score, plain.score)


def test_a_cap_keeps_the_best_of_each_kind_in_order():
    items = catalogue(6, brand=["a", "a", "b", "a", "b", None])
    case = one_user([6, 5, 4, 3, 2, 1], items)
    assert case.items_of(Policy([Cap("brand", 1)]), 6) == [[0, 2, 5]]
    assert case.items_of(Policy([Cap("brand", {"a": 1})]), 6) == [[0, 2, 4, 5]]
    assert case.items_of(Policy([Cap(pl.col("brand") == "a", 2)]), 4) == [[0, 1, 2, 4]]


def test_a_quota_takes_the_last_places_and_prefers_candidates():
    items = catalogue(8, brand=["a", "a", "a", "b", "a", "b", "b", "c"])
    case = one_user([6, 5, 4, 3, 2], items, fill=[7, 6, 5, 4, 3, 2, 1, 0])
    assert case.items_of(Policy([Quota("brand", {"b": 1})]), 3) == [[0, 1, 3]]
    # Nobody proposed a second one: the most popular of its kind.
    assert case.items_of(Policy([Quota("brand", {"b": 2})]), 3) == [[0, 3, 6]]
    assert case.items_of(Policy([Quota("brand", {"b": 1, "c": 1})]), 3) == [[0, 3, 7]]


def test_caps_win_over_quotas_and_quotas_over_scores():
    items = catalogue(4, brand=["b", "b", "a", "a"], price=[1, 1, 9, 9])
    case = one_user([4, 3, 2, 1], items)
    policy = Policy([Quota(pl.col("price") > 5, 2), Cap("brand", 1)])
    assert case.items_of(policy, 3) == [[0, 2]]
    assert case.items_of(Policy([Quota(pl.col("price") > 5, 2)]), 3) == [[0, 2, 3]]


def test_an_item_counts_for_all_its_quotas():
    items = catalogue(5, tags=[["x"], ["x"], ["x"], ["y", "z"], ["y"]])
    case = one_user([5, 4, 3, 2, 1], items)
    assert case.items_of(Policy([Quota("tags", {"y": 1, "z": 1})]), 3) == [[0, 1, 3]]


def test_new_items_take_turns_among_users():
    n_users, n_items = 300, 30
    case = Case(
        seen=[list(range(20))] * n_users,
        proposed=[[0, 1, 2, 3]] * n_users,
        scores=np.tile([4.0, 3.0, 2.0, 1.0], n_users),
        items=catalogue(n_items),
    )
    shown = Counter()
    for items in case.items_of(Policy([NewItems(1)]), 3):
        assert items[:2] == [0, 1]
        shown[items[2]] += 1
    assert set(shown) == set(range(20, 30))
    assert max(shown.values()) < 3 * min(shown.values())


def test_a_new_candidate_comes_before_other_new_items():
    case = one_user([4, 3, 2, 1], catalogue(9))
    case.seen = [[0, 1, 2, 8]]
    assert case.items_of(Policy([NewItems(1)]), 2) == [[0, 3]]
    assert case.items_of(Policy([NewItems(1, max_events=1)]), 2) == [[0, 1]]


@pytest.mark.parametrize("step", REORDERS)
def test_a_reordering_keeps_reserved_items_beyond_its_depth(step):
    rng = np.random.default_rng(0)
    items = catalogue(200, tags=[["x"]] * 190 + [["rare"]] * 10)
    vectors = rng.normal(size=(200, 3)).astype(np.float32)
    case = one_user(list(range(200, 0, -1)), items, vectors=vectors)
    [found] = case.items_of(Policy([step, Quota("tags", {"rare": 2})]), 5)
    assert sum(item >= 190 for item in found) == 2
    assert {190, 191} < set(found)
