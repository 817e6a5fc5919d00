"""How good an order of labelled rows is: NDCG with a gain for each grade."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.arrays import Float32Array, Float64Array
from ranker.grades import MAX_GRADE
from ranker.rerank.table import LabelledTable


def default_gains(n_grades: int = MAX_GRADE) -> tuple[float, ...]:
    """``2**grade - 1`` for the grades from 0, as Burges et al. (ICML 2005) and LightGBM have it."""
    return tuple(2.0**grade - 1 for grade in range(n_grades + 1))


def graded_ndcg(
    table: LabelledTable,
    scores: Float32Array,
    *,
    k: int,
    gains: Sequence[float],
    temperature: int | None = None,
) -> Float64Array:
    """NDCG@k of each group: gains of the list's grades by discount, divided by those of the best.

    Relevant items that nobody proposed are part of the best list, ties go by the order of rows,
    which knows no label, and with a single grade it is the binary NDCG of
    :func:`ranker.evaluation.metrics.ndcg`. LightGBM's own has neither of these.
    Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques (TOIS 2002), with the
    discount of Burges et al. (ICML 2005).

    Parameters
    ----------
    table : LabelledTable
    scores : float32 array [n_rows]
        NaN = in no list.
    k : int
    gains : sequence of float
        Of each grade from 0, not falling.
    temperature : int, optional
        Only items of this temperature are relevant.

    Returns
    -------
    float64 array [n_groups]
        0 to 1; NaN for groups in which nothing is relevant.
    """
    rows = table.top(scores, k)
    label = table.label
    if temperature is not None:
        label = np.where(table.temperature == temperature, label, np.int8(0))
    counts = (
        table.relevant.sum(axis=2) if temperature is None else table.relevant[:, :, temperature]
    )
    gain = np.asarray(gains, np.float64)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    grade = np.where(rows >= 0, label[rows], 0) if len(label) else np.zeros_like(rows)
    group, place = np.nonzero(grade)  # in order of rank: a group's sum is that of its hits alone
    found = np.bincount(
        group, weights=gain[grade[group, place]] * discount[place], minlength=table.n_groups
    )
    # The best list has the highest grades first: each grade takes the places behind the higher.
    within = np.concatenate(([0.0], np.cumsum(discount)))
    best, above = np.zeros(table.n_groups), np.zeros(table.n_groups, np.int64)
    for grade_above_0 in range(counts.shape[1], 0, -1):
        below = np.minimum(above + counts[:, grade_above_0 - 1], k)
        best += gain[grade_above_0] * (within[below] - within[above])
        above = below
    values: Float64Array = np.full(table.n_groups, np.nan)
    return np.divide(found, best, out=values, where=best > 0)
