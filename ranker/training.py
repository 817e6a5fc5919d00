"""From a fold of the log to the rows that the reranker learns from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from features.arrays import BoolArray, Int8Array, Int64Array
from features.candidates import Candidates
from features.errors import ConfigError
from features.history import History
from features.kernel import kernel
from ranker.holdout import Fold
from ranker.parallel import map_chunks
from ranker.rerank.first_stage import FUSION, first_stage_scores
from ranker.rerank.gate import TWO_STAGE, GateReport, open_gate
from ranker.rerank.lambdarank import FittedLambdaRank, LambdaRank
from ranker.rerank.table import LabelledTable
from ranker.snapshot import Snapshot

_MAX_VALIDATION_GROUPS = 5_000  # enough to tell one percent apart, and all their rows are kept
_MAX_VALIDATION_ROWS = 4_000_000  # about 1 GB; fewer groups where each has the whole catalogue
_VALIDATION_SHARE = 0.3  # of the groups, where there is only one fold


@dataclasses.dataclass(frozen=True)
class TrainedReranker:
    """A reranker and how it compared before it was grown again on everything.

    Attributes
    ----------
    model : FittedLambdaRank
    gate : GateReport
    choice : str
        The objective and the number of trees.
    """

    model: FittedLambdaRank
    gate: GateReport
    choice: str


def train_reranker(
    folds: Sequence[Fold],
    build: Callable[[Fold, str], Snapshot],
    reranker: LambdaRank,
    depths: Mapping[str, int],
    *,
    fill: str | None,
    repeats: bool,
    max_groups: int,
    random_state: int,
    n_threads: int,
) -> TrainedReranker | None:
    """Learn to rank from folds of the log.

    The freshest fold chooses the number of trees and is asked whether the second stage helps;
    then the trees are grown again with its labels included.

    Parameters
    ----------
    folds : sequence of Fold
        Freshest first. A single one is parted by user.
    build : callable
        Builds the snapshot of a fold; the text says which one it is.
    reranker : LambdaRank
    depths : mapping of source name to int
    fill : str
        The popularity source that fills up the lists of the others where they are compared.
    repeats : bool
    max_groups : int
        Users of a fold to learn from.
    random_state, n_threads : int

    Returns
    -------
    TrainedReranker or None
        None if there is nothing to learn from: no fold, or no proposed item that was taken.
    """
    tables: list[LabelledTable | None] = []
    names: tuple[str, ...] = ()
    for index, fold in enumerate(folds):
        table, columns = _learn_from(
            fold,
            build,
            f"window {index + 1} of {len(folds)}",
            depths=depths,
            repeats=repeats,
            max_groups=max_groups if index else min(max_groups, _MAX_VALIDATION_GROUPS),
            thin=index > 0,
            random_state=random_state + index,
            n_threads=n_threads,
        )
        if index and columns != names:
            raise ConfigError(
                f"the features of two windows are not the same, such as "
                f"{sorted({*columns} ^ {*names})[:3]}; a block's columns may not depend on the data"
            )
        names = columns
        tables.append(table)
    freshest = tables[0] if tables else None
    if freshest is None or not freshest.label.any():
        return None
    older = [table for table in tables[1:] if table is not None and table.n_groups]
    if older:
        train, validation = older, freshest
    else:
        in_validation = np.random.default_rng(random_state).random(freshest.n_groups)
        validation = freshest.groups(in_validation < _VALIDATION_SHARE)
        rest = freshest.groups(in_validation >= _VALIDATION_SHARE)
        train = [thin_out(rest, random_state)]
    if not any(table.label.any() for table in train) or not validation.label.any():
        return None
    settings: dict[str, Any] = {"random_state": random_state, "n_threads": n_threads}
    model = reranker.fit(train, names, validation=validation, **settings)
    scores = {TWO_STAGE: model.predict(validation.features, n_threads=n_threads)}
    for system in (*depths, FUSION):
        scores[system] = first_stage_scores(system, list(depths), validation.rank, fill=fill)
    gate = open_gate(
        validation, scores, fill=fill or FUSION, k=reranker.k, random_state=random_state
    )
    everything = [thin_out(freshest, random_state), *older]
    # The whole lists of the freshest window are large, and have done their duty.
    del tables, train, validation, freshest, older
    model = reranker.fit(everything, names, n_trees=model.n_trees, **settings)
    return TrainedReranker(model, gate, f"{reranker.objective}, {model.n_trees} trees")


def _learn_from(
    fold: Fold, build: Callable[[Fold, str], Snapshot], text: str, **options: Any
) -> tuple[LabelledTable | None, tuple[str, ...]]:
    """The table of a fold and its columns; the snapshot is gone when the next one is built."""
    snapshot = build(fold, text)
    return label_candidates(snapshot, fold.labels, **options), snapshot.tables.names


def label_candidates(
    snapshot: Snapshot,
    labels: pl.DataFrame,
    depths: Mapping[str, int],
    *,
    repeats: bool,
    max_groups: int,
    thin: bool,
    random_state: int,
    chunk_size: int = 256,
    n_threads: int = 1,
) -> LabelledTable | None:
    """Candidates and features as of a snapshot, labelled with what came after it.

    A relevant item that nobody proposed is never put in: at serving time nobody would propose it
    either. It still counts in ``n_relevant``.

    Parameters
    ----------
    snapshot : Snapshot
    labels : DataFrame
        ``user_id``, ``item_id``, distinct, from after the snapshot.
    depths : mapping of source name to int
    repeats : bool
        Whether items that the user took before count; if not they are neither candidates nor
        relevant.
    max_groups : int
        Users beyond this number are left out, at random.
    thin : bool
        Keep what is learned from: users with a hit, all hits, and a random part of the rest.
    random_state : int
    chunk_size, n_threads : int

    Returns
    -------
    LabelledTable or None
        None if nothing is relevant to anybody.
    """
    relevant = labels if repeats else unseen(labels, snapshot.history)
    if not relevant.height:
        return None
    if snapshot.every_item and not thin:
        max_groups = min(max_groups, _MAX_VALIDATION_ROWS // snapshot.history.n_items)
    user_ids = sample_users(relevant["user_id"].unique().sort(), max_groups, random_state)
    everybody = snapshot.history.select(user_ids)

    def label(start: int, history: History) -> LabelledTable:
        candidates = snapshot.candidates(history, depths, exclude_seen=not repeats)
        label, n_relevant = mark_relevant(candidates, relevant)
        table = LabelledTable(
            features=snapshot.features(history, candidates),
            label=label,
            indptr=candidates.indptr,
            n_relevant=n_relevant,
            rank=candidates.rank,
            is_cold=history.lengths == 0,
        )
        return thin_out(table, random_state + start) if thin else table

    tables = map_chunks(
        label,
        everybody,
        snapshot.chunk_size(chunk_size),
        n_threads,
        description="label candidates",
    )
    return LabelledTable.concatenate(tables)


def thin_out(
    table: LabelledTable,
    random_state: int,
    *,
    share: float = 0.3,
    per_positive: int = 10,
    at_most: int = 100,
) -> LabelledTable:
    """Keep groups with a hit, their hits, and a random part of their other rows.

    Random rows of the same list: only the best-ranked ones would teach the model that a good
    rank is a bad sign.

    Parameters
    ----------
    table : LabelledTable
    random_state : int
    share, per_positive, at_most
        Of a group's other rows the larger of ``share`` of them and ``per_positive`` for each hit
        is kept, but no more than ``at_most``.
    """
    keys = np.random.default_rng(random_state).random(table.n_rows)
    return table.take(_choose(table.label, table.indptr, keys, share, per_positive, at_most))


def unseen(labels: pl.DataFrame, history: History) -> pl.DataFrame:
    """The pairs of user and item that are not in the history."""
    seen = pl.DataFrame(
        {
            "user_id": history.users.decode(history.user),
            "item_id": history.items.decode(history.item),
        }
    ).unique()
    return labels.join(seen, on=["user_id", "item_id"], how="anti")


def sample_users(user_ids: pl.Series, n: int, random_state: int) -> pl.Series:
    """At most ``n`` of some users, in their order."""
    if len(user_ids) <= n:
        return user_ids
    chosen = np.random.default_rng(random_state).choice(len(user_ids), n, replace=False)
    return user_ids.gather(np.sort(chosen))


def mark_relevant(candidates: Candidates, relevant: pl.DataFrame) -> tuple[Int8Array, Int64Array]:
    """Labels of the rows, int8 [n_rows], and the number of relevant items of each user, int64.

    Parameters
    ----------
    candidates : Candidates
    relevant : DataFrame
        ``user_id``, ``item_id``, distinct; other users' rows are passed over.
    """
    user = candidates.users.encode(relevant["user_id"]).astype(np.int64)
    item = candidates.items.encode(relevant["item_id"]).astype(np.int64)
    n_relevant = np.bincount(user[user >= 0], minlength=candidates.n_users)
    width = len(candidates.items)
    known = (user >= 0) & (item >= 0)
    keys = user[known] * width + item[known]
    label = np.isin(candidates.user.astype(np.int64) * width + candidates.item, keys)
    return label.astype(np.int8), n_relevant.astype(np.int64)


@kernel
def _choose(
    label: Int8Array,
    indptr: Int64Array,
    keys: np.ndarray,
    share: float,
    per_positive: int,
    at_most: int,
) -> BoolArray:
    is_kept = np.zeros(len(label), np.bool_)
    for group in range(len(indptr) - 1):
        first, end = indptr[group], indptr[group + 1]
        n_positive = 0
        for row in range(first, end):
            n_positive += label[row] > 0
        if n_positive == 0:
            continue
        n_negative = end - first - n_positive
        n_kept = min(max(share * n_negative, per_positive * n_positive), at_most, n_negative)
        negative_keys = np.empty(n_negative, np.float64)
        at = 0
        for row in range(first, end):
            if label[row] == 0:
                negative_keys[at] = keys[row]
                at += 1
        negative_keys.sort()
        limit = negative_keys[int(n_kept) - 1] if n_kept >= 1 else -1.0
        for row in range(first, end):
            is_kept[row] = label[row] > 0 or keys[row] <= limit
    return is_kept
