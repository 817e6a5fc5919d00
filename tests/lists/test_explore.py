"""Exploration: what is shown has the probability that is logged, and follows from seed and id."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from scipy import stats

from features.errors import ConfigError, SchemaError
from ranker.lists import Cap, Epsilon, Explore, Policy, Quota, Thompson
from ranker.lists.chance import uniform, user_hashes
from ranker.lists.context import ListContext
from tests.lists.cases import Case, catalogue
from tests.logs import history_of

N_USERS, K = 4_000, 4
RATES = pl.DataFrame(
    {"item_id": range(10), "successes": range(10), "trials": [40 - 2 * i for i in range(10)]}
)
RULES = (Epsilon(0.3), Epsilon(1.0), Thompson(rates=RATES))


def many_users(n_items: int = 10, **columns) -> Case:
    """The same candidates for everybody: what differs is chance."""
    return Case(
        seen=[[]] * N_USERS,
        proposed=[list(range(8))] * N_USERS,
        scores=np.tile(np.arange(8.0, 0.0, -1.0), N_USERS),
        items=catalogue(n_items, **columns),
    )


@pytest.mark.parametrize("by", RULES)
def test_items_are_shown_as_often_as_their_propensity_says(by):
    lists = many_users().lists(Policy([Explore(2, by=by)]), K)
    assert (lists.item[:, :2] == [0, 1]).all()
    assert (lists.propensity[:, :2] == 1).all()
    seen_in, propensity = defaultdict(lambda: defaultdict(int)), {}
    for row, chances in zip(lists.item.tolist(), lists.propensity.tolist(), strict=True):
        for place in (2, 3):
            above = tuple(row[:place])
            seen_in[above][row[place]] += 1
            # The same circumstances, the same probability.
            assert propensity.setdefault((*above, row[place]), chances[place]) == chances[place]
    for above, counts in seen_in.items():
        total = sum(counts.values())
        chances = np.array([propensity[*above, item] for item in counts])
        assert chances.sum() <= 1 + 1e-9
        if total < 300:
            continue
        rest = max(1 - chances.sum(), 0.0)  # what was possible and did not happen
        observed, expected = [*counts.values(), 0], [*(chances * total), rest * total]
        frequent = np.array(expected) > 5
        p_value = stats.chisquare(
            np.array(observed)[frequent],
            np.array(expected)[frequent]
            / np.array(expected)[frequent].sum()
            * np.array(observed)[frequent].sum(),
        ).pvalue
        assert p_value > 1e-4


def test_the_propensity_of_epsilon():
    lists = many_users().lists(Policy([Explore(1, by=Epsilon(0.3), depth=2)]), K)
    shown = lists.item[:, 3]
    assert set(shown.tolist()) == {3, 4, 5}
    np.testing.assert_allclose(lists.propensity[:, 3], np.where(shown == 3, 0.7 + 0.1, 0.1))


def test_the_propensity_of_thompson_is_counted_over_the_draws():
    case, rule = many_users(), Thompson(rates=RATES, n_draws=64)
    lists = case.lists(Policy([Explore(1, by=rule)]), K)
    drawn = rule.draws(case.context, 0)[3:8]
    best = 3 + drawn.argmax(axis=0)
    for item in range(3, 8):
        rows = lists.item[:, 3] == item
        assert rows.any() == (best == item).any()
        assert (lists.propensity[rows, 3] == (best == item).mean()).all()


def test_rates_have_the_distribution_of_successes_and_failures():
    case, rule = many_users(), Thompson(rates=RATES.head(9), prior=(2.0, 3.0), n_draws=20_000)
    drawn = rule.draws(case.context, 1)
    for item in range(10):
        successes, trials = (0, 0) if item == 9 else RATES.row(item)[1:]
        a, b = 2 + successes, 3 + trials - successes
        assert drawn[item].mean() == pytest.approx(a / (a + b), abs=0.01)
        assert drawn[item].std() == pytest.approx(stats.beta(a, b).std(), abs=0.01)


def test_draws_follow_from_the_seed_and_the_user_alone():
    case, policy = many_users(), Policy([Explore(2, by=Epsilon(0.5))])
    first, again = case.lists(policy, K), case.lists(policy, K)
    np.testing.assert_array_equal(first.item, again.item)
    case.random_state = 1
    assert (case.lists(policy, K).item != first.item).any()
    fixed = Policy([Explore(2, by=Epsilon(0.5), random_state=0)])
    np.testing.assert_array_equal(case.lists(fixed, K).item, first.item)


def test_hashes_are_of_ids_and_seeds():
    users = pl.Series(["u1", "u2", "ü3"])
    hashes = user_hashes(users, "a")
    assert hashes.dtype == np.uint64
    assert user_hashes(users.reverse(), "a")[::-1].tolist() == hashes.tolist()
    assert len({*hashes.tolist(), *user_hashes(users, "b").tolist()}) == 6
    assert len(user_hashes(users.clear())) == 0
    # As they came out when this was written: exports of other days must not change.
    assert user_hashes(pl.Series([7]), "x").tolist() == [4908178539330867341]
    assert user_hashes(pl.Series(["7"]), "x").tolist() == [4908178539330867341]
    state, drawn = np.uint64(7), []
    for _ in range(3):
        state, share = uniform(state)
        drawn.append(share)
    assert drawn == [0.3898297483912715, 0.01678829452815611, 0.3459534817633546]


def test_rules_hold_for_what_is_tried_out():
    brands = ["a", "b", "b", "c", "c", "a", "d", "d", "e", "e"]
    case = many_users(brand=brands)
    policy = Policy(
        [Cap("brand", 1), Quota("brand", {"d": 1}), Explore(2, by=Epsilon(1.0), depth=9)]
    )
    lists = case.lists(policy, K)
    shown = np.array(brands)[lists.item]
    assert all(len(set(row)) == K for row in shown.tolist())
    assert (shown == "d").any(axis=1).all()
    assert len(np.unique(lists.item, axis=0)) > 3


def test_a_list_with_nothing_to_try_stays():
    case = Case([[]], [[0, 1]], np.array([2.0, 1.0]), catalogue(2))
    lists = case.lists(Policy([Explore(2, by=Epsilon(1.0))]), 2)
    assert sorted(lists.item[0].tolist()) == [0, 1]
    assert lists.propensity.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "success= and trial=, or a frame"),
        ({"success": "order"}, "success= and trial=, or a frame"),
        ({"rates": RATES, "success": "order", "trial": "view"}, "and not both"),
        ({"rates": RATES, "prior": (0.0, 1.0)}, "two numbers above 0"),
        ({"rates": RATES, "prior": (1.0,)}, "two numbers above 0"),
        ({"rates": RATES, "n_draws": 1}, "2 or more"),
    ],
)
def test_mistakes_in_thompson(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Thompson(**arguments)


def test_mistakes_in_rates():
    with pytest.raises(SchemaError, match=r"'trials' is missing"):
        Thompson(rates=RATES.drop("trials"))
    with pytest.raises(SchemaError, match="more successes than trials"):
        Thompson(rates=RATES.with_columns(trials=pl.lit(1)))
    with pytest.raises(SchemaError, match="2 rows repeat an item"):
        Thompson(rates=pl.concat([RATES, RATES.head(2)]))
    rule = Thompson(rates=RATES.with_columns(pl.col("item_id").cast(pl.String)))
    with pytest.raises(SchemaError, match="ids are String"):
        many_users().lists(Policy([Explore(1, by=rule)]), K)
    with pytest.raises(ConfigError, match="the log has no events 'order', 'view'"):
        many_users().lists(Policy([Explore(1, by=Thompson(success="order", trial="view"))]), K)


def test_rates_count_the_events_of_a_window():
    log = pl.DataFrame(
        {
            "user_id": [1] * 4 + [2] * 300 + [3] * 300,
            "item_id": [0, 1, 2, 2] + [0] * 300 + [1] * 300,
            "timestamp": [0, 500, 999, 999] + [950] * 300 + [100] * 300,
            "event": ["view"] * 3 + ["order"] + ["view"] * 200 + ["order"] * 100 + ["view"] * 300,
        }
    )
    history = history_of(log.with_columns(pl.col("user_id", "item_id").cast(pl.String)))
    context = ListContext(history, None, None, {}, np.arange(3, dtype=np.int32), 0)

    def means(**keywords):
        rule = Thompson(success="order", trial="view", n_draws=4_000, **keywords)
        return rule.draws(context, 0).mean(axis=1)

    # Beta(1 + orders, 1 + views that were none): 101 of 201 + 2, 1 of 301 + 2, 2 of 1 + 2.
    assert means() == pytest.approx([101 / 203, 1 / 303, 2 / 3], abs=0.01)
    # Of the last 100 of the clock's units only: item 1 has none left.
    assert means(within=100) == pytest.approx([101 / 202, 1 / 2, 2 / 3], abs=0.01)


def test_a_list_is_filled_up_where_what_is_tried_leaves_more_room_in_the_caps():
    tags = [["y"], ["x", "z"], ["z"], [], ["x"]]
    brand = [None, "c", None, "c", None]
    case = Case(
        seen=[[]] * 50,
        proposed=[[1, 2, 3, 4]] * 50,
        scores=np.tile([4.0, 3.0, 2.0, 1.0], 50),
        items=catalogue(5, brand=brand, tags=tags),
    )
    rules = [Cap("brand", 1), Cap("tags", 1)]
    plain = case.items_of(Policy(rules), 4)
    assert plain == [[1, 0]] * 50
    tried = case.lists(Policy([*rules, Explore(2, by=Epsilon(1.0))]), 4)
    lists = {tuple(i for i in row if i >= 0) for row in tried.item.tolist()}
    assert {len(items) for items in lists} == {2, 4}
    for items in lists:
        for more in set(range(5)) - set(items):
            brands = [brand[i] for i in (*items, more) if brand[i] is not None]
            tagged = [tag for i in (*items, more) for tag in tags[i]]
            assert len(set(brands)) < len(brands) or len(set(tagged)) < len(tagged)
    assert (tried.propensity[:, 2:] == 1).all()
