"""Generators that also say how a user would rate an item."""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import Self

import numpy as np
import polars as pl

from features.arrays import AnyArray, Float32Array, FrameLike
from features.errors import ConfigError
from features.history import History
from ranker.border import UserIds
from ranker.candidates.base import Generator
from ranker.id_dtype import as_ids

logger = logging.getLogger(__name__)


class RatingPredictor(Generator):
    """A generator that scores any pair of a user and an item."""

    def fit(
        self,
        interactions: History | FrameLike,
        *,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
    ) -> Self:
        """See :meth:`Generator.fit`; ratings are learned where they are the ``weight``."""
        super().fit(interactions, items=items, users=users)
        if not isinstance(interactions, History):
            schema = interactions.lazy().collect_schema()
            if "weight" not in schema and schema.get("rating", pl.Null()).is_numeric():
                logger.warning(
                    "%s: the column rating is not used, so that predict does not say ratings; "
                    'rename it to learn them, as in rename({"rating": "weight"})',
                    type(self).__name__,
                )
        return self

    def predict(self, user_ids: UserIds, item_ids: UserIds) -> pl.Series:
        """Scores of pairs: ratings where the model learned ratings, else what it ranks by.

        A user or an item that the model does not know counts as an average one; what remains are
        the biases of the other side and the mean.

        Parameters
        ----------
        user_ids, item_ids : Series or sequence
            Of equal length, one pair a place; ids may be repeated.

        Returns
        -------
        Series
            ``score``, Float32, in the order of the pairs.

        Raises
        ------
        NotFittedError
            Unless the generator was fitted on a frame.
        ConfigError
            If the lengths differ.
        """
        border = self._known()
        user_ids, item_ids = as_ids(user_ids, "user_ids"), as_ids(item_ids, "item_ids")
        if len(user_ids) != len(item_ids):
            raise ConfigError(
                f"{len(user_ids)} user_ids and {len(item_ids)} item_ids; expected one item_id for "
                f"each user_id"
            )
        users = border.user_dtype.canonical(user_ids, "user_id").alias("user_id")
        items = border.item_dtype.canonical(item_ids, "item_id")
        if not len(users):
            return pl.Series("score", [], pl.Float32)
        history = border.asked(users, None)
        scores = self.score_pairs(
            history,
            history.users.encode(users).astype(np.int64),
            history.items.encode(items).astype(np.int64),
        )
        return pl.Series("score", scores, pl.Float32)

    @abstractmethod
    def score_pairs(self, history: History, user: AnyArray, item: AnyArray) -> Float32Array:
        """Scores of pairs, float32 [n].

        Parameters
        ----------
        history : History
            The users' events up to now.
        user : int64 array [n]
            Rows of users of ``history``.
        item : int64 array [n]
            Item row numbers; -1 for an item that is not in the catalogue.
        """
