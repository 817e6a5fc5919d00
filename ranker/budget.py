"""How many items to ask each source for, where the number of candidates is limited."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.arrays import Float64Array, Int32Array
from features.errors import ConfigError
from features.history import History
from ranker.labelling import mark_relevant, sample_users, unseen
from ranker.parallel import map_chunks
from ranker.snapshot import Snapshot

_STEPS = 30  # a budget is spent in so many parts


def choose_depths(
    snapshot: Snapshot,
    labels: pl.DataFrame,
    *,
    total: int,
    deepest: int,
    repeats: bool,
    max_groups: int,
    random_state: int,
    n_threads: int,
) -> dict[str, int]:
    """Depths of the sources whose union has the best recall of what came after a snapshot.

    Parameters
    ----------
    snapshot : Snapshot
    labels : DataFrame
        ``user_id``, ``item_id``, distinct, from after the snapshot.
    total : int
        Sum of the depths, at most.
    deepest : int
        No source is asked for more.
    repeats : bool
        Whether items that the user took before count.
    max_groups : int
        Users beyond this number are left out, at random.
    random_state, n_threads : int

    Raises
    ------
    ConfigError
        If no source proposes anything that is relevant.
    """
    relevant = labels if repeats else unseen(labels, snapshot.history)
    users = sample_users(relevant["user_id"].unique().sort(), max_groups, random_state)
    depths = dict.fromkeys(snapshot.generators, deepest)

    def find(_: int, part: History) -> tuple[Int32Array, Float64Array]:
        candidates = snapshot.candidates(part, depths, exclude_seen=not repeats)
        label, n_relevant = mark_relevant(candidates, relevant)
        hits = np.flatnonzero(label)
        return candidates.rank[hits], 1 / n_relevant[candidates.user[hits]]

    everybody = snapshot.history.select(users)
    found = list(map_chunks(find, everybody, 512, n_threads, description="choose depths"))
    ranks = [rank for rank, _ in found if len(rank)]
    if not ranks:
        raise ConfigError(
            "no source proposes anything that the users of the label window took, so that there "
            "is nothing to choose depths by; give n_candidates yourself"
        )
    gains = np.concatenate([gain for _, gain in found])
    chosen = spend(np.concatenate(ranks), gains, total=total, deepest=deepest)
    return dict(zip(snapshot.generators, chosen, strict=True))


def spend(rank: Int32Array, gain: Float64Array, *, total: int, deepest: int) -> list[int]:
    """Spend a budget step by step on the source that gains most for each item it is asked for.

    What another source has found by then counts for nothing, and a step may be a long one, so that
    a source whose next items are poor is not given up for the better ones behind. Where one source
    alone would find more than all steps did, it gets everything.

    Parameters
    ----------
    rank : int32 array [n_hits, n_sources]
        Ranks of relevant candidates, 0 = not proposed.
    gain : float64 array [n_hits]
        What finding each is worth.
    total, deepest : int
        Of all sources, and of one.

    Returns
    -------
    list of int
        A depth for each source; they sum up to less than ``total`` if more would find nothing.

    Examples
    --------
    >>> import numpy as np
    >>> rank = np.array([[1, 0], [2, 1], [0, 3]])
    >>> spend(rank, np.ones(3), total=5, deepest=10)
    [2, 3]
    """
    step = max(1, total // _STEPS)
    depths = np.zeros(rank.shape[1], np.int64)
    is_found = np.zeros(len(gain), np.bool_)
    while (left := total - int(depths.sum())) > 0:
        best = 0.0
        choice: tuple[int, int] | None = None
        for source, depth in enumerate(depths.tolist()):
            longest: int = min(left, deepest - depth)
            behind = rank[:, source] - depth  # 1 = the next item
            counts = ~is_found & (behind > 0) & (behind <= longest)
            by_length = np.bincount(behind[counts], gain[counts], minlength=longest + 1).cumsum()
            for length in (*range(step, longest, step), longest):
                if longest and by_length[length] / length > best:
                    best, choice = by_length[length] / length, (source, length)
        if choice is None:
            break
        source, length = choice
        depths[source] += length
        is_found |= (rank[:, source] > 0) & (rank[:, source] <= depths[source])
    # A cheap first step may leave too little for what lies deep: then one source alone has more.
    alone = ((rank > 0) & (rank <= min(total, deepest))).T @ gain
    if alone.size and alone.max() > gain[is_found].sum():
        depths[:] = 0
        depths[alone.argmax()] = min(total, deepest)
    return [int(depth) for depth in depths]
