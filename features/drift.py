"""Whether features still look as they did when trees learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import AnyArray, Float32Array, Float64Array
from features.block import Feature
from features.errors import ConfigError

STABLE, SHIFTED = 0.1, 0.25  # Siddiqi's rules of thumb for the index
_COMMON, _NEAR = 0.01, 0.05  # share of rows from which on a value has neighbours, and how near
_TELLABLE = 0.7  # an AUC from which on rows of then and now look different on the whole
_MAX_ROWS = 20_000  # that the classifier learns from, and is tested on


@dataclass(frozen=True)
class DriftReport:
    """How far features have drifted from one set of rows to another.

    Attributes
    ----------
    features : DataFrame
        One row per feature, the worst first: feature, family, psi (population stability index, 0
        = the same; above 0.1 shifted, above 0.25 shifted much), unknown_then and unknown_now
        (shares of rows), median_then and median_now (null where all is unknown).
    auc : float
        How well a classifier tells rows of now from rows of then, of users and items that it has
        not seen: 0.5 = not at all, 1 = always.
    """

    features: pl.DataFrame
    auc: float

    def worst(self, n: int = 5) -> list[str]:
        """Names of the features that have shifted most, of those above 0.1."""
        return self.features.filter(pl.col("psi") > STABLE)["feature"].head(n).to_list()

    def __str__(self) -> str:
        n_much = int((self.features["psi"] > SHIFTED).sum())
        verdict = "look different" if self.auc > _TELLABLE else "look much alike"
        worst = ", ".join(self.worst()) or "none"
        return (
            f"rows of then and now {verdict} (adversarial AUC {self.auc:.2f}); {n_much} of "
            f"{self.features.height} features have shifted much, the worst: {worst}"
        )


def feature_drift(
    then: Float32Array,
    now: Float32Array,
    features: Sequence[Feature],
    *,
    ids: Sequence[tuple[AnyArray, AnyArray]] = (),
    n_bins: int = 10,
    random_state: int = 0,
) -> DriftReport:
    """Compare two feature tables, each feature by itself and all together.

    Parameters
    ----------
    then, now : float32 array [n_rows, n_features]
        NaN = unknown.
    features : sequence of Feature
        The columns.
    ids : sequence of (array [n_rows], array [n_rows])
        Whose rows these are, then and now: a pair of arrays for the users, another for the items.
    n_bins : int
        Quantiles of ``then`` between which the rows are counted.
    random_state : int

    Raises
    ------
    ConfigError
        If a table has no rows or not these columns.
    """
    for name, table in (("then", then), ("now", now)):
        if not len(table) or table.shape[1] != len(features):
            raise ConfigError(
                f"{name} is a table of {table.shape}; expected at least a row, and "
                f"{len(features)} columns"
            )
    rows = []
    for column, feature in enumerate(features):
        old, new = then[:, column], now[:, column]
        rows.append(
            {
                "feature": feature.name,
                "family": feature.family,
                "psi": population_stability(old, new, n_bins=n_bins),
                "unknown_then": float(np.isnan(old).mean()),
                "unknown_now": float(np.isnan(new).mean()),
                "median_then": _median(old),
                "median_now": _median(new),
            }
        )
    numbers = ("psi", "unknown_then", "unknown_now", "median_then", "median_now")
    schema = [
        ("feature", pl.String),
        ("family", pl.String),
        *((name, pl.Float64) for name in numbers),
    ]
    frame = pl.DataFrame(rows, schema=schema)
    auc = adversarial_auc(then, now, ids, random_state=random_state)
    return DriftReport(frame.sort("psi", "feature", descending=[True, False]), auc)


def population_stability(then: Float32Array, now: Float32Array, *, n_bins: int = 10) -> float:
    """Population stability index, ``sum over bins of (q - p) * ln(q / p)``, 0 or more.

    Siddiqi: Credit risk scorecards (2006). The bins lie between quantiles of ``then``; a quantile
    itself is a bin, so that shares of single values count, and so is what is unknown. If a
    hundredth of the rows has that very value, what lies within five per cent of it is in the bin
    too (but no farther than half way to the next): the share of a brand that moves from .708 to
    .703 has not shifted, though no row has the same value. Each bin has half a row on top, lest an
    empty one makes the index infinite.

    Parameters
    ----------
    then, now : float32 array [n_rows]
        NaN = unknown.
    n_bins : int
    """
    known = then[~np.isnan(then)]
    quantiles = np.quantile(known, np.arange(1, n_bins) / n_bins) if len(known) else known
    edges = np.unique(quantiles.astype(np.float32)).astype(np.float64)
    is_common = [(known == edge).sum() >= _COMMON * len(known) for edge in edges]
    near, middle = np.where(is_common, _NEAR * np.abs(edges), 0.0), (edges[1:] + edges[:-1]) / 2
    lower, upper = edges - near, edges + near
    lower[1:], upper[:-1] = np.maximum(lower[1:], middle), np.minimum(upper[:-1], middle)
    p, q = (_shares(values, lower, upper) for values in (then, now))
    return float(((q - p) * np.log(q / p)).sum())


def adversarial_auc(
    then: Float32Array,
    now: Float32Array,
    ids: Sequence[tuple[AnyArray, AnyArray]] = (),
    *,
    random_state: int = 0,
) -> float:
    """How well boosted trees tell rows of now from rows of then, cross-validated in two halves.

    The features of an item are the same in all its rows, and others in the next snapshot: trees
    that have seen an item would know the snapshot by it, without any drift. So they are tested on
    users and on items that they have not seen.

    Parameters
    ----------
    then, now : float32 array [n_rows, n_features]
    ids : sequence of (array [n_rows], array [n_rows])
        No id is on both sides of a test. Rows with ids of both halves are left out.
    random_state : int

    Returns
    -------
    float
        Area under the ROC curve; 0.5 if there is nothing to tell them by.
    """
    # Imported here: scikit-learn brings pandas, which takes long.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(random_state)
    table = np.concatenate((then, now))
    is_now = np.repeat([False, True], [len(then), len(now)])
    halves = []
    for old, new in ids or [(np.arange(len(then)), np.arange(len(now)) + len(then))]:
        values, place = np.unique(np.concatenate((old, new)), return_inverse=True)
        halves.append((rng.permutation(len(values)) % 2)[place])
    parts = []
    for half in (0, 1):
        rows = np.flatnonzero(np.all([one == half for one in halves], axis=0))
        parts.append(np.sort(rng.permutation(rows)[:_MAX_ROWS]))
    table = table[:, ~np.isnan(table).all(axis=0)]
    if not table.shape[1] or any(len(np.unique(is_now[part])) < 2 for part in parts):
        return 0.5
    found = []
    for learned, tested in (parts, parts[::-1]):
        trees = HistGradientBoostingClassifier(
            max_iter=50, max_leaf_nodes=15, early_stopping=False, random_state=random_state
        )
        trees.fit(table[learned], is_now[learned])
        scores = trees.predict_proba(table[tested])[:, 1]
        found.append(roc_auc_score(is_now[tested], scores))
    return float(np.mean(found))


def _shares(values: Float32Array, lower: Float64Array, upper: Float64Array) -> AnyArray:
    """Share of rows below, within and above each of the bins, and of unknown ones."""
    n_known_bins = 2 * len(lower) + 1
    place = np.searchsorted(lower, values, "right") + np.searchsorted(upper, values, "left")
    place[np.isnan(values)] = n_known_bins
    counts = np.bincount(place, minlength=n_known_bins + 1) + 0.5
    shares: AnyArray = counts / counts.sum()
    return shares


def _median(values: Float32Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None
