"""From folds of the log to a reranker, and how it compares with what needs none."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from features.arrays import Int64Array
from features.errors import ConfigError
from features.ids import Ids
from ranker.holdout import Fold
from ranker.impressions import shown_between
from ranker.labelling import Labelled, label_candidates
from ranker.negatives import DEFAULT_NEGATIVES, Negatives
from ranker.rerank.first_stage import FUSION, first_stage_scores
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.gate import TWO_STAGE, GateReport, open_gate
from ranker.rerank.lambdarank import LambdaRank
from ranker.rerank.table import LabelledTable
from ranker.skew import Sight, look_at
from ranker.snapshot import Snapshot, Taught
from ranker.text import count

logger = logging.getLogger(__name__)

_MAX_JUDGED = 10_000  # users; all rows of those with a hit are kept
_MAX_JUDGED_ROWS = 4_000_000  # about 1 GB; fewer users where each has the whole catalogue
_VALIDATION_SHARE = 0.3  # of the users, where all folds are to judge by


@dataclasses.dataclass(frozen=True)
class Windows:
    """What the folds of a log have to learn from, freshest first.

    Attributes
    ----------
    labelled : tuple of Labelled or None
        None where nothing is relevant. The freshest have lists to judge by besides.
    names : tuple of str
        Of the feature columns.
    sight : Sight or None
        The lists of the freshest, whoever has labels.
    random_state : int
    n_validation : int
        How many of the freshest are to judge by.
    """

    labelled: tuple[Labelled | None, ...]
    names: tuple[str, ...]
    sight: Sight | None
    random_state: int
    n_validation: int = 1

    def split(self) -> tuple[list[LabelledTable], LabelledTable] | None:
        """What to learn from and what to validate on.

        The freshest folds are for validation; where there are no others, users are parted.
        None if in one of both no user with events before took a proposed item: lists of the others
        hold no history to learn from.
        """
        judged = [one.judged for one in self.labelled[: self.n_validation] if one and one.judged]
        train = self._learned(self.labelled[self.n_validation :])
        if not train:
            judges = self._judges(judged)
            judged = [one.groups(np.isin(one.user, judges)) for one in judged]
            parts = [one.groups(~np.isin(one.user, judges)) for one in self.everything()]
            train = [one for one in parts if one.n_groups]
        if not any(map(_teaches, train)) or not any(map(_teaches, judged)):
            return None
        return train, judged[0] if len(judged) == 1 else LabelledTable.concatenate(judged)

    def _judges(self, judged: Sequence[LabelledTable]) -> Int64Array:
        """Three tenths of the users with a hit, one at least and not all, and of the others."""
        rng = np.random.default_rng(self.random_state)
        users = np.unique(np.concatenate([np.zeros(0, np.int64), *(one.user for one in judged)]))
        hit = [one.user[np.diff(one.indptr) > 0] for one in judged]
        has_hit = np.isin(users, np.concatenate([users[:0], *hit]))
        parts = [rng.permutation(users[has_hit]), rng.permutation(users[~has_hit])]
        counts = [round(_VALIDATION_SHARE * len(part)) for part in parts]
        counts[0] = max(1, counts[0]) if len(parts[0]) > 1 else 0
        return np.concatenate([part[:n] for part, n in zip(parts, counts, strict=True)])

    def everything(self) -> list[LabelledTable]:
        """What to learn from in the end: the freshest labels too, a table per window."""
        return self._learned(self.labelled)

    @property
    def recall(self) -> list[float]:
        """Share of the relevant items that the sources proposed, of each window with labels."""
        return [labelled.recall for labelled in self.labelled if labelled is not None]

    @staticmethod
    def _learned(labelled: Sequence[Labelled | None]) -> list[LabelledTable]:
        return [one.learned for one in labelled if one is not None and one.learned.n_groups]


@dataclasses.dataclass(frozen=True)
class TrainedReranker:
    """A reranker and how it compared before it was grown again on everything.

    Attributes
    ----------
    model : FittedLambdaRank
    gate : GateReport
    choice : str
        The objective and the number of trees.
    sight : Sight
        The lists of the freshest window, to compare serving with.
    recall : list of float
        Of the candidates, by window.
    """

    model: FittedLambdaRank
    gate: GateReport
    choice: str
    sight: Sight
    recall: list[float]


def snapshots(
    folds: Sequence[Fold],
    build: Callable[[Fold, str, Taught | None], Snapshot],
    n_validation: int,
) -> Iterator[tuple[int, Fold, Snapshot]]:
    """The snapshot of each fold, the earliest first, and its place among the folds.

    What learns slowly learns once for folds that know nearly the same. Those to judge by have
    their own, as serving has.

    Parameters
    ----------
    folds : sequence of Fold
        Freshest first.
    build : callable
        Builds the snapshot of a fold; the text says which one it is, and what was learned from an
        earlier one is taken over.
    n_validation : int
        How many of the freshest folds are to judge by.
    """
    teacher: Fold | None = None
    taught: Taught | None = None
    for index, fold in reversed([*enumerate(folds)]):
        is_close = teacher is not None and index >= n_validation and fold.follows(teacher)
        if not is_close:
            teacher, taught = fold, None
        snapshot = build(fold, f"window {index + 1} of {len(folds)}", taught)
        if not is_close:
            taught = snapshot.shared
        yield index, fold, snapshot
        del snapshot


def label_windows(
    folds: Sequence[Fold],
    build: Callable[[Fold, str, Taught | None], Snapshot],
    depths: Mapping[str, int],
    *,
    repeats: bool,
    max_groups: int,
    random_state: int,
    n_threads: int,
    negatives: Negatives = DEFAULT_NEGATIVES,
    cold_share: float = 0.0,
    impressions: pl.DataFrame | None = None,
    n_validation: int = 1,
) -> Windows:
    """Label the candidates of each fold; one snapshot at a time is in memory.

    Parameters
    ----------
    folds : sequence of Fold
        Freshest first.
    build : callable
        Builds the snapshot of a fold, see :func:`snapshots`.
    depths : mapping of source name to int
    repeats : bool
    max_groups : int
        Users of the folds to judge by, and of all older ones twice as many; of all folds three
        times as many where there are no older ones.
    random_state, n_threads : int
    negatives : Negatives
        Which candidates that were not taken to learn from.
    cold_share : float
        Share of the users to learn from once more as if they were new.
    impressions : DataFrame, optional
        Canonical, see :func:`ranker.impressions.check_impressions`.
    n_validation : int
        How many of the freshest folds are to judge by.

    Raises
    ------
    ConfigError
        If the features of two windows are not the same, or there are impressions and no windows
        of time.
    """
    # The older windows share the work: of many of them each has fewer users.
    n_older = max(0, len(folds) - n_validation)
    per_window = -(-2 * max_groups // max(1, n_older))
    per_judged = -(-(max_groups if n_older else 3 * max_groups) // n_validation)
    everybody = Ids.sorted(*(fold.labels["user_id"] for fold in folds)) if folds else None
    labelled: list[Labelled | None] = []
    names: tuple[str, ...] = ()
    sight = None
    for index, fold, snapshot in snapshots(folds, build, n_validation):
        n_learned, n_judged = per_window, 0
        if index < n_validation:
            n_learned, n_judged = per_judged, -(-_MAX_JUDGED // n_validation)
            if snapshot.every_item:
                n_rows = snapshot.history.n_items * n_validation
                n_judged = min(n_judged, max(1, _MAX_JUDGED_ROWS // n_rows))
                n_learned = min(n_learned, n_judged)
        labelled.append(
            label_candidates(
                snapshot,
                fold.labels,
                depths,
                repeats=repeats,
                max_groups=n_learned,
                n_judged=n_judged,
                random_state=random_state + index,
                negatives=negatives,
                cold_share=cold_share,
                shown=None if impressions is None else _shown(impressions, fold, snapshot),
                n_threads=n_threads,
                everybody=everybody,
            )
        )
        if names and snapshot.tables.names != names:
            raise ConfigError(
                f"the features of two windows are not the same, such as "
                f"{sorted({*snapshot.tables.names} ^ {*names})[:3]}; a block's columns may not "
                f"depend on the data"
            )
        if index == 0:
            sight = look_at(
                snapshot,
                depths,
                exclude_seen=not repeats,
                random_state=random_state,
                n_threads=n_threads,
            )
        names = snapshot.tables.names
        del snapshot  # before the next one is built
    labelled.reverse()
    if impressions is not None and not any(
        (one.learned.position > 0).any() for one in labelled if one is not None
    ):
        logger.warning(
            "no impression is of a candidate in a label window, so that nothing is learned of "
            "positions: impressions have the times %s to %s and ids such as %r; give those of the "
            "end of the log",
            impressions["timestamp"].min(),
            impressions["timestamp"].max(),
            impressions["item_id"][0],
        )
    return Windows(tuple(labelled), names, sight, random_state, n_validation)


def _teaches(table: LabelledTable) -> bool:
    """Whether a user with events before took a proposed item."""
    has_history = np.repeat(~table.is_cold, np.diff(table.indptr))
    return bool(table.label[has_history].any())


def train_reranker(
    windows: Windows,
    reranker: LambdaRank,
    sources: Sequence[str],
    *,
    fill: str | None,
    blend: bool = False,
    random_state: int,
    n_threads: int,
) -> TrainedReranker | None:
    """Learn to rank.

    The freshest folds choose the number of trees and are asked whether the second stage helps;
    then the trees are grown again with their labels included.

    Parameters
    ----------
    windows : Windows
    reranker : LambdaRank
    sources : sequence of str
    fill : str or None
        The popularity source that fills up the lists of the others where they are compared.
    blend : bool
        Whether the gate is to look for a blend with the best first stage.
    random_state, n_threads : int

    Returns
    -------
    TrainedReranker or None
        None if there is nothing to learn from: no fold, or no proposed item that a user with events
        before took.
    """
    split = windows.split()
    if split is None or windows.sight is None:
        return None
    train, validation = split
    settings: dict[str, Any] = {"random_state": random_state, "n_threads": n_threads}
    model = reranker.fit(train, windows.names, validation=validation, **settings)
    scores = {TWO_STAGE: model.predict(validation.features, n_threads=n_threads)}
    for system in (*sources, FUSION):
        scores[system] = first_stage_scores(system, list(sources), validation.rank, fill=fill)
    gate = open_gate(
        validation,
        scores,
        fill=fill or FUSION,
        k=reranker.k,
        gains=reranker.gains,
        blend=blend,
        random_state=random_state,
    )
    everything, sight, recall = windows.everything(), windows.sight, windows.recall
    names = windows.names
    # The lists to judge by are large, and have done their duty.
    del windows, train, validation, split
    sizes = [max(1, n) for n in model.sizes]
    model = reranker.fit(everything, names, n_trees=sizes, **settings)
    several = f"{len(sizes)} forests that differ by {reranker.vary}, of " if len(sizes) > 1 else ""
    trees = ", ".join(map(count, sizes)) + (" tree" if sizes == [1] else " trees")
    choice = f"{reranker.objective}, {several}{trees}"
    return TrainedReranker(model, gate, choice, sight, recall)


def _shown(impressions: pl.DataFrame, fold: Fold, snapshot: Snapshot) -> pl.DataFrame:
    if fold.span is None:
        raise ConfigError(
            "impressions need labels from windows of time; leave them out, or give timestamps "
            "that compare users and holdout=LabelWindows(...)"
        )
    return shown_between(impressions, snapshot.history.clock, *fold.span)
