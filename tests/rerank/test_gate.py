"""The gate: its numbers by hand, its verdict, and what it serves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from ranker.evaluation.intervals import PairedInterval
from ranker.rerank.blend import BLEND
from ranker.rerank.gate import TWO_STAGE, GateReport, open_gate
from tests.rerank.tables import table_of

SECOND = 1 / np.log2(3)  # the discount of rank 2


def small_gate(is_cold: Sequence[bool] = (False, False, False, True)) -> GateReport:
    """Four users, NDCG@2; the second user has a relevant item that nobody proposed."""
    table = table_of(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]],
        n_relevant=[1, 2, 1, 1],
        is_cold=list(is_cold),
    )
    down = np.tile([3.0, 2.0, 1.0], 4).astype(np.float32)
    scores = {
        TWO_STAGE: np.array([9, 1, 1, 1, 9, 1, 1, 9, 5, 1, 5, 9], np.float32),
        "popular": down,
        "als": -down,
    }
    return open_gate(table, scores, fill="popular", k=2, random_state=0)


def test_numbers_by_hand():
    """Users with events before judge; those without are told apart."""
    gate = small_gate()
    two_stage = [1.0, 1 / (1 + SECOND), SECOND]
    popular = [1.0, SECOND / (1 + SECOND), 0.0]
    als = [0.0, SECOND / (1 + SECOND), 1.0]
    for system, values in ((TWO_STAGE, two_stage), ("popular", popular), ("als", als)):
        assert gate.ndcg[system] == pytest.approx(np.mean(values), rel=1e-12)
        assert gate.cold[system] == pytest.approx(SECOND, rel=1e-12)
    assert set(gate.against) == {"popular", "als"}
    for system, values in (("popular", popular), ("als", als)):
        interval = gate.against[system]
        difference = np.subtract(two_stage, values)
        assert interval.difference == pytest.approx(difference.mean(), rel=1e-12)
        assert difference.min() <= interval.low <= interval.difference
        assert interval.difference <= interval.high <= difference.max()
    assert (gate.k, gate.n_users, gate.n_cold) == (2, 3, 1)


def test_users_without_events_judge_where_there_are_no_others():
    gate = small_gate([True] * 4)
    assert gate.ndcg == gate.cold
    assert (gate.n_users, gate.n_cold) == (4, 4)


def test_a_blend_is_chosen_by_users_with_events():
    """One source orders theirs right, another is better for the many without."""
    labels = [[1, 0, 0]] * 3 + [[0, 1, 0]] * 5 + [[0, 0, 1]] * 4
    table = table_of(labels, is_cold=[False] * 3 + [True] * 9)
    right = np.tile([3, 2, 1], 12).astype(np.float32)
    middle = np.tile([1, 3, 2], 12).astype(np.float32)
    scores = {TWO_STAGE: -right, "popular": middle, "own": right}
    gate = open_gate(table, scores, fill="popular", k=3, blend=True, random_state=0)
    assert gate.blend is not None
    assert gate.blend.system == "own"
    assert gate.ndcg["own"] == 1
    assert gate.ndcg[TWO_STAGE] < gate.ndcg[BLEND] <= 1
    assert gate.winner == "own"


def test_the_same_seed_gives_the_same_intervals():
    assert small_gate() == small_gate()


def test_the_frame_has_a_row_for_each_system_best_first():
    gate = small_gate()
    frame = gate.frame()
    assert frame.schema == {
        "system": pl.String,
        "ndcg": pl.Float64,
        "two_stage_minus": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
    }
    assert frame["system"].to_list() == [TWO_STAGE, "popular", "als"], "equals stay in order"
    assert frame["ndcg"].is_sorted(descending=True)
    assert frame.row(0)[2:] == (None, None, None)
    for name, ndcg, *rest in frame.rows()[1:]:
        interval = gate.against[name]
        assert ndcg == gate.ndcg[name]
        assert rest == [interval.difference, interval.low, interval.high]


def report(ndcg: dict[str, float], low: float, high: float, **fields) -> GateReport:
    """A report in which every first stage has the same interval around its own difference."""
    against = {
        name: PairedInterval(ndcg[TWO_STAGE] - value, low, high, 0.5)
        for name, value in ndcg.items()
        if name != TWO_STAGE
    }
    defaults = {"cold": {}, "cold_winner": "popular", "k": 10, "n_users": 99, "n_cold": 0}
    return GateReport(ndcg, against, **defaults | fields)


@pytest.mark.parametrize(
    ("two_stage", "low", "high", "verdict", "winner"),
    [
        (0.5, 0.05, 0.15, "better", TWO_STAGE),
        (0.5, -0.05, 0.25, "no difference", TWO_STAGE),
        (0.5, 0.0, 0.2, "no difference", TWO_STAGE),
        (0.3, -0.25, 0.05, "no difference", "own"),
        (0.3, -0.2, 0.0, "no difference", "own"),
        (0.3, -0.15, -0.05, "worse", "own"),
    ],
)
def test_verdict_and_winner(two_stage, low, high, verdict, winner):
    gate = report({TWO_STAGE: two_stage, "popular": 0.1, "own": 0.4, "als": 0.2}, low, high)
    assert gate.best_first_stage == "own"
    assert gate.verdict == verdict
    assert gate.winner == winner
    line = str(gate)
    assert f"two-stage NDCG@10 {two_stage:.4f} against 0.4000 by own" in line
    assert f"[{low:+.4f}, {high:+.4f}] over 99 users, {verdict}" in line


def gate_of_cold(n_cold: int, n_better: int, *, n_warm: int = 5) -> GateReport:
    """Two rows a user; ``own`` finds what ``popular`` misses for the first ``n_better`` cold ones.

    For all others the popular list is right, and to users with events it is always wrong.
    """
    is_cold = [True] * n_cold + [False] * n_warm
    popular = np.tile(np.array([1, 0], np.float32), n_cold + n_warm)
    labels = [[0, 1]] * n_better + [[1, 0]] * (n_cold - n_better) + [[0, 1]] * n_warm
    scores = {TWO_STAGE: popular, "popular": popular, "own": -popular}
    return open_gate(table_of(labels, is_cold=is_cold), scores, fill="popular", k=1, random_state=0)


@pytest.mark.parametrize(
    ("n_cold", "n_better", "winner"),
    [
        (60, 60, "own"),
        (60, 55, "own"),
        (30, 30, "own"),
        (29, 29, "popular"),  # too few of them to tell
        (60, 32, "popular"),  # better by its mean, but not for certain
        (60, 30, "popular"),
        (60, 5, "popular"),
        (0, 0, "popular"),
    ],
)
def test_cold_users_get_the_popular_list_unless_a_source_is_better_for_certain(
    n_cold, n_better, winner
):
    gate = gate_of_cold(n_cold, n_better)
    assert gate.cold_winner == winner
    assert gate.n_cold == n_cold
    assert gate.best_first_stage == "own", "users with events alone judge"


@pytest.mark.parametrize(
    ("n_cold", "n_better", "winner"),
    [
        (10, 6, TWO_STAGE),  # its mean is larger, though not for certain
        (9, 9, "popular"),  # too few of them to tell
        (10, 5, "popular"),  # equal means
        (10, 4, "popular"),
        (60, 60, TWO_STAGE),
    ],
)
def test_cold_users_get_the_second_stage_where_its_mean_is_larger(n_cold, n_better, winner):
    popular = np.tile(np.array([1, 0], np.float32), n_cold)
    labels = [[0, 1]] * n_better + [[1, 0]] * (n_cold - n_better)
    table = table_of(labels, is_cold=[True] * n_cold)
    scores = {TWO_STAGE: -popular, "popular": popular, "own": -popular}
    gate = open_gate(table, scores, fill="popular", k=1, random_state=0)
    assert gate.cold_winner == winner


@pytest.mark.parametrize(
    ("n_cold", "right", "winner"),
    [
        (60, (32, 5, 34), TWO_STAGE),  # own is better than popular for certain, not than the trees
        (60, (32, 30, 60), "own"),
        (29, (10, 5, 29), TWO_STAGE),  # too few for proof
        (60, (5, 32, 34), "popular"),
    ],
)
def test_cold_users_get_a_source_only_if_better_for_certain_than_what_they_would_get(
    n_cold, right, winner
):
    """Of each system: how many users, from the first on, have the relevant row on top."""
    table = table_of([[1, 0]] * n_cold, is_cold=[True] * n_cold)
    scores = {
        system: np.where(np.arange(n_cold) < n, 1, -1).repeat(2) * np.tile([1.0, -1.0], n_cold)
        for system, n in zip((TWO_STAGE, "popular", "own"), right, strict=True)
    }
    scores = {system: values.astype(np.float32) for system, values in scores.items()}
    gate = open_gate(table, scores, fill="popular", k=1, random_state=0)
    assert gate.cold_winner == winner


def test_no_cold_users():
    table = table_of([[1, 0]])
    scores = {TWO_STAGE: np.array([1, 0], np.float32), "popular": np.array([0, 1], np.float32)}
    gate = open_gate(table, scores, fill="popular", k=1, random_state=0)
    assert gate.cold == {}
    assert gate.cold_winner == "popular"
    assert gate.n_cold == 0
    assert gate.ndcg == {TWO_STAGE: 1.0, "popular": 0.0}


# ------------------------------------------------------------------ segments


def test_segments_by_hand():
    """Four users with 0, 2, 9 and 10 events; two of them took something hot."""
    table = table_of(
        [[1, 0], [1, 0], [0, 1], [1, 1]],
        n_events=[0, 2, 9, 10],
        temperature=[[0, 0], [2, 0], [0, 0], [2, 0]],
    )
    two_stage = np.array([1, 0, 1, 0, 1, 0, 0, 1], np.float32)
    scores = {TWO_STAGE: two_stage, "popular": -two_stage}
    gate = open_gate(table, scores, fill="popular", k=1, random_state=0)
    assert list(gate.segments) == [
        *("history 0", "history 1-2", "history 3-9", "history 10+", "cold items", "hot items")
    ]
    expected = {
        "history 0": (1, 1.0, 0.0),
        "history 1-2": (1, 1.0, 0.0),
        "history 3-9": (1, 0.0, 1.0),
        "history 10+": (1, 1.0, 1.0),
        "cold items": (2, 0.5, 0.5),  # the last user took a cold and a hot one, the first is new
        "hot items": (2, 0.5, 0.5),
    }
    for name, (n_users, own, popular) in expected.items():
        segment = gate.segments[name]
        assert segment.n_users == n_users
        assert segment.ndcg == pytest.approx({TWO_STAGE: own, "popular": popular})
        assert segment.against["popular"].difference == pytest.approx(own - popular)
    frame = gate.segment_frame()
    assert frame.height == 12
    assert frame.columns == ["segment", "n_users", *gate.frame().columns]


def test_a_segment_that_loses_for_certain_is_named_if_it_has_enough_users():
    def gate_of(n_few: int) -> GateReport:
        labels = [[1, 0]] * (100 + n_few)
        table = table_of(labels, n_events=[50] * 100 + [1] * n_few)
        right = np.tile(np.array([1, 0], np.float32), len(labels))
        two_stage = right.copy()
        two_stage[200:] = 1 - right[200:]
        return open_gate(
            table, {TWO_STAGE: two_stage, "popular": right}, fill="popular", k=1, random_state=0
        )

    assert gate_of(40).losses == ["history 1-2", "cold items"]
    assert "; worse in history 1-2, cold items" in str(gate_of(40))
    assert gate_of(5).losses == ["cold items"], "five users are too few to tell"


def test_users_without_events_are_a_loss_only_where_the_second_stage_serves_them():
    """All are alike to 60 users with events; to 40 of 100 new ones a source is better."""
    table = table_of([[1, 0]] * 120 + [[0, 1]] * 40, is_cold=[False] * 60 + [True] * 100)
    first = np.tile(np.array([1, 0], np.float32), 160)
    own = np.where(np.arange(320) < 240, first, 1 - first)
    scores = {TWO_STAGE: first, "popular": first, "own": own}
    gate = open_gate(table, scores, fill="popular", k=1, random_state=0)
    assert gate.cold_winner == "own"
    assert gate.segments["history 0"].against["own"].high < 0
    assert gate.segments["cold items"].n_users == gate.n_users == 60
    assert gate.losses == []
    served = dataclasses.replace(gate, cold_winner=TWO_STAGE)
    assert served.losses == ["history 0"]


def test_users_whose_labels_are_worth_nothing_are_left_out():
    table = table_of(
        [[1, 0, 0], [0, 2, 0], [1, 0, 2]], temperature=[[2, 0, 0], [0, 1, 0], [2, 0, 1]]
    )
    down = np.tile([3.0, 2.0, 1.0], 3).astype(np.float32)
    scores = {TWO_STAGE: down, "popular": -down}
    gate = open_gate(
        table, scores, fill="popular", k=2, gains=(0.0, 0.0, 1.0), blend=True, random_state=0
    )
    assert gate.n_users == 2
    assert gate.ndcg[TWO_STAGE] == pytest.approx(np.mean([SECOND, 0.0]))
    assert gate.ndcg["popular"] == pytest.approx(np.mean([SECOND, 1.0]))
    assert gate.segments["warm items"].n_users == 2
    assert "hot items" not in gate.segments
