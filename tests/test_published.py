"""Generators alone, under published protocols, reach what they reached when they were measured.

Bands have two sides: a figure far above would be as suspicious as one far below.
"""

from __future__ import annotations

import pytest

from tests.benchmarks.published import ROWS

BANDS = {
    ("gowalla-lightgcn", "item-kNN"): {"Recall@20": (0.1496, 0.002), "NDCG@20": (0.1156, 0.002)},
    ("gowalla-lightgcn", "random walk"): {"Recall@20": (0.1812, 0.002), "NDCG@20": (0.1496, 0.002)},
    ("citeulike-a", "tags, citations and users"): {"Recall@300": (0.4918, 0.002)},
    ("ml-100k", "deep MF"): {"RMSE": (0.8995, 0.01)},
    ("amazon-beauty", "self-attention"): {"NDCG@10": (0.0474, 0.003)},
}


@pytest.mark.slow
@pytest.mark.parametrize(("data", "system"), BANDS)
def test_figures(data, system, data_folder):
    (row,) = (row for row in ROWS if (row.data, row.system) == (data, system))
    found = row.run(row.make(0), data_folder / data)
    for name, (value, width) in BANDS[data, system].items():
        assert found[name] == pytest.approx(value, abs=width), name
