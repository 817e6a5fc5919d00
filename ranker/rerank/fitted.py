"""Grown trees: scores, contributions and importances."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import numpy as np

from features.arrays import Float32Array, Float64Array, Int64Array
from features.errors import ModelFormatError
from ranker.parallel import n_cores
from ranker.rerank.forest import Forest
from ranker.rerank.tree_layout import check_layout
from ranker.rerank.tree_text import UnsupportedTreesError

logger = logging.getLogger(__name__)


class FittedLambdaRank:
    """Grown trees.

    Parameters
    ----------
    text : str
        LightGBM's text form of the model.
    names : tuple of str
        The feature columns, in the order in which the model wants them.
    sizes : tuple of int, optional
        Trees of each forest, of which the model is made. Default: all are of one.

    Raises
    ------
    ModelFormatError
        If the text is not a model or has other features.
    """

    def __init__(
        self, text: str, names: tuple[str, ...], *, sizes: tuple[int, ...] | None = None
    ) -> None:
        import lightgbm as lgb

        self.text = text
        self.names = names
        check_layout(text)  # reading what is not laid out so would crash the process
        try:
            self._booster = lgb.Booster(model_str=text)
        except lgb.basic.LightGBMError as error:
            raise ModelFormatError(f"the reranker's trees cannot be read: {error}") from None
        if self._booster.feature_name() != plain_names(names):
            raise ModelFormatError(
                "the reranker's trees were grown on other features than those of this model"
            )
        self.sizes = (self.n_trees,) if sizes is None else sizes
        self._forest: Forest | None = None
        try:
            self._forest = Forest.read(text)
        except UnsupportedTreesError as error:
            logger.warning("the trees are scored by LightGBM, many times slower: %s", error)

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return int(self._booster.num_trees())

    def predict(self, features: Float32Array, *, n_threads: int = 1) -> Float32Array:
        """Scores, float32 [n_rows]; comparable within a user only.

        Parameters
        ----------
        features : float32 array [n_rows, n_features]
            NaN = unknown.
        n_threads : int
            0 = all cores. The scores do not depend on it, nor a row's on the other rows.
        """
        if not len(features):
            return np.zeros(0, np.float32)
        if self._forest is None:
            scores = self._booster.predict(features, raw_score=True, num_threads=n_threads)
            return np.asarray(scores, np.float32)
        if n_threads == 1:
            return self._forest.predict(features).astype(np.float32)
        n_parts = n_threads or n_cores()
        with ThreadPoolExecutor(n_parts) as pool:
            parts = list(pool.map(self._forest.predict, np.array_split(features, n_parts)))
        return np.concatenate(parts).astype(np.float32)

    def predict_top(
        self, features: Float32Array, indptr: Int64Array, *, n_trees: int, n_best: int
    ) -> Float32Array:
        """Scores of the rows of each user that the first trees find best; NaN for the others.

        Saves time where lists are much shorter than what is scored. Lists may differ from those
        by :meth:`predict`; see :meth:`ranker.rerank.forest.Forest.predict_top`. Trees that
        LightGBM has to score are all asked, for all rows.

        Parameters
        ----------
        features : float32 array [n_rows, n_features]
        indptr : int64 array [n_users + 1]
            Where the rows of each user start.
        n_trees, n_best : int
            So many trees choose so many rows of each user.

        Raises
        ------
        ConfigError
            If ``n_trees`` or ``n_best`` is below one.
        """
        if self._forest is None:
            return self.predict(features)
        scores = self._forest.predict_top(features, indptr, n_trees=n_trees, n_best=n_best)
        return scores.astype(np.float32)

    def contributions(self, features: Float32Array) -> Float64Array:
        """TreeSHAP values, float64 [n_rows, n_features + 1]; the last column is the base value.

        Lundberg et al.: From local explanations to global understanding with explainable AI for
        trees (2020). The row sums are the scores.
        """
        return np.asarray(
            self._booster.predict(features, raw_score=True, pred_contrib=True, num_threads=1)
        )

    def importance(self) -> Float64Array:
        """Total gain of the splits on each feature, float64 [n_features]."""
        return np.asarray(self._booster.feature_importance("gain"), np.float64)


def plain_names(names: Sequence[str]) -> list[str]:
    """Names of features as LightGBM can have them."""
    # LightGBM refuses names with JSON's own characters and turns spaces into underscores.
    return [quote(name, safe="") for name in names]
