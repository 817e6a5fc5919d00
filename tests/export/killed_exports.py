"""Exports that are killed at random moments.

``python -m tests.export.killed_exports FOLDER N_KILLS SEED N_USERS [FORMAT]`` exports to
``FOLDER/0`` and kills it (SIGKILL), again and again until it gets through, then to ``FOLDER/1``
and so on, until there were so many kills, one of them at least with a part of the shards on disk.
It prints one JSON object: for every folder, the number of shards that each kill left.

The processes that are killed are forked from one that has imported everything and started no
thread: so a kill takes tenths of a second, and its moment is one of the export's own.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import polars as pl

from ranker.export import export_recommendations
from ranker.export.shards import SHARD_FILES
from tests.export.fake_recommender import FakeRecommender

K, N_SHARDS, CHUNK_SIZE = 5, 40, 97


class Vectorised(FakeRecommender):
    """The same for every user but for a shift by the id, quickly enough for many of them."""

    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
    ) -> pl.DataFrame:
        ranks = pl.Series("rank", range(1, k + 1), dtype=pl.Int64).to_frame()
        return (
            user_ids.alias("user_id")
            .to_frame()
            .join(ranks, how="cross")
            .select(
                "user_id",
                item_id=(pl.col("user_id") * 7 + pl.col("rank")) % 1000,
                rank="rank",
                score=1 / pl.col("rank").cast(pl.Float32),
            )
        )


def export(folder: Path, n_users: int, name: str) -> int:
    """Export everything there is, and return how many shards were there already."""
    recommender = Vectorised(user_ids=pl.Series("user_id", range(n_users)))
    return export_recommendations(
        recommender, None, folder, k=K, n_shards=N_SHARDS, chunk_size=CHUNK_SIZE, format=name
    ).n_resumed


def attempt(folder: Path, n_users: int, name: str, seconds: float | None) -> tuple[bool, float]:
    """Export in a process killed after ``seconds``: if it got through, and how long it took."""
    started = time.perf_counter()
    child = os.fork()
    if not child:
        status = 1
        try:
            export(folder, n_users, name)
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the export to {folder} failed")
    return os.WIFEXITED(status), time.perf_counter() - started


def main(root: Path, n_kills: int, seed: int, n_users: int, name: str) -> list[list[int]]:
    """Kill until there were enough."""
    rng = random.Random(seed)
    _, whole = attempt(root / "whole", n_users, name, None)
    left: list[list[int]] = []
    while sum(map(len, left)) < n_kills or not any(
        0 < n_shards < N_SHARDS for shards in left for n_shards in shards
    ):
        folder, shards = root / str(len(left)), []
        while not attempt(folder, n_users, name, rng.uniform(0, whole / 2))[0]:
            shards.append(len(list(folder.glob(SHARD_FILES))))
        left.append(shards)
    return left


if __name__ == "__main__":
    root, n_kills, seed, n_users, name = sys.argv[1:]
    print(json.dumps(main(Path(root), int(n_kills), int(seed), int(n_users), name)))
