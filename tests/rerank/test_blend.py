"""The blend of two orders: by hand, its edges, and when the gate lets it through."""

from __future__ import annotations

import numpy as np
import pytest

from ranker.rerank.blend import BLEND, WEIGHTS, Blend
from ranker.rerank.gate import TWO_STAGE, open_gate
from tests.rerank.tables import table_of


def test_scores_by_hand():
    two_stage = np.array([5, 9, 1, 2, 3], np.float32)
    first = np.array([np.nan, 1, 2, 7, np.nan], np.float32)
    found = Blend("popular", 0.25).scores(two_stage, first, np.array([0, 3, 5]))
    expected = [
        0.25 / 62,
        0.25 / 61 + 0.75 / 62,
        0.25 / 63 + 0.75 / 61,
        0.25 / 62 + 0.75 / 61,
        0.25 / 61,
    ]
    assert found == pytest.approx(expected, rel=1e-6)
    assert found.dtype == np.float32


def test_rows_in_neither_list_stay_out():
    nothing = np.array([np.nan, 1], np.float32)
    found = Blend("popular", 0.5).scores(nothing, nothing, np.array([0, 2]))
    assert np.isnan(found).tolist() == [True, False]


def gate_of(labels, two_stage, first, blend=True):
    scores = {
        TWO_STAGE: np.array(two_stage, np.float32),
        "popular": np.array(first, np.float32),
    }
    return open_gate(table_of(labels), scores, fill="popular", k=2, blend=blend, random_state=0)


def test_the_blend_serves_where_it_is_better_than_both():
    """Each order is right about another item; only together they put both in front."""
    labels = [[1, 0, 0, 1]] * 40
    gate = gate_of(labels, [9, 8, 7, 1] * 40, [1, 2, 8, 9] * 40)
    gate_two = gate_of(labels, [9, 6, 7, 8] * 40, [1, 2, 8, 9] * 40)
    assert gate.ndcg[BLEND] > max(gate.ndcg[TWO_STAGE], gate.ndcg["popular"])
    assert gate.blend.system == "popular"
    assert gate.blend.weight in WEIGHTS
    assert gate.choose("blend") == BLEND
    assert gate.choose("warn") == TWO_STAGE
    assert gate.choose("fallback") in (TWO_STAGE, "popular")
    assert gate_two.choose("blend") == TWO_STAGE, "the second stage is perfect by itself"
    assert BLEND not in gate.cold
    assert f"a blend of {gate.blend.weight:.0%} with popular has" in str(gate)


def test_the_blend_is_never_served_where_it_is_worse_by_its_mean():
    labels = [[1, 0, 0, 0]] * 40
    perfect, wrong = [9, 3, 2, 1] * 40, [1, 7, 8, 9] * 40
    for two_stage, first, winner in ((perfect, wrong, TWO_STAGE), (wrong, perfect, "popular")):
        gate = gate_of(labels, two_stage, first)
        assert gate.choose("blend") == winner
        assert gate.best_first_stage == "popular", "the blend is no first stage"
    assert gate_of(labels, perfect, wrong, blend=False).blend is None
