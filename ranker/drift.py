"""Feature tables of training windows and of serving, for their comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from features.arrays import Float32Array, Int32Array
from features.drift import DriftReport, feature_drift
from features.history import History
from ranker.parallel import map_chunks
from ranker.snapshot import Snapshot

_CHUNK = 256


def window_drift(
    windows: Iterable[Snapshot],
    serving: Snapshot,
    depths: Mapping[str, int],
    *,
    exclude_seen: bool,
    n_users: int,
    random_state: int,
    n_threads: int,
) -> DriftReport:
    """Compare what the trees learned from with what they are asked about.

    Of each snapshot, the whole lists of some users with events: the labels, by which training
    chooses its users, do not exist yet in serving.

    Parameters
    ----------
    windows : iterable of Snapshot
        Looked at one after the other, so that they need not be in memory together.
    serving : Snapshot
    depths : mapping of source name to int
    exclude_seen : bool
    n_users : int
        Of each snapshot, at most.
    random_state, n_threads : int
    """

    def sample(snapshot: Snapshot) -> tuple[Float32Array, Int32Array]:
        rows = np.flatnonzero(snapshot.history.lengths > 0)
        chosen = np.random.default_rng(random_state).permutation(rows)[:n_users]
        asked = snapshot.history.select(snapshot.history.users.decode(np.sort(chosen)))

        def describe(_: int, part: History) -> tuple[Float32Array, Int32Array]:
            candidates = snapshot.candidates(part, depths, exclude_seen=exclude_seen)
            # The same user has the same number at any time: that of the log that serves.
            user = serving.history.users.encode(part.users.values)
            return snapshot.features(part, candidates), user[candidates.user]

        size = snapshot.chunk_size(_CHUNK)
        parts = list(map_chunks(describe, asked, size, n_threads, description="drift"))
        return np.concatenate([t for t, _ in parts]), np.concatenate([u for _, u in parts])

    now, users_now = sample(serving)
    then = [sample(snapshot) for snapshot in windows]
    return feature_drift(
        np.concatenate([table for table, _ in then]),
        now,
        serving.tables.features,
        users_then=np.concatenate([user for _, user in then]),
        users_now=users_now,
        random_state=random_state,
    )
