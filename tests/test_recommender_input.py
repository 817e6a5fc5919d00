"""What the recommender makes of odd input: an error that says what to do, or a whole list."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.stage import FeatureStage
from features.user import UserActivity
from ranker import ConfigError, NotFittedError, Popularity, SchemaError, TwoStageRecommender
from tests.logs import START, make_log
from tests.recommenders import N_ITEMS, everything, item_table, small, user_table

LOG = make_log("datetime")


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


def whole(recommender: TwoStageRecommender, k: int, n_users: int, **keywords) -> pl.DataFrame:
    """The lists of everybody, after a look that they are as long as can be."""
    lists = recommender.recommend(k=k, **keywords)
    assert lists.height == k * n_users
    assert not lists.select("user_id", "item_id").is_duplicated().any()
    return lists


# ------------------------------------------------------------------- little to learn from


@pytest.mark.parametrize("preset", ["default", "small"])
@pytest.mark.parametrize(
    ("n_users", "n_items", "n_events"),
    [(1, 1, 1), (1, 6, 30), (6, 1, 30), (2, 2, 2), (1, 1, 9)],
    ids=["one event", "one user", "one item", "two events", "one pair"],
)
def test_hardly_anything(n_users, n_items, n_events, preset):
    rng = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": np.arange(n_events) % n_users,
            "item_id": rng.permutation(np.arange(n_events) % n_items),
            "timestamp": [START + dt.timedelta(hours=7 * n) for n in range(n_events)],
        }
    )
    recommender = small() if preset == "small" else TwoStageRecommender(n_threads=1)
    recommender.fit(log)
    whole(recommender, n_items, n_users, exclude_seen=False)
    assert recommender.recommend([77], k=1).height == 1
    assert recommender.recommend(histories=log, k=1, exclude_seen=False).height == n_users
    assert recommender.explain(0, [0])["reason"].str.len_chars().item() > 0


def test_where_nothing_can_be_learned_the_fusion_is_served():
    log = LOG.head(1)
    recommender = small().fit(log)
    assert recommender.gate_ is None
    assert (recommender.system_, recommender.cold_system_) == ("fusion", "popular")
    assert recommender.choices_[-2:] == [
        "reranker: none",
        "gate: nothing to learn from; serves fusion, popular to users without events",
    ]
    with pytest.raises(NotFittedError, match="there is no second stage"):
        recommender.score(recommender.build_features(recommender.generate_candidates()))
    with pytest.raises(ConfigError, match="system 'two-stage' is not known"):
        recommender.recommend(system="two-stage")
    assert recommender.explain(log["user_id"][0])["score"].is_null().all()


def test_all_events_at_the_same_instant():
    log = LOG.with_columns(timestamp=pl.lit(START))
    for recommender in (small(), TwoStageRecommender(n_threads=1)):
        whole(recommender.fit(log), 10, 40, exclude_seen=False)


def test_repeated_rows_are_events_of_their_own():
    twice = pl.concat([LOG, LOG])
    recommender = small().fit(twice)
    whole(recommender, 10, 40)
    counts = recommender.build_features(recommender.generate_candidates(["u001"]))
    once = small().fit(LOG)
    expected = once.build_features(once.generate_candidates(["u001"]))
    together = counts.join(expected, on=["user_id", "item_id"], suffix="_once")
    assert together.select(
        (pl.col("history_count") == 2 * pl.col("history_count_once")).all()
    ).item()


# ------------------------------------------------------------------------------ tables


def test_items_and_users_missing_from_tables_or_from_the_log(fitted):
    assert "i000" not in item_table()["item_id"]
    assert "i099" not in LOG["item_id"]
    lists = whole(fitted, N_ITEMS + 1, 41)
    assert {"i000", "i099"} <= set(lists["item_id"])
    assert {"u000", "u099"} <= set(lists["user_id"])


def test_tables_that_know_nobody():
    items, users = pl.DataFrame({"item_id": ["x"]}), pl.DataFrame({"user_id": ["y"]})
    lists = whole(small().fit(LOG, items=items, users=users), N_ITEMS + 1, 41)
    assert {"x"} <= set(lists["item_id"])


def test_tables_with_ids_twice_or_none():
    twice = pl.concat([item_table(), item_table().head(2)])
    with pytest.raises(SchemaError, match=r"(?s)items.*2 ids stand in more than one row.*unique"):
        small().fit(LOG, items=twice)
    with pytest.raises(SchemaError, match=r"(?s)users.*1 ids stand in more than one row"):
        small().fit(LOG, users=pl.concat([user_table(), user_table().head(1)]))
    with pytest.raises(SchemaError, match=r"(?s)items.*item_id"):
        small().fit(LOG, items=item_table().drop("item_id"))
    with pytest.raises(SchemaError, match="item_id is String in interactions, Int64 in items"):
        small().fit(LOG, items=pl.DataFrame({"item_id": [1]}))


# ------------------------------------------------------------------------ interactions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": pl.lit(float("inf"))}, r"weight: 500 values are .*infinit"),
        ({"weight": pl.lit(-1.0)}, r"weight: 500 values are .*negative"),
        ({"user_id": pl.lit(None, dtype=pl.String)}, r"user_id: 500 .*null"),
        ({"user_id": pl.lit(1.5)}, "user_id.*Float64"),
        ({"timestamp": pl.lit("2024-01-01")}, "timestamp.*String"),
    ],
)
def test_interactions_that_cannot_be_used(change, message):
    with pytest.raises(SchemaError, match=message):
        small().fit(LOG.with_columns(**change))


def test_all_problems_of_a_frame_are_told_at_once():
    bad = LOG.drop("item_id").with_columns(weight=pl.lit(-1.0), timestamp=pl.lit("x"))
    with pytest.raises(SchemaError) as error:
        small().fit(bad)
    for word in ("item_id", "weight", "timestamp"):
        assert word in str(error.value)
    with pytest.raises(SchemaError, match="no rows"):
        small().fit(LOG.clear())


def test_settings_that_cannot_be_used():
    with pytest.raises(ConfigError, match="preset 'quick' is not known"):
        TwoStageRecommender.preset("quick")
    with pytest.raises(ConfigError, match="gate='close' is not known"):
        small(gate="close").fit(LOG)
    for name in ("n_threads", "random_state"):
        for value in (-5, "2", 1.5, True):
            with pytest.raises(ConfigError, match=f"{name}={value!r}; expected a whole number, 0"):
                small(**{name: value}).fit(LOG)
    for name in ("n_windows", "max_groups", "chunk_size"):
        with pytest.raises(ConfigError, match=f"{name}=1{'0' * 30}; .* up to 2147483647"):
            small(**{name: 10**30}).fit(LOG)
    twice = [("popular", Popularity()), ("popular", Popularity(window=0.1))]
    for generators in ([], twice):
        with pytest.raises(ConfigError, match="generators need distinct names, at least one"):
            small(generators=generators).fit(LOG)


# --------------------------------------------------------------------------- who is asked


def test_k_above_the_catalogue_gives_all_there_is(fitted):
    lists = fitted.recommend(["u001"], k=1000)
    assert lists.height == N_ITEMS + 1
    for k in (0, -3):
        with pytest.raises(ConfigError, match=f"k={k}; expected a whole number, 1 or more"):
            fitted.recommend(["u001"], k=k)


def test_unknown_users_get_one_and_the_same_list(fitted):
    lists = fitted.recommend(["nobody", "nobody else"], k=7)
    assert lists["item_id"].to_list()[:7] == lists["item_id"].to_list()[7:]
    assert lists.height == 14


def test_who_has_seen_everything_gets_what_is_left():
    items = LOG["item_id"].unique().sort()
    glutton = pl.DataFrame({"user_id": "glutton", "item_id": items}).with_columns(
        timestamp=pl.lit(START), weight=pl.lit(1.0), event=pl.lit("view")
    )
    recommender = small().fit(pl.concat([LOG, glutton.select(LOG.columns)]))
    lists = recommender.recommend(["glutton", "u001"], k=5, exclude_seen=True)
    assert lists["user_id"].to_list() == ["u001"] * 5
    assert recommender.recommend(["glutton"], k=5, exclude_seen=False).height == 5
    for name, by_system in recommender.recommend_by_system(
        ["glutton"], k=5, exclude_seen=True
    ).items():
        assert by_system.is_empty(), name


@pytest.mark.parametrize("nobody", [[], pl.Series([], dtype=pl.String), pl.Series([])])
def test_nobody_is_asked_for(fitted, nobody):
    lists = fitted.recommend(nobody, k=5)
    assert lists.is_empty()
    assert lists.schema == fitted.recommend(["u001"], k=5).schema
    candidates = fitted.generate_candidates(nobody)
    assert candidates.schema == fitted.generate_candidates(["u001"]).schema
    table = fitted.build_features(candidates)
    assert table.is_empty()
    assert fitted.score(table).is_empty()


@pytest.mark.parametrize(
    ("user_ids", "message"),
    [
        (["u001", None], "user_id: 1 ids are null; drop them"),
        ([None], "user_id: 1 ids are null; drop them"),
        ([3], r"user_id: ids are Int64 \(such as 3\), the model was fitted with String"),
        ([1.5], r"user_id: ids are Float64"),
        ([True], r"user_id: ids are Boolean"),
    ],
)
def test_ids_that_cannot_be(fitted, user_ids, message):
    with pytest.raises(SchemaError, match=message):
        fitted.recommend(user_ids)


def test_histories_with_unknown_items(fitted):
    session = LOG.filter(user_id="u003").with_columns(user_id=pl.lit("s1"))
    strange = session.with_columns(item_id=pl.lit("never heard of"))
    lists = fitted.recommend(histories=pl.concat([session, strange]), k=6)
    assert_frame_equal(lists, fitted.recommend(histories=session, k=6))
    only = fitted.recommend(histories=strange.with_columns(user_id=pl.lit("s2")), k=6)
    cold = fitted.recommend(["nobody"], k=6)
    assert_frame_equal(only.drop("user_id"), cold.drop("user_id"))
    assert only["user_id"].unique().to_list() == ["s2"]


def test_histories_that_cannot_be_used(fitted):
    with pytest.raises(ConfigError, match="give user_ids or histories, not both"):
        fitted.recommend(["u001"], histories=LOG)
    with pytest.raises(ConfigError, match="histories have no timestamp"):
        fitted.recommend(histories=LOG.drop("timestamp"))
    with pytest.raises(SchemaError, match="no rows"):
        fitted.recommend(histories=LOG.clear())
    with pytest.raises(SchemaError, match="item_id is Int64 in histories"):
        fitted.recommend(histories=LOG.with_columns(item_id=pl.lit(4)))


def test_histories_later_than_the_snapshot_are_looked_at_after_their_last_event(fitted):
    session = LOG.filter(user_id="u003").with_columns(pl.col("timestamp").dt.offset_by("1y"))
    alone = fitted.recommend(histories=session, k=6)
    assert alone.height == 6
    own = LOG.filter(user_id="u003")
    assert not fitted.recommend(histories=own, k=6)["score"].equals(alone["score"])


@pytest.mark.parametrize("later", ["0d", "5d", "1y"])
def test_a_session_is_served_alike_whoever_is_served_beside_it(fitted, later):
    own = LOG.filter(user_id="u003")
    stranger = LOG.filter(user_id="u007").with_columns(
        pl.col("timestamp").dt.offset_by(later), user_id=pl.lit("stranger")
    )
    alone = fitted.recommend(histories=own, k=6)
    both = fitted.recommend(histories=pl.concat([own, stranger]), k=6)
    assert_frame_equal(both.filter(user_id="u003"), alone)


def test_a_session_is_looked_at_after_its_last_event_of_whatever_item(fitted):
    history = fitted._server.snapshot.history
    end = LOG["timestamp"].max() + dt.timedelta(days=1)
    rows = [("known", "i001", end), ("known", "none", end + dt.timedelta(days=5))]
    rows += [("unknown", "none", end + dt.timedelta(days=6)), ("early", "i001", START)]
    events = pl.DataFrame(
        rows, schema=LOG.select("user_id", "item_id", "timestamp").schema, orient="row"
    )
    sessions = history.sessions(events.with_columns(weight=pl.lit(1.0, pl.Float32)))
    step = history.clock.step
    ticks = history.clock.ticks(events["timestamp"])
    assert sessions.users.values.to_list() == ["early", "known", "unknown"]
    assert sessions.now.tolist() == [history.as_of, ticks[1] + step, ticks[2] + step]


def test_candidates_without_a_session_are_looked_at_as_of_the_log(fitted):
    candidates = fitted.generate_candidates(["u001"])
    session = LOG.filter(user_id="u003").with_columns(pl.col("timestamp").dt.offset_by("1y"))
    beside_early = fitted.build_features(candidates, histories=LOG.filter(user_id="u003"))
    beside_late = fitted.build_features(candidates, histories=session)
    assert_frame_equal(beside_late, beside_early)


def test_times_without_the_zone_of_the_log_are_refused():
    times = pl.col("timestamp")
    local = LOG.with_columns(times.dt.replace_time_zone("Asia/Tokyo"))
    recommender = small().fit(local)
    assert recommender.as_of == LOG["timestamp"].max() - dt.timedelta(hours=9, microseconds=-1)
    message = r"{}: 1 problem\n.*name no time zone, .* of Asia/Tokyo; .*replace_time_zone\('Asia/T"
    with pytest.raises(SchemaError, match=message.format("new_interactions")):
        recommender.refresh(LOG)
    with pytest.raises(SchemaError, match=message.format("histories")):
        recommender.recommend(histories=LOG.lazy())
    recommender.refresh(LOG.clear())
    before = recommender.as_of
    recommender.refresh(LOG.tail(1).with_columns(times.dt.replace_time_zone("UTC")))
    assert recommender.as_of - before == dt.timedelta(hours=9)
    utc = small().fit(LOG.with_columns(times.dt.replace_time_zone("UTC")))
    assert utc.refresh(LOG).as_of == small().fit(LOG).as_of


@pytest.mark.parametrize("table", ["items", "users"])
def test_versions_without_the_zone_of_the_log_are_refused(table):
    made = {"items": item_table(), "users": user_table()}[table]
    made = made.with_columns(valid_from=pl.lit(START))
    local = LOG.with_columns(pl.col("timestamp").dt.replace_time_zone("America/New_York"))
    message = rf"{table}: 1 problem\n.*valid_from names no time zone, .* of America/New_York; say"
    with pytest.raises(SchemaError, match=message):
        small().fit(local, **{table: made})
    with pytest.raises(SchemaError, match=message):
        Popularity().fit(local, **{table: made})
    with pytest.raises(SchemaError, match=message):
        FeatureStage((UserActivity(),)).snapshot(local, **{table: made})
    zoned = made.with_columns(pl.col("valid_from").dt.replace_time_zone("America/New_York"))
    recommender = small().fit(local, **{table: zoned.lazy()})
    with pytest.raises(SchemaError, match=message):
        recommender.refresh(LOG.clear(), **{table: made})
    assert recommender.refresh(local.clear(), **{table: zoned}) is recommender


@pytest.mark.parametrize(
    "odd", [2**63 - 1, -(2**63), 2**62 + 10**6], ids=["highest", "lowest", "far"]
)
def test_whole_numbers_that_stand_for_no_time_are_refused(odd):
    log = make_log("shared")
    log = log.with_columns(timestamp=pl.Series([*log["timestamp"][1:], odd]))
    with pytest.raises(SchemaError, match=rf"timestamp: values from .*{odd}.* are too far"):
        small().fit(log)


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("ms")])
def test_times_that_stand_for_no_time_are_refused(dtype):
    never = pl.Series([*LOG["timestamp"][1:], dt.datetime(9999, 12, 31)]).cast(dtype)
    odd = {pl.Date: "2932896), in days", pl.Datetime("ms"): "253402214400000), in ms"}[dtype]
    message = re.escape(f"timestamp: 1 values are of no year from 1 to 9998 (such as {odd} since")
    with pytest.raises(SchemaError, match=message):
        small().fit(LOG.with_columns(never.alias("timestamp")))


def test_events_of_a_session_without_a_name_have_the_usual_one(fitted):
    usual = LOG["event"].value_counts(sort=True)["event"][0]
    session = LOG.head(5).drop("event")
    named = session.with_columns(event=pl.lit(usual))
    lists = fitted.recommend(histories=session, k=5)
    assert_frame_equal(lists, fitted.recommend(histories=named, k=5))
    table = fitted.build_features(fitted.generate_candidates(histories=session), histories=session)
    assert table["history_count"].sum() > 0
    assert table[f"history_{usual}_count"].equals(table["history_count"].alias(usual))


@pytest.mark.parametrize("names", [("slow", "fast"), ("slow", "view")])
def test_events_may_be_called_as_they_like(names):
    log = LOG.with_columns(event=pl.Series([names[at % 2] for at in range(LOG.height)]))
    recommender = small().fit(log)
    table = recommender.build_features(recommender.generate_candidates())
    found = [f"history_{'' if name == 'view' else 'event_'}{name}_count" for name in names]
    assert table.select(pl.sum_horizontal(found) == pl.col("history_count")).to_series().all()


def test_events_in_the_future_are_named(caplog):
    late = LOG.head(2).with_columns(timestamp=pl.lit(dt.datetime(2199, 1, 1)))
    Popularity().fit(pl.concat([LOG, late]))
    assert "2 events lie in the future, such as 2199-01-01 00:00:00: drop them" in caplog.text
    caplog.clear()
    Popularity().fit(LOG)
    assert not caplog.text


def test_a_timestamp_of_items_is_none_of_ours():
    items = item_table().with_columns(timestamp=pl.lit(5))
    assert small().fit(LOG, items=items).recommend(["u001"], k=1).height == 1


def test_one_item_is_no_reason_to_warn(caplog):
    log = LOG.with_columns(item_id=pl.lit("only"))
    small(gate="warn").fit(log)
    assert "is not better than" not in caplog.text


def test_all_events_at_one_instant_are_named(caplog):
    log = LOG.with_columns(timestamp=pl.lit(START))
    small().fit(log)
    assert "all events are of one instant; leave out timestamp" in caplog.text


def test_a_number_of_numpy_is_one_of_candidates():
    depths = [small(n_candidates=n).fit(LOG).depths_ for n in (7, np.int64(7))]
    assert depths[0] == depths[1]
    assert depths[0]["als"] == 7
    assert small(n_candidates={}).fit(LOG).depths_ == small(n_candidates=None).fit(LOG).depths_


def test_errors_of_histories_name_them(fitted):
    with pytest.raises(SchemaError, match=r"^histories: .*\n.*item_id: no such column"):
        fitted.recommend(histories=pl.DataFrame({"user_id": ["u001"]}))


def test_features_that_are_no_numbers_cannot_be_scored(fitted):
    table = fitted.build_features(fitted.generate_candidates(["u001"]))
    name = table.columns[5]
    for odd in (pl.lit("a"), pl.lit([[1.0]])):
        with pytest.raises(ConfigError, match=f"{name} of the feature table is .*expected numbers"):
            fitted.score(table.with_columns(odd.alias(name)))
    whole = table.with_columns(pl.col(name).fill_null(0).cast(pl.Int64))
    assert fitted.score(whole)["score"].null_count() == 0


def test_tables_of_candidates_and_features_of_either_kind(fitted):
    candidates = fitted.generate_candidates(["u001"])
    table = fitted.build_features(candidates.lazy())
    assert_frame_equal(table, fitted.build_features(candidates))
    assert_frame_equal(fitted.score(table.lazy()), fitted.score(table))
    with pytest.raises(SchemaError, match="user_id: no such column among"):
        fitted.build_features(candidates.drop("user_id"))
    with pytest.raises(SchemaError, match="item_id: no such column among"):
        fitted.score(table.drop("item_id"))


def test_a_test_set_of_which_nothing_is_new():
    recommender = small(repeats=False).fit(LOG)
    with pytest.raises(ConfigError, match="test holds nothing but what its users took before"):
        recommender.funnel(LOG)
    with pytest.raises(SchemaError, match="user_id is Int64 in test"):
        recommender.funnel(pl.DataFrame({"user_id": [1], "item_id": ["i001"]}))


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.recommend(["u001"]),
        lambda r: r.recommend_by_system(["u001"]),
        lambda r: r.generate_candidates(["u001"]),
        lambda r: r.build_features(pl.DataFrame()),
        lambda r: r.score(pl.DataFrame()),
        lambda r: r.explain("u001"),
        lambda r: r.funnel(LOG),
        lambda r: r.refresh(LOG),
        lambda r: r.save("nowhere"),
        lambda r: r.fingerprint,
        lambda r: r.as_of,
        lambda r: r.user_ids,
    ],
)
def test_nothing_can_be_asked_before_the_fit(ask):
    with pytest.raises(NotFittedError, match=r"not fitted yet; call fit\(interactions\)"):
        ask(TwoStageRecommender())
