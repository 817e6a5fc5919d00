"""Networks that know items by their attributes, so that new items have vectors too."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self, cast

import numpy as np
import polars as pl
import torch
from torch import nn

from features.arrays import AnyArray, BoolArray, Float32Array, Int32Array
from features.errors import ConfigError
from features.history import History
from ranker.candidates.growth import Growth
from ranker.neural.encoders import (
    FeatureEncoder,
    ItemEncoder,
    Remembered,
    TextEncoder,
)
from ranker.neural.generator import INFERENCE
from ranker.neural.history_model import HistoryModel, TwoSides, only_items
from ranker.neural.item_features import (
    Features,
    are_read_alike,
    from_arrays,
    known_rows,
    to_arrays,
)

logger = logging.getLogger(__name__)

_ITEMS, _USERS = "item_features.", "user_features."


@dataclass(kw_only=True)
class ContentModel(HistoryModel):
    """Base of the networks that know items by attributes.

    Every item that has any usable attribute is proposed, with events or without; only those with
    events are what the training compares, since it would learn of the others that nobody takes
    them. An event with an item of which nothing is known says nothing.

    Parameters
    ----------
    n_negatives, temperature
        See :class:`ranker.neural.history_model.HistoryModel`; other defaults.
    """

    n_negatives: int | None = 512
    temperature: float | None = 0.07

    learned: ClassVar[tuple[str, ...]] = (
        *HistoryModel.learned,
        *("has_id_", "is_taught_", "knows_user_"),
    )
    _item_tables: ClassVar[tuple[str, ...]] = ("network.items.encoder.ids.weight",)

    @abstractmethod
    def _read(
        self,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        is_taught: BoolArray,
        knows_user: BoolArray,
    ) -> tuple[Features, Features]:
        """Features of items and of users; flags tell whom the training meets."""

    def _uses_ids(self) -> bool:
        return False

    def _text(self) -> TextEncoder:
        return "bag"

    def _items_network(self) -> nn.Module:
        encoder = ItemEncoder(self._features(self.item_features_), None, self.factors)
        return Remembered(encoder, int(self.n_items_))

    def _features(self, features: Features) -> FeatureEncoder | None:
        return FeatureEncoder(features, self.factors, self._text()) if features else None

    def _check(self) -> None:
        super()._check()
        if self._text() not in ("bag", "cnn", "gru"):
            raise ConfigError(
                f"encoder={self._text()!r} is not known; expected 'bag', 'cnn' or 'gru'"
            )

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        self.is_taught_: BoolArray = np.bincount(history.item, minlength=history.n_items) > 0
        self.knows_user_: BoolArray = history.lengths > 0
        self.item_features_, self.user_features_ = self._read(
            items, users, self.is_taught_, self.knows_user_
        )
        self.has_id_: BoolArray = self.is_taught_ & self._uses_ids()
        is_encoded = self._is_encoded()
        super()._learn(only_items(history, is_encoded), items=items, users=users)
        self._encode_items()

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """The network as it is reads the new events, and the attributes of new items and users.

        It is trained anew where it would read the attributes of those that it learned from in
        another way than it did, as with other words in their texts.
        """
        is_taught, knows_user = growth.of_items(self.is_taught_), growth.of_users(self.knows_user_)
        of_items, of_users = self._read(items, users, is_taught, knows_user)
        is_same = are_read_alike(
            *(self.item_features_, np.flatnonzero(self.is_taught_)),
            *(of_items, np.flatnonzero(is_taught)),
        ) and are_read_alike(
            *(self.user_features_, np.flatnonzero(self.knows_user_)),
            *(of_users, np.flatnonzero(knows_user)),
        )
        if not is_same:
            logger.info("%s is trained anew: attributes have changed", type(self).__name__)
            return self.unfitted(0).fit(growth.after, items=items, users=users)
        arrays = {
            name: array
            for name, array in self._renumbered(growth).items()
            if not name.startswith((_ITEMS, _USERS))
        }
        later = self.unfitted(0).restore(
            arrays
            | to_arrays(of_items, _ITEMS)
            | to_arrays(of_users, _USERS)
            | {
                "is_taught_": is_taught,
                "knows_user_": knows_user,
                "has_id_": is_taught & self._uses_ids(),
            }
        )
        later._encode_items()
        later._index(growth.after)
        return later

    def _is_encoded(self) -> BoolArray:
        """Items of which anything is known, bool [n_items]."""
        return self.has_id_ | known_rows(self.item_features_, len(self.has_id_))

    def _encode_items(self) -> None:
        self.item_: Int32Array = np.flatnonzero(self._is_encoded()).astype(np.int32)
        rows = torch.from_numpy(self.item_.astype(np.int64)).to(self._device())
        with INFERENCE, torch.inference_mode():
            network = cast(TwoSides, self.network_)
            self.vectors_: Float32Array = network.item_vectors(rows).cpu().numpy()

    def arrays(self) -> dict[str, AnyArray]:
        """Everything learned, the encoded attributes included."""
        arrays = super().arrays()
        arrays |= to_arrays(self.item_features_, _ITEMS)
        return arrays | to_arrays(self.user_features_, _USERS)

    def restore(self, arrays: dict[str, AnyArray]) -> Self:
        """Take over what :meth:`arrays` gave."""
        self.item_features_ = from_arrays(arrays, _ITEMS)
        self.user_features_ = from_arrays(arrays, _USERS)
        own = {k: v for k, v in arrays.items() if not k.startswith((_ITEMS, _USERS))}
        return super().restore(own)
