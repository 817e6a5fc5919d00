"""Explanations: what adds up to what, who can be asked about, and how partners are found."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import ranker
from features.block import Feature
from features.custom import CustomBlock
from features.item import ItemPopularity
from features.lateness import ItemLateness
from features.stage import FeatureStage, default_blocks
from ranker import LambdaRank, Popularity
from ranker.explain.families import by_family
from ranker.explain.topics import Topics
from tests.logs import CLOCKS, make_log
from tests.recommenders import N_ITEMS, everything, item_table, small

LOG = make_log("datetime")
EFFECTS = pl.sum_horizontal(pl.selectors.ends_with("_effect"))


def luck(history: pl.LazyFrame, as_of: object) -> pl.DataFrame:
    """A feature of pairs whose name is no family of ours."""
    return history.group_by("user_id", "item_id").agg((pl.len() * 7 % 5).alias("number")).collect()


@pytest.fixture(scope="module")
def fitted() -> ranker.TwoStageRecommender:
    stage = FeatureStage((*default_blocks(), CustomBlock("luck", ("user_id", "item_id"), luck)))
    return everything(
        features=stage, reranker=LambdaRank(n_trees=60, patience=60, min_rows_in_leaf=5)
    )


def test_windows_that_are_lengths_of_time_are_told():
    recommender = small(
        generators=[("popular", Popularity())],
        features=FeatureStage((ItemPopularity(windows=("30m", "10d")),)),
    ).fit(LOG)
    why = recommender.explain(recommender.recommend(k=10))
    said = set(why["reason"].str.extract(r"the last ([\d]+ \w+)").drop_nulls())
    assert said
    assert said <= {"10 days", "30 minutes"}


def test_what_users_take_late_is_told():
    rng = np.random.default_rng(0)
    log = pl.DataFrame(
        [
            (f"u{user:03}", f"i{item:03}", place)
            for user in range(80)
            for place, item in enumerate(sorted(rng.choice(25, 8, replace=False)))
        ],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )
    recommender = small(
        generators=[("popular", Popularity())],
        n_candidates=25,
        features=FeatureStage((ItemLateness((1, 3)),)),
    ).fit(log)
    lists = recommender.recommend(k=3)
    value = recommender.build_features(recommender.generate_candidates())
    why = recommender.explain(lists).join(value, on=["user_id", "item_id"])
    told = why.with_columns(
        pl.col("reason").str.extract_groups(
            r"rising: (?<where>as users' latest|among users' latest 3) (?<times>[\d.]+) times"
        )
    ).unnest("reason")
    told = told.drop_nulls("times")
    assert told.height > 80
    column = pl.when(pl.col("where").str.ends_with("3")).then("item_latest_3")
    lift = told.select(column.otherwise("item_latest_1")).to_series()
    assert [f"{value:.1f}" for value in lift] == told["times"].to_list()


@given(users=st.lists(st.sampled_from(range(45)), min_size=1, max_size=6), k=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_families_add_up_to_the_scores_of_the_lists(fitted, users, k):
    ids = [f"u{number:03}" for number in users]
    lists, why = fitted.recommend(ids, k=k), fitted.explain(ids, k=k)
    assert_frame_equal(why.select("user_id", "item_id"), lists.select("user_id", "item_id"))
    by_trees = why.filter(pl.col("score").is_not_null())
    gaps = by_trees.select((EFFECTS - pl.col("score")).abs()).to_series()
    assert (gaps < 1e-6).all()
    assert by_trees.height or set(ids) <= {"u040", "u041", "u042", "u043", "u044"}, "strangers"
    listed = lists.join(by_trees, on=["user_id", "item_id"], suffix="_told").drop_nulls("score")
    proposed = listed.filter(pl.col("n_sources") > 0)
    np.testing.assert_array_equal(proposed["score"], proposed["score_told"])
    effects = {name for name in why.columns if name.endswith("_effect")}
    families = {feature.family for feature in fitted._server.snapshot.tables.features}
    assert "luck" in families
    assert effects == {f"{family}_effect" for family in families} | {"base_effect"}


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_sums_by_family_leave_nothing_out(seed, n_features, n_rows):
    rng = np.random.default_rng(seed)
    features = [
        Feature(f"f{n}", str(rng.choice(["a", "b", "list", "base"])), "score", "")
        for n in range(n_features)
    ]
    contributions = rng.normal(size=(n_rows, n_features + 1))
    families = by_family(features, contributions)
    assert set(families) == {"base"} | {feature.family for feature in features}
    np.testing.assert_allclose(sum(families.values()), contributions.sum(axis=1), atol=1e-9)


def test_credits_of_topics_cover_every_column(fitted):
    snapshot = fitted._server.snapshot
    topics = Topics.of(snapshot.tables.features, snapshot.generators)
    effects = np.random.default_rng(0).normal(size=(20, len(snapshot.tables.features)))
    rank = np.random.default_rng(1).integers(0, 3, (20, len(snapshot.generators))).astype(np.int32)
    rank[:, 0] = 1
    credit = topics.credit(effects, rank)
    np.testing.assert_allclose(credit.sum(axis=1), effects.sum(axis=1), atol=1e-9)
    kinds = {topic.kind for topic in topics.topics}
    assert {"history", "similarity", "taste", "popularity", "affinity", "luck"} <= kinds
    assert "list" not in kinds, "compared features count for what they compare"


def test_the_partner_is_the_most_similar_of_the_latest_items_and_the_counts_are_the_logs(fitted):
    snapshot = fitted._server.snapshot
    titles = dict(item_table().select("title", "item_id").iter_rows())
    why = fitted.explain(fitted.user_ids, k=N_ITEMS)
    told = why.filter(pl.col("reason").str.contains("goes with "))
    assert told.height > 3
    for user, item, reason in told.select("user_id", "item_id", "reason").iter_rows():
        part = next(part for part in reason.split("; ") if part.startswith("goes with "))
        title = part.removeprefix("goes with ").partition(", taken ")[0]
        matrix = snapshot.generators[part.rpartition(" (by ")[2].rstrip(")")].similarity
        own = LOG.filter(pl.col("user_id") == user, pl.col("item_id") != item)
        mine, this = (
            snapshot.history.items.encode(ids)
            for ids in (own["item_id"].unique(), pl.Series([item]))
        )
        similar = matrix[mine, this[0]].toarray().ravel()
        partner = snapshot.history.items.encode(pl.Series([titles.get(title, title)]))[0]
        assert matrix[partner, this[0]] == similar.max() > 0
        takers = [
            set(LOG.filter(item_id=one)["user_id"]) for one in (titles.get(title, title), item)
        ]
        if ": of " in part:
            assert f": of {len(takers[0])} users" in part
            assert f", {len(takers[0] & takers[1])} ha" in part


def test_the_partner_in_taste_has_the_largest_cosine(fitted):
    snapshot = fitted._server.snapshot
    unit = snapshot.generators["als"].item_vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-30)
    items = dict(item_table().select("title", "item_id").iter_rows())
    head = "matches the taste for "
    told = fitted.explain(fitted.user_ids, k=N_ITEMS).filter(pl.col("reason").str.contains(head))
    assert told.height > 3
    for user, item, reason in told.select("user_id", "item_id", "reason").iter_rows():
        title = reason.partition(head)[2].partition(", taken ")[0]
        own = LOG.filter(pl.col("user_id") == user, pl.col("item_id") != item)["item_id"].unique()
        asked = pl.concat([own, pl.Series([items.get(title, title), item])])
        rows = snapshot.history.items.encode(asked)
        cosine = unit[rows] @ unit[rows[-1]]
        assert cosine[-2] == pytest.approx(cosine[: len(own)].max())
        assert cosine[-2] > 0


def test_one_user_several_and_a_frame_are_explained_alike(fitted):
    ids = ["u004", "u017", "u001"]
    together = fitted.explain(ids, k=7)
    assert_frame_equal(pl.concat([fitted.explain(one, k=7) for one in ids]), together)
    shuffled = fitted.recommend(ids, k=7).sample(fraction=1, shuffle=True, seed=0)
    again = fitted.explain(shuffled.lazy(), k=7)
    assert_frame_equal(again.select("user_id", "item_id"), shuffled.select("user_id", "item_id"))
    assert_frame_equal(again, together, check_row_order=False)
    threads = everything(
        features=fitted.features, reranker=fitted.reranker, n_threads=2, chunk_size=3
    )
    assert_frame_equal(threads.explain(threads.user_ids, k=3), fitted.explain(fitted.user_ids, k=3))


def test_sessions_are_explained_by_their_events(fitted):
    session = LOG.filter(user_id="u004").with_columns(user_id=pl.lit("somebody"))
    why, known = fitted.explain(histories=session, k=5), fitted.explain("u004", k=5)
    assert why["user_id"].unique().to_list() == ["somebody"]
    assert_frame_equal(why.drop("user_id"), known.drop("user_id"))


def test_an_item_that_nobody_proposes_changes_nothing_for_the_others(fitted):
    alone = fitted.explain("u004", ["i002"])
    assert_frame_equal(fitted.explain("u004", ["i002", "i099"])[:1], alone)


def test_lists_that_the_trees_do_not_order_have_no_effects(fitted):
    why = fitted.explain(["nobody"], k=5)
    assert fitted.cold_system_ == "popular"
    for name in ("score", "base_effect", "history_effect"):
        assert why[name].null_count() == 5
    assert why["reason"].str.contains("most taken item").all()


@pytest.mark.parametrize("clock", CLOCKS)
def test_sentences_on_every_clock(clock):
    recommender = everything(clock)
    why = recommender.explain(recommender.user_ids, k=10, verb="played")
    assert why["reason"].null_count() == 0
    assert why["reason"].str.len_chars().min() > 8
    if clock in ("shared", "none"):
        assert not why["reason"].str.contains(" ago").any(), "nothing is known of the unit"


def test_ids_stand_in_for_titles():
    recommender = small().fit(LOG.drop("event"))
    reasons = recommender.explain(recommender.user_ids, k=N_ITEMS)["reason"]
    assert reasons.str.contains(r"(goes with|matches the taste for) i\d\d\d, taken \d+").any()


def test_questions_that_are_not_clear_are_refused(fitted):
    with pytest.raises(ranker.ConfigError, match="item_ids are those of a single user"):
        fitted.explain(["u001", "u002"], ["i001"])
    with pytest.raises(ranker.ConfigError, match=r"columns \['item_id'\] are missing"):
        fitted.explain(pl.DataFrame({"user_id": ["u001"]}))
    with pytest.raises(ranker.ConfigError, match=r"k=0"):
        fitted.explain("u001", k=0)
