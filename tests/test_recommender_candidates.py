"""Every item as a candidate, what each source adds, and depths for a budget."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.schema import check_interactions
from ranker import (
    ConfigError,
    ItemKNN,
    LabelWindows,
    LambdaRank,
    Popularity,
    TwoStageRecommender,
    split_by_time,
)
from ranker.budget import spend
from ranker.candidates import Retrieved, merge
from ranker.candidates.merge import merge_with_everything
from ranker.labelling import unseen
from tests.logs import CLOCKS, history_from, make_log
from tests.recommenders import N_ITEMS, N_USERS, everything, item_table, small, user_table

LOG = make_log("datetime")


class TestEveryItem:
    """``n_candidates="all"``."""

    @pytest.mark.parametrize("exclude_seen", [False, True])
    def test_the_merge_against_a_loop(self, exclude_seen):
        rng = np.random.default_rng(0)
        history = history_from([[0, 3, 3], [], [5]], 7)
        item = np.stack([rng.permutation(7)[:3] for _ in range(3)]).astype(np.int32)
        item[1, 2] = -1
        if exclude_seen:
            item[0], item[2] = [1, 2, 4], [6, 0, 1]
        found = Retrieved(item, np.array([[3.0, 2.0, 1.0]] * 3, np.float32))
        sources = {"one": found, "silent": Retrieved.empty(3, 2)}
        whole = merge_with_everything(sources, history, exclude_seen=exclude_seen)
        assert whole.sources == ("one", "silent")
        proposed = merge(sources, history).frame()
        left_out = {(0, 0), (0, 3), (2, 5)} if exclude_seen else set()
        pairs = [pair for pair in itertools.product(range(3), range(7)) if pair not in left_out]
        frame = whole.frame()
        assert frame.select("user_id", "item_id").rows() == pairs
        spoken = frame.filter(pl.col("n_sources") > 0)
        assert_frame_equal(spoken, proposed, check_exact=True)
        mute = frame.filter(pl.col("n_sources") == 0).drop("user_id", "item_id", "n_sources")
        assert mute.null_count().sum_horizontal().item() == mute.height * mute.width

    @pytest.mark.parametrize("clock", CLOCKS)
    def test_everybody_gets_the_catalogue_on_every_clock(self, clock):
        recommender = everything(clock, n_candidates="all")
        candidates = recommender.generate_candidates(["u001", "nobody"])
        assert candidates.height == 2 * (N_ITEMS + 1)
        silent = candidates.filter(item_id="i099")
        assert silent["n_sources"].to_list() == [0, 0], "an item without events"
        deep = small(clock=clock, n_candidates=N_ITEMS).fit(
            make_log(clock, n_users=N_USERS, n_items=N_ITEMS),
            items=item_table(),
            users=user_table(),
        )
        proposed = deep.generate_candidates(["u001", "nobody"])
        assert_frame_equal(candidates.filter(pl.col("n_sources") > 0), proposed)
        lists = recommender.recommend(k=N_ITEMS + 1)
        warm = lists.filter(pl.col("user_id") != "u099")
        assert warm["score"].null_count() == 0, "nothing is left to be filled up"
        assert set(lists.group_by("user_id").len()["len"]) == {N_ITEMS + 1}
        assert recommender.choices_[2].endswith("covisitation, and every item for everybody") or (
            clock == "none"
        )

    def test_seen_items_are_no_candidates_where_nothing_is_taken_again(self):
        recommender = small(n_candidates="all", repeats=False).fit(LOG)
        candidates = recommender.generate_candidates()
        seen = LOG.select("user_id", "item_id").unique()
        assert not candidates.join(seen, on=["user_id", "item_id"], how="semi").height
        assert candidates.height == N_USERS * N_ITEMS - seen.height

    def test_chunks_and_threads_change_nothing(self, monkeypatch):
        expected = everything(n_candidates="all").recommend(k=12)
        again = everything(n_candidates="all", n_threads=2, chunk_size=7)
        assert_frame_equal(again.recommend(k=12), expected)
        monkeypatch.setattr("ranker.snapshot._MAX_ROWS", 3 * N_ITEMS)
        assert again._server.snapshot.chunk_size(1024) == 2
        assert_frame_equal(again.recommend(k=12), expected)

    def test_fusion_lists_only_what_a_source_proposes(self):
        recommender = everything(n_candidates="all")
        lists = recommender.recommend(["u001"], k=N_ITEMS + 1, system="fusion")
        assert lists["item_id"].to_list()[-1] == "i099"
        assert lists["score"].null_count() == 1

    def test_saved_loaded_and_refreshed(self, tmp_path):
        recommender = everything(n_candidates="all")
        recommender.save(tmp_path / "model")
        again = TwoStageRecommender.load(tmp_path / "model")
        assert again.fingerprint == recommender.fingerprint
        assert again.fingerprint != everything(n_candidates=10_000).fingerprint
        assert_frame_equal(again.recommend(k=9), recommender.recommend(k=9))
        assert_frame_equal(again.explain("u004"), recommender.explain("u004"))
        again.refresh(LOG.head(1).with_columns(pl.lit("i500").alias("item_id")))
        assert again.generate_candidates(["u001"]).height == N_ITEMS + 2

    def test_validation_keeps_fewer_groups(self, monkeypatch):
        monkeypatch.setattr("ranker.training._MAX_JUDGED_ROWS", 8 * N_ITEMS)
        recommender = small(n_candidates="all", holdout=LabelWindows("14d", 2)).fit(LOG)
        assert recommender.gate_.n_users <= 8

    def test_too_large_a_catalogue(self):
        n = 10_001
        log = pl.DataFrame({"user_id": [1] * n, "item_id": range(n), "timestamp": range(n)})
        message = r"n_candidates='all' makes 10,001 rows of each user.* at most 10,000"
        with pytest.raises(ConfigError, match=message):
            TwoStageRecommender(n_candidates="all").fit(log)
        items = pl.DataFrame({"item_id": [10_001]})
        with pytest.raises(ConfigError, match="makes 10,001 rows"):
            TwoStageRecommender(n_candidates="all").fit(log.head(10_000), items=items)

    def test_another_word(self):
        with pytest.raises(ConfigError, match=r"n_candidates='every' is not known.*or 'all'"):
            small(n_candidates="every").fit(LOG)


@pytest.fixture(scope="module")
def parts():
    train, test = split_by_time(LOG, test_fraction=0.2)
    recommender = small(n_candidates={"popular": 4, "als": 15, "item_knn": 7}).fit(train)
    return recommender, test.select("user_id", "item_id").unique(), recommender.funnel(test)


class TestFunnel:
    """What each source adds and costs."""

    def test_adds_against_a_join(self, parts):
        recommender, relevant, funnel = parts
        hits = recommender.generate_candidates().join(relevant, on=["user_id", "item_id"])
        names = list(recommender.depths_)
        for name in names:
            others = [pl.col(f"{other}_rank").is_null() for other in names if other != name]
            for row in funnel.filter(stage=name).iter_rows(named=True):
                alone = pl.all_horizontal(pl.col(f"{name}_rank") <= row["depth"], *others)
                assert row["adds"] == hits.filter(alone).height
        union = funnel.filter(stage="union")["found"].max()
        for name in names:
            others = [pl.col(f"{other}_rank").is_not_null() for other in names if other != name]
            lost = union - hits.filter(pl.any_horizontal(others)).height
            assert funnel.filter(stage=name)["adds"].to_list()[-1] == lost

    def test_seconds_are_of_sources_alone(self, parts):
        recommender, _, funnel = parts
        is_source = pl.col("stage").is_in(list(recommender.depths_))
        assert (funnel.filter(is_source)["seconds"] > 0).all()
        assert funnel.filter(is_source).group_by("stage").agg(pl.col("seconds").n_unique())[
            "seconds"
        ].to_list() == [1] * len(recommender.depths_)
        rest = funnel.filter(~is_source)
        assert rest["seconds"].null_count() == rest["adds"].null_count() == rest.height


def brute_force(rank: np.ndarray, gain: np.ndarray, total: int, deepest: int) -> float:
    """The most that any depths within the budget find."""
    options = itertools.product(range(min(total, deepest) + 1), repeat=rank.shape[1])
    return max(
        gain[((rank > 0) & (rank <= np.array(depths))).any(axis=1)].sum()
        for depths in options
        if sum(depths) <= total
    )


class TestBudget:
    """Depths for a total number of candidates."""

    @given(
        ranks=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), max_size=12),
        total=st.integers(1, 12),
        deepest=st.integers(1, 8),
    )
    @settings(max_examples=200, deadline=None)
    def test_greedy_is_within_the_budget_and_near_the_best(self, ranks, total, deepest):
        rank = np.array(ranks, np.int32).reshape(-1, 3)
        gain = np.ones(len(rank))
        depths = spend(rank, gain, total=total, deepest=deepest)
        assert sum(depths) <= total
        assert all(0 <= depth <= deepest for depth in depths)
        found = ((rank > 0) & (rank <= np.array(depths))).any(axis=1).sum()
        assert found >= 0.5 * brute_force(rank, gain, total, deepest)

    def test_by_hand(self):
        # The second source's hits are the first one's, but for the third.
        rank = np.array([[1, 1], [2, 2], [0, 3], [4, 0]], np.int32)
        assert spend(rank, np.ones(4), total=30, deepest=100) == [4, 3]
        assert spend(rank, np.ones(4), total=4, deepest=100) == [4, 0]
        assert spend(rank, np.array([1, 1, 9, 1.0]), total=4, deepest=100) == [0, 3]
        assert spend(rank, np.zeros(4), total=4, deepest=100) == [0, 0]

    def test_a_source_that_adds_nothing_gets_nothing(self):
        recommender = small(
            generators=[("popular", Popularity()), ("again", Popularity()), ("knn", ItemKNN())],
            repeats=False,
        ).fit(LOG)
        depths = recommender.choose_depths(12, deepest=10)
        assert list(depths) == ["popular", "again", "knn"]
        assert depths["again"] == 0
        assert 0 < sum(depths.values()) <= 12

    def test_chosen_by_the_freshest_window_alone(self):
        """The same by hand, from the ranks of sources fitted before the window."""
        recommender = small(holdout=LabelWindows("14d", 2), repeats=False).fit(LOG)
        state = recommender._state
        fold = LabelWindows("14d", 2).folds(state.log, state.facts, random_state=0)[0]
        snapshot = state.snapshot(fold)
        labels = unseen(fold.labels, snapshot.history)
        users = labels["user_id"].unique().sort()
        depths = dict.fromkeys(snapshot.generators, 20)
        candidates = snapshot.candidates(
            snapshot.history.select(users), depths, exclude_seen=True
        ).frame()
        per_user = labels.group_by("user_id").len()
        hits = candidates.join(labels, on=["user_id", "item_id"]).join(per_user, on="user_id")
        ranks = hits.select(pl.col(f"{name}_rank").fill_null(0) for name in depths)
        expected = spend(ranks.to_numpy(), 1 / hits["len"].to_numpy(), total=40, deepest=20)
        found = recommender.choose_depths(40, deepest=20)
        assert list(found.values()) == expected
        other = small(holdout=LabelWindows("14d", 2), repeats=False, n_threads=2).fit(LOG)
        assert other.choose_depths(40, deepest=20) == found

    def test_the_depths_are_taken_by_a_new_recommender(self):
        depths = small().fit(LOG).choose_depths(30)
        recommender = small(n_candidates=depths).fit(LOG)
        assert recommender.depths_ == depths
        candidates = recommender.generate_candidates(["u001"])
        for name, depth in depths.items():
            assert candidates[f"{name}_rank"].fill_null(0).max() <= depth

    def test_a_source_of_depth_zero_stays_silent(self):
        recommender = small(n_candidates={"als": 0}).fit(LOG)
        assert recommender.generate_candidates()["als_rank"].null_count() > 0
        lists = recommender.recommend(["u001"], k=12, system="als")
        popular = recommender.recommend(["u001"], k=12, system="popular")
        assert lists["item_id"].to_list() == popular["item_id"].to_list()

    def test_nothing_to_choose_by(self):
        recommender = small().fit(LOG)
        with pytest.raises(ConfigError, match="total=0; expected a whole number"):
            recommender.choose_depths(0)
        once = pl.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [5, 5]})
        with pytest.raises(ConfigError, match="no labels to choose depths by"):
            TwoStageRecommender(generators=[("popular", Popularity())]).fit(once).choose_depths()
        strangers = pl.DataFrame(
            {"user_id": [1, 2, 3, 4], "item_id": [1, 2, 3, 4], "timestamp": [1, 2, 90, 99]}
        )
        recommender = TwoStageRecommender(
            generators=[("knn", ItemKNN())], reranker=LambdaRank(n_trees=2)
        )
        with pytest.raises(ConfigError, match="no source proposes anything"):
            recommender.fit(strangers).choose_depths()


def test_canonical_log_is_what_the_tests_take_it_for():
    assert check_interactions(LOG)["user_id"].n_unique() == N_USERS
    assert LOG["item_id"].n_unique() == N_ITEMS
