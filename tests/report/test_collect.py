"""What a report says: the figures of the package, and a sentence where there are none."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import ConfigError, NotFittedError, SchemaError
from ranker import ALS, Popularity, compare, evaluate, evaluate_per_user
from ranker.report import Absent, collect_report, render_report, svg
from ranker.report.calibration import hits_of, place_rates, score_calibration
from ranker.report.data import SERVED
from ranker.report.html import element
from ranker.report.shown import choose_users, titles_of
from tests.logs import make_log
from tests.recommenders import small
from tests.report.cases import Page, fitted, log, report, titles


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """They take most of the time, and test_page looks at them."""
    monkeypatch.setattr(svg, "_svg", lambda *_, label, **__: element("svg", label))


def shown(one) -> str:
    return Page(render_report(one)).text


def test_figures_are_those_of_the_package():
    _train, test = log()
    recommender, found = fitted(), report()
    users = test["user_id"].unique().sort()
    served = recommender.recommend(users, k=10)
    lists = recommender.recommend_by_system(users, k=10)
    assert found.systems.served == "two-stage"
    assert_frame_equal(served, lists["two-stage"])
    expected = compare(lists, test, reference="two-stage", metric="ndcg", random_state=0)
    own = found.systems.table.filter(pl.col("metric") == "ndcg")
    assert_frame_equal(own.drop("p_holm"), expected.drop("p_holm"))
    assert_frame_equal(found.headroom, recommender.headroom(test))
    assert_frame_equal(found.funnel, recommender.funnel(test).drop("seconds"))
    first = [name for name in expected["system"] if name != "two-stage"]
    assert found.systems.rival == first[0]
    assert found.gate is recommender.gate_
    assert found.skew is recommender.skew_
    assert found.facts.n_users == len(users)
    assert set(found.systems.by_segment["segment"]) == {
        *("everybody", "history_length", "item_popularity")
    }
    assert found.places["listed"].to_list() == [len(users)] * 10
    assert found.features.table["gain"].sum() == pytest.approx(1)
    assert found.diversity.embedding == "als"
    assert found.diversity.curve["ndcg"][0] == pytest.approx(found.systems.row("two-stage")["mean"])


def test_lists_are_those_that_are_served():
    train, test = log()
    recommender, found = fitted(), report()
    values = evaluate_per_user(
        recommender.recommend(test["user_id"].unique()), test, metrics="ndcg"
    )
    assert len(found.lists) == 10
    ndcg = [one.ndcg for one in found.lists]
    assert ndcg == sorted(ndcg, reverse=True)
    assert (ndcg[0], ndcg[-1]) == (values["value"].max(), values["value"].min())
    for one in found.lists:
        own = recommender.recommend([one.user_id], k=10)
        assert one.rows["item_id"].to_list() == own["item_id"].to_list()
        wanted = set(test.filter(pl.col("user_id") == one.user_id)["item_id"])
        listed = set(one.rows.filter("taken")["item_id"])
        assert listed == wanted & set(own["item_id"])
        assert one.n_missed == len(wanted - listed)
        before = train.filter(pl.col("user_id") == one.user_id).sort(
            "timestamp", maintain_order=True
        )
        assert one.n_events == before.height
        names = dict(titles().select("item_id", "title").iter_rows())
        assert one.past[0] == names.get(before["item_id"][-1], before["item_id"][-1])
        assert one.rows["reason"].null_count() == 0


def test_threads_and_chunks_change_nothing():
    train, test = log()
    other = small(n_threads=2, chunk_size=7).fit(train, items=titles())
    names = {"name": report().facts.name, "description": report().facts.description}
    again = collect_report(other, train, test, items=titles(), **names)
    assert render_report(again) == render_report(report())


def test_a_first_stage_that_is_served_is_said_to_be():
    train, test = log()
    recommender = fitted()
    gate = dataclasses.replace(
        recommender.gate_,
        against={
            name: dataclasses.replace(pair, difference=-0.1, low=-0.2, high=-0.05)
            for name, pair in recommender.gate_.against.items()
        },
    )
    best = gate.best_first_stage
    lists = recommender.recommend_by_system(test["user_id"].unique().sort(), k=10)
    table = compare(lists, test, reference=best, metric=("ndcg", "hit_rate"))
    two = {name: lists[name] for name in ("two-stage", best)}
    options = {"reference": best, "train": train}
    groups = compare(two, test, segments=("history_length", "item_popularity"), **options)
    systems = dataclasses.replace(
        report().systems, table=table, served=best, rival="two-stage", by_segment=groups
    )
    text = shown(dataclasses.replace(report(), gate=gate, systems=systems))
    assert f"So the gate serves a first stage, {best}" in text
    assert f"worse than {best}, the best first stage: −0.1000 [−0.2000, −0.0500]" in text
    assert "two-stage, the second stage" in text
    warned = shown(dataclasses.replace(report(), gate=gate))
    assert "served all the same, since the gate was asked to warn only" in warned


def test_systems_that_share_the_users_are_told_apart():
    train, test = log()
    strangers = test.head(3).with_columns(user_id=pl.lit("zz") + pl.int_range(3).cast(pl.String))
    found = collect_report(fitted(), train, pl.concat([test, strangers]), items=titles())
    served = fitted().recommend(pl.concat([test, strangers])["user_id"].unique().sort())
    by_trees = fitted().recommend(served["user_id"].unique(), system="two-stage")
    both = [one.sort("user_id", "rank")["item_id"].to_list() for one in (served, by_trees)]
    assert both[0] != both[1]
    assert found.systems.served == SERVED
    assert found.systems.rival not in {"two-stage", SERVED}
    assert "served by different systems" in shown(found)


def test_what_does_not_apply_has_a_sentence():
    train, test = log()
    plain = small(generators=[("popular", Popularity())], holdout=None)
    one = plain.fit(train.drop("weight", "event"))
    found = collect_report(one, train, test, k=5, n_lists=3)
    text = shown(found)
    assert isinstance(found.diversity, Absent)
    assert "no source has vectors of items" in text
    assert "there is no table of items with a column title" in text
    assert "No source and no feature reads the words" in text
    assert isinstance(found.calibration, Absent)
    assert "takes 100 users" in text
    assert "what users were shown is not known here" in text
    assert len(found.lists) == 3


def test_without_a_second_stage():
    """Nobody takes anything twice, and nothing is proposed that anybody takes."""
    train = pl.DataFrame({"user_id": [1, 2, 3, 4], "item_id": [1, 2, 3, 4]})
    test = pl.DataFrame({"user_id": [1, 2, 9], "item_id": [2, 1, 1]})
    recommender = small(generators=[("popular", Popularity())], repeats=False).fit(train)
    assert recommender.gate_ is None
    found = collect_report(recommender, train, test, k=2)
    text = shown(found)
    for part in (found.gate, found.features, found.skew, found.diversity):
        assert isinstance(part, Absent)
        assert part.why in text
    assert "There is no second stage" in text
    assert found.facts.train_span is None


def test_no_headroom():
    found = report()
    perfect = found.headroom.with_columns(ndcg=pl.lit(1.0), loss=pl.lit(0.0))
    text = shown(dataclasses.replace(found, headroom=perfect))
    assert "There is no headroom" in text
    lost = found.headroom.with_columns(loss=pl.Series([0.0, 0.0, 0.3, 0.2]))
    assert "Nothing is lost to filters." in shown(dataclasses.replace(found, headroom=lost))


def test_funnel_and_headroom_are_those_of_the_lists():
    train, test = log()
    recommender = fitted()
    assert recommender.repeats_
    found = collect_report(recommender, train, test, exclude_seen=True, k=3, n_lists=1)
    funnel = recommender.funnel(test, exclude_seen=True).drop("seconds")
    assert_frame_equal(found.funnel, funnel)
    assert not funnel.equals(recommender.funnel(test).drop("seconds"))
    lists = recommender.recommend(test["user_id"].unique().sort(), k=3, exclude_seen=True)
    served = evaluate(lists, test, k=3, metrics="ndcg", train=train, exclude_seen=True)
    n_hits = lists.join(test, on=["user_id", "item_id"], how="semi").height
    assert found.headroom["n_items"][-1] == n_hits
    assert found.headroom["why"].to_list()[1] == "filtered"
    assert found.headroom["loss"][1] > 0
    assert 0 < found.headroom["ndcg"][-1] < served["mean"].item(), (
        "seen items that are filtered count as missed"
    )
    assert (
        not found.lists[0]
        .rows["item_id"]
        .is_in(train.filter(pl.col("user_id") == found.lists[0].user_id)["item_id"].implode())
        .any()
    )


def test_bad_input():
    train, test = log()
    with pytest.raises(ConfigError, match="k=0"):
        collect_report(fitted(), train, test, k=0)
    with pytest.raises(ConfigError, match="n_lists='ten'"):
        collect_report(fitted(), train, test, n_lists="ten")
    with pytest.raises(SchemaError, match="'item_id' is missing"):
        collect_report(fitted(), train, test.drop("item_id"))
    with pytest.raises(SchemaError, match="train"):
        collect_report(fitted(), train.drop("user_id"), test)
    for items, message in (
        (pl.DataFrame({"title": ["a"]}), "item_id: no such column"),
        (pl.DataFrame({"item_id": [1], "title": ["a"]}), "cast them to one dtype"),
        (pl.DataFrame({"item_id": ["a"], "title": [["a"]]}), "title: dtype List.*expected text"),
    ):
        with pytest.raises(SchemaError, match=message):
            collect_report(fitted(), train, test, items=items)


def test_places_by_hand():
    lists = pl.DataFrame(
        {
            "user_id": [1, 1, 2, 2],
            "item_id": [5, 6, 5, 7],
            "rank": [1, 2, 1, 2],
            "score": [2.0, 1.0, 2.0, None],
        }
    )
    hits = hits_of(lists, pl.DataFrame({"user_id": [1, 2, 2], "item_id": [5, 5, 9]}))
    assert hits["taken"].to_list() == [True, False, True, False]
    rates = place_rates(hits)
    assert rates["rate"].to_list() == [1.0, 0.0]
    # Wilson's interval of 2 of 2 is [n / (n + z^2), 1].
    assert rates["low"].to_list() == pytest.approx([2 / (2 + 1.959964**2), 0.0])
    assert rates["high"].to_list() == pytest.approx([1.0, 1.959964**2 / (2 + 1.959964**2)])
    few = score_calibration(hits, random_state=0)
    assert isinstance(few, Absent)


def test_scores_that_are_probabilities_are_found_to_be():
    rng = np.random.default_rng(0)
    n = 20_000
    chance = rng.random(n)
    hits = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(n // 10), 10),
            "score": np.log(chance / (1 - chance)),
            "taken": rng.random(n) < chance,
        }
    )
    found = score_calibration(hits, random_state=0)
    assert found.error < 0.02
    assert (found.n_learned, found.n_checked) == (1000, 1000)
    # What is taken rarely, and for opposite reasons by those learned from and those checked.
    order = np.random.default_rng(0).permutation(n // 10)
    learned = np.isin(hits["user_id"].to_numpy(), order[: n // 20])
    rare = 0.08 * np.where(learned, chance, 1 - chance)
    wrong = score_calibration(
        hits.with_columns(taken=pl.Series(rng.random(n) < rare)), random_state=0
    )
    assert wrong.curve.height == 10
    assert wrong.error > 0.02
    never = score_calibration(hits.with_columns(taken=pl.lit(value=False)), random_state=0)
    assert "nobody took anything" in never.why


def test_whom_is_shown():
    values = pl.DataFrame({"user_id": range(101), "value": [n / 100 for n in range(101)]})
    assert choose_users(values, 3, random_state=0).to_list() == [100, 50, 0]
    assert choose_users(values.head(2), 10, random_state=0).to_list() == [1, 0]
    equal = values.with_columns(value=pl.lit(0.0))
    some = choose_users(equal, 5, random_state=0).to_list()
    assert some == choose_users(equal.reverse(), 5, random_state=0).to_list()
    assert some != sorted(some, reverse=True)


def test_titles_of_versions_are_the_last():
    table = pl.DataFrame({"item_id": [1, 1, 2], "title": ["old", "new", None]})
    assert titles_of(table).rows() == [(1, "new"), (2, None)]
    assert titles_of(table.drop("title")) is None
    assert titles_of(None) is None


def test_what_a_report_asks_of_a_recommender():
    recommender = fitted()
    assert list(recommender.sources_) == list(recommender.depths_)
    assert type(recommender.sources_["als"]) is ALS
    assert recommender.embeddings == ["als"]
    for name in ("sources_", "embeddings"):
        with pytest.raises(NotFittedError, match="call fit"):
            getattr(small(), name)


def test_lazy_frames_categories_and_positions():
    whole = make_log("sequence").with_columns(pl.col("user_id", "item_id").cast(pl.Categorical))
    last = pl.col("timestamp") == pl.col("timestamp").max().over("user_id")
    train, test = whole.filter(~last), whole.filter(last)
    items = titles().with_columns(pl.col("item_id").cast(pl.Categorical))
    recommender = small().fit(train.lazy(), items=items)
    found = collect_report(recommender, train.lazy(), test.lazy(), items=items.lazy(), n_lists=2)
    assert found.facts.n_users == test["user_id"].n_unique()
    assert found.facts.train_span == ("0", str(train["timestamp"].max()))
    assert [len(one.rows) for one in found.lists] == [10, 10]
    assert found.has_titles
    assert "from 0 to" in shown(found)
