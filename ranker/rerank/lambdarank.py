"""LambdaRank by gradient-boosted trees: how they are grown."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from features.arrays import Float64Array
from features.errors import ConfigError
from ranker.arguments import check_count, is_number
from ranker.progress import progress_bar
from ranker.rerank.ensemble import merge_forests
from ranker.rerank.fitted import FittedLambdaRank, plain_names
from ranker.rerank.quality import default_gains, graded_ndcg
from ranker.rerank.table import LabelledTable

# LightGBM imports pandas where it is installed: only who grows or reads trees pays for that.
if TYPE_CHECKING:
    import lightgbm as lgb

Objective: TypeAlias = Literal["lambdarank", "rank_xendcg", "binary"]
OBJECTIVES: tuple[Objective, ...] = ("lambdarank", "rank_xendcg", "binary")
VARIED = ("seeds", "windows", "objectives")

_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "learning_rate": (lambda x: 0 < x < np.inf, "a number above 0"),
    "l2": (lambda x: 0 <= x < np.inf, "a number, 0 or more"),
    "feature_fraction": (lambda x: 0 < x <= 1, "a number above 0 and up to 1"),
    "bagging_fraction": (lambda x: 0 < x <= 1, "a number above 0 and up to 1"),
    "n_leaves": (lambda x: 1 < x <= 2**17 and x % 1 == 0, "a whole number from 2 to 131072"),
    "min_rows_in_leaf": (lambda x: x >= 0 and x % 1 == 0, "a whole number, 0 or more"),
    "max_bin": (lambda x: 1 < x <= 2**16 and x % 1 == 0, "a whole number from 2 to 65536"),
}
_Metric: TypeAlias = Callable[[Float64Array, Any], tuple[str, float, bool]]

MAX_GROUP_ROWS = 10_000  # LightGBM refuses larger query groups
_SMOOTHED = 10  # trees
_BINNED_ROWS = 50_000  # enough for its bins; it keeps a copy in float64 of so many rows


@dataclass(frozen=True)
class LambdaRank:
    """Gradient-boosted trees that optimise NDCG.

    Burges: From RankNet to LambdaRank to LambdaMART (MSR-TR-2010-82), by LightGBM.

    Parameters
    ----------
    objective : "lambdarank", "rank_xendcg" or "binary"
        What the trees minimise: LambdaRank's pairwise loss, weighted by what a swap does to NDCG;
        the cross entropy of the list with its grades (Bruch: An alternative cross entropy loss for
        learning-to-rank, WWW 2021); or the log loss of each row, taken or not.
    n_trees : int
        At most so many; early stopping finds the number.
    patience : int
        Trees without a better validation NDCG after which to stop. What counts is the mean of the
        values after each of the latest ten trees, since from one to the next they move by chance.
    learning_rate, n_leaves, min_rows_in_leaf, feature_fraction, bagging_fraction, l2, max_bin
        As in LightGBM; bagging draws rows.
    k : int
        NDCG@k is what early stopping looks at, and LambdaRank's truncation level follows it.
    label_gain : tuple of float, optional
        What each grade from 0 is worth in NDCG and in LambdaRank's loss, from 0 and not falling.
        Default: ``2**grade - 1``. The cross entropy has a gain of its own, ``2**grade``.
    n_models : int
        Forests, of which the mean score counts, each brought to the same spread within users; they
        differ by their seeds.
    vary : "seeds", "windows" or "objectives"
        With ``"windows"`` each forest also leaves out one of the tables, as long as there are
        three or more; with ``"objectives"`` they take turns with the objectives, from
        ``objective`` on.

    Raises
    ------
    ConfigError
        If a parameter cannot be.
    """

    objective: Objective = "lambdarank"
    n_trees: int = 600
    patience: int = 60
    learning_rate: float = 0.1
    n_leaves: int = 15
    min_rows_in_leaf: int = 100
    feature_fraction: float = 0.6
    bagging_fraction: float = 0.7
    l2: float = 8.0
    max_bin: int = 127
    k: int = 10
    label_gain: tuple[float, ...] | None = None
    n_models: int = 1
    vary: Literal["seeds", "windows", "objectives"] = "seeds"

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ConfigError(
                f"objective={self.objective!r} is not known; expected one of "
                f"{', '.join(map(repr, OBJECTIVES))}"
            )
        if self.vary not in VARIED:
            raise ConfigError(
                f"vary={self.vary!r} is not known; expected one of {', '.join(map(repr, VARIED))}"
            )
        check_count(n_models=self.n_models, n_trees=self.n_trees, k=self.k, patience=self.patience)
        for name, (is_right, expected) in _EXPECTED.items():
            value = getattr(self, name)
            if not is_number(value) or not is_right(value):
                raise ConfigError(f"{name}={value!r}; expected {expected}")
        gain: Any = self.label_gain
        if gain is not None and (
            not isinstance(gain, Sequence)
            or not all(map(is_number, gain))
            or len(gain) < 2
            or not np.isfinite(gain).all()
            or gain[0] != 0
            or (np.diff(gain) < 0).any()
            or gain[-1] <= 0
        ):
            raise ConfigError(
                f"label_gain={gain!r}; expected what each grade is worth, from 0 for grade 0 and "
                f"not falling, such as (0, 1, 3, 9)"
            )

    @property
    def gains(self) -> tuple[float, ...]:
        """What each grade from 0 is worth."""
        return default_gains() if self.label_gain is None else self.label_gain

    def fit(
        self,
        train: LabelledTable | Sequence[LabelledTable],
        names: Sequence[str],
        *,
        validation: LabelledTable | None = None,
        n_trees: int | Sequence[int] | None = None,
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
        n_trees : int or sequence of int, optional
            Of each of the ``n_models`` forests, such as :attr:`FittedLambdaRank.sizes`.
        random_state : int
        n_threads : int
            0 = all cores. The result does not depend on it.

        Raises
        ------
        ConfigError
            If a group has more rows than LightGBM can take, or a label no gain.
        """
        tables = [train] if isinstance(train, LabelledTable) else list(train)
        longest = max(int(np.diff(table.indptr).max(initial=0)) for table in tables)
        judged = tables if validation is None else [*tables, validation]
        # Those of items that nobody proposed count in NDCG, too.
        highest = max(max(table.relevant.shape[1], table.label.max(initial=0)) for table in judged)
        if highest >= len(self.gains):
            raise ConfigError(
                f"label_gain has {len(self.gains)} values, for grades up to "
                f"{len(self.gains) - 1}, and a label has grade {highest}; give one for each grade"
            )
        if validation is not None:
            of_grade = validation.relevant.sum(axis=(0, 2))
            if not any(n and gain > 0 for n, gain in zip(of_grade, self.gains[1:], strict=False)):
                raise ConfigError(
                    f"label_gain={self.label_gain!r} makes all labels of the freshest window worth "
                    f"nothing; give a grade that it has a gain, or longer label windows"
                )
        if longest > MAX_GROUP_ROWS:
            raise ConfigError(
                f"a user has {longest} candidates, LightGBM takes at most {MAX_GROUP_ROWS} rows "
                f"in a query group; lower n_candidates"
            )
        if any((table.position > 0).any() for table in tables):
            self.check_positions()
        rounds = n_trees or self.n_trees
        texts, spreads, sizes = [], [], []
        for number in range(self.n_models):
            chosen, one = tables, self
            if self.vary == "objectives":
                place = OBJECTIVES.index(self.objective) + number
                one = replace(self, objective=OBJECTIVES[place % len(OBJECTIVES)])
            if self.vary == "windows" and len(tables) > 2:
                left_out = number % len(tables)
                chosen = [table for place, table in enumerate(tables) if place != left_out]
            seed = random_state
            if number:
                seed = zlib.crc32(f"{random_state}/model {number}".encode())
            n = rounds[number] if isinstance(rounds, Sequence) else int(rounds)
            texts.append(one._grow(chosen, names, validation, n, seed, n_threads))
            fitted = FittedLambdaRank(texts[-1], tuple(names))
            if self.n_models == 1:
                return fitted
            spreads.append(_spread(fitted, tables[0], n_threads))
            sizes.append(fitted.n_trees)
        # Scores of all models get the mean spread of their scores within a user.
        weights = float(np.mean(spreads)) / (self.n_models * np.array(spreads))
        text = merge_forests(texts, weights.tolist())
        return FittedLambdaRank(text, tuple(names), sizes=tuple(sizes))

    def _grow(
        self,
        tables: Sequence[LabelledTable],
        names: Sequence[str],
        validation: LabelledTable | None,
        rounds: int,
        random_state: int,
        n_threads: int,
    ) -> str:
        """One forest, as LightGBM's text."""
        import lightgbm as lgb

        n_rows = sum(table.n_rows for table in tables)
        has_positions = any((table.position > 0).any() for table in tables)
        if has_positions:
            # LightGBM adds up each thread's part of what a position does, in floating point.
            n_threads = 1
        settings = self._settings(n_rows, random_state, n_threads)
        if self.objective == "lambdarank" and self.label_gain is not None:
            settings["label_gain"] = list(self.label_gain)
        data = self._dataset(tables, names, has_positions=has_positions)
        watched: dict[str, Any] = {}
        with progress_bar(rounds, "grow trees", "tree") as bar:
            callbacks = [lambda _: bar.update()]
            if validation is not None:
                watched = {
                    "valid_sets": [self._dataset([validation], names, reference=data)],
                    "feval": self._watch(validation),
                }
                callbacks.append(lgb.early_stopping(self.patience, verbose=False))
            booster = lgb.train(settings, data, rounds, callbacks=callbacks, **watched)
        n_kept = booster.best_iteration if validation is not None else -1
        text = booster.model_to_string(num_iteration=n_kept)
        # The one line in which models by different numbers of threads differ.
        return text.replace(f"[num_threads: {n_threads}]", "[num_threads: 0]")

    def check_positions(self) -> None:
        """Make sure that positions can be learned from.

        Raises
        ------
        ConfigError
            If a forest has an objective that knows none.
        """
        if self.objective != "lambdarank":
            raise ConfigError(
                f"objective={self.objective!r} knows no positions; leave the impressions out, or "
                f"use LambdaRank(objective='lambdarank')"
            )
        if self.n_models > 1 and self.vary == "objectives":
            raise ConfigError(
                f"vary='objectives' has {OBJECTIVES[1]!r} among the objectives, which knows no "
                f"positions; leave the impressions out, or use LambdaRank(vary='seeds')"
            )

    def parameters(self) -> dict[str, Any]:
        """The constructor's keywords, as JSON can hold them."""
        return asdict(self)

    def _watch(self, table: LabelledTable) -> _Metric:
        """What early stopping looks at after each tree, as LightGBM wants it."""
        latest: deque[float] = deque(maxlen=_SMOOTHED)

        def ndcg(scores: Float64Array, _: Any) -> tuple[str, float, bool]:
            latest.append(self._ndcg(table, scores))
            # Rounded, so that of equal values one is not better than the other by its last bit.
            return "ndcg", round(sum(latest) / len(latest), 12), True

        return ndcg

    def _ndcg(self, table: LabelledTable, scores: Float64Array) -> float:
        # Our own measure, since LightGBM's puts positives first among ties, counts groups without
        # a positive as 1.0, and knows nothing of the relevant items that were not proposed.
        values = graded_ndcg(table, scores.astype(np.float32), k=self.k, gains=self.gains)
        return float(np.nanmean(values))

    def _dataset(
        self,
        tables: Sequence[LabelledTable],
        names: Sequence[str],
        *,
        reference: lgb.Dataset | None = None,
        has_positions: bool = False,
    ) -> lgb.Dataset:
        import lightgbm as lgb

        lengths = np.concatenate([np.diff(table.indptr) for table in tables])
        positions: dict[str, Any] = {}
        if has_positions:
            positions["position"] = np.concatenate([table.position for table in tables])
        label = np.concatenate([table.label for table in tables])
        # Plain matrices: Polars frames with Categorical, String or Date columns abort the process.
        return lgb.Dataset(
            [table.features for table in tables],
            label=label > 0 if self.objective == "binary" else label,
            group=lengths[lengths > 0],
            feature_name=plain_names(names),
            reference=reference,
            free_raw_data=True,
            **positions,
        )

    def _settings(self, n_rows: int, random_state: int, n_threads: int) -> dict[str, Any]:
        return {
            "objective": self.objective,
            "metric": "None",
            "lambdarank_truncation_level": max(30, self.k + 10),
            "learning_rate": self.learning_rate,
            "num_leaves": int(self.n_leaves),
            # A small log must still be able to split.
            "min_data_in_leaf": min(int(self.min_rows_in_leaf), max(2, n_rows // 200)),
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": int(n_rows > 1),  # of a single row LightGBM draws none, and fails
            # Rows, not whole queries: LightGBM 4.7 draws queries differently from run to run where
            # it has two threads, deterministic or not.
            "bagging_by_query": False,
            "lambda_l2": self.l2,
            "max_bin": int(self.max_bin),
            "bin_construct_sample_cnt": _BINNED_ROWS,
            "seed": random_state % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": n_threads,
            "verbosity": -1,
        }


def _spread(model: FittedLambdaRank, table: LabelledTable, n_threads: int) -> float:
    """Standard deviation of the scores within groups; 1 where all are equal."""
    scores = model.predict(table.features, n_threads=n_threads).astype(np.float64)
    lengths = np.maximum(np.diff(table.indptr), 1)
    group = np.repeat(np.arange(table.n_groups), np.diff(table.indptr))
    mean = np.bincount(group, scores, minlength=table.n_groups) / lengths
    spread = float(np.sqrt(np.mean((scores - mean[group]) ** 2))) if len(scores) else 0.0
    return spread if spread > 0 else 1.0
