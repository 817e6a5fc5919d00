"""Published protocols: what a run says of systems, of missing data and of failures."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from ranker import benchmark
from ranker.benchmark import PROTOCOLS, PUBLISHED, Outcome, Split, format_outcome
from ranker.benchmark.judge import among, list_values, rating_values, summary
from ranker.benchmark.run import DATA
from ranker.benchmark.systems import SERVED
from ranker.benchmark.table import format_overview
from ranker.benchmark.worker import measure, peak_gb
from ranker.cli import main
from ranker.evaluation import paired_interval, rmse
from tests.logs import make_log

VALUES = st.lists(
    st.tuples(st.integers(0, 5), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20
)


def values(users, column, metric="ndcg@10") -> pl.DataFrame:
    return pl.DataFrame({"user_id": users, "metric": metric, "value": column})


@given(rows=VALUES)
@settings(max_examples=30, deadline=None)
def test_the_summary_of_lists_has_means_and_the_difference_from_the_reference(rows):
    users, ours, theirs = map(list, zip(*rows, strict=True))
    table = summary(
        {"ours": values(users, ours), "theirs": values(users, theirs)},
        ["ndcg@10"],
        reference="ours",
        random_state=0,
    )
    means = dict(table.select("system", "ndcg@10").iter_rows())
    assert means["ours"] == pytest.approx(np.mean(ours))
    assert means["theirs"] == pytest.approx(np.mean(theirs))
    assert table["ndcg@10"].to_list() == sorted(means.values(), reverse=True)
    other = table.row(by_predicate=pl.col("system") == "theirs", named=True)
    assert other["difference"] == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert other["difference_low"] <= other["difference_high"]
    assert table.row(by_predicate=pl.col("system") == "ours", named=True)["difference"] is None


def test_with_one_split_the_interval_is_the_paired_one():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((2, 2000))
    frames = {"ours": values(range(2000), ours), "theirs": values(range(2000), theirs)}
    row = summary(frames, ["ndcg@10"], reference="ours", random_state=0).filter(system="theirs")
    plain = paired_interval(ours, theirs)
    assert row["difference_low"].item() == pytest.approx(plain.low, abs=0.005)
    assert row["difference_high"].item() == pytest.approx(plain.high, abs=0.005)


def test_a_user_of_several_splits_is_drawn_with_all_of_them():
    rng = np.random.default_rng(0)
    once = rng.random(100)
    five = np.tile(once, 5)
    width = {}
    for name, users, column in (("once", range(100), once), ("five", [*range(100)] * 5, five)):
        frames = {"a": values(users, column), "b": values(users, np.zeros(len(column)))}
        row = summary(frames, ["ndcg@10"], reference="a", random_state=0).filter(system="b")
        width[name] = (row["difference_high"] - row["difference_low"]).item()
    assert width["five"] == pytest.approx(width["once"]), "copies tell nothing new"


def test_squared_errors_become_their_root_and_the_least_is_best():
    split = Split(
        pl.DataFrame(),
        pl.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "weight": [3.0, 4.0, 5.0]}),
    )
    good, bad = pl.Series([3.0, 4.5, 5.0]), pl.Series([1.0, 1.0, 1.0])
    metrics = ["rmse u1", "rmse"]
    found = {
        "bad": pl.concat([rating_values(bad, split, fold=1), rating_values(bad, split, fold=2)]),
        "good": pl.concat([rating_values(good, split, fold=1), rating_values(bad, split, fold=2)]),
    }
    table = summary(found, metrics, reference="good", random_state=0)
    assert table["system"].to_list() == ["good", "bad"]
    actual = split.test["weight"]
    assert table["rmse u1"][0] == pytest.approx(rmse(good, actual))
    both = math.sqrt((rmse(good, actual) ** 2 + rmse(bad, actual) ** 2) / 2)
    assert table["rmse"][0] == pytest.approx(both)
    assert table["difference"][1] == pytest.approx(rmse(good, actual) - rmse(bad, actual))


@given(
    order=st.permutations(range(8)),
    kept=st.sets(st.integers(0, 9), min_size=1),
)
@settings(max_examples=30, deadline=None)
def test_competitors_keep_their_order_and_move_up(order, kept):
    lists = pl.DataFrame({"user_id": 1, "item_id": order, "rank": range(1, 9)})
    competitors = pl.DataFrame({"user_id": 1, "item_id": sorted(kept)})
    found = among(lists, competitors)
    expected = [item for item in order if item in kept]
    assert found["item_id"].to_list() == expected
    assert found["rank"].to_list() == list(range(1, len(expected) + 1))


def test_lists_are_judged_among_the_competitors_alone():
    lists = pl.DataFrame({"user_id": 1, "item_id": [5, 6, 7], "rank": [1, 2, 3]})
    test = pl.DataFrame({"user_id": [1], "item_id": [7]})
    rivals = pl.DataFrame({"user_id": [1, 1], "item_id": [6, 7]})
    of_all = list_values(lists, Split(test, test), ["hit_rate@2", "ndcg@2"])
    of_some = list_values(lists, Split(test, test, competitors=rivals), ["hit_rate@2", "ndcg@2"])
    assert of_all["value"].to_list() == [0.0, 0.0]
    assert of_some["metric"].to_list() == ["hit_rate@2", "ndcg@2"]
    assert of_some["value"].to_list() == pytest.approx([1.0, 1 / math.log2(3)])


def test_figures_of_others_are_of_known_protocols_and_metrics_best_first():
    for name, rows in PUBLISHED.items():
        metrics = PROTOCOLS[name].metrics
        assert all(row.figures.keys() <= set(metrics) and row.source for row in rows), name
        first = [row.figures.get(metrics[0], row.figures[next(iter(row.figures))]) for row in rows]
        assert first == sorted(first, reverse=not PROTOCOLS[name].rates), name


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A small log under the name of a published one, and a file that is none."""
    log = make_log("datetime")
    (tmp_path / "ml-latest-small").mkdir()
    log.write_parquet(tmp_path / "ml-latest-small" / "interactions.parquet")
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "interactions.parquet").write_text("no Parquet")
    return tmp_path


