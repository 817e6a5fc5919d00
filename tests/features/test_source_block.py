"""SourceScores against loops over the proposals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.source import FittedSourceScores, SourceScores
from tests.features.logs import assert_block_equals, candidates_of, queries, worlds
from tests.features.oracle import source_features

SOURCES = st.lists(st.sampled_from(["als", "own", "popular"]), min_size=1, unique=True)


@given(data=st.data(), sources=SOURCES)
@settings(max_examples=120, deadline=None)
def test_equals_loops_over_proposals(data, sources):
    world = data.draw(worlds(max_events=6))
    query = data.draw(queries(world, sources))

    def oracle(user, item, place):
        return source_features(query, place, item)

    assert_block_equals(SourceScores(), oracle, world, query, dict.fromkeys(sources))


def test_a_row_that_no_source_proposed_has_no_best_rank():
    # Candidates may be given by hand: explained or asked for, and never retrieved.
    candidates = candidates_of(("a", "b"), (1,), ("als",), [{"als": [("a", 2.0), ("b", 1.0)]}])
    nobody = replace(
        candidates,
        rank=np.array([[1], [0]], np.int32),
        score=np.array([[2.0], [np.nan]], np.float32),
    )
    fitted = FittedSourceScores(("als",))
    out = np.full((2, len(fitted.features)), np.nan, np.float32)
    fitted.fill(None, nobody, out)
    nan = np.nan
    # Score, rank and percentile; number of sources, best rank and fusion.
    expected = [[2, 1, 1, 1, 1, 1 / 61], [nan, nan, nan, 0, nan, 0]]
    np.testing.assert_allclose(out, expected, rtol=1e-6)
