"""How often an item is taken, in three words."""

from __future__ import annotations

import numpy as np

from features.arrays import Int8Array
from features.history import History

TEMPERATURES = ("cold", "warm", "hot")
"""Rarely taken or never; more often; so often that a few such items make up half of all events."""

COLD, WARM, HOT = range(len(TEMPERATURES))

_HOT_SHARE, _WARM_SHARE = 0.5, 0.9


def item_temperature(history: History) -> Int8Array:
    """The temperature of each item of the catalogue, int8 [n_items].

    By falling number of events, the items that make up the first half of all events are hot, those
    up to nine tenths warm and the rest cold, those without events included. Shares mean the same
    in logs of any size; items that are taken equally often have the same temperature.

    Parameters
    ----------
    history : History
        Of everybody, before the instant.
    """
    counts = np.bincount(history.item, minlength=history.n_items)
    ordered = np.sort(counts)[::-1]
    before = np.cumsum(ordered) - ordered
    # What stands before the first item that was taken as often, so that equal ones go together.
    share = before[np.searchsorted(-ordered, -counts)] / max(history.n_events, 1)
    temperature = np.where(share < _HOT_SHARE, HOT, np.where(share < _WARM_SHARE, WARM, COLD))
    return np.where(counts > 0, temperature, COLD).astype(np.int8)
