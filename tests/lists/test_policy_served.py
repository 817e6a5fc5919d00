"""Policies through the front door: recommend, export, effect; small and on real data."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import ConfigError, ExportError
from ranker import (
    TwoStageRecommender,
    evaluate,
    export_recommendations,
    read_export,
    split_by_time,
    verify_export,
)
from ranker.datasets import load_folder
from ranker.lists import (
    DPP,
    MMR,
    Calibrate,
    Cap,
    Epsilon,
    Explore,
    FilterSeen,
    FilterWhere,
    NewItems,
    Policy,
    Quota,
    Thompson,
    diversity_curve,
)
from tests.logs import make_log
from tests.recommenders import N_ITEMS, everything

LOG = make_log("datetime")
K = 8


def full_policy() -> Policy:
    return Policy(
        [
            FilterSeen(within="2d"),
            FilterWhere((pl.col("brand") != "brand 2") | (pl.col("user_age").fill_null(0) > 9)),
            Cap("brand", 4),
            MMR("als", diversity=0.5),
            Calibrate("genres", strength=0.3, half_life="30d"),
            Quota("genres", {"g4": 2}),
            NewItems(1),
            Explore(2, by=Epsilon(0.5)),
        ]
    )


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


@pytest.fixture(scope="module")
def lists(fitted) -> pl.DataFrame:
    return fitted.recommend(k=K, policy=full_policy())


def test_the_frame(lists):
    assert lists.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "rank": pl.Int64,
        "score": pl.Float32,
        "propensity": pl.Float64,
    }
    assert lists["propensity"].is_between(0, 1, closed="right").all()
    assert (lists["propensity"] < 1).any()


def test_lists_do_not_depend_on_who_is_served_alongside(fitted, lists, tmp_path: Path):
    mixed = fitted.user_ids.sample(fraction=1, shuffle=True, seed=3)
    again = fitted.recommend(mixed, k=K, policy=full_policy())
    assert_frame_equal(again.sort("user_id", "rank"), lists)
    for user in mixed.head(3):
        one = fitted.recommend([user], k=K, policy=full_policy())
        assert_frame_equal(one, lists.filter(user_id=user))
    for settings in ({"chunk_size": 3, "n_threads": 2}, {"chunk_size": 1}):
        other = everything(**settings)
        assert_frame_equal(other.recommend(k=K, policy=full_policy()), lists)
    fitted.save(tmp_path / "model")
    loaded = TwoStageRecommender.load(tmp_path / "model")
    assert_frame_equal(loaded.recommend(k=K, policy=full_policy()), lists)


def test_thompson_over_events_of_the_log(fitted):
    rule = Thompson(success="cart", trial="view", within="60d")
    found = fitted.recommend(k=K, policy=Policy([Explore(1, by=rule)]))
    assert_frame_equal(
        found.filter(pl.col("rank") < K).drop("propensity"),
        fitted.recommend(k=K).filter(pl.col("rank") < K),
    )
    with pytest.raises(ConfigError, match="no events 'order'; there are 'cart', 'view'"):
        fitted.recommend(policy=Policy([Explore(1, by=Thompson(success="order", trial="view"))]))


def test_a_policy_for_any_system(fitted):
    found = fitted.recommend(k=K, system="popular", policy=Policy([FilterSeen()]))
    plain = fitted.recommend(k=N_ITEMS, system="popular", exclude_seen=True)
    expected = plain.filter(pl.col("rank") <= K).select("user_id", "item_id", "rank")
    assert_frame_equal(found.select(expected.columns), expected)


def test_mistakes_are_told_before_anything_is_computed(fitted):
    with pytest.raises(ConfigError, match=r"policy=\[Cap.*expected ranker.lists.Policy"):
        fitted.recommend(policy=[Cap("brand", 1)])
    with pytest.raises(ConfigError, match="asks for 5 places of a list of k=3"):
        fitted.recommend(k=3, policy=Policy([Quota("genres", {"g1": 4}), Explore(1)]))
    with pytest.raises(ConfigError, match=r"vectors by 'als'"):
        fitted.recommend(policy=Policy([MMR("popular")]))
    with pytest.raises(ConfigError, match=r"expected ranker\.lists\.Policy"):
        fitted.policy_effect(Cap("brand", 1), LOG)
    with pytest.raises(ConfigError, match=r"policy=MMR.*expected ranker\.lists\.Policy"):
        export_recommendations(fitted, None, "nowhere", policy=MMR("als"))


def test_an_export_has_the_policy_and_its_propensities(fitted, lists, tmp_path: Path):
    policy = full_policy()
    export_recommendations(fitted, None, tmp_path / "a", k=K, policy=policy, chunk_size=7)
    found = read_export(tmp_path / "a").collect().sort("user_id", "rank")
    assert_frame_equal(found, lists)
    assert policy.fingerprint in (tmp_path / "a" / "_manifest.json").read_text()
    verify_export(tmp_path / "a")
    again = export_recommendations(fitted, None, tmp_path / "a", k=K, policy=full_policy())
    assert again.n_resumed == again.n_shards
    with pytest.raises(ExportError, match=f"policy: '{policy.fingerprint}', not None"):
        export_recommendations(fitted, None, tmp_path / "a", k=K)
    other = Policy([*policy.steps[:-1], Explore(2, by=Epsilon(0.6))])
    with pytest.raises(ExportError, match="another export"):
        export_recommendations(fitted, None, tmp_path / "a", k=K, policy=other)


def test_an_export_without_a_policy_is_not_continued_with_one(fitted, tmp_path: Path):
    export_recommendations(fitted, None, tmp_path, k=K)
    assert read_export(tmp_path).collect_schema().names() == ["user_id", "item_id", "rank", "score"]
    with pytest.raises(ExportError, match="policy: None, not"):
        export_recommendations(fitted, None, tmp_path, k=K, policy=Policy([Cap("brand", 2)]))


def test_the_effect_of_each_step(fitted):
    policy, test = full_policy(), LOG.tail(120)
    effect = fitted.policy_effect(policy, test, k=K, embedding="als")
    assert effect["step"].to_list()[0] == "no policy"
    assert effect["step"].to_list()[3] == "3. Cap('brand', 4)"
    assert effect.height == len(policy.steps) + 1
    users = test["user_id"].unique()
    for place, prefix in enumerate([None, *policy.prefixes()]):
        own = fitted.recommend(users, k=K, policy=prefix)
        judged = evaluate(own, test, k=K, metrics=["ndcg", "coverage", "novelty"], train=LOG)
        row = effect.row(place, named=True)
        assert [row["ndcg"], row["coverage"], row["novelty"]] == pytest.approx(
            judged["mean"].to_list()
        )
        assert row["length"] == pytest.approx(own.height / len(users))
    changes = effect["ndcg"].diff().to_list()
    assert effect["change"].to_list()[1:] == pytest.approx(changes[1:])
    assert effect["distance"].is_between(0, 1).all()


def test_the_curve_starts_at_no_policy(fitted):
    test = LOG.tail(120)
    curve = diversity_curve(fitted, DPP("als"), test, values=[0, 0.5, 1], k=K)
    plain = evaluate(fitted.recommend(test["user_id"].unique(), k=K), test, k=K, metrics="ndcg")
    assert curve["value"].to_list() == [0.0, 0.5, 1.0]
    assert curve["ndcg"][0] == pytest.approx(plain["mean"].item())
    assert curve["change"][0] == 0
    assert curve["distance"].is_sorted()
    with_rules = diversity_curve(
        fitted, Policy([Cap("brand", 2), Calibrate("genres")]), test, values=[0.5], k=K
    )
    assert "distance" not in with_rules.columns
    with pytest.raises(ConfigError, match="has no MMR, DPP or Calibrate"):
        diversity_curve(fitted, Cap("brand", 2), test)
    with pytest.raises(ConfigError, match="values is empty"):
        diversity_curve(fitted, MMR("als"), test, values=[])


def test_on_movielens(data_folder: Path):
    folder = data_folder / "ml-100k"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    data = load_folder(folder)
    train, test = split_by_time(data.interactions, test_fraction=0.1)
    items = data.items.select("item_id", "title", "genres")
    recommender = TwoStageRecommender.preset("fast", random_state=0).fit(train, items=items)
    users = test["user_id"].unique().sort()
    policy = Policy(
        [
            FilterWhere(~pl.col("genres").list.contains("Children's").fill_null(False)),
            Cap("genres", 4),
            MMR("als", diversity=0.3),
            Quota("genres", {"Documentary": 1}),
            NewItems(1, max_events=5),
            Explore(1, by=Epsilon(0.2)),
        ]
    )
    lists = recommender.recommend(users, k=10, policy=policy)
    assert (lists.group_by("user_id").len()["len"] == 10).all()
    assert not lists.join(train, on=["user_id", "item_id"], how="semi").height
    genres = lists.join(items, on="item_id").explode("genres")
    counts = genres.group_by("user_id", "genres").len()
    assert counts["len"].max() <= 4
    assert "Children's" not in counts["genres"]
    assert counts.filter(genres="Documentary").height == len(users)
    # Candidates lie by ALS; the further apart they are put, the less of the order is left.
    curve = diversity_curve(recommender, MMR("als"), test, values=[0.0, 0.5, 0.7, 0.9])
    assert curve["distance"].is_sorted()
    assert curve["distance"][3] > 1.1 * curve["distance"][0]
    assert curve["ndcg"][3] < curve["ndcg"][0]
    assert curve["coverage"][3] > curve["coverage"][0]
