"""The exact scores of LightGBM's trees, many times faster than by LightGBM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import AnyArray, Float32Array, Float64Array, Int32Array, Int64Array
from features.errors import ConfigError, ModelFormatError
from features.kernel import kernel
from ranker.rerank.tree_text import Tree, TreeText, UnsupportedTreesError
from ranker.topk import top_rows

# Rows abreast: their codes stay in the first-level cache, and a node costs a few vector
# instructions. A constant, so that the loops over it become nothing but those.
_BLOCK = 256
_TINY = np.float32(1e-35)  # LightGBM takes what is not larger for zero
_NOTHING, _ZERO = 0, 1  # what a node takes for missing; else NaN


@dataclass(frozen=True)
class Forest:
    """Trees, laid out so that many rows walk down a tree side by side without a branch.

    The values of a feature matter only by which of its thresholds they exceed, so that each is
    replaced by the number of those: a byte, as a rule. The leaves of a tree are numbered from left
    to right. All rows start at the first; the nodes are taken parents first, and one moves a row
    from the first leaf below it to the first leaf of its right child, if the row stands there and
    goes right. A row that went another way stands elsewhere. What is left is the row's leaf.

    This has the idea of QuickScorer (Lucchese et al., SIGIR 2015) that all nodes of a tree are
    tested for many rows instead of some nodes for each, but where that keeps a set of leaves, the
    first of them suffices, if only parents come first. Leaf values are added up in float64 and in
    the order of the trees, so that the scores are LightGBM's to the last bit.

    Thresholds are rounded down to float32, which changes nothing: the largest float32 ``s <= t``
    has ``x <= s`` just where ``x <= t``, for every float32 ``x``.

    Attributes
    ----------
    n_features : int
    threshold : float32 array
        Of the features in use, one feature after the other, distinct and ascending.
    feature, threshold_start, column_start : int64 array [n_used], [n_used + 1], [n_used + 1]
        The features in use; where their thresholds and columns are.
    missing_code : uint8 or uint16 array [n_columns]
        A column is a feature with a rule for missing values, which get this code.
    zero_is_missing : bool array [n_columns]
    node_start : int64 array [n_trees + 1]
        The nodes of a tree, parents before children. It has one leaf more than it has nodes.
    column : int32 array [n_nodes]
    last_left, first_leaf, jump : array [n_nodes], dtype of ``missing_code``
        The largest code that goes left; the first leaf below the node; how far beyond it the first
        leaf of the right child is.
    leaf_value : float64 array [n_nodes + n_trees]
        From left to right, tree after tree.

    Examples
    --------
    >>> import lightgbm, numpy as np
    >>> rows = np.arange(100, dtype=np.float32)[:, None]
    >>> settings = {"verbosity": -1, "num_threads": 1}
    >>> booster = lightgbm.train(settings, lightgbm.Dataset(rows, rows[:, 0] ** 2), 5)
    >>> forest = Forest.read(booster.model_to_string())
    >>> bool((forest.predict(rows) == booster.predict(rows)).all())
    True
    """

    n_features: int
    threshold: Float32Array
    feature: Int64Array
    threshold_start: Int64Array
    column_start: Int64Array
    missing_code: AnyArray
    zero_is_missing: AnyArray
    node_start: Int64Array
    column: Int32Array
    last_left: AnyArray
    first_leaf: AnyArray
    jump: AnyArray
    leaf_value: Float64Array

    @classmethod
    def read(cls, text: str) -> Forest:
        """Lay out the trees of a model.

        Parameters
        ----------
        text : str
            LightGBM's text form of it.

        Raises
        ------
        UnsupportedTreesError
            If LightGBM alone can score them: categorical splits, linear leaves, several scores a
            row, random forests, or more than 65,535 thresholds of a feature or leaves of a tree.
        ModelFormatError
            If the text is damaged.
        """
        model = TreeText.read(text)
        walks = [_parents_first(tree) for tree in model.trees]
        n_nodes = [len(walk.order) for walk in walks]
        pairs = list(zip(model.trees, walks, strict=True))
        feature = np.concatenate([tree.feature[walk.order] for tree, walk in pairs])
        decision = np.concatenate([tree.decision[walk.order] for tree, walk in pairs])
        threshold = _rounded_down(
            np.concatenate([tree.threshold[walk.order] for tree, walk in pairs])
        )
        missing = (decision >> 2) & 3
        goes_left = np.where(missing == _NOTHING, 0, (decision >> 1) & 1)
        keys, column = np.unique(6 * feature + 2 * missing + goes_left, return_inverse=True)
        used = np.unique(feature)
        last_left = np.zeros(len(feature), np.int64)
        missing_code = np.zeros(len(keys), np.int64)
        distinct = []
        for number in used:
            of_nodes, of_columns = feature == number, keys // 6 == number
            values = np.unique(threshold[of_nodes])
            last_left[of_nodes] = np.searchsorted(values, threshold[of_nodes])
            zero = np.searchsorted(values, np.float32(0))
            rule = keys[of_columns] % 6
            missing_code[of_columns] = np.where(
                rule // 2 == _NOTHING, zero, np.where(rule % 2, 0, len(values))
            )
            distinct.append(values)
        n_thresholds = [len(values) for values in distinct]
        largest = max([0, *n_thresholds, *n_nodes])
        if largest > np.iinfo(np.uint16).max:
            raise UnsupportedTreesError(f"a feature or a tree has {largest} thresholds")
        code = np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16
        return cls(
            n_features=model.n_features,
            threshold=np.concatenate([np.zeros(0, np.float32), *distinct]),  # there may be none
            feature=used,
            threshold_start=_starts(n_thresholds),
            column_start=np.searchsorted(keys // 6, np.append(used, model.n_features)),
            missing_code=missing_code.astype(code),
            zero_is_missing=keys % 6 // 2 == _ZERO,
            node_start=_starts(n_nodes),
            column=column.astype(np.int32),
            last_left=last_left.astype(code),
            first_leaf=np.concatenate([walk.first_leaf for walk in walks]).astype(code),
            jump=np.concatenate([walk.jump for walk in walks]).astype(code),
            leaf_value=np.concatenate([tree.leaf_value[walk.leaves] for tree, walk in pairs]),
        )

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.node_start) - 1

    def predict(self, features: Float32Array) -> Float64Array:
        """Raw scores, float64 [n_rows]; on one thread, without the interpreter's lock.

        Parameters
        ----------
        features : float32 array [n_rows, n_features]
            NaN = unknown.

        Raises
        ------
        ConfigError
            If the number of columns is another.
        """
        scores = np.zeros(len(features))
        self._add(features, 0, self.n_trees, scores)
        return scores

    def predict_top(
        self, features: Float32Array, indptr: Int64Array, *, n_trees: int, n_best: int
    ) -> Float64Array:
        """Raw scores of the rows of each user that the first trees find best; NaN for the others.

        A cascade: those that come far behind by the first trees are spared the rest. The scores
        are those of :meth:`predict`, but a row that all trees together would list may be missing.

        Parameters
        ----------
        features : float32 array [n_rows, n_features]
        indptr : int64 array [n_users + 1]
            Where the rows of each user start.
        n_trees, n_best : int
            So many trees choose so many rows of each user; of equal ones the earlier.

        Returns
        -------
        float64 array [n_rows]

        Raises
        ------
        ConfigError
            If ``n_trees`` or ``n_best`` is below one, or the number of columns is another.
        """
        for name, value in (("n_trees", n_trees), ("n_best", n_best)):
            if value < 1:
                raise ConfigError(f"{name}={value} leaves nothing to list; give at least 1")
        first = min(n_trees, self.n_trees)
        prefix = np.zeros(len(features))
        self._add(features, 0, first, prefix)
        place, _ = top_rows(prefix.astype(np.float32), indptr, n_best)
        rows = (indptr[:-1, None] + place)[place >= 0]
        best = prefix[rows]
        self._add(features[rows], first, self.n_trees, best)
        scores = np.full(len(features), np.nan)
        scores[rows] = best
        return scores

    def _add(self, features: Float32Array, first: int, stop: int, scores: Float64Array) -> None:
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise ConfigError(
                f"features of shape {features.shape} cannot be scored: the trees were grown on "
                f"{self.n_features} columns"
            )
        _add_trees(
            np.ascontiguousarray(features, np.float32),
            self.threshold,
            self.feature,
            self.threshold_start,
            self.column_start,
            self.missing_code,
            self.zero_is_missing,
            self.node_start,
            self.column,
            self.last_left,
            self.first_leaf,
            self.jump,
            self.leaf_value,
            first,
            stop,
            scores,
        )


@dataclass(frozen=True)
class _Walk:
    """The nodes of a tree, parents first, and its leaves from left to right."""

    order: Int64Array
    first_leaf: Int64Array
    jump: Int64Array
    leaves: Int64Array


def _parents_first(tree: Tree) -> _Walk:
    left, right = tree.left.tolist(), tree.right.tolist()
    order: list[int] = []
    first_leaf: list[int] = []
    jump: list[int] = []
    leaves: list[int] = []
    # Nodes to come, and of which place in the order they are the right child (-1: of none).
    ahead = [(0 if left else -1, -1)]
    while ahead:
        node, parent = ahead.pop()
        if parent >= 0:
            jump[parent] = len(leaves) - first_leaf[parent]
        if node < 0:
            leaves.append(~node)
            continue
        ahead += [(right[node], len(order)), (left[node], -1)]
        order.append(node)
        first_leaf.append(len(leaves))
        jump.append(0)
    if len(order) < len(left):
        raise ModelFormatError("the reranker's trees cannot be read: nodes hang on no other")
    return _Walk(*(np.array(x, np.int64) for x in (order, first_leaf, jump, leaves)))


def _starts(lengths: list[int]) -> Int64Array:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def _rounded_down(values: Float64Array) -> Float32Array:
    """The largest float32 that is not above."""
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > values, below, nearest).astype(np.float32)


@kernel
def _add_trees(
    features: Float32Array,
    threshold: Float32Array,
    feature: Int64Array,
    threshold_start: Int64Array,
    column_start: Int64Array,
    missing_code: AnyArray,
    zero_is_missing: AnyArray,
    node_start: Int64Array,
    column: Int32Array,
    last_left: AnyArray,
    first_leaf: AnyArray,
    jump: AnyArray,
    leaf_value: Float64Array,
    first_tree: int,
    stop_tree: int,
    scores: Float64Array,
) -> None:
    n_rows = len(features)
    # Rows of a power of two would share a few lines of the cache.
    values = np.zeros((len(feature), _BLOCK + 16), np.float32)
    codes = np.zeros((len(missing_code), _BLOCK), missing_code.dtype)
    leaf = np.zeros(_BLOCK, missing_code.dtype)
    total = np.zeros(_BLOCK, np.float64)
    for start in range(0, n_rows, _BLOCK):
        # A last block that is short scores the rows before it again, to no effect.
        size = min(_BLOCK, n_rows - start)
        # Row by row, as they lie in memory: column by column takes twice as long.
        for row in range(size):
            for at in range(len(feature)):
                value = features[start + row, feature[at]]
                values[at, row] = np.float32(0) if abs(value) <= _TINY else value
        for at in range(len(feature)):
            _count_below(threshold, threshold_start[at], threshold_start[at + 1], values[at], leaf)
            for to in range(column_start[at], column_start[at + 1]):
                _encode(values[at], leaf, missing_code[to], zero_is_missing[to], codes, to)
        for row in range(size):
            total[row] = scores[start + row]
        for tree in range(first_tree, stop_tree):
            for row in range(_BLOCK):
                leaf[row] = 0
            for node in range(node_start[tree], node_start[tree + 1]):
                _step(codes, column[node], last_left[node], first_leaf[node], jump[node], leaf)
            first_value = node_start[tree] + tree
            for row in range(_BLOCK):
                total[row] += leaf_value[first_value + leaf[row]]
        for row in range(size):
            scores[start + row] = total[row]


@kernel
def _count_below(
    threshold: Float32Array, start: int, stop: int, values: Float32Array, out: AnyArray
) -> None:
    # By counting, not by bisection: that is vectorised without gathers, and twice as fast.
    for row in range(_BLOCK):
        out[row] = 0
    for at in range(start, stop):
        for row in range(_BLOCK):
            out[row] += threshold[at] < values[row]


@kernel
def _encode(
    values: Float32Array,
    position: AnyArray,
    missing_code: int,
    zero_is_missing: bool,
    codes: AnyArray,
    to: int,
) -> None:
    for row in range(_BLOCK):
        is_missing = np.isnan(values[row]) | (zero_is_missing & (values[row] == 0))
        codes[to, row] = missing_code if is_missing else position[row]


@kernel
def _step(
    codes: AnyArray, column: int, last_left: int, first_leaf: int, jump: int, leaf: AnyArray
) -> None:
    for row in range(_BLOCK):
        moves = (codes[column, row] > last_left) & (leaf[row] == first_leaf)
        # An addition, since a masked store cannot be forwarded to the load of the next node.
        leaf[row] += jump * moves
