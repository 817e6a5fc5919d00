"""The command line with a model: fit, evaluate, export and recommend on a small log in CSV."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ranker import TwoStageRecommender
from ranker.cli import main
from ranker.export import read_export

N_USERS, N_ITEMS = 60, 40
CONFIG = """
[data]
interactions = "log.csv"
items = "items.csv"
columns = {user_id = "customer", item_id = "sku", timestamp = "when"}
item_columns = {item_id = "sku"}
[split]
test = "14d"
[model]
preset = "fast"
random_state = 1
[evaluate]
k = [5, 10]
metrics = ["ndcg", "coverage", "repetition@12"]
[export]
k = 5
chunk_size = 25
"""


def run(*arguments: object) -> int:
    return main(["--quiet", *(str(argument) for argument in arguments)])


def write_log(file: Path) -> None:
    """Each customer likes every fifth item, from an own start, and buys at random times."""
    rng = random.Random(0)
    start = datetime(2024, 1, 1)
    rows = []
    for user in range(N_USERS):
        for _ in range(25):
            item = rng.randrange(N_ITEMS // 5) * 5 + user % 5
            when = start + timedelta(minutes=rng.randrange(120 * 24 * 60))
            rows.append((when, f"{when.isoformat(sep=' ')},{user},{item}"))
    text = "\n".join(row for _, row in sorted(rows))
    file.write_text(f"when,customer,sku\n{text}\n")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_log(folder / "log.csv")
    items = "".join(f"{item},group {item % 5}\n" for item in range(N_ITEMS))
    (folder / "items.csv").write_text(f"sku,group\n{items}")
    (folder / "ranker.toml").write_text(CONFIG)
    assert run("doctor", folder / "ranker.toml") == 0
    assert run("fit", folder / "ranker.toml") == 0
    return folder


def test_fit_saves_a_model_of_all_interactions(fitted: Path, capsys: pytest.CaptureFixture[str]):
    model = TwoStageRecommender.load(fitted / "model")
    assert model.user_ids.sort().to_list() == list(range(N_USERS))
    assert main(["fit", str(fitted / "ranker.toml")]) == 0
    out = capsys.readouterr().out
    assert f"saved to {fitted / 'model'}: 60 users" in out
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("- ")] == [
        f"- {line.split(':')[0]}" for line in model.choices_
    ]
    assert TwoStageRecommender.load(fitted / "model").fingerprint == model.fingerprint


def test_recommend_prints_a_list(fitted: Path, capsys: pytest.CaptureFixture[str]):
    assert run("recommend", fitted / "model", "--user", "7", "-k", "4", "--include-seen") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["rank", "item_id", "score"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    model = TwoStageRecommender.load(fitted / "model")
    expected = model.recommend(pl.Series([7]), k=4, exclude_seen=False)["item_id"].to_list()
    assert [int(row.split()[1]) for row in rows] == expected


def test_recommend_to_somebody_new(fitted: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["recommend", str(fitted / "model"), "--user", "9999", "-k", "3"]) == 0
    captured = capsys.readouterr()
    assert "user 9999 is not known to the model" in captured.err
    assert len(captured.out.splitlines()) == 4


def test_recommend_to_an_id_that_cannot_be(fitted: Path, capsys: pytest.CaptureFixture[str]):
    assert run("recommend", fitted / "model", "--user", "jane") == 2
    assert "user 'jane' cannot be a user of this model, whose ids are Int64" in (
        capsys.readouterr().err
    )


def test_evaluate_prints_metrics_and_funnel_and_leaves_the_model_alone(
    fitted: Path, capsys: pytest.CaptureFixture[str]
):
    before = {file: file.stat().st_mtime_ns for file in (fitted / "model").rglob("*")}
    assert run("evaluate", fitted / "ranker.toml") == 0
    out = capsys.readouterr().out
    metrics, _, funnel = out.partition("\n\n")
    header, *rows = metrics.splitlines()
    assert header.split() == ["metric", "k", "mean", "ci_low", "ci_high", "n_users"]
    assert [row.split()[:2] for row in rows] == [
        ["ndcg", "5"],
        ["ndcg", "10"],
        ["coverage", "5"],
        ["coverage", "10"],
        ["repetition", "12"],
    ]
    assert len(funnel.splitlines()) > 2
    assert max(len(line) for line in out.splitlines()) <= 100
    assert {file: file.stat().st_mtime_ns for file in (fitted / "model").rglob("*")} == before


def test_export_everybody_then_some(fitted: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--quiet", "export", str(fitted / "ranker.toml")]) == 0
    assert capsys.readouterr().out == ""
    lists = read_export(fitted / "export").collect()
    assert lists.height == 5 * N_USERS
    assert lists["user_id"].n_unique() == N_USERS
    assert main(["export", str(fitted / "ranker.toml")]) == 0
    assert "of them from an earlier run" in capsys.readouterr().out

    assert main(["export", "--verify", str(fitted / "export")]) == 0
    assert "is whole: 1 shards, 300 rows for 60 users" in capsys.readouterr().out
    (fitted / "export" / "_SUCCESS").unlink()
    assert main(["--quiet", "export", "--verify", str(fitted / "export")]) == 1
    assert "_SUCCESS missing" in capsys.readouterr().err

    (fitted / "some.csv").write_text("user_id\n3\n12345\n3\n")
    (fitted / "some.toml").write_text(CONFIG + 'users = "some.csv"\npath = "some"\n')
    assert main(["export", str(fitted / "some.toml")]) == 0
    assert "10 rows for 2 users (1 given twice) to" in capsys.readouterr().out
    assert read_export(fitted / "some").collect()["user_id"].unique().sort().to_list() == [3, 12345]

    (fitted / "some.csv").write_text("user_id\n3\njane\n")
    assert run("export", fitted / "some.toml") == 2
    assert "user 'jane' cannot be a user of this model" in capsys.readouterr().err


def test_export_for_a_scheduler(fitted: Path, capsys: pytest.CaptureFixture[str]):
    (fitted / "night.toml").write_text(CONFIG + 'path = "night"\nn_shards = 3\nformat = "arrow"\n')
    command = ["export", str(fitted / "night.toml"), "--format", "ndjson", "--max-memory", "20GB"]
    assert main([*command, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["ok"], done["n_users"], done["n_rows"]) == (True, N_USERS, 5 * N_USERS)
    assert done["path"] == str(fitted / "night")
    assert len(list((fitted / "night").glob("shard-*-of-00003.ndjson"))) == 3
    assert main(["export", "--verify", str(fitted / "night"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_rows"] == 5 * N_USERS
    assert run("export", fitted / "night.toml", "--json") == 2
    failed = json.loads(capsys.readouterr().out)
    assert "format: 'ndjson', not 'arrow'" in failed["error"]
    assert run(*command, "--max-memory", "1MB") == 2
    assert "max_memory is 1 MB, but the process holds" in capsys.readouterr().err
