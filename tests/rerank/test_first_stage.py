"""Orders without a second stage: a source's own, filled up behind, and the fusion."""

from __future__ import annotations

import numpy as np
import pytest

from features.candidates import fuse_ranks
from ranker.rerank.first_stage import FUSION, first_stage_scores

SOURCES = ["als", "popular"]
#                als  popular
RANK = np.array([[2, 1], [1, 0], [0, 2], [0, 0], [3, 500], [0, 10_000]], np.int32)


def order(scores: np.ndarray) -> list[int]:
    """Rows with a score, best first."""
    known = np.flatnonzero(~np.isnan(scores))
    return known[np.argsort(-scores[known], kind="stable")].tolist()


def test_a_source_comes_first_and_the_popular_list_behind_it():
    scores = first_stage_scores("als", SOURCES, RANK, fill="popular")
    assert scores.dtype == np.float32
    assert order(scores) == [1, 0, 4, 2, 5]
    assert len(set(scores[~np.isnan(scores)].tolist())) == 5, "no two ranks became one score"


def test_the_filling_source_alone_is_itself():
    assert order(first_stage_scores("popular", SOURCES, RANK, fill="popular")) == [0, 2, 4, 5]


def test_nothing_to_fill_up_with():
    assert order(first_stage_scores("als", SOURCES, RANK, fill=None)) == [1, 0, 4]


def test_fusion():
    scores = first_stage_scores(FUSION, SOURCES, RANK, fill="popular")
    assert scores.dtype == np.float32
    is_proposed = RANK.any(axis=1)
    np.testing.assert_array_equal(scores, np.where(is_proposed, fuse_ranks(RANK), np.nan))


def test_an_unknown_system():
    with pytest.raises(ValueError, match="'knn' is not in list"):
        first_stage_scores("knn", SOURCES, RANK, fill="popular")
