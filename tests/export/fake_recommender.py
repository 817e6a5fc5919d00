"""A recommender without a model: its lists follow from the ids alone.

As a program it exports 60 users in chunks of 5 to ``sys.argv[1]`` and dies after ``sys.argv[2]``
chunks, without any clean-up, or waits there to be killed when ``sys.argv[3]`` is "wait".
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from ranker.export import export_recommendations

INTEGERS = pl.Series("user_id", range(100, 160))


@dataclass
class FakeRecommender:
    user_ids: pl.Series = field(default_factory=lambda: INTEGERS)
    fingerprint: str = "a" * 64
    as_of: datetime | int | None = datetime(2024, 1, 31)
    n_items: int = 40
    on_call: Callable[[int], object] | None = None
    calls: list[int] = field(default_factory=list)

    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
    ) -> pl.DataFrame:
        if len(user_ids):
            self.calls.append(len(user_ids))
            if self.on_call is not None:
                self.on_call(len(self.calls))
        # Users whose id ends in 3 have seen nearly everything: two items are left, or none.
        rows = []
        for user_id in user_ids:
            length = min(k, self.n_items)
            if exclude_seen and str(user_id).endswith("3"):
                length = min(length, 2 * (zlib.crc32(str(user_id).encode()) % 2))
            first = zlib.crc32(f"{self.fingerprint}{user_id}".encode())
            rows += [
                (user_id, f"i{(first + rank) % self.n_items}", rank, 1 / rank)
                for rank in range(1, length + 1)
            ]
        schema: dict[str, pl.DataType | type[pl.DataType]] = {
            "user_id": self.user_ids.dtype,
            "item_id": pl.String,
            "rank": pl.Int64,
            "score": pl.Float32,
        }
        return pl.DataFrame(rows, schema=schema, orient="row")


def _die(n_chunks: int, how: str) -> Callable[[int], None]:
    def on_call(n_calls: int) -> None:
        if n_calls > n_chunks:
            if how == "wait":
                print("ready", flush=True)
                time.sleep(60)
            os._exit(17)

    return on_call


if __name__ == "__main__":
    fake = FakeRecommender(on_call=_die(int(sys.argv[2]), sys.argv[3]))
    export_recommendations(fake, None, sys.argv[1], k=7, chunk_size=5, n_shards=12)
