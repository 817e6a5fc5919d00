"""The table of new users and new items shows what its buckets say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from ranker.benchmark import Split
from tests.benchmarks.cold_start import BUCKETS, SERVED, line, shown

N_EVENTS = {1: 1, 2: 2, 3: 5, 4: 12, 5: 30}


@pytest.fixture
def known() -> pl.DataFrame:
    rows = [(user, item, item) for user, n in N_EVENTS.items() for item in range(n)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return frame.sample(fraction=1.0, shuffle=True, seed=0)


@pytest.mark.parametrize("seed", range(5))
def test_everybody_is_shown_with_his_latest_events_as_many_as_the_bucket_has(known, seed):
    users = pl.Series("user_id", sorted([*N_EVENTS, 6]))
    found = dict(shown(known, users, np.random.default_rng(seed)))
    assert list(found) == list(BUCKETS)
    assert found["0"].is_empty()
    for bucket, (low, high) in BUCKETS.items():
        histories = found[bucket].group_by("user_id").agg(pl.col("item_id").sort())
        assert found[bucket].columns == known.columns
        for user, items in histories.iter_rows():
            n = N_EVENTS[user]
            assert items == list(range(n - len(items), n)), "the latest"
            assert len(items) >= min(low, n)
            assert high is None or len(items) <= high
        if bucket != "0":
            enough = {user for user, n in N_EVENTS.items() if n >= low}
            assert set(histories["user_id"]) == enough, "who has fewer is left out"
    whole = found["10+"].group_by("user_id").len()
    assert dict(whole.iter_rows()) == {4: 12, 5: 30}


def test_a_line_names_the_best_of_the_others():
    test = pl.DataFrame({"user_id": [1, 2], "item_id": [7, 8]})
    good = test.with_columns(rank=pl.lit(1))
    half = good.with_columns(item_id=pl.lit(7))
    bad = good.with_columns(item_id=pl.lit(9))
    lists = {SERVED: good, "popular": half, "als": bad, "two towers": bad}
    (row,) = line("users", "0", lists, Split(test, test), "ndcg@10", 0).iter_rows(named=True)
    assert (row["users"], row["rows"]) == (2, 2)
    assert [row[name] for name in lists] == [1.0, 0.5, 0.0, 0.0]
    assert row["served minus best other"].startswith("+0.5000 [")
    assert row["served minus best other"].endswith("popular")