def test_the_engine_is_measured_with_every_source_alone(data: Path):
    outcome = measure("ml-latest-small", data, preset="fast", random_state=0)
    assert outcome.status == "done"
    names = [row["system"] for row in outcome.systems]
    assert {SERVED, "two-stage", "fusion", "popular", "als"} <= set(names)
    assert outcome.n_users > 0
    assert outcome.n_splits == 1
    assert outcome.peak_gb == pytest.approx(peak_gb(), rel=0.5)
    again = measure("ml-latest-small", data, preset="fast", random_state=0)
    assert again.systems == outcome.systems
    text = format_outcome(outcome)
    assert f"*  {SERVED}" in text
    assert "two-stage of RecTools" in text
    assert f"seed 0, {outcome.n_users} users, 1 split" in text
    assert text.count("[") == 2, "an interval for the best other one, and for the popular list"
    json.dumps(outcome.to_dict())


def test_a_run_goes_on_after_what_fails_and_what_is_missing(data: Path, capfd, tmp_path):
    file = tmp_path / "all.json"
    names = ["ml-100k", "amazon-toys"]
    code = main(["benchmark", *names, "--data", str(data), "--output", str(file)])
    assert code == 1
    out = capfd.readouterr().out
    # Lines are broken where a folder's name says so.
    said = " ".join(out.split())
    assert "ml-100k: a random quarter of each user's ratings, five times failed: " in said
    assert "cannot be read" in said
    assert f"missing: {data}/amazon-toys/interactions.parquet" in said
    found = json.loads(file.read_text())
    assert [one["status"] for one in found] == ["failed", "missing"]
    assert found[1]["published"][1]["system"] == "BSARec"


@pytest.mark.slow
def test_a_protocol_runs_in_a_process_of_its_own(data: Path, capfd):
    asked = ["benchmark", "ml-latest-small", "ml-100k", "--data", str(data), "--preset", "fast"]
    assert main(asked) == 1
    out = capfd.readouterr().out
    assert SERVED in out
    assert "peak " in out
    (outcome,) = benchmark.run(["ml-latest-small"], data=data, preset="fast")
    here = measure("ml-latest-small", data, preset="fast", random_state=0)
    assert outcome.systems == here.systems


def test_nothing_to_run_is_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(DATA, raising=False)
    assert main(["benchmark", "ml-1m"]) == 2
    captured = capsys.readouterr()
    assert "a folder of data with ml-1m; give --data or set RANKER_DATA" in captured.out
    assert "nothing was run" in captured.err


def test_the_folder_may_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA, str(tmp_path))
    (outcome,) = benchmark.run("ml-1m")
    assert outcome.error == str(tmp_path / "ml-1m" / "interactions.parquet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ml-2m"], "unknown protocol 'ml-2m'; expected some of amazon-beauty"),
        (["ml-1m", "--preset", "finest"], "preset 'finest' is not known; expected one of"),
        (["ml-1m", "--output", "nowhere/at/all.json"], "nowhere/at/all.json"),
    ],
)
def test_mistakes_are_told_before_anything_runs(arguments, message, capsys):
    assert main(["benchmark", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


def test_a_mistake_leaves_earlier_figures_alone(tmp_path):
    file = tmp_path / "figures.json"
    file.write_text("dear")
    assert main(["benchmark", "ml-2m", "--output", str(file)]) == 2
    assert file.read_text() == "dear"


@pytest.mark.parametrize(
    ("code", "errors", "message"),
    [
        (-9, "", "ended by SIGKILL, mostly for want of memory"),
        (-15, "", "ended by SIGTERM"),
        (1, "Traceback\n  somewhere\nMemoryError: 8 GB\n\n", "MemoryError: 8 GB"),
        (3, "", "ended with 3, without a word"),
    ],
)
def test_the_end_of_a_process_is_told(code, errors, message, data, monkeypatch, caplog):
    def ended(command, **_):
        return subprocess.CompletedProcess(command, code, "", errors)

    monkeypatch.setattr(subprocess, "run", ended)
    (outcome,) = benchmark.run(["ml-latest-small"], data=data)
    assert outcome.status == "failed"
    assert outcome.error == message
    assert errors in caplog.text


def test_the_list_names_every_protocol(capsys):
    assert main(["benchmark", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in out for name in PROTOCOLS)


def test_the_overview_has_a_line_for_each():
    row = {"system": SERVED, "ndcg@10": 0.07, "hit_rate@10": 0.1}
    done = Outcome("amazon-beauty", "done", "balanced", 0, reference=SERVED, systems=[row])
    failed = Outcome("ml-1m", "failed", "balanced", 0, error="MemoryError")
    first, second = format_overview([done, failed]).splitlines()[1:]
    assert first.split()[:4] == ["amazon-beauty", "ndcg@10", "0.0700", "0.0669"]
    assert second.endswith("failed: MemoryError")


def test_unknown_metrics_of_a_case_cannot_be_loaded():
    with pytest.raises(ConfigError, match="expected some of"):
        benchmark.load_case("nothing", None)
