"""The public contract of the recommender, on small logs of every kind of clock."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

import ranker.fitting
from features.errors import MissingExtraError
from features.schema import check_interactions
from ranker import (
    ALS,
    BPR,
    ItemKNN,
    LabelWindows,
    LambdaRank,
    LastInteractions,
    OwnHistory,
    Popularity,
    TwoStageRecommender,
    compare,
    evaluate,
    split_by_time,
)
from ranker.evaluation.intervals import PairedInterval
from ranker.model_files import fingerprint
from tests.logs import CLOCKS, START, make_log
from tests.recommenders import N_ITEMS, N_USERS, everything, item_table, small, user_table

LOG = make_log("datetime")
SCHEMA = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int64, "score": pl.Float32}


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


def assert_lists(lists: pl.DataFrame, user_ids: list, k: int) -> None:
    """Exactly k distinct items for everybody, in the order asked for, best first."""
    assert lists["user_id"].to_list() == [user for user in user_ids for _ in range(k)]
    assert lists["rank"].to_list() == list(range(1, k + 1)) * len(user_ids)
    assert not lists.select("user_id", "item_id").is_duplicated().any()
    for _, own in lists.group_by("user_id"):
        scores = own["score"]
        assert scores.drop_nulls().is_sorted(descending=True)
        assert not scores.is_nan().any()
        assert not scores.is_null().to_numpy()[: len(scores.drop_nulls())].any(), (
            "filled at the end"
        )


@pytest.mark.parametrize("clock", CLOCKS)
def test_lists_of_everybody_on_every_clock(clock):
    recommender = everything(clock)
    lists = recommender.recommend(k=10)
    assert lists.schema == SCHEMA
    assert_lists(lists, recommender.user_ids.to_list(), 10)
    assert len(recommender.user_ids) == N_USERS + 1
    assert recommender.gate_ is not None
    assert recommender.system_ == "two-stage"
    kinds = {"datetime": "absolute", "date": "absolute"}
    assert recommender.choices_[0].startswith(f"clock: {kinds.get(clock, clock)}; ")
    unseen = recommender.recommend(k=3, exclude_seen=True)
    seen = make_log(clock).select("user_id", "item_id")
    assert unseen.join(seen, on=["user_id", "item_id"], how="semi").is_empty()


@pytest.mark.parametrize(
    ("clock", "as_of"),
    [
        ("datetime", LOG["timestamp"].max() + dt.timedelta(microseconds=1)),
        ("date", dt.datetime.combine(LOG["timestamp"].max(), dt.time()) + dt.timedelta(days=1)),
        ("shared", make_log("shared")["timestamp"].max() + 1),
        ("sequence", None),
        ("none", None),
    ],
)
def test_a_snapshot_stands_after_the_last_event(clock, as_of):
    assert small(clock=clock).fit(make_log(clock)).as_of == as_of


def test_a_time_zone_changes_nothing():
    zoned = LOG.with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    )
    assert_frame_equal(small().fit(zoned).recommend(k=5), small().fit(LOG).recommend(k=5))


def test_the_choices_of_a_default_recommender_are_told_and_its_lists_are_whole():
    recommender = TwoStageRecommender(n_threads=1).fit(LOG, items=item_table())
    assert [line.split(":")[0] for line in recommender.choices_] == [
        "clock",
        "repeats",
        "sources",
        "features",
        "reranker",
        "training against serving",
        "gate",
    ]
    assert "AttributeAffinity(brand, genres)" in recommender.choices_[3]
    assert any("by brand, genres" in line for line in recommender.stage_.choices)
    assert list(recommender.depths_)[:3] == ["popular", "trending", "own"]
    assert recommender.repeats_ is True
    assert_lists(recommender.recommend(["u003", "nobody"], k=20), ["u003", "nobody"], 20)


@pytest.mark.parametrize("name", ["fast", "balanced", "best"])
def test_presets(name):
    recommender = TwoStageRecommender.preset(name, random_state=3, n_threads=1)
    assert recommender.random_state == 3
    quick = {"reranker": small().reranker}
    again = TwoStageRecommender.preset(name, n_threads=1, **quick)
    assert_lists(again.fit(LOG).recommend(["u001"], k=4), ["u001"], 4)


def test_networks_are_a_wish_that_is_granted_where_timestamps_only_order_events(tmp_path):
    pytest.importorskip("torch")
    short = {"reranker": small().reranker, "n_windows": 2, "n_threads": 1}
    chosen = {}
    for clock in ("datetime", "sequence", "none"):
        model = TwoStageRecommender(generators="neural", **short)
        chosen[clock] = "sequence" in model.fit(make_log(clock)).depths_
        if clock == "sequence":
            model.save(tmp_path)
            again = TwoStageRecommender.load(tmp_path)
            assert again.generators == "neural"
            assert_frame_equal(again.recommend(k=5), model.recommend(k=5))
    assert chosen == {"datetime": False, "sequence": True, "none": False}
    log = make_log("sequence")
    bare = item_table().select("item_id", number=pl.col("title").str.slice(5).cast(pl.Int64))
    for table, name in (
        (None, "SequenceEncoder"),
        (bare, "SequenceEncoder"),
        (item_table(), "SequenceHybrid"),
    ):
        model = TwoStageRecommender(generators="neural", **short).fit(log, items=table)
        assert type(model.sources_["sequence"]).__name__ == name


def test_a_network_of_content_does_not_let_new_items_crowd_out_the_others(tmp_path):
    pytest.importorskip("torch")
    log = make_log("sequence")
    new = item_table().head(20).with_columns(item_id=pl.format("new {}", pl.int_range(pl.len())))
    items = pl.concat([item_table(), new])
    model = TwoStageRecommender(
        generators="neural", reranker=small().reranker, n_windows=2, n_threads=1
    ).fit(log, items=items)
    proposed = model.generate_candidates().filter(pl.col("sequence_rank").is_not_null())
    assert proposed.height
    assert proposed["item_id"].is_in(log["item_id"].implode()).all()
    model.save(tmp_path)
    again = TwoStageRecommender.load(tmp_path)
    assert_frame_equal(again.recommend(k=5), model.recommend(k=5))
    later = again.refresh(log.head(3).with_columns(item_id=pl.lit("new 3"), timestamp=9_999))
    found = later.generate_candidates().filter(pl.col("sequence_rank").is_not_null())
    assert "new 3" in found["item_id"].to_list(), "it is new no more"
    assert "new 4" not in found["item_id"].to_list()


def test_networks_need_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delattr(ranker, "neural", raising=False)
    for name in [name for name in sys.modules if name.startswith("ranker.neural")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError, match=r"pip install .*neural"):
        TwoStageRecommender.preset("best").fit(make_log("sequence"))
    TwoStageRecommender.preset("best", reranker=small().reranker).fit(make_log("none"))


def test_lazy_frames_and_series_are_taken_too(fitted):
    lazy = small().fit(LOG.lazy(), items=item_table().lazy(), users=user_table().lazy())
    ids = ["u002", "u001", "u002"]
    expected = fitted.recommend(ids, k=3)
    assert_lists(expected, ["u002", "u001"], 3)
    assert_frame_equal(lazy.recommend(pl.Series(ids), k=3), expected)
    assert_frame_equal(lazy.recommend(pl.Series(ids, dtype=pl.Categorical), k=3), expected)
    assert_frame_equal(lazy.recommend(np.array(ids), k=3), expected)


def test_the_callers_frames_stay_as_they_are():
    frames = [LOG.clone(), item_table(), user_table()]
    copies = [pl.DataFrame(frame.to_dict(as_series=False), schema=frame.schema) for frame in frames]
    recommender = small().fit(frames[0], items=frames[1], users=frames[2])
    recommender.recommend(histories=frames[0].head(20))
    recommender.funnel(frames[0])
    recommender.refresh(frames[0])
    for frame, copy in zip(frames, copies, strict=True):
        assert_frame_equal(frame, copy)


# -------------------------------------------------------------- stage by stage


def test_every_stage_is_open_and_adds_up_to_the_list(fitted):
    users = ["u004", "u011", "nobody"]
    candidates = fitted.generate_candidates(users)
    assert candidates.columns[:2] == ["user_id", "item_id"]
    assert candidates.columns[-1] == "n_sources"
    for source in fitted.depths_:
        assert candidates.schema[f"{source}_score"] == pl.Float32
        rank = candidates[f"{source}_rank"].drop_nulls()
        assert rank.min() == 1
        assert rank.max() <= fitted.depths_[source]
        silent = candidates[f"{source}_rank"].is_null()
        assert_series_equal(silent, candidates[f"{source}_score"].is_null(), check_names=False)
    ranks = pl.sum_horizontal(pl.col("^.*_rank$").is_not_null())
    assert candidates.select((ranks == pl.col("n_sources")).all()).item()
    table = fitted.build_features(candidates)
    assert set(table.dtypes[2:]) == {pl.Float32}
    assert_frame_equal(table.select("user_id", "item_id"), candidates.select("user_id", "item_id"))
    scores = fitted.score(table)
    shuffled = table.select("user_id", "item_id", *reversed(table.columns[2:]))
    assert_frame_equal(fitted.score(shuffled), scores)
    best = scores.filter(user_id="u004").sort("score", "item_id", descending=[True, False]).head(5)
    listed = fitted.recommend(["u004"], k=5)
    assert listed["item_id"].to_list() == best["item_id"].to_list()
    assert_series_equal(listed["score"], best["score"])


def test_score_says_what_is_missing(fitted):
    table = fitted.build_features(fitted.generate_candidates(["u004"]))
    with pytest.raises(ranker.ConfigError, match=r"lacks 1 columns.*history_count.*build_features"):
        fitted.score(table.drop("history_count"))


def test_features_of_sessions(fitted):
    events = LOG.filter(pl.col("user_id").is_in(["u001", "u005"]))
    candidates = fitted.generate_candidates(histories=events)
    assert candidates["user_id"].unique(maintain_order=True).to_list() == ["u001", "u005"]
    table = fitted.build_features(candidates, histories=events)
    known = fitted.build_features(fitted.generate_candidates(["u001", "u005"]))
    assert_frame_equal(table, known)


@pytest.mark.parametrize("clock", CLOCKS)
def test_own_events_as_histories_give_the_list_of_a_known_user(clock):
    log = make_log(clock)
    recommender = small(clock=clock).fit(log)
    users = ["u003", "u017", "u039"]
    own = log.filter(pl.col("user_id").is_in(users)).sample(fraction=1, shuffle=True, seed=1)
    assert_frame_equal(recommender.recommend(histories=own, k=8), recommender.recommend(users, k=8))


def test_sessions_of_strangers_follow_their_events(fitted):
    fingerprint = fitted.fingerprint
    events = LOG.filter(user_id="u003").with_columns(user_id=pl.lit("somebody"))
    lists = fitted.recommend(histories=events, k=8)
    expected = fitted.recommend(["u003"], k=8)
    assert lists["user_id"].unique().to_list() == ["somebody"]
    assert_frame_equal(lists.drop("user_id"), expected.drop("user_id"))
    assert fitted.fingerprint == fingerprint
    assert "somebody" not in fitted.user_ids


def test_explanations_add_up_to_the_score(fitted):
    why = fitted.explain("u004", k=10)
    listed = fitted.recommend(["u004"], k=10)
    assert why["item_id"].to_list() == listed["item_id"].to_list()
    np.testing.assert_allclose(why["score"], listed["score"], rtol=1e-6)
    effects = [name for name in why.columns if name.endswith("_effect")]
    families = {feature.family for feature in fitted._server.snapshot.tables.features}
    assert set(effects) == {f"{family}_effect" for family in families} | {"base_effect"}
    assert {"affinity", "history", "item", "similarity", "source", "user"} <= families
    total = why.select(pl.sum_horizontal(effects)).to_series()
    np.testing.assert_allclose(total, why["score"].cast(pl.Float64), atol=1e-5)
    assert why["base_effect"].n_unique() == 1
    candidates = fitted.generate_candidates(["u004"])
    for row in why.iter_rows(named=True):
        found = candidates.filter(item_id=row["item_id"]).row(0, named=True)
        assert found["n_sources"] == row["n_sources"]
        ranks = [found[f"{name}_rank"] for name in fitted.depths_ if found[f"{name}_rank"]]
        assert row["rank"] == min(ranks) == found[f"{row['source']}_rank"]


def test_reasons_are_sentences(fitted):
    for user in ("u004", "nobody"):
        reasons = fitted.explain(user)["reason"].to_list()
        assert all(len(reason.split()) >= 3 for reason in reasons)
    taken = fitted.explain("u004", LOG.filter(user_id="u004")["item_id"].unique().sort())
    assert taken["reason"].str.contains(r"(view|cart) (once|twice|\d+ times)").any()
    assert fitted.explain("u004", ["i099"])["reason"].to_list() == ["no source proposes it"]
    everybody = fitted.explain(fitted.user_ids, k=N_ITEMS)["reason"].to_list()
    assert any("goes with Item " in reason for reason in everybody), "titles, where there are some"


def test_explain_takes_items_in_any_order_and_repeated(fitted):
    items = ["i009", "i002", "i099", "i002"]
    why = fitted.explain("u004", items)
    assert why["item_id"].to_list() == items
    assert_frame_equal(why[1], why[3])
    assert why.row(2, named=True)["source"] is None
    assert why.row(2, named=True)["n_sources"] == 0
    with pytest.raises(ranker.ConfigError, match=r"\['x'\] are not in the catalogue"):
        fitted.explain("u004", ["i002", "x"])


def test_the_funnel_adds_up(fitted):
    train, test = split_by_time(LOG, test_fraction=0.2)
    recommender = small().fit(train)
    funnel = recommender.funnel(test)
    relevant = test.select("user_id", "item_id").unique()
    assert set(funnel.select(pl.col("found") + pl.col("lost")).to_series()) == {relevant.height}
    assert set(funnel["stage"]) == {*recommender.depths_, "union", "final list"}
    for (_,), of_depth in funnel.group_by("depth"):
        recall = dict(zip(of_depth["stage"], of_depth["recall"], strict=True))
        sources = [recall[name] for name in recommender.depths_ if name in recall]
        if "union" in recall and sources:
            assert recall["union"] >= max(sources)
    for (_,), stage in funnel.group_by("stage"):
        ordered = stage.sort("depth")
        assert ordered["found"].is_sorted()
        assert ordered["recall"].is_sorted()
    lists = recommender.recommend(test["user_id"].unique(), k=10)
    hits = lists.join(relevant, on=["user_id", "item_id"], how="semi").height
    at_ten = funnel.filter(stage="final list", depth=10).row(0, named=True)
    assert at_ten["found"] == hits
    recall = evaluate(lists, test, k=10, metrics="recall")["mean"].item()
    assert at_ten["recall"] <= recall + 1e-12, "the list is filled up behind the candidates"


@pytest.mark.parametrize("repeats", [True, False])
def test_headroom_adds_up(repeats):
    train, test = split_by_time(LOG, test_fraction=0.2)
    recommender = small(repeats=repeats).fit(train)
    table = recommender.headroom(test, k=5)
    assert table["why"].to_list() == [None, "filtered", "not retrieved", "badly ranked"]
    assert table["ndcg"][0] == 1.0
    assert (table["loss"] >= 0).all()
    assert table["loss"].sum() + table["ndcg"][-1] == pytest.approx(1.0)
    relevant = test.select("user_id", "item_id").unique()
    users = relevant["user_id"].unique().sort()
    seen = train.select("user_id", "item_id").unique()
    unseen = relevant.join(seen, on=["user_id", "item_id"], how="anti")
    left = relevant if repeats else unseen
    retrieved = recommender.generate_candidates(users).join(
        left, on=["user_id", "item_id"], how="semi"
    )
    lists = recommender.recommend(users, k=5)
    served = lists.filter(pl.col("score").is_not_null())
    hits = served.join(relevant, on=["user_id", "item_id"], how="semi").height
    assert table["n_items"].to_list() == [relevant.height, left.height, retrieved.height, hits]
    ndcg = evaluate(served, relevant, k=5, metrics="ndcg")["mean"].item()
    assert table["ndcg"][-1] == pytest.approx(ndcg)
    perfect = retrieved.select("user_id", "item_id").with_columns(
        rank=pl.int_range(1, pl.len() + 1).over("user_id")
    )
    best = evaluate(perfect, relevant, k=5, metrics="ndcg")["mean"].item()
    assert table["ndcg"][2] == pytest.approx(best)
    with pytest.raises(ranker.ConfigError, match="k=0; expected a whole number"):
        recommender.headroom(test, k=0)


def test_headroom_is_that_of_the_lists_that_are_served():
    train, test = split_by_time(LOG, test_fraction=0.2)
    relevant = test.select("user_id", "item_id").unique()
    users = relevant["user_id"].unique().sort()
    sources = [("own", OwnHistory()), ("als", ALS(factors=4, iterations=2))]
    # Lists that are longer than the depths ask the sources for more; and where one source is what
    # is served and nothing popular follows, what only the others propose is not listed.
    deep = small(n_candidates=4).fit(train)
    alone = small(generators=sources).fit(train)
    alone._server = dataclasses.replace(alone._server, system="own")
    for recommender, k in ((deep, 12), (alone, 10), (alone, 20)):
        table = recommender.headroom(test, k=k)
        served = recommender.recommend(users, k=k).filter(pl.col("score").is_not_null())
        hits = served.join(relevant, on=["user_id", "item_id"], how="semi").height
        assert table["n_items"][-1] == hits
        ndcg = evaluate(served, relevant, k=k, metrics="ndcg")["mean"].item()
        assert table["ndcg"][-1] == pytest.approx(ndcg)
    at_ten = alone.funnel(test).filter(stage="final list", depth=10)["found"].item()
    assert at_ten == alone.headroom(test, k=10)["n_items"][-1]


def test_systems_are_compared_from_the_same_candidates(fitted):
    systems = fitted.recommend_by_system(["u001", "nobody"], k=5)
    assert list(systems) == [*fitted.depths_, "fusion", "two-stage"]
    for name, lists in systems.items():
        assert_lists(lists, ["u001", "nobody"], 5)
        assert_frame_equal(lists, fitted.recommend(["u001", "nobody"], k=5, system=name))
    assert_frame_equal(systems[fitted.system_].head(5), fitted.recommend(["u001"], k=5))
    popular = systems["popular"]["item_id"].to_list()
    assert popular[:5] == popular[5:]
    table = compare(systems, LOG.filter(user_id="u001"))
    assert set(table["system"]) == set(systems)
    with pytest.raises(ranker.ConfigError, match=r"system 'als2' is not known.*'two-stage'"):
        fitted.recommend(["u001"], system="als2")


# ---------------------------------------------------------------------- the gate


def worse(gate, best: str):
    """The same report, if ``best`` had beaten the second stage."""
    ndcg = dict.fromkeys(gate.ndcg, 0.1) | {best: 0.9}
    against = {name: PairedInterval(0.1 - ndcg[name], -1.0, 1.0, 0.5) for name in gate.against}
    return dataclasses.replace(gate, ndcg=ndcg, against=against)


@pytest.mark.parametrize("winner", ["own", "fusion"])
def test_a_closed_gate_serves_the_winner_or_warns(winner, monkeypatch, caplog):
    train = ranker.fitting.train_reranker

    def closed(*arguments, **keywords):
        trained = train(*arguments, **keywords)
        return dataclasses.replace(trained, gate=worse(trained.gate, winner))

    monkeypatch.setattr(ranker.fitting, "train_reranker", closed)
    blended = small(gate="blend").fit(LOG)
    assert blended.system_ == winner, "a blend that is worse by its mean is not served"
    fallback = small(gate="fallback").fit(LOG)
    assert fallback.system_ == winner
    assert f"serves {winner}, popular to users without events" in fallback.choices_[-1]
    assert_frame_equal(fallback.recommend(k=5), fallback.recommend(k=5, system=winner))
    assert not caplog.records
    warned = small().fit(LOG)
    assert warned.system_ == "two-stage"
    assert f"the second stage is not better than {winner}" in caplog.text
    assert_frame_equal(warned.recommend(k=5), warned.recommend(k=5, system="two-stage"))


def test_a_blend_that_is_better_than_both_is_served_saved_and_loaded(monkeypatch, tmp_path):
    train = ranker.fitting.train_reranker

    def blended(*arguments, **keywords):
        trained = train(*arguments, **keywords)
        return dataclasses.replace(trained, gate=worse(trained.gate, "blend"))

    assert small(gate="fallback").fit(LOG).gate_.blend is None
    monkeypatch.setattr(ranker.fitting, "train_reranker", blended)
    recommender = small(gate="blend").fit(LOG)
    assert recommender.system_ == "blend"
    lists = recommender.recommend(k=5)
    by_system = recommender.recommend_by_system(k=5)
    assert_frame_equal(lists, by_system["blend"])
    assert not lists.equals(by_system["two-stage"])
    assert not lists.equals(by_system[recommender.gate_.blend.system])
    recommender.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    assert again.gate_ == recommender.gate_
    assert again.fingerprint == recommender.fingerprint
    assert_frame_equal(again.recommend(k=5), lists)
    for part in (small(gate="blend", chunk_size=3, n_threads=2).fit(LOG),):
        assert_frame_equal(part.recommend(k=5), lists)


def test_several_forests_are_served_explained_and_saved(tmp_path):
    reranker = LambdaRank(n_trees=10, min_rows_in_leaf=5, n_models=3, vary="windows")
    recommender = small(reranker=reranker).fit(LOG)
    assert "3 forests that differ by windows, of" in "\n".join(recommender.choices_)
    reasons = recommender.explain("u001", k=5)
    effects = reasons.select(column for column in reasons.columns if column.endswith("_effect"))
    assert effects.sum_horizontal().to_list() == pytest.approx(reasons["score"].to_list(), abs=1e-6)
    recommender.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    assert again.fingerprint == recommender.fingerprint != small().fit(LOG).fingerprint
    assert_frame_equal(again.recommend(k=5), recommender.recommend(k=5))
    other = small(reranker=dataclasses.replace(reranker, n_models=2)).fit(LOG)
    assert other.fingerprint != recommender.fingerprint


def test_users_without_events_are_served_by_the_cold_winner(fitted):
    assert fitted.cold_system_ == "popular"
    lists = fitted.recommend(["nobody", "u099", "u001"], k=5)
    popular = fitted.recommend(["nobody"], k=5, system="popular")["item_id"].to_list()
    assert lists["item_id"].to_list()[:10] == popular * 2
    assert lists["item_id"].to_list()[10:] == fitted.recommend(["u001"], k=5)["item_id"].to_list()


# ------------------------------------------------------------------ label windows


def test_label_windows_can_be_named():
    by_hand = small(holdout=LabelWindows(length="7d", n_windows=2)).fit(LOG)
    named = small(window_length="7d", n_windows=2).fit(LOG)
    assert named.choices_[0] == by_hand.choices_[0]
    assert named.fingerprint == by_hand.fingerprint
    other = small(window_length="14d", n_windows=2).fit(LOG)
    assert other.choices_[0] != named.choices_[0]
    sequence = make_log("sequence")
    assert (
        small(n_windows=2).fit(sequence).fingerprint
        == small(holdout=LastInteractions(n_windows=2)).fit(sequence).fingerprint
    )
    assert small(clock="none", n_windows=2).fit(make_log("none")).gate_ is not None


def test_label_windows_that_contradict():
    with pytest.raises(ranker.ConfigError, match="either holdout or n_windows"):
        small(holdout=LabelWindows(length="7d"), n_windows=2).fit(LOG)
    with pytest.raises(ranker.ConfigError, match=r"window_length='7d' needs timestamps.*sequence"):
        small(window_length="7d").fit(make_log("sequence"))


# ------------------------------------------------------------------------ refresh


def newer() -> pl.DataFrame:
    """A new user, a new item, and old ones, after everything else."""
    later = LOG["timestamp"].max() + dt.timedelta(hours=5)
    users = ["u003", "new", "new", *(f"u{row:03}" for row in range(10, 25))]
    items = ["i004", "i005", "fresh", *["fresh"] * 15]
    times = [later + dt.timedelta(minutes=row) for row in range(len(users))]
    return pl.DataFrame(
        {"user_id": users, "item_id": items, "timestamp": times, "weight": 1.0, "event": "view"}
    )


def test_refresh_equals_a_snapshot_of_all_events_and_keeps_the_reranker():
    recommender = small().fit(LOG, items=item_table())
    before = recommender.fingerprint
    trees = recommender._state.model
    assert recommender.refresh(newer(), sources="fit") is recommender
    assert recommender._state.model is trees
    assert recommender.fingerprint != before
    assert recommender.as_of == newer()["timestamp"].max() + dt.timedelta(microseconds=1)
    assert "new" in recommender.user_ids
    lists = recommender.recommend(["new"], k=10)
    assert_lists(lists, ["new"], 10)
    assert "fresh" in recommender.recommend(k=N_ITEMS, system="popular")["item_id"]
    # User 30 is offered it, first among the popular; whose served list it enters the trees decide.
    proposed = recommender.generate_candidates(["u030"], exclude_seen=True)
    assert proposed.filter(pl.col("item_id") == "fresh")["popular_rank"].to_list() == [1]
    took_it = newer().filter(pl.col("item_id") == "fresh")["user_id"]
    shown = recommender.recommend(k=5, exclude_seen=True).filter(pl.col("item_id") == "fresh")
    assert shown.height
    assert not shown["user_id"].is_in(took_it.implode()).any()
    # In one step or several, rows in any order: the snapshot is that of all events.
    stepwise = small().fit(LOG, items=item_table())
    for part in (newer()[9:], newer()[:9]):
        stepwise.refresh(part.sample(fraction=1, shuffle=True, seed=2), sources="fit")
    assert stepwise.fingerprint == recommender.fingerprint
    assert_frame_equal(stepwise.recommend(k=5), recommender.recommend(k=5))
    whole = pl.concat([LOG, newer().select(LOG.columns)])
    first = small().fit(LOG, items=item_table())._state
    state = dataclasses.replace(first, log=check_interactions(whole))
    assert fingerprint(state, state.snapshot()) == recommender.fingerprint


def test_refresh_takes_in_what_is_new_and_leaves_the_rest(monkeypatch):
    monkeypatch.setattr("ranker.candidates.covisitation._MANY", 1.0)  # or it would begin anew
    fitted = small().fit(LOG, items=item_table()).refresh(newer(), sources="fit")
    before = small().fit(LOG, items=item_table())
    snapshot = before._server.snapshot
    vectors = snapshot.generators["als"].item_vectors.copy()
    updated = before.refresh(newer().sample(fraction=1, shuffle=True, seed=2))
    assert_lists(updated.recommend(["new"], k=10), ["new"], 10)
    # What follows from the events is the same; the factors of items without new ones stay.
    for name, source in updated._server.snapshot.generators.items():
        anew = fitted._server.snapshot.generators[name]
        for part, array in source.arrays().items():
            if name != "als":
                np.testing.assert_allclose(array, anew.arrays()[part], rtol=1e-5, err_msg=name)
    items = updated._server.snapshot.history.items
    found = updated._server.snapshot.generators["als"].item_vectors
    old = items.encode(snapshot.history.items.values)
    is_new = np.isin(items.values, ["i004", "i005", "fresh"])
    np.testing.assert_array_equal(found[old][~is_new[old]], vectors[~is_new[old]])
    assert (found[is_new] != 0).any(axis=1).all()
    assert (vectors == snapshot.generators["als"].item_vectors).all()  # the former serves on
    # The same whatever the order of rows, and after a save and a load.
    again = small().fit(LOG, items=item_table()).refresh(newer())
    assert again.fingerprint == updated.fingerprint


def test_a_saved_model_is_refreshed_as_the_one_in_memory(tmp_path):
    sources = [("als", ALS()), ("popular", Popularity()), ("bpr", BPR(iterations=2))]
    recommender = small(generators=sources).fit(LOG)
    recommender.save(tmp_path / "model")
    loaded = TwoStageRecommender.load(tmp_path / "model").refresh(newer())
    assert loaded.fingerprint == recommender.refresh(newer()).fingerprint


@dataclasses.dataclass
class Squared(ItemKNN):
    """Learns in its own way, of which the inherited ``refreshed`` knows nothing."""

    def _learn(self, history, *, items, users):
        super()._learn(history, items=items, users=users)
        self.similarity_.data **= 2


def test_a_source_that_learns_in_its_own_way_is_fitted_anew():
    sources = [("mine", Squared()), ("popular", Popularity())]
    lists = [
        small(generators=sources).fit(LOG).refresh(newer(), sources=how).recommend(k=5)
        for how in ("update", "fit")
    ]
    assert_frame_equal(*lists)


def test_what_cannot_serve_after_a_refresh_does_not_serve(monkeypatch):
    recommender = small(generators=[("popular", Popularity())]).fit(LOG)
    lists, retrieve = recommender.recommend(k=3), Popularity.retrieve

    def broken(self, history, n, *, exclude_seen):
        if "new" in history.users.values or history.n_items > N_ITEMS:
            raise ValueError("broken")
        return retrieve(self, history, n, exclude_seen=exclude_seen)

    monkeypatch.setattr(Popularity, "retrieve", broken)
    with pytest.raises(ranker.ModelFormatError, match="cannot make a list"):
        recommender.refresh(newer())
    assert_frame_equal(recommender.recommend(k=3), lists)


def test_refresh_without_events_takes_a_new_table():
    recommender = small().fit(LOG, items=item_table())
    more = item_table().head(1).with_columns(item_id=pl.lit("unheard"))
    quiet = LOG.clear().with_columns(price=pl.lit(1.0))  # other columns are ignored
    recommender.refresh(quiet, items=pl.concat([item_table(), more]))
    assert recommender.explain("u001", ["unheard"]).height == 1
    assert recommender.staleness.n_events == 0


def test_staleness_counts_what_came_after_the_fit():
    recommender = small().fit(LOG)
    assert str(recommender.staleness) == "no events since the reranker was fitted"
    recommender.refresh(newer())
    found = recommender.staleness
    assert (found.n_events, found.n_users, found.n_items) == (18, 1, 1)
    assert found.share == 18 / (LOG.height + 18)
    assert found.age == newer()["timestamp"].max() - LOG["timestamp"].max()
    assert "18 events" in str(found)
    assert "1 new user and of 1 new item" in str(found)
    assert small().fit(LOG.drop("timestamp")).staleness.age is None


def test_refresh_by_another_word(fitted):
    with pytest.raises(ranker.ConfigError, match="sources='both'; expected 'update' or 'fit'"):
        fitted.refresh(newer(), sources="both")


def test_refresh_takes_new_tables_lazy_frames_and_columns_in_another_order():
    recommender = small().fit(LOG, items=item_table())
    more = pl.DataFrame(
        {"item_id": ["unheard"], "title": ["Unheard"], "brand": ["brand 1"], "genres": [["g1"]]}
    )
    table = pl.concat([item_table(), more])
    recommender.refresh(newer().lazy().select(sorted(newer().columns)), items=table.lazy())
    assert recommender.explain("new", ["unheard"])["reason"].to_list() == ["no source proposes it"]


def test_trap_a_refresh_years_later_fades_everything_to_nothing_but_no_score_is_lost():
    recommender = small().fit(LOG, items=item_table())
    late = newer().with_columns(pl.col("timestamp").dt.offset_by("90y"))
    recommender.refresh(late)
    assert_lists(recommender.recommend(k=10), recommender.user_ids.to_list(), 10)
    assert recommender.recommend(["u001"], k=5)["score"].is_finite().all()


def test_refresh_with_other_columns_says_which(fitted):
    with pytest.raises(ranker.ConfigError, match=r"have the columns \[.*fitted with \[.*'weight'"):
        fitted.refresh(newer().drop("weight"))
    with pytest.raises(ranker.SchemaError, match="user_id is"):
        fitted.refresh(newer().with_columns(user_id=pl.lit(3)))
    assert fitted.as_of > START
