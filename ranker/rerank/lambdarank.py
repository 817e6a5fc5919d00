"""LambdaRank by gradient-boosted trees; the only module that imports lightgbm."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import numpy as np

from features.arrays import Float32Array, Float64Array, Int64Array
from features.errors import ConfigError, ModelFormatError
from ranker.evaluation.metrics import ndcg
from ranker.parallel import n_cores
from ranker.progress import progress_bar
from ranker.rerank.forest import Forest
from ranker.rerank.table import LabelledTable
from ranker.rerank.tree_text import UnsupportedTreesError

# LightGBM imports pandas where it is installed: only who grows or reads trees pays for that.
if TYPE_CHECKING:
    import lightgbm as lgb

logger = logging.getLogger(__name__)

_MAX_GROUP_ROWS = 10_000  # LightGBM refuses larger query groups
_BINNED_ROWS = 50_000  # enough for its bins; it keeps a copy in float64 of so many rows


@dataclass(frozen=True)
class LambdaRank:
    """Gradient-boosted trees that optimise NDCG.

    Burges: From RankNet to LambdaRank to LambdaMART (MSR-TR-2010-82), by LightGBM.

    Parameters
    ----------
    objective : "lambdarank" or "binary"
        What the trees minimise: LambdaRank's pairwise loss, weighted by what a swap does to NDCG,
        or the log loss of each row.
    n_trees : int
        At most so many; early stopping finds the number.
    patience : int
        Trees without a better validation NDCG after which to stop.
    learning_rate, n_leaves, min_rows_in_leaf, feature_fraction, bagging_fraction, l2, max_bin
        As in LightGBM; bagging draws rows.
    k : int
        NDCG@k is what early stopping looks at, and LambdaRank's truncation level follows it.
    """

    objective: Literal["lambdarank", "binary"] = "lambdarank"
    n_trees: int = 600
    patience: int = 30
    learning_rate: float = 0.1
    n_leaves: int = 15
    min_rows_in_leaf: int = 100
    feature_fraction: float = 0.6
    bagging_fraction: float = 0.7
    l2: float = 8.0
    max_bin: int = 127
    k: int = 10

    def fit(
        self,
        train: LabelledTable | Sequence[LabelledTable],
        names: Sequence[str],
        *,
        validation: LabelledTable | None = None,
        n_trees: int | None = None,
        random_state: int = 0,
        n_threads: int = 0,
    ) -> FittedLambdaRank:
        """Grow trees.

        Parameters
        ----------
        train : LabelledTable or sequence of LabelledTable
            Several count as one, and are not copied together.
        names : sequence of str
            Of the feature columns.
        validation : LabelledTable, optional
            Where early stopping looks; without it ``n_trees`` trees are grown.
        n_trees : int, optional
        random_state : int
        n_threads : int
            0 = all cores. The result does not depend on it.

        Raises
        ------
        ConfigError
            If a group has more rows than LightGBM can take.
        """
        import lightgbm as lgb

        tables = [train] if isinstance(train, LabelledTable) else list(train)
        longest = max(int(np.diff(table.indptr).max(initial=0)) for table in tables)
        if self.objective not in ("lambdarank", "binary"):
            raise ConfigError(
                f"objective={self.objective!r} is not known; expected 'lambdarank' or 'binary'"
            )
        if longest > _MAX_GROUP_ROWS:
            raise ConfigError(
                f"a user has {longest} candidates, LightGBM takes at most {_MAX_GROUP_ROWS} rows "
                f"in a query group; lower n_candidates"
            )
        rounds = n_trees or self.n_trees
        n_rows = sum(table.n_rows for table in tables)
        settings = self._settings(n_rows, random_state, n_threads)
        data = _dataset(tables, names)
        watched: dict[str, Any] = {}
        with progress_bar(rounds, "grow trees", "tree") as bar:
            callbacks = [lambda _: bar.update()]
            if validation is not None:
                watched = {
                    "valid_sets": [_dataset([validation], names, reference=data)],
                    "feval": lambda scores, _: ("ndcg", self._ndcg(validation, scores), True),
                }
                callbacks.append(lgb.early_stopping(self.patience, verbose=False))
            booster = lgb.train(settings, data, rounds, callbacks=callbacks, **watched)
        n_kept = booster.best_iteration if validation is not None else -1
        text = booster.model_to_string(num_iteration=n_kept)
        # The one line in which models by different numbers of threads differ.
        text = text.replace(f"[num_threads: {n_threads}]", "[num_threads: 0]")
        return FittedLambdaRank(text, tuple(names))

    def parameters(self) -> dict[str, Any]:
        """The constructor's keywords, as JSON can hold them."""
        return asdict(self)

    def _ndcg(self, table: LabelledTable, scores: Float64Array) -> float:
        # Our own measure, since LightGBM's puts positives first among ties, counts groups without
        # a positive as 1.0, and knows nothing of the relevant items that were not proposed.
        hits = table.hits(scores.astype(np.float32), self.k)
        return float(ndcg(hits, table.n_relevant, k=self.k).mean())

    def _settings(self, n_rows: int, random_state: int, n_threads: int) -> dict[str, Any]:
        return {
            "objective": self.objective,
            "metric": "None",
            "lambdarank_truncation_level": max(30, self.k + 10),
            "learning_rate": self.learning_rate,
            "num_leaves": self.n_leaves,
            # A small log must still be able to split.
            "min_data_in_leaf": min(self.min_rows_in_leaf, max(2, n_rows // 200)),
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": int(n_rows > 1),  # of a single row LightGBM draws none, and fails
            # Rows, not whole queries: LightGBM 4.7 draws queries differently from run to run where
            # it has two threads, deterministic or not.
            "bagging_by_query": False,
            "lambda_l2": self.l2,
            "max_bin": self.max_bin,
            "bin_construct_sample_cnt": _BINNED_ROWS,
            "seed": random_state % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": n_threads,
            "verbosity": -1,
        }


class FittedLambdaRank:
    """Grown trees.

    Parameters
    ----------
    text : str
        LightGBM's text form of the model.
    names : tuple of str
        The feature columns, in the order in which the model wants them.

    Raises
    ------
    ModelFormatError
        If the text is not a model or has other features.
    """

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        import lightgbm as lgb

        self.text = text
        self.names = names
        if "end of parameters" not in text:  # reading the rest would crash the process
            raise ModelFormatError("the reranker's trees cannot be read: their end is missing")
        try:
            self._booster = lgb.Booster(model_str=text)
        except lgb.basic.LightGBMError as error:
            raise ModelFormatError(f"the reranker's trees cannot be read: {error}") from None
        if self._booster.feature_name() != _plain(names):
            raise ModelFormatError(
                "the reranker's trees were grown on other features than those of this model"
            )
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


def _plain(names: Sequence[str]) -> list[str]:
    # LightGBM refuses names with JSON's own characters and turns spaces into underscores.
    return [quote(name, safe="") for name in names]


def _dataset(
    tables: Sequence[LabelledTable], names: Sequence[str], reference: lgb.Dataset | None = None
) -> lgb.Dataset:
    import lightgbm as lgb

    lengths = np.concatenate([np.diff(table.indptr) for table in tables])
    # Plain matrices: Polars frames with Categorical, String or Date columns abort the process.
    return lgb.Dataset(
        [table.features for table in tables],
        label=np.concatenate([table.label for table in tables]),
        group=lengths[lengths > 0],
        feature_name=_plain(names),
        reference=reference,
        free_raw_data=True,
    )
