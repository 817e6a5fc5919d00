"""Two towers: items and users by all that their tables tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

from features.arrays import BoolArray, Float32Array
from features.columns import column_names
from features.history import History
from ranker.neural.content_model import ContentModel
from ranker.neural.encoders import ItemEncoder, Remembered, TextEncoder
from ranker.neural.generator import INFERENCE, check_at_least, check_share
from ranker.neural.item_features import Features, known_rows, read_features
from ranker.neural.recency_mean import RecencyMean, RecencyMeanModel

_BLOCK = 128  # users at a time; one fixed height keeps their rounding the same


@dataclass(kw_only=True)
class TwoTower(ContentModel, RecencyMeanModel):
    """A network for items and one for users, whose vectors are compared.

    Covington, Adams, Sargin: Deep neural networks for YouTube recommendations (RecSys 2016); Yi
    et al.: Sampling-bias-corrected neural modeling for large corpus item recommendations (RecSys
    2019). Items: id, names, numbers, texts, vectors and images of their table. Users: the
    recency-weighted mean of their items, and the attributes of their table. So new items are
    proposed, and users without events are served by their attributes. A user's id is no feature:
    he is what he did, and what his attributes say.

    Parameters
    ----------
    item_columns, user_columns : sequence of str, optional
        Default: all whose values can be used. Either table may be missing.
    encoder : "bag", "cnn" or "gru"
        How texts are read, see :class:`ranker.neural.text.TextContent`.
    id_dropout : float
        Share of the items whose id is passed over in a step of the training.
    silence : float
        Share of the users whose events are.
    max_words, max_vocabulary : int
        Words read of a row of a column, and different ones in it.
    """

    item_columns: Sequence[str] | None = None
    user_columns: Sequence[str] | None = None
    encoder: TextEncoder = "bag"
    id_dropout: float = 0.2
    silence: float = 0.1
    max_words: int = 32
    max_vocabulary: int = 30_000

    def __post_init__(self) -> None:
        """JSON knows no tuples."""
        self.item_columns = column_names(self.item_columns)
        self.user_columns = column_names(self.user_columns)

    def _check(self) -> None:
        super()._check()
        check_share(self, "id_dropout", "silence", includes_one=True)
        check_at_least(self, max_words=1, max_vocabulary=1)

    def _uses_ids(self) -> bool:
        return True

    def _text(self) -> TextEncoder:
        return self.encoder

    def _read(
        self,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        is_taught: BoolArray,
        knows_user: BoolArray,
    ) -> tuple[Features, Features]:
        return tuple(  # type: ignore[return-value]
            ()
            if table is None
            else read_features(
                table,
                columns,
                known,
                max_words=self.max_words,
                max_vocabulary=self.max_vocabulary,
            )
            for table, columns, known in (
                (items, self.item_columns, is_taught),
                (users, self.user_columns, knows_user),
            )
        )

    def _items_network(self) -> nn.Module:
        encoder = ItemEncoder(
            self._features(self.item_features_),
            self.has_id_,
            self.factors,
            id_dropout=self.id_dropout,
            is_mixed=True,
        )
        return Remembered(encoder, int(self.n_items_))

    def _history_network(self) -> nn.Module:
        return RecencyMean(
            self.factors,
            self.half_life,
            is_deep=True,
            attributes=self._features(self.user_features_),
            silence=self.silence,
        )

    def _encode(self, history: History) -> Float32Array:
        vectors = super()._encode(history)
        self._encode_silent(history, vectors)
        return vectors

    def _encode_silent(self, history: History, vectors: Float32Array) -> None:
        """Fill in users without telling events whom their attributes describe."""
        if not self.user_features_:
            return
        is_described = known_rows(self.user_features_, len(self.user_features_[0].is_known))
        row = np.where(history.row < len(is_described), history.row, -1)
        silent = np.flatnonzero((history.lengths == 0) & (row >= 0) & is_described[row])
        by_events: RecencyMean = self.network_.history  # type: ignore[assignment]
        with INFERENCE, torch.inference_mode():
            for start in range(0, len(silent), _BLOCK):
                users = silent[start : start + _BLOCK]
                padded = np.zeros(_BLOCK, np.int64)
                padded[: len(users)] = row[users]
                at = torch.from_numpy(padded).to(self._device())
                mean = torch.zeros((_BLOCK, 1, self.factors), device=at.device)
                out = by_events.of_mean(mean, at)[: len(users), 0]
                if self.temperature is not None:
                    out = functional.normalize(out, dim=-1) / self.temperature
                vectors[users] = out.cpu().numpy()
