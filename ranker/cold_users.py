"""Users whose history is cut short, so that the reranker learns what to do with new ones."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from features.arrays import BoolArray
from features.candidates import Candidates
from features.history import History
from ranker.candidates.user_keys import event_keys

_KEPT = 3  # 0, 1 or 2 events


def cut_short(history: History, share: float, random_state: int) -> History:
    """Some of the users, of whom no more than the last 0, 1 or 2 events are known.

    Who they are and how many events they keep follows from a hash of the user's events and the
    seed, so that it depends on no other user of this history. Those who had no more events anyway
    are left out.

    Parameters
    ----------
    history : History
    share : float
        Of the users, 0 to 1.
    random_state : int
    """
    hashes = np.array(
        [zlib.crc32(f"{random_state}/{key}".encode()) for key in event_keys(history)], np.int64
    )
    n_kept = hashes % _KEPT
    is_chosen = (hashes // _KEPT < share * (2**32 / _KEPT)) & (history.lengths > n_kept)
    chosen = history.of_users(is_chosen)
    n_kept = n_kept[is_chosen]
    place_from_end = np.repeat(chosen.indptr[1:], chosen.lengths) - np.arange(chosen.n_events) - 1
    rows = place_from_end < np.repeat(n_kept, chosen.lengths)
    return dataclasses.replace(
        chosen,
        indptr=np.concatenate(([0], np.cumsum(n_kept))).astype(np.int64),
        **{name: getattr(chosen, name)[rows] for name in ("item", "time", "weight", "event")},
    )


def taken_before(candidates: Candidates, history: History) -> BoolArray:
    """Whether each candidate is in the whole history of its user, bool [n_rows].

    Parameters
    ----------
    candidates : Candidates
    history : History
        Of the same users.
    """
    rows = candidates.find(history.user, history.item)
    taken = np.zeros(candidates.n_rows, bool)
    taken[rows[rows >= 0]] = True
    return taken
