"""Which sources a log gets when nobody names any, and what their rules promise."""

from __future__ import annotations

import polars as pl
import pytest

from features.history import LogFacts
from features.schema import check_interactions
from ranker import ALS, TwoStageRecommender, UserKNN
from ranker.defaults import default_generators
from tests.logs import CLOCKS, make_log

EVERYWHERE = ["popular", "als", "item_knn"]
ORDERED = ["covisitation"]
PAIRS = ["random_walk", "ease"]
COMMON_CLOCK = ["trending"]


def names(clock: str, *, repeats: bool, n_users: int = 100, n_items: int = 100) -> set[str]:
    facts = LogFacts.of(check_interactions(make_log(clock)))
    return set(default_generators(facts, repeats=repeats, n_users=n_users, n_items=n_items))


def expected(clock: str) -> set[str]:
    wanted = {*EVERYWHERE}
    if clock != "none":
        wanted |= {*ORDERED} | ({"transitions"} if clock == "sequence" else set())
    else:
        wanted |= {"user_knn"}
    if clock in ("none", "sequence"):
        wanted |= {*PAIRS}
    else:
        wanted |= {*COMMON_CLOCK}
    return wanted


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("clock", CLOCKS)
def test_sources_follow_the_clock_and_whether_things_are_taken_again(clock, repeats):
    wanted = expected(clock) | ({"own"} if repeats else set())
    assert names(clock, repeats=repeats) == wanted


def test_ease_is_for_catalogues_whose_matrix_is_inverted_in_seconds():
    assert "ease" in names("sequence", repeats=False, n_items=5_000)
    assert "ease" not in names("sequence", repeats=False, n_items=5_001)


def test_user_knn_is_for_as_many_users_as_everybody_can_be_compared_with():
    assert "user_knn" in names("none", repeats=False, n_users=100_000)
    assert "user_knn" not in names("none", repeats=False, n_users=100_001)


def test_where_pairs_are_all_that_is_known_als_and_user_knn_have_parameters_of_their_own():
    found = {}
    for clock in ("none", "sequence"):
        facts = LogFacts.of(check_interactions(make_log(clock)))
        found[clock] = default_generators(facts, repeats=False, n_users=9, n_items=9)
    assert found["sequence"]["als"] == ALS()
    assert found["none"]["als"] == ALS(factors=128, alpha=20.0)
    assert found["none"]["user_knn"] == UserKNN(power=2.0)


@pytest.mark.parametrize(("limit", "found"), [(39, False), (40, True)])
def test_the_engine_counts_users_for_user_knn(monkeypatch, limit, found):
    monkeypatch.setattr("ranker.defaults._KNN_USERS", limit)
    log = make_log("none", n_users=40, n_items=25, n_events=2_000)
    assert log["user_id"].n_unique() == 40
    recommender = TwoStageRecommender(repeats=False, n_threads=1).fit(log)
    assert ("user_knn" in recommender.depths_) is found


def test_a_table_with_words_brings_their_source():
    facts = LogFacts.of(check_interactions(make_log("none")))
    numbers = pl.DataFrame({"item_id": ["a", "b"], "price": [1.5, 2.5]})
    texts = numbers.with_columns(title=pl.Series(["red shoe", "blue shoe"]))
    for items, found in ((None, False), (numbers, False), (texts, True)):
        sources = default_generators(facts, repeats=False, n_users=9, n_items=9, items=items)
        assert ("text" in sources) is found


@pytest.mark.parametrize("clock", ["sequence", "none"])
def test_the_engine_follows_the_rules(clock):
    log = make_log(clock)
    recommender = TwoStageRecommender(repeats=False, n_threads=1).fit(log)
    assert set(recommender.depths_) == names(
        clock, repeats=False, n_items=log["item_id"].n_unique()
    )
