"""Orders that need no second stage: each source alone, and the fusion of their ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.arrays import Float32Array, Int32Array
from features.candidates import fuse_ranks

FUSION = "fusion"
"""Name of the reciprocal rank fusion of all sources."""

_BEHIND = np.float32(1e6)


def first_stage_scores(
    system: str, sources: Sequence[str], rank: Int32Array, *, fill: str | None
) -> Float32Array:
    """Scores that put candidates in the order of one source, or of the fusion of all.

    Parameters
    ----------
    system : str
        A source's name or :data:`FUSION`.
    sources : sequence of str
    rank : int32 array [n_rows, n_sources]
        0 = not proposed.
    fill : str, optional
        The source whose items follow those of ``system``: lists are filled up by popularity.

    Returns
    -------
    float32 array [n_rows]
        Descending along the list; NaN for items that are in neither.
    """
    if system == FUSION:
        return np.where((rank > 0).any(axis=1), fuse_ranks(rank), np.float32(np.nan))
    own = rank[:, sources.index(system)]
    filling = np.zeros_like(own) if fill is None else rank[:, sources.index(fill)]
    behind = np.where(filling > 0, -filling - _BEHIND, np.nan)
    return np.where(own > 0, -own, behind).astype(np.float32)
