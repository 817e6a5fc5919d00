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

    def sample(snapshot: Snapshot) -> tuple[Float32Array, Int32Array, Int32Array]:
        """Features, and whose rows they are by the numbers of the log that serves."""
        asked = snapshot.some_users(n_users, random_state)

        def describe(_: int, part: History) -> tuple[Float32Array, Int32Array, Int32Array]:
            candidates = snapshot.candidates(part, depths, exclude_seen=exclude_seen)
            user = serving.history.users.encode(part.users.values)[candidates.user]
            item = serving.history.items.encode(part.items.values)[candidates.item]
            return snapshot.features(part, candidates), user, item

        size = snapshot.chunk_size(_CHUNK)
        return _stack(map_chunks(describe, asked, size, n_threads, description="drift"))

    now, *ids_now = sample(serving)
    then, *ids_then = _stack(sample(snapshot) for snapshot in windows)
    return feature_drift(
        then,
        now,
        serving.tables.features,
        ids=list(zip(ids_then, ids_now, strict=True)),
        random_state=random_state,
    )


def _stack(
    parts: Iterable[tuple[Float32Array, Int32Array, Int32Array]],
) -> tuple[Float32Array, Int32Array, Int32Array]:
    tables, users, items = zip(*parts, strict=True)
    return np.concatenate(tables), np.concatenate(users), np.concatenate(items)
