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
    n_events: Sequence[int] | None = None,
    temperature: Sequence[Sequence[int]] | None = None,
    position: Sequence[Sequence[int]] | None = None,
) -> LabelledTable:
    """One group per list of labels; by default nothing relevant is missing and one source ranks.

    With ``n_relevant`` what nobody proposed is of grade 1 and cold.
    """
    lengths = [len(group) for group in labels]
    label = np.array([value for group in labels for value in group], np.int8)
    if features is None:
        features = np.arange(len(label), dtype=np.float32)[:, None]
    if ranks is None:
        ranks = [[place + 1] for group in labels for place in range(len(group))]
    if n_events is None:
        n_events = [0 if cold else 10 for cold in is_cold or [False] * len(labels)]
    degrees = (
        [0] * len(label) if temperature is None else [x for group in temperature for x in group]
    )
    relevant = np.zeros((len(labels), max(1, int(label.max(initial=1))), 3), np.int64)
    groups = np.repeat(np.arange(len(labels)), lengths)
    for group, grade, degree in zip(groups, label, degrees, strict=True):
        if grade:
            relevant[group, grade - 1, degree] += 1
    wanted = [max(1, sum(x > 0 for x in group)) for group in labels]
    for group, n in enumerate(wanted if n_relevant is None else n_relevant):
        relevant[group, 0, 0] += n - relevant[group].sum()
    return LabelledTable(
        features=features,
        label=label,
        indptr=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        relevant=relevant,
        rank=np.array(ranks, np.int32).reshape(len(label), len(ranks[0]) if ranks else 1),
        temperature=np.array(degrees, np.int8),
        n_events=np.array(n_events, np.int64),
        position=np.array(
            [0] * len(label) if position is None else [x for group in position for x in group],
            np.int16,
        ),
        user=np.arange(len(labels)),
    )


def signal_table(n_groups: int, seed: int, *, n_rows=20, n_features=4) -> LabelledTable:
    """The first column says what is relevant, up to some noise; the others say nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_groups, n_rows, n_features)).astype(np.float32)
    taste = features[:, :, 0] + 0.3 * rng.normal(size=(n_groups, n_rows))
    label = (taste >= np.sort(taste, axis=1)[:, [-3]]).astype(int)  # three of each group
    return table_of(label.tolist(), features=features.reshape(-1, n_features))
