"""The search for settings: better or equal on its labels, resumable, and nothing unpickled."""

from __future__ import annotations

import json
import sys

import numpy as np
import polars as pl
import pytest

from ranker import ConfigError, LambdaRank, MissingExtraError
from ranker.rerank.quality import graded_ndcg
from ranker.tuning import tune_reranker
from tests.logs import make_log
from tests.recommenders import small
from tests.rerank.tables import signal_table, table_of

NAMES = ("taste", "noise a", "noise b", "noise c")
TRAIN, VALIDATION = [signal_table(60, 1), signal_table(60, 2)], signal_table(80, 3)
START = LambdaRank(n_trees=8, learning_rate=0.02, n_leaves=4)


def tune(path, *, n_trials=4, seconds=60.0, start=START, **options):
    defaults = {"random_state": 0, "n_threads": 1}
    return tune_reranker(
        *(start, TRAIN, VALIDATION, NAMES),
        path=path,
        seconds=seconds,
        n_trials=n_trials,
        **defaults | options,
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    path = tmp_path_factory.mktemp("tuning") / "deep" / "trials.jsonl"
    return tune(path, n_trials=12), path


def test_the_given_settings_come_first_and_the_best_is_best(tuned):
    tuning, _ = tuned
    trials = tuning.trials
    assert trials.height == 12
    assert trials["trial"].to_list() == list(range(12))
    first = trials.row(0, named=True)
    assert (first["learning_rate"], first["n_leaves"], first["objective"]) == (
        0.02,
        4,
        "lambdarank",
    )
    best = trials.sort("ndcg", "trial", descending=[True, False]).row(0, named=True)
    assert tuning.best.learning_rate == best["learning_rate"]
    assert tuning.best.n_trees == START.n_trees, "what is not searched stays"
    assert tuning.gain.difference == pytest.approx(best["ndcg"] - first["ndcg"], abs=1e-4)
    assert tuning.gain.difference > 0
    model = tuning.best.fit(TRAIN, NAMES, validation=VALIDATION, n_threads=1)
    scores = model.predict(VALIDATION.features)
    again = graded_ndcg(VALIDATION, scores, k=10, gains=(0, 1)).mean()
    assert again == pytest.approx(best["ndcg"], abs=1e-12)
    assert f"12 trials, NDCG@10 {best['ndcg']:.4f} against {first['ndcg']:.4f}" in str(tuning)


def test_a_search_goes_on_behind_its_last_line(tmp_path, tuned):
    path = tmp_path / "trials.jsonl"
    tune(path, n_trials=3)
    three = path.read_text()
    with path.open("a") as file:
        file.write('{"settings": {"objec')  # a crash in the middle of a line
    tuning = tune(path, n_trials=5)
    assert tuning.trials.height == 5
    assert path.read_text().startswith(three)
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    assert len(rows) == 1 + 5
    assert tune(path, n_trials=5).trials.equals(tuning.trials), "nothing is left to do"


def test_the_same_seed_asks_for_the_same_settings(tmp_path, tuned):
    again = tune(tmp_path / "again.jsonl", n_trials=4).trials.drop("seconds")
    assert again.equals(tuned[0].trials.head(4).drop("seconds"))
    other = tune(tmp_path / "other.jsonl", n_trials=4, random_state=1).trials
    assert other["l2"].to_list()[1:] != again["l2"].to_list()[1:]


def test_no_time_is_one_trial(tmp_path):
    tuning = tune(tmp_path / "trials.jsonl", n_trials=None, seconds=1e-9)
    assert tuning.trials.height == 1
    assert tuning.best == START
    assert tuning.gain.difference == 0


def test_files_of_other_searches_are_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    tune(path, n_trials=1)
    before = path.read_text()
    with pytest.raises(ConfigError, match="trials on other labels, settings or seed"):
        tune(path, random_state=1)
    with pytest.raises(ConfigError, match="trials on other labels, settings or seed"):
        tune(path, start=LambdaRank())
    assert path.read_text() == before
    note = tmp_path / "note.txt"
    note.write_text("milk, eggs\n")
    with pytest.raises(ConfigError, match=r"note.txt' is a file that tune\(\) has not written"):
        tune(note)
    assert note.read_text() == "milk, eggs\n"
    with pytest.raises(ConfigError, match="cannot be read or written"):
        tune(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "seconds=0; expected a number above 0"),
        ({"n_trials": 0}, "n_trials=0; expected a whole number"),
    ],
)
def test_budgets_that_cannot_be(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        tune(tmp_path / "trials.jsonl", **options)


def test_without_optuna_the_message_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install.*tune"):
        tune(tmp_path / "trials.jsonl")


def test_a_recommender_tunes_and_fits(tmp_path):
    log = make_log("datetime")
    recommender = small(cold_share=0.2).tune(log, tmp_path / "trials.jsonl", n_trials=3)
    assert recommender.tuning_.trials.height == 3
    assert recommender.reranker == recommender.tuning_.best
    recommender.fit(log)
    assert recommender.recommend(["u001"], k=3).height == 3
    again = small(cold_share=0.2).tune(log, str(tmp_path / "trials.jsonl"), n_trials=3)
    assert again.reranker == recommender.reranker
    nothing = log.with_columns(timestamp=log["timestamp"].max())
    with pytest.raises(ConfigError, match="there are no labels to tune by"):
        small().tune(nothing, tmp_path / "others.jsonl")


def test_grades_that_are_worth_nothing_are_not_judged(tmp_path):
    grade = [[2, 0, 0, 0], [1, 0, 0, 0]] * 20  # the second user's label has no gain
    table = table_of(grade, features=np.random.default_rng(0).random((160, 4), np.float32))
    settings = {"path": tmp_path / "t.jsonl", "seconds": 60, "n_trials": 1}
    start = LambdaRank(n_trees=2, label_gain=(0.0, 0.0, 1.0))
    tuning = tune_reranker(start, [table], table, NAMES, random_state=0, n_threads=1, **settings)
    assert 0 < tuning.trials["ndcg"][0] <= 1
    worthless = LambdaRank(n_trees=2, label_gain=(0.0, 0.0, 0.0, 1.0))
    with pytest.raises(ConfigError, match="all labels of the freshest window worth nothing"):
        worthless.fit(table, NAMES, validation=table)


def test_settings_outside_of_what_is_searched_can_go_on(tmp_path):
    start = LambdaRank(n_trees=8, n_leaves=4, l2=0.0, learning_rate=0.5)
    first = tune(tmp_path / "t.jsonl", n_trials=1, start=start)
    tuning = tune(tmp_path / "t.jsonl", n_trials=3, start=start)
    assert tuning.trials.height == 3
    assert tuning.trials["l2"][0] == 0.0
    assert tuning.trials["ndcg"][0] == first.trials["ndcg"][0]


def test_a_line_that_is_no_trial_is_named(tmp_path):
    path = tmp_path / "trials.jsonl"
    tune(path, n_trials=1)
    with path.open("a") as file:
        file.write('{"ndcg": 0.5}\n')
    with pytest.raises(ConfigError, match="line 3 is no trial, it lacks n_trees, seconds"):
        tune(path, n_trials=2)


def test_with_impressions_the_objective_stays_since_no_other_knows_positions(tmp_path):
    log = make_log("datetime")
    shown = log.select("user_id", "item_id", "timestamp").with_columns(
        position=pl.int_range(pl.len()) % 5 + 1
    )
    trials, objectives = {}, {}
    for name, impressions in (("plain", None), ("shown", shown)):
        recommender = small().tune(
            log, tmp_path / f"{name}.jsonl", impressions=impressions, n_trials=6
        )
        trials[name] = recommender.tuning_.trials
        objectives[name] = set(trials[name]["objective"])
    assert objectives["shown"] == {"lambdarank"}
    assert objectives["plain"] > {"lambdarank"}, "the search would have left it otherwise"
    assert trials["shown"]["ndcg"][0] != trials["plain"]["ndcg"][0], "positions are learned from"


def test_numbers_of_numpy_are_written(tmp_path):
    start = LambdaRank(n_trees=np.int64(8), learning_rate=np.float64(0.02), n_leaves=np.int64(4))
    found = tune(tmp_path / "trials.jsonl", n_trials=2, start=start)
    again = tune(tmp_path / "trials.jsonl", n_trials=2, start=start)
    assert again.best == found.best
