"""Warm and cold items in one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from torch import nn

from features.arrays import BoolArray
from features.columns import column_names, listing
from features.errors import ConfigError
from ranker.candidates.content_table import need_items
from ranker.neural.content_model import ContentModel
from ranker.neural.encoders import ItemEncoder, Remembered, TextEncoder
from ranker.neural.generator import check_at_least, check_share
from ranker.neural.item_features import Features, read_features
from ranker.neural.recency_mean import RecencyMeanModel


@dataclass(kw_only=True)
class HybridItemModel(ContentModel):
    """Base of the networks to which an item is its collaborative embedding plus its content.

    In the training the embedding of some items is passed over in each step, and an item without
    events is encoded like those: by its content alone (Volkovs, Yu, Poutanen: DropoutNet:
    addressing cold start in recommender systems, NIPS 2017; there the collaborative part is
    fitted beforehand, here together with the rest).

    Parameters
    ----------
    columns : sequence of str, optional
        Columns of the item table. Default: all whose values can be used. With none, ``()``, the
        ids are alone, and items without events are not proposed.
    encoder : "bag", "cnn" or "gru"
        How texts are read, see :class:`ranker.neural.text.TextContent`.
    id_dropout : float
        Share of the items whose embedding is passed over in a step; 0 = items without events
        learn nothing of what is asked of them, 1 = content alone.
    max_words, max_vocabulary : int
        Words read of an item in a column, and different ones in it.
    """

    columns: Sequence[str] | None = None
    encoder: TextEncoder = "bag"
    id_dropout: float = 0.5
    max_words: int = 32
    max_vocabulary: int = 30_000

    def __post_init__(self) -> None:
        """JSON knows no tuples."""
        self.columns = column_names(self.columns)

    def _check(self) -> None:
        super()._check()
        check_share(self, "id_dropout", includes_one=True)
        check_at_least(self, max_words=1, max_vocabulary=1)

    def _uses_ids(self) -> bool:
        return self.id_dropout < 1.0

    def _text(self) -> TextEncoder:
        return self.encoder

    def _read(
        self,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        is_taught: BoolArray,
        knows_user: BoolArray,
    ) -> tuple[Features, Features]:
        table = need_items(self, items)
        found = read_features(
            table,
            self.columns,
            is_taught,
            max_words=self.max_words,
            max_vocabulary=self.max_vocabulary,
        )
        if not found and self.columns != ():
            raise ConfigError(f"no column of items can be used; {listing(table)}")
        return found, ()

    def _items_network(self) -> nn.Module:
        encoder = ItemEncoder(
            self._features(self.item_features_),
            self.has_id_ if self._uses_ids() else None,
            self.factors,
            id_dropout=self.id_dropout,
        )
        return Remembered(encoder, int(self.n_items_))


@dataclass(kw_only=True)
class Hybrid(HybridItemModel, RecencyMeanModel):
    """Items by ids and content, a user as the recency-weighted mean of his.

    An item without events is encoded by its content alone, as the training does with a share of
    the others (DropoutNet: Volkovs, Yu, Poutanen, NIPS 2017).

    Parameters
    ----------
    columns : sequence of str, optional
        Columns of the item table; ``()`` for ids alone. Default: all whose values can be used.
    encoder : "bag", "cnn" or "gru"
        How texts are read.
    id_dropout : float
        Share of the items whose embedding is passed over in a step.
    max_words, max_vocabulary : int
        Words read of an item in a column, and different ones in it.
    half_life : float
        Events after which one counts half, to begin with; it is learned.
    """
