"""Labelled tables made by hand and at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ranker.rerank.table import LabelledTable


def table_of(
    labels: Sequence[Sequence[int]],
    *,
    n_relevant: Sequence[int] | None = None,
    features: np.ndarray | None = None,
    ranks: Sequence[Sequence[int]] | None = None,
    is_cold: Sequence[bool] | None = None,
) -> LabelledTable:
    """One group per list of labels; by default nothing relevant is missing and one source ranks."""
    lengths = [len(group) for group in labels]
    label = np.array([value for group in labels for value in group], np.int8)
    if features is None:
        features = np.arange(len(label), dtype=np.float32)[:, None]
    if ranks is None:
        ranks = [[place + 1] for group in labels for place in range(len(group))]
    return LabelledTable(
        features=features,
        label=label,
        indptr=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        n_relevant=np.array([max(1, sum(g)) for g in labels] if n_relevant is None else n_relevant),
        rank=np.array(ranks, np.int32).reshape(len(label), len(ranks[0]) if ranks else 1),
        is_cold=np.array([False] * len(labels) if is_cold is None else is_cold),
    )


def signal_table(n_groups: int, seed: int, *, n_rows=20, n_features=4) -> LabelledTable:
    """The first column says what is relevant, up to some noise; the others say nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_groups, n_rows, n_features)).astype(np.float32)
    taste = features[:, :, 0] + 0.3 * rng.normal(size=(n_groups, n_rows))
    label = (taste >= np.sort(taste, axis=1)[:, [-3]]).astype(int)  # three of each group
    return table_of(label.tolist(), features=features.reshape(-1, n_features))
