"""Exports whose lists tell which of two models they are of, for tests of stores."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ranker.export import export_recommendations
from tests.export.fake_recommender import FakeRecommender

N_USERS, K = 300, 5


class OneModel(FakeRecommender):
    """Puts the first letter of its fingerprint in front of each item."""

    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None
    ) -> pl.DataFrame:
        lists = super().recommend(user_ids, k=k, exclude_seen=exclude_seen)
        return lists.with_columns(
            item_id=pl.lit(self.fingerprint[0]) + pl.col("item_id"),
            score=pl.when(pl.col("rank") < K).then("score"),  # the last one is a filler
        )


def export_of(letter: str, folder: Path, *, n_shards: int = 6, text: bool = False) -> Path:
    """Lists of 300 users in which every item begins with ``letter``."""
    users = pl.Series("user_id", range(N_USERS))
    model = OneModel(
        user_ids=users.cast(pl.String) + " 'ü\"" if text else users, fingerprint=letter * 64
    )
    out = folder / letter
    export_recommendations(model, None, out, k=K, n_shards=n_shards)
    return out
