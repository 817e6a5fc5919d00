"""The mistakes that are made first: an error or a warning that names what is wrong, and the way."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from features import CustomBlock, FeatureStage, LeakError, check_no_leak
from features.catalogue import all_blocks
from features.user import UserActivity
from ranker import (
    ALS,
    ConfigError,
    LabelWindows,
    LambdaRank,
    Negatives,
    OwnHistory,
    Popularity,
    RankerError,
    SchemaError,
    TwoStageRecommender,
    compare,
)
from ranker.candidates.content import TextSimilarity
from ranker.cli.doctor import examine_tables
from ranker.datasets import Dataset, load_folder
from ranker.evaluation import split_by_time
from ranker.export import export_recommendations, publish_export
from ranker.lists import (
    MMR,
    Calibrate,
    Cap,
    Explore,
    FilterAllowed,
    FilterAvailable,
    FilterDenied,
    FilterSeen,
    FilterWhere,
    NewItems,
    Policy,
    Quota,
    Thompson,
    diversity_curve,
)
from ranker.neural import DeepMatrixFactorization, NeuralCollaborativeFiltering
from ranker.query import Query
from tests.logs import make_log
from tests.recommenders import everything, small

LOG = make_log("datetime")
TIMES = {
    "Int64": pl.col("timestamp").dt.epoch("s"),
    "Date": pl.col("timestamp").dt.date(),
    "Datetime": pl.col("timestamp"),
}


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


@pytest.fixture(autouse=True)
def _heard(caplog):
    caplog.set_level(logging.WARNING)


# ------------------------------------------------------------------------------------ times


@pytest.mark.parametrize("of_fit", TIMES)
@pytest.mark.parametrize("given", TIMES)
def test_times_of_another_kind(of_fit, given):
    log, other = (LOG.with_columns(TIMES[kind]) for kind in (of_fit, given))
    recommender, alone = small().fit(log), Popularity().fit(log)
    calls = {
        "new_interactions": lambda: recommender.refresh(other),
        "histories": lambda: recommender.recommend(histories=other),
        "histories ": lambda: alone.recommend(histories=other),
    }
    for name, call in calls.items():
        if of_fit == given:
            call()
            continue
        message = rf"times are {given}.* in timestamp of {name.strip()}, {of_fit}.* in timestamp of"
        with pytest.raises(SchemaError, match=message) as error:
            call()
        assert ("from_epoch" in str(error.value)) == (given == "Int64")


def test_times_with_a_zone_are_instants_like_those_without():
    zoned = LOG.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    plain = small().fit(LOG)
    assert plain.recommend(histories=zoned).equals(plain.recommend(histories=LOG))


# --------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("n_candidates", "message"),
    [
        ({"populer": 5}, r"n_candidates has 'populer', which is no .* the nearest is 'popular'"),
        ({"popular": "all"}, r"n_candidates\['popular'\]='all'; expected a whole number"),
        ({"popular": -1}, r"n_candidates\['popular'\]=-1"),
        ({"popular": True}, r"n_candidates\['popular'\]=True"),
        (
            dict.fromkeys(["popular", "own", "als", "item_knn", "covisitation"], 0),
            "asks no source for anything",
        ),
        ([10], r"n_candidates=\[10\]; expected a whole number, 1 or more"),
        (10.0, "n_candidates=10.0"),
        (0, "n_candidates=0"),
        (-3, "n_candidates=-3"),
        (True, "n_candidates=True"),
        ("every", "n_candidates='every' is not known; expected a number"),
    ],
)
def test_numbers_of_candidates(n_candidates, message):
    with pytest.raises(ConfigError, match=message):
        small(n_candidates=n_candidates).fit(LOG)


def test_a_source_may_be_asked_for_nothing():
    assert small(n_candidates={"als": 0}).fit(LOG).depths_["als"] == 0


def test_the_holdout_of_the_caller_goes_before_that_of_a_preset():
    recommender = TwoStageRecommender.preset("fast", holdout=LabelWindows("14d", 2))
    assert (recommender.n_windows, recommender.window_length) == (None, None)
    assert TwoStageRecommender.preset("fast", holdout=None).n_windows is not None
    both = TwoStageRecommender.preset("fast", holdout=LabelWindows("14d"), n_windows=4)
    with pytest.raises(ConfigError, match="give either holdout or n_windows"):
        both.fit(LOG)


@pytest.mark.parametrize(
    "name",
    ["two-stage", "fusion", "union", "final list", "best", "served", "rest of the catalogue"],
)
def test_names_that_mean_something_else(name):
    with pytest.raises(ConfigError, match=rf"generators has the name '{name}', which reports use"):
        small(generators=[(name, Popularity())]).fit(LOG)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"generators": [ALS()]}, r"generators has ALS\(.* expected \(name, generator\) pairs"),
        ({"generators": ("als", ALS())}, "generators has 'als'; expected .name, generator. pairs"),
        ({"generators": ALS()}, r"generators=ALS\(.* expected \(name, generator\) pairs"),
        (
            {"generators": [("als", ALS)]},
            r"'als' is <class .*no generator; give an object: ALS\(\)",
        ),
        ({"generators": [(1, ALS())]}, "generators has the name 1; expected text"),
        ({"reranker": "lambdarank"}, "reranker='lambdarank'; expected an object such as Lambda"),
        ({"holdout": "28d"}, r"holdout='28d'; expected an object .*LabelWindows\(\"28d\"\)"),
        ({"holdout": LabelWindows}, r"holdout=<class .* expected an object"),
        ({"features": [1]}, r"features=\[1\]; expected FeatureStage"),
        ({"repeats": "no"}, "repeats='no'; expected True or False"),
        ({"n_windows": 0}, "n_windows=0; expected a whole number"),
        ({"max_groups": 1.5}, "max_groups=1.5; expected a whole number"),
        ({"random_state": -1}, "random_state=-1; expected a whole number, 0 or more"),
        ({"random_state": "x"}, "random_state='x'; expected a whole number, 0 or more"),
        ({"chunk_size": 0}, "chunk_size=0; expected a whole number"),
    ],
)
def test_settings_that_cannot_be(keywords, message):
    with pytest.raises(ConfigError, match=message):
        small(**keywords).fit(LOG)


def test_sources_may_be_a_mapping():
    recommender = small(generators={"popular": Popularity()}).fit(LOG)
    assert list(recommender.depths_) == ["popular"]


# ---------------------------------------------------------------------------------- questions


@pytest.mark.parametrize("name", ["recommender", "generator"])
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"k": 2.5}, "k=2.5; expected a whole number"),
        ({"k": "5"}, "k='5'; expected a whole number"),
        ({"k": True}, "k=True; expected a whole number"),
        ({"exclude_seen": "no"}, "exclude_seen='no'; expected True or False"),
        ({"user_ids": ["u001", 2]}, r"user_ids holds int and str, such as \['u001', 2\]"),
        ({"user_ids": {"u001"}}, r"user_ids=\{'u001'\} is a set; expected several ids"),
        ({"user_ids": 7}, "user_ids=7 is a int"),
        ({"user_ids": LOG.lazy()}, r"user_ids is a LazyFrame; .*frame.collect\(\)\[\"user_id\"\]"),
        ({"user_ids": LOG}, r"user_ids is a DataFrame; .* frame\[\"user_id\"\]"),
    ],
)
def test_questions_that_cannot_be_answered(fitted, name, keywords, message):
    model = fitted if name == "recommender" else Popularity().fit(LOG)
    with pytest.raises(ConfigError, match=message):
        model.recommend(**keywords)


def test_other_questions_that_cannot_be_answered(fitted, tmp_path):
    with pytest.raises(ConfigError, match="total='x'; expected a whole number"):
        fitted.choose_depths(total="x")
    with pytest.raises(ConfigError, match="item_ids is the text 'i001'"):
        fitted.explain("u001", "i001")
    with pytest.raises(ConfigError, match="systems is a DataFrame; expected lists by name"):
        compare(fitted.recommend(k=3), LOG)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be written: .*choose a folder"):
        fitted.save(tmp_path / "file" / "model")


def test_own_history_lists_what_was_seen_unless_told_not_to():
    own = OwnHistory().fit(LOG)
    lists = own.recommend(["u001"], k=3)
    assert lists.height == 3
    assert lists.equals(own.recommend(["u001"], k=3, exclude_seen=False))
    assert own.recommend(["u001"], exclude_seen=True).is_empty()


# ------------------------------------------------------------------------------------- frames


def foreign(module: str) -> object:
    return type("DataFrame", (SimpleNamespace,), {"__module__": module})()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (foreign("pandas.core.frame"), r"is a pandas.*polars\.from_pandas\("),
        (foreign("pyarrow.lib"), r"is a pyarrow.*polars\.from_arrow\("),
        ([("u", "i")], r"is a list; expected a polars DataFrame .* polars\.DataFrame\("),
        ({"user_id": ["u"]}, r"is a dict; expected a polars DataFrame"),
    ],
)
def test_frames_of_others(fitted, frame, message):
    for call in (small().fit, Popularity().fit, fitted.refresh, fitted.funnel):
        with pytest.raises(SchemaError, match=message):
            call(frame)
    with pytest.raises(RankerError, match=message):
        small().fit(LOG, items=frame)


# ------------------------------------------------------------------------------------- columns


def test_a_split_names_the_columns_that_there_are():
    log = LOG.rename({"user_id": "client", "timestamp": "when"})
    with pytest.raises(SchemaError) as error:
        split_by_time(log, test="7d")
    for part in ("user_id: no such column among ['client'", "timestamp: no", "perhaps 'when'"):
        assert part in str(error.value)
    assert "no rows" not in str(error.value)


def test_a_time_of_another_name_is_pointed_out(caplog):
    log = LOG.rename({"timestamp": "when"})
    Popularity().fit(log)
    assert "rename({'when': \"timestamp\"})" in caplog.text
    caplog.clear()
    small(generators=[("popular", Popularity())]).fit(log)
    assert "times in when" in caplog.text
    caplog.clear()
    Popularity().fit(LOG)
    assert not caplog.text


def test_ratings_that_are_not_learned(caplog):
    rated = LOG.drop("weight").with_columns(rating=pl.lit(4.0))
    model = DeepMatrixFactorization(factors=2, epochs=1)
    model.fit(rated)
    assert 'rename({"rating": "weight"})' in caplog.text
    caplog.clear()
    model.fit(rated.rename({"rating": "weight"}))
    assert not caplog.text


def test_tables_of_which_no_id_is_in_the_log(caplog):
    items = pl.DataFrame({"item_id": ["I-1"], "kind": ["a"]})
    Popularity().fit(LOG, items=items)
    assert "no item_id of items is one of the interactions: 'I-1' there" in caplog.text
    failed = [one for one in examine_tables(Dataset("x", LOG, items, None)) if one.level == "FAIL"]
    assert [one.table for one in failed] == ["items"]
    assert "'I-1' there, 'i" in failed[0].text


def test_labels_that_nothing_can_be_learned_from(caplog):
    recommender = small(holdout=LabelWindows("900d")).fit(LOG)
    assert recommender.gate_ is None
    assert "no events lie before the labels (no label windows of 900.0 days" in caplog.text


def test_a_single_column_is_no_list_of_letters():
    assert TextSimilarity(columns="title") == TextSimilarity(columns=["title"])


# --------------------------------------------------------------------- parameters of sources


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: ALS(factors=0).fit(LOG), "factors=0; expected a whole number"),
        (lambda: ALS(factors=2.5).fit(LOG), "factors=2.5; expected a whole number"),
        (lambda: ALS(approximate=True).fit(LOG), "approximate=True; expected Approximate"),
        (lambda: DeepMatrixFactorization(towers=64), r"towers=64; expected .*\(64,\)"),
        (lambda: DeepMatrixFactorization(device="gpu").fit(LOG), "device='gpu' cannot be used"),
        (lambda: NeuralCollaborativeFiltering(rerank="als").fit(LOG), "rerank='als'; expected"),
    ],
)
def test_parameters_that_cannot_be(fit, message):
    with pytest.raises(ConfigError, match=message):
        fit()


# ---------------------------------------------------------------------------------- policies

TIMED = pl.DataFrame({"item_id": ["i001"], "available_from": [LOG["timestamp"][0]]})
DENIED = pl.DataFrame({"user_id": ["u001"], "item_id": ["i001"]})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda: FilterSeen("order"), "FilterSeen: within: 'order' is no length of time"),
        (lambda: Calibrate("brand", half_life="x"), "Calibrate: half_life: 'x' is no length"),
        (lambda: NewItems(max_age=28), "NewItems: max_age: 28 is no length of time"),
        (
            lambda: Explore(by=Thompson(success="cart", trial="view", within="x")),
            "Thompson: within: 'x' is no length of time",
        ),
        (lambda: Thompson(success="a", trial="b", prior=("a", "b")), r"prior=\('a', 'b'\); exp"),
        (
            lambda: FilterAvailable(TIMED, at="2024-01-05"),
            "FilterAvailable: at='2024-01-05' is a str; expected a datetime",
        ),
        (
            lambda: FilterAvailable(TIMED.with_columns(shop=1), by="shop"),
            "FilterAvailable: by: users have no column 'shop'",
        ),
        (
            lambda: FilterDenied({"u001": ["i001"]}),
            "items of FilterDenied is a dict, .* a frame with user_id and item_id, one row",
        ),
        (lambda: FilterAllowed(DENIED), r"items has a column user_id.* by=\"user_id\""),
        (
            lambda: FilterWhere(LOG["weight"] > 1),
            "FilterWhere: condition is a Series; expected a Polars expression",
        ),
        (lambda: FilterWhere(pl.col("age") < 18), "no column 'age'; perhaps 'user_age'; of items"),
        (lambda: Quota("brand", ["x"]), r"at_least=\['x'\] does not say .*'brand', \{.*: 1\}"),
        (lambda: Quota("brand", 2), r"at_least=2 does not say .*'brand', \{\"a value\": 2\}"),
    ],
)
def test_steps_that_cannot_be(fitted, step, message):
    with pytest.raises(ConfigError, match=message):
        fitted.recommend(["u001"], policy=Policy([step()]))


@pytest.mark.parametrize(
    ("policy", "values", "message"),
    [
        ([MMR("als")], [0.5], r"policy=\[MMR.*; expected a step"),
        (MMR("als"), 0.5, "values=0.5; expected several numbers"),
        (MMR("als"), [], "values is empty"),
    ],
)
def test_curves_that_cannot_be(fitted, policy, values, message):
    with pytest.raises(ConfigError, match=message):
        diversity_curve(fitted, policy, LOG, values=values)


# ------------------------------------------------------------------------ features and reasons


def count(history, as_of):
    return history.group_by("user_id").agg(pl.len().alias("n"))


def block(function=count, key="user_id", name="b", **keywords):
    return CustomBlock(name, key=key, function=function, **keywords)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: block(key=None), "key=None; expected 'user_id', 'item_id' or"),
        (lambda: block(key=5), "key=5; expected 'user_id'"),
        (lambda: block(name=5), "name=5: a custom block needs a name, as text"),
        (lambda: block(LOG), r"'b': function is a DataFrame; expected a function of \(history"),
        (lambda: block(units="count"), r"units='count'; expected a text for each column"),
        (lambda: FeatureStage(block()), r"blocks=CustomBlock.*expected several blocks"),
        (lambda: FeatureStage("all"), "blocks='all'; expected several blocks"),
        (lambda: FeatureStage([UserActivity]), r"UserActivity'>; give an object: UserActivity\("),
        (lambda: FeatureStage([count]), r"no block; of a function, make one: CustomBlock\("),
        (lambda: FeatureStage.infer(LOG, blocks="all"), "blocks='all'; expected several"),
        (lambda: FeatureStage.infer(LOG, blocks=all_blocks), "blocks=<function all_blocks"),
        (lambda: check_no_leak([block()], LOG), r"block=\[.*expected one block as an object"),
        (lambda: check_no_leak(CustomBlock, LOG), r"block=<class .*\(missing a required arg"),
        (lambda: check_no_leak(count, LOG), r"cannot be given a log .*'as_of'.* CustomBlock\("),
        (
            lambda: check_no_leak(lambda log: count(log, None), LOG),
            "is a function that returned a DataFrame; expected one from interactions to a block",
        ),
    ],
)
def test_blocks_that_cannot_be(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (LOG.select("user_id"), "candidates: 1 problem\n.*item_id: no such column"),
        ([("u001", "i001")], "candidates: 1 problem\n.*is a list"),
        (DENIED.with_columns(item_id=pl.lit(None, pl.String)), "item_id: .*null"),
    ],
)
def test_candidates_that_cannot_be_joined(pairs, message):
    snapshot = FeatureStage([UserActivity()]).snapshot(LOG)
    with pytest.raises(SchemaError, match=message):
        snapshot.join(pairs)
    assert snapshot.join(DENIED.lazy()).equals(snapshot.join(DENIED))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one: one.explain("u001", verb=""), "verb=''; expected a participle"),
        (lambda one: one.explain(foreign("pandas.core.frame")), "users: .*\n.*from_pandas"),
        (lambda one: one.recommend(foreign("pandas.core.frame")), "user_ids: .*\n.*from_pandas"),
        (lambda one: one.drift(LOG), "n_users=shape.*"),
        (lambda one: one.build_features(["u001"]), "candidates: .*\n.*is a list"),
        (lambda one: one.load("x", custom=count), r"custom=<function.*custom=\[function\]"),
        (lambda one: one.funnel(LOG.drop("item_id")), "test: .*\n.*'item_id' is missing"),
        (lambda one: one.funnel(LOG.head(0)), "test: .*\n.*no rows"),
        (lambda one: one.policy_effect(Policy([MMR("als")]), LOG.head(0)), "test: .*\n.*no rows"),
        (lambda one: one.refresh(LOG.drop("item_id")), "new_interactions: .*\n.*item_id: no such"),
    ],
)
def test_calls_that_cannot_be(fitted, call, message):
    with pytest.raises(RankerError, match=message):
        call(fitted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Negatives(share="a"), "share='a'; expected a number from 0 to 1"),
        (lambda: LambdaRank(learning_rate=0), "learning_rate=0; expected a number above 0"),
        (lambda: LambdaRank(n_leaves=1), "n_leaves=1; expected a whole number from 2 to"),
        (lambda: LambdaRank(label_gain=3), "label_gain=3; expected what each grade is worth"),
        (lambda: LambdaRank(label_gain=["a", "b"]), r"label_gain=\['a', 'b'\]; expected what"),
    ],
)
def test_trees_that_cannot_be(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_budget_that_cannot_be(tmp_path):
    pytest.importorskip("optuna")
    with pytest.raises(ConfigError, match="seconds='600'; expected a number above 0"):
        small().tune(LOG, tmp_path / "trials.jsonl", seconds="600")


@pytest.mark.parametrize(
    "change", [{"item_id": pl.lit("zz")}, {"timestamp": pl.lit(datetime(2020, 1, 1))}]
)
def test_impressions_of_nothing_that_is_learned_from(caplog, change):
    shown = LOG.select("user_id", "item_id", "timestamp", position=1)
    small().fit(LOG, impressions=shown)
    assert "no impression" not in caplog.text
    small().fit(LOG, impressions=shown.with_columns(**change))
    assert "no impression is of a candidate in a label window" in caplog.text


def test_a_block_that_draws_lots_is_not_told_of_its_past():
    draws = iter(range(10_000))

    def lot(history, as_of):
        return count(history, as_of).with_columns(n=pl.lit(next(draws)))

    with pytest.raises(LeakError, match="if the same is asked again: it is drawn at random"):
        check_no_leak(block(lot), LOG)


# ---------------------------------------------------------------------- before a fit, and rules


@pytest.mark.parametrize("name", ["gate_", "skew_", "choices_", "stage_", "depths_", "tuning_"])
def test_what_a_fit_finds_is_not_there_before_it(name):
    recommender = small()
    assert not hasattr(recommender, name)
    with pytest.raises(RankerError, match=r"call (fit|tune)\(interactions"):
        getattr(recommender, name)


@pytest.mark.parametrize("step", [FilterDenied, FilterAllowed, FilterAvailable])
def test_frames_of_others_that_a_filter_would_take_for_their_columns(step):
    with pytest.raises(SchemaError, match=r"(items|table) of Filter.*\n.*is a pandas.*from_pandas"):
        step(foreign("pandas.core.frame"))
    with pytest.raises(RankerError, match=r"of Filter.*\n.*item_id: 1 values do not fit Int64"):
        step(pl.DataFrame({"item_id": pl.Series([2**63], dtype=pl.UInt64)}))
    with pytest.raises(ConfigError, match=r"of Filter.* cannot be read"):
        step(pl.scan_parquet("no/such.parquet"))


@pytest.mark.parametrize(
    "users",
    [foreign("pandas.core.frame"), 5, b"u1", {"u001": 1}],
    ids=["frame", "number", "bytes", "mapping"],
)
def test_users_to_export_that_are_no_list(fitted, users, tmp_path):
    with pytest.raises(SchemaError, match=r"user_ids|no list of ids"):
        export_recommendations(fitted, users, tmp_path / "lists", k=3)
    assert not (tmp_path / "lists").exists()


def test_a_file_whose_name_has_brackets(fitted, tmp_path):
    file = tmp_path / "u[1].parquet"
    LOG.select("user_id").head(3).write_parquet(file)
    assert export_recommendations(fitted, file, tmp_path / "lists", k=3).n_users >= 1
    folder = tmp_path / "data[1]"
    folder.mkdir()
    LOG.write_parquet(folder / "interactions.parquet")
    assert load_folder(folder).interactions.equals(LOG)
    with pytest.raises(ConfigError, match="path is a NoneType; expected the name of a folder"):
        export_recommendations(fitted, ["u001"], None)


def test_numbers_of_numpy_are_saved_like_those_of_python(tmp_path):
    def fit(whole, number):
        return small(
            generators=[("popular", Popularity()), ("als", ALS(factors=whole(4), alpha=number(4)))],
            n_candidates={"popular": whole(10), "als": whole(9)},
            reranker=LambdaRank(
                n_trees=whole(10), min_rows_in_leaf=whole(5), learning_rate=number(0.125)
            ),
            random_state=whole(0),
        ).fit(LOG)

    plain, of_numpy = fit(int, float), fit(np.int64, np.float32)
    assert of_numpy.fingerprint == plain.fingerprint
    of_numpy.save(tmp_path / "model")
    assert TwoStageRecommender.load(tmp_path / "model").fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("raw", [[b"x"]], dtype=pl.List(pl.Binary)),
        pl.Series("raw", [{"x": b"y"}], dtype=pl.Struct({"x": pl.Binary})),
        pl.Series("raw", [object()], dtype=pl.Object),
    ],
    ids=["list", "struct", "object"],
)
def test_columns_that_no_model_can_be_saved_with(column):
    items = pl.DataFrame({"item_id": ["i001"]}).with_columns(column)
    with pytest.raises(SchemaError, match=r"raw: dtype .* cannot be written down"):
        small().fit(LOG, items=items)


def test_caps_and_quotas_by_numbers_of_numpy_or_text():
    Policy([Cap("brand", np.int64(2)), Quota("brand", {"own": 2})])
    with pytest.raises(ConfigError, match=r"asks for 3 of 'own', and .* allows 2"):
        Policy([Cap("brand", np.int64(2)), Quota("brand", {"own": 3})])
    with pytest.raises(ConfigError, match=r"asks for 2 of '1', and .* allows 1"):
        Policy([Cap("code", {1: 1}), Quota("code", {"1": 2})])


def test_addresses_and_names_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match=r"Query\(NoneType, str\); expected the text"):
        Query(None, "duckdb::memory:")
    with pytest.raises(ConfigError, match="expected an address as text"):
        publish_export(tmp_path, Path("redis"))
    with pytest.raises(ConfigError, match="name is empty"):
        publish_export(tmp_path, "redis://host", name="")


def test_columns_that_a_filter_would_pass_over():
    pairs = pl.DataFrame({"household": [1], "item_id": ["a"]})
    with pytest.raises(SchemaError, match="'household' has no meaning here; expected 'user_id'"):
        FilterDenied(pairs)
    with pytest.raises(SchemaError, match="'household' has no meaning here"):
        FilterAllowed(pairs.lazy())
    assert FilterAvailable(pairs, by="household").by == "household"
    misspelt = pairs.select("item_id", availble_until=pl.lit(1))
    with pytest.raises(SchemaError, match=r"'availble_until' has no .* 'available_until' is meant"):
        FilterAvailable(misspelt)


def test_an_instant_as_text_is_refused_at_once():
    with pytest.raises(ConfigError, match="at='2020-01-01' is a str; expected a datetime or date"):
        FilterAvailable(pl.DataFrame({"item_id": ["a"]}), at="2020-01-01")


def test_an_instant_of_a_snapshot_that_is_none():
    with pytest.raises(ConfigError, match="as_of: 'yesterday' is no instant"):
        FeatureStage([UserActivity()]).snapshot(LOG, "yesterday")
