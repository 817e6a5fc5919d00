"""MMR, determinantal point processes and calibration against brute force."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranker.lists import DPP, MMR, Calibrate, Cap, Policy
from tests.lists.cases import catalogue, one_user, relevance, similarities

SEEDS = st.integers(0, 100_000)
SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.8, 1.0])


def drawn(seed: int, n_items: int, n_factors: int) -> tuple[list[float], np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.sort(rng.normal(size=n_items))[::-1].tolist(), rng.normal(
        size=(n_items, n_factors)
    ).astype(np.float32)


def greedily(value, n: int, k: int, may=lambda chosen, one: True) -> list[int]:
    """Add the item with the largest value(chosen + item), the first of equal ones."""
    chosen: list[int] = []
    for _ in range(k):
        rest = [one for one in range(n) if one not in chosen and may(chosen, one)]
        if not rest:
            break
        values = [value([*chosen, one]) for one in rest]
        chosen.append(rest[int(np.argmax(values))])
    return chosen


def mmr_value(scores, vectors, diversity):
    own, alike = relevance(scores), similarities(vectors)

    def value(chosen):
        *before, last = chosen
        nearest = max((alike[last, one] for one in before), default=0.0)
        return (1 - diversity) * own[last] - diversity * nearest

    return value


def dpp_value(scores, vectors, diversity):
    own, alike = relevance(scores), similarities(vectors)

    def value(chosen):
        _, logdet = np.linalg.slogdet(alike[np.ix_(chosen, chosen)])
        return (1 - diversity) * own[chosen].sum() + (diversity * logdet if diversity else 0.0)

    return value


@given(seed=SEEDS, n_items=st.integers(1, 12), k=st.integers(1, 6), diversity=SHARES)
@settings(max_examples=200, deadline=None)
def test_mmr_is_the_greedy_choice(seed, n_items, k, diversity):
    scores, vectors = drawn(seed, n_items, 4)
    case = one_user(scores, catalogue(n_items), vectors=vectors)
    expected = greedily(mmr_value(scores, vectors, diversity), n_items, min(k, n_items))
    assert case.items_of(Policy([MMR("vectors", diversity=diversity)]), k)[0] == expected


@given(seed=SEEDS, n_items=st.integers(1, 12), k=st.integers(1, 6), diversity=SHARES)
@settings(max_examples=200, deadline=None)
def test_dpp_is_the_greedy_choice_by_determinants(seed, n_items, k, diversity):
    # As many factors as items of a list, so that no determinant vanishes.
    scores, vectors = drawn(seed, n_items, 8)
    case = one_user(scores, catalogue(n_items), vectors=vectors)
    expected = greedily(dpp_value(scores, vectors, diversity), n_items, min(k, n_items))
    assert case.items_of(Policy([DPP("vectors", diversity=diversity)]), k)[0] == expected


@pytest.mark.parametrize("step", [MMR("vectors", diversity=0.5), DPP("vectors", diversity=0.5)])
@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_caps_bind_while_they_choose(step, seed):
    scores, vectors = drawn(seed, 12, 8)
    brands = [f"b{one % 5}" for one in range(12)]
    case = one_user(scores, catalogue(12, brand=brands), vectors=vectors)
    value = (mmr_value if isinstance(step, MMR) else dpp_value)(scores, vectors, 0.5)

    def may(chosen, one):
        return Counter(brands[i] for i in chosen)[brands[one]] < 1

    expected = greedily(value, 12, 5, may)
    assert case.items_of(Policy([step, Cap("brand", 1)]), 5)[0] == expected
    assert case.items_of(Policy([Cap("brand", 1), step]), 5)[0] == expected


@given(seed=SEEDS, k=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_dpp_comes_near_the_most_probable_set(seed, k):
    scores, vectors = drawn(seed, 8, 8)
    value = dpp_value(scores, vectors, 0.5)
    case = one_user(scores, catalogue(8), vectors=vectors)
    [found] = case.items_of(Policy([DPP("vectors", diversity=0.5)]), k)
    best = max(value(list(chosen)) for chosen in combinations(range(8), k))
    alone = max(value([one]) for one in range(8))
    assert value(found) <= best + 1e-9
    if k == 1:
        assert value(found) == pytest.approx(alone)
    # No swap of the last one is better: it was chosen as the best addition.
    for other in set(range(8)) - set(found):
        assert value([*found[:-1], other]) <= value(found) + 1e-9


def test_twins_are_kept_apart():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    case = one_user([4, 3.9, 3.8, 0], catalogue(4), vectors=vectors)
    for step in (MMR("vectors", diversity=0.5), DPP("vectors", diversity=0.5)):
        assert case.items_of(Policy([step]), 2) == [[0, 2]]
    # Only unlikeness: the opposite is the least alike.
    assert case.items_of(Policy([MMR("vectors", diversity=1.0)]), 2) == [[0, 3]]


def test_dpp_goes_on_by_relevance_once_nothing_is_new():
    vectors = np.ones((6, 2), np.float32)
    case = one_user([6, 5, 4, 3, 2, 1], catalogue(6), vectors=vectors)
    assert case.items_of(Policy([DPP("vectors", diversity=0.9)]), 4) == [[0, 1, 2, 3]]


def test_only_the_first_of_the_pool_are_looked_at():
    scores, vectors = drawn(3, 30, 4)
    case = one_user(scores, catalogue(30), vectors=vectors)
    [found] = case.items_of(Policy([MMR("vectors", diversity=1.0, depth=8)]), 5)
    assert max(found) < 8
    [deep] = case.items_of(Policy([MMR("vectors", diversity=1.0)]), 5)
    assert max(deep) >= 8


def test_a_second_step_goes_on_from_the_order_of_the_first():
    scores, vectors = drawn(5, 12, 4)
    case = one_user(scores, catalogue(12), vectors=vectors)
    first = MMR("vectors", diversity=0.8)
    alone = case.items_of(Policy([first]), 5)
    assert case.items_of(Policy([first, DPP("vectors", diversity=0.0)]), 5) == alone
    both = case.items_of(Policy([first, DPP("vectors", diversity=0.3)]), 5)
    assert both != case.items_of(Policy([DPP("vectors", diversity=0.3)]), 5)


def test_vectors_of_any_length_are_the_same():
    scores, vectors = drawn(7, 10, 3)
    stretched = vectors * np.arange(1, 11, dtype=np.float32)[:, None]
    lists = [
        one_user(scores, catalogue(10), vectors=own).items_of(Policy([MMR("vectors")]), 5)
        for own in (vectors, stretched)
    ]
    assert lists[0] == lists[1]


def test_a_column_of_embeddings_does_as_well_as_a_source():
    scores, vectors = drawn(11, 10, 3)
    of_source = one_user(scores, catalogue(10), vectors=vectors)
    of_column = one_user(
        scores, catalogue(10, look=pl.Series(vectors, dtype=pl.Array(pl.Float32, 3)))
    )
    for step in (MMR, DPP):
        assert of_source.items_of(Policy([step("vectors")]), 5) == of_column.items_of(
            Policy([step("look")]), 5
        )


def steck_value(scores, genres, past, strength, alpha=0.01):
    own = relevance(scores)

    def shares(items):
        total = Counter()
        for item in items:
            for genre in genres[item]:
                total[genre] += 1 / len(genres[item])
        return total

    p = shares([item for item in past if genres[item]])
    n_past = sum(bool(genres[item]) for item in past)

    def value(chosen):
        q, n_listed = shares(chosen), max(sum(bool(genres[item]) for item in chosen), 1)
        divergence = 0.0
        for genre, n in p.items():
            share = n / n_past
            mixed = (1 - alpha) * q[genre] / n_listed + alpha * share
            divergence += share * np.log(share / mixed)
        return (1 - strength) * own[chosen].sum() - strength * divergence

    return value


@given(seed=SEEDS, k=st.integers(1, 6), strength=SHARES)
@settings(max_examples=200, deadline=None)
def test_calibration_is_the_greedy_choice(seed, k, strength):
    rng = np.random.default_rng(seed)
    scores, _ = drawn(seed, 12, 2)
    genres = [[g for g in "abcd" if rng.random() < 0.4] for _ in range(12)]
    past = rng.integers(0, 12, rng.integers(0, 8)).tolist()
    case = one_user(scores, catalogue(12, genres=pl.Series(genres, dtype=pl.List(pl.String))))
    case.seen = [past]
    value = steck_value(scores, genres, past, strength)
    [found] = case.items_of(Policy([Calibrate("genres", strength=strength)]), k)
    # Each is the best addition to those before it, up to rounding: items of the same genres tie.
    assert len(found) == k
    for size in range(1, k + 1):
        best = max(
            value([*found[: size - 1], one]) for one in range(12) if one not in found[: size - 1]
        )
        assert value(found[:size]) == pytest.approx(best, abs=1e-9)


def test_shares_of_the_list_follow_the_past():
    # Steck's example: 70 % romance and 30 % action watched, and romance scores higher.
    genres = ["romance"] * 20 + ["action"] * 20
    case = one_user(list(range(40, 0, -1)), catalogue(40, genre=genres))
    case.seen = [[*range(7), *range(20, 23)]]
    plain = case.items_of(Policy([Calibrate("genre", strength=0.0)]), 10)[0]
    assert plain == list(range(10))
    [found] = case.items_of(Policy([Calibrate("genre", strength=0.99)]), 10)
    assert sum(item >= 20 for item in found) == 3


def test_users_without_a_past_keep_their_order():
    case = one_user([5, 4, 3, 2, 1], catalogue(5, genre=["a", "b", "a", "b", "c"]))
    assert case.items_of(Policy([Calibrate("genre", strength=0.9)]), 4) == [[0, 1, 2, 3]]
