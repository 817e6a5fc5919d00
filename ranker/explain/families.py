"""What each family of features added to a score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.arrays import Float64Array
from features.block import Feature


def by_family(features: Sequence[Feature], contributions: Float64Array) -> dict[str, Float64Array]:
    """Add contributions up by family.

    Parameters
    ----------
    features : sequence of Feature
    contributions : float64 array [n_rows, n_features + 1]
        TreeSHAP values, those of the base value last. Their sum over a row is its score.

    Returns
    -------
    dict of family to float64 array [n_rows]
        ``"base"`` first, then every family in the order of its first feature. A row's sum is
        still its score.
    """
    families = {"base": contributions[:, -1].copy()}
    for column, feature in enumerate(features):
        # A block of one's own may be called "base" as well.
        total = families.setdefault(feature.family, np.zeros(len(contributions)))
        total += contributions[:, column]
    return families
