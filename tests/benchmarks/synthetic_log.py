"""A seeded log with what a two-stage engine lives on: tastes, fashions, and a clock.

Items have a power-law appeal, are born and fade; users have a few tastes, of which one gives way to
another in the course of the log. No user takes an item twice. Numpy alone makes it, so that any
system can be measured on it.

``python tests/benchmarks/synthetic_log.py FOLDER`` writes ``train.parquet`` and ``test.parquet``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

N_DAYS = 200
TEST_DAYS = 14
_FIRST_DAY = np.datetime64("2024-01-01", "us")
_PERIOD_DAYS = 5  # popularity stands still for so long
_ITEMS_PER_TASTE = 200
_MAX_ROUNDS = 50


@dataclass(frozen=True)
class Size:
    """How large a log is; ``n_events`` counts distinct pairs of user and item."""

    n_users: int
    n_items: int
    n_events: int


FULL = Size(50_000, 10_000, 2_000_000)
SMALL = Size(2_000, 1_000, 60_000)


class World:
    """What events are drawn from.

    Parameters
    ----------
    size : Size
    rng : numpy.random.Generator
    """

    def __init__(self, size: Size, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        n_tastes = max(2, size.n_items // _ITEMS_PER_TASTE)
        item_taste = rng.integers(n_tastes, size=size.n_items)
        # Row 0 holds all items; row t the items of taste t - 1.
        self.members = [np.arange(size.n_items)]
        self.members += [np.flatnonzero(item_taste == taste) for taste in range(n_tastes)]

        appeal = (1.0 + rng.permutation(size.n_items)) ** -0.9
        is_old = rng.random(size.n_items) < 0.8
        born = np.where(is_old, -1.0, 1.0) * rng.uniform(0, N_DAYS, size.n_items)
        half_life = np.exp(rng.normal(np.log(100), 0.7, size.n_items))
        middle = np.arange(0, N_DAYS, _PERIOD_DAYS) + _PERIOD_DAYS / 2
        age = middle[:, None] - born
        fashion = 0.1 + 2.0 ** (-np.maximum(age, 0) / half_life)
        self.popularity = np.where(age >= 0, appeal * fashion, 0.0)  # [n_periods, n_items]

        self.activity = np.cumsum(0.3 + rng.lognormal(0, 1, size.n_users))
        is_late = rng.random(size.n_users) < 0.3
        self.joined = np.where(is_late, rng.uniform(0, 0.8 * N_DAYS, size.n_users), 0.0)
        self.tastes = 1 + rng.integers(n_tastes, size=(size.n_users, 3))

    def draw(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, items and days (a float) of ``n`` events, repeated pairs included."""
        point = self.rng.random(n) * self.activity[-1]
        user = np.searchsorted(self.activity, point, side="right")
        day = self.joined[user] + self.rng.random(n) * (N_DAYS - self.joined[user])
        # A fifth follow no taste, three tenths the steady one; the rest moves from one to another.
        gone = day / N_DAYS
        bounds = np.stack([np.full(n, 0.2), np.full(n, 0.5), 1.0 - 0.5 * gone])
        chosen = (self.rng.random(n) >= bounds).sum(axis=0)
        taste = np.where(chosen == 0, 0, self.tastes[user, np.maximum(chosen - 1, 0)])
        item = np.empty(n, np.int64)
        group = (day // _PERIOD_DAYS).astype(np.int64) * len(self.members) + taste
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            period, row = divmod(int(group[rows[0]]), len(self.members))
            weights = np.cumsum(self.popularity[period, self.members[row]])
            points = self.rng.random(len(rows)) * weights[-1]
            item[rows] = self.members[row][np.searchsorted(weights, points, side="right")]
        return user, item, day


def make_log(size: Size, *, random_state: int = 0) -> dict[str, np.ndarray]:
    """Draw a log.

    Parameters
    ----------
    size : Size
    random_state : int

    Returns
    -------
    dict
        ``user_id`` and ``item_id`` (int64) and ``timestamp`` (datetime64[us]), sorted by time;
        each pair of user and item once, at its first time.

    Raises
    ------
    ValueError
        If the log cannot hold so many distinct pairs.
    """
    rng = np.random.default_rng(random_state)
    world = World(size, rng)
    pair, day = np.empty(0, np.int64), np.empty(0)
    for _ in range(_MAX_ROUNDS):
        if len(pair) >= size.n_events:
            break
        user, item, when = world.draw(int(1.5 * (size.n_events - len(pair))) + 1000)
        pair = np.concatenate([pair, user * size.n_items + item])
        day = np.concatenate([day, when])
        order = np.lexsort((day, pair))
        first = order[np.flatnonzero(np.diff(pair[order], prepend=-1))]
        pair, day = pair[first], day[first]
    else:
        raise ValueError(
            f"{size} gave {len(pair)} distinct pairs in {_MAX_ROUNDS} rounds; expected "
            f"{size.n_events}: lower n_events, or raise n_users or n_items"
        )
    kept = rng.permutation(len(pair))[: size.n_events]
    kept = kept[np.argsort(day[kept], kind="stable")]
    user, item = np.divmod(pair[kept], size.n_items)
    microseconds = (day[kept] * 86_400e6).astype(np.int64)
    return {
        "user_id": 1_000_000 + user,
        "item_id": 10_000 + item,
        "timestamp": _FIRST_DAY + microseconds.astype("timedelta64[us]"),
    }


def main(argv: list[str] | None = None) -> None:
    """Write a log in two parts: the last days are the test."""
    import polars as pl

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    log = pl.DataFrame(make_log(SMALL if args.small else FULL, random_state=args.seed))
    cut = _FIRST_DAY + np.timedelta64(N_DAYS - TEST_DAYS, "D")
    is_test = pl.col("timestamp") >= cut.item()
    log.filter(~is_test).write_parquet(args.folder / "train.parquet")
    log.filter(is_test).write_parquet(args.folder / "test.parquet")


if __name__ == "__main__":
    main()
