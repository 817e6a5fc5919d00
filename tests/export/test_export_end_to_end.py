"""A night's job on real films: fit, export under a limit, verify, publish."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ranker import TwoStageRecommender
from ranker.cli import main
from ranker.export import read_export
from tests.export.servers import postgres

CONFIG = """
[data]
interactions = "{data}/interactions.parquet"
items = "{data}/items.parquet"
[model]
preset = "fast"
n_windows = 1
[export]
k = 20
n_shards = 4
max_memory = "8GB"
format = "parquet-lists"
"""


@pytest.mark.slow
def test_from_a_log_to_a_view(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi", reason="needs the extra postgres")
    data = data_folder / "ml-latest-small"
    if not data.is_dir():
        pytest.skip(f"there is no MovieLens latest-small at {data}")
    config = tmp_path / "films.toml"
    config.write_text(CONFIG.format(data=data))
    assert main(["--quiet", "fit", str(config)]) == 0
    assert main(["export", str(config), "--json"]) == 0
    done = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (done["n_users"], done["n_rows"], done["n_shards"]) == (610, 610 * 20, 4)
    assert main(["--quiet", "export", "--verify", done["path"]]) == 0

    model = TwoStageRecommender.load(tmp_path / "model")
    expected = model.recommend(model.user_ids, k=20).select("user_id", "rank", "item_id", "score")
    found = read_export(done["path"]).select(expected.columns).collect()
    assert_frame_equal(found, expected, check_row_order=False, check_dtypes=False)
    with postgres() as url, dbapi.connect(url) as connection, connection.cursor() as cursor:
        assert main(["--quiet", "publish", done["path"], "--to", url, "--name", "films"]) == 0
        cursor.execute("SELECT user_id, rank, item_id, score FROM films")
        served = pl.DataFrame(cursor.fetchall(), schema=expected.schema, orient="row")
    assert_frame_equal(served, expected, check_row_order=False)
