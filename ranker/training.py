"""From a fold of the log to the rows that the reranker learns from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from features.arrays import BoolArray, Int8Array, Int64Array
from features.candidates import Candidates
from features.history import History
from features.kernel import kernel
from ranker.parallel import map_chunks
from ranker.rerank.table import LabelledTable
from ranker.snapshot import Snapshot

def label_candidates(
    snapshot: Snapshot,
    labels: pl.DataFrame,
    depths: Mapping[str, int],
    *,
    repeats: bool,
    max_groups: int,
    thin: bool,
    random_state: int,
    chunk_size: int = 512,
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
    relevant = labels if repeats else _unseen(labels, snapshot.history)
    if not relevant.height:
        return None
    user_ids = _sample(relevant["user_id"].unique().sort(), max_groups, random_state)
    everybody = snapshot.users(user_ids)

    def label(start: int, history: History) -> LabelledTable:
        candidates = snapshot.candidates(history, depths, exclude_seen=not repeats)
        label, n_relevant = _mark(candidates, relevant)
        table = LabelledTable(
            features=snapshot.features(history, candidates),
            label=label,
            indptr=candidates.indptr,
            n_relevant=n_relevant,
            rank=candidates.rank,
            is_cold=history.lengths == 0,
        )
        return thin_out(table, random_state + start) if thin else table

    tables = map_chunks(label, everybody, chunk_size, n_threads, description="label candidates")
    return LabelledTable.concatenate(list(tables))


def thin_out(
    table: LabelledTable,
    random_state: int,
    *,
    share: float = 0.3,
    per_positive: int = 10,
    at_most: int = 300,
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


def _unseen(labels: pl.DataFrame, history: History) -> pl.DataFrame:
    seen = pl.DataFrame(
        {
            "user_id": history.users.decode(history.user),
            "item_id": history.items.decode(history.item),
        }
    ).unique()
    return labels.join(seen, on=["user_id", "item_id"], how="anti")


def _sample(user_ids: pl.Series, n: int, random_state: int) -> pl.Series:
    if len(user_ids) <= n:
        return user_ids
    chosen = np.random.default_rng(random_state).choice(len(user_ids), n, replace=False)
    return user_ids.gather(np.sort(chosen))


def _mark(candidates: Candidates, relevant: pl.DataFrame) -> tuple[Int8Array, Int64Array]:
    """Labels of the rows, and the number of relevant items of each user."""
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
