"""LightGBM's text form of a model, read into arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Float64Array, Int64Array
from features.errors import ModelFormatError, RankerError


class UnsupportedTreesError(RankerError, ValueError):
    """Trees of a kind that LightGBM alone can score."""


@dataclass(frozen=True)
class Tree:
    """One tree. Node 0 is the root; a child ``c < 0`` is the leaf ``~c``.

    Attributes
    ----------
    feature : int64 array [n_nodes]
    threshold : float64 array [n_nodes]
        Values up to it go left.
    decision : int64 array [n_nodes]
        Bits: 1 = categorical, 2 = missing values go left, 4 and 8 = what is missing (0 nothing,
        1 zero, 2 NaN).
    left, right : int64 array [n_nodes]
    leaf_value : float64 array [n_nodes + 1]
    """

    feature: Int64Array
    threshold: Float64Array
    decision: Int64Array
    left: Int64Array
    right: Int64Array
    leaf_value: Float64Array


@dataclass(frozen=True)
class TreeText:
    """What of a model's text is needed to score.

    Attributes
    ----------
    n_features : int
    trees : list of Tree
        Their leaf values add up to the score, in this order.
    """

    n_features: int
    trees: list[Tree]

    @classmethod
    def read(cls, text: str) -> TreeText:
        """Read a model.

        Parameters
        ----------
        text : str
            What ``Booster.model_to_string`` returns.

        Raises
        ------
        UnsupportedTreesError
            For several scores a row, categorical splits, linear leaves, and random forests.
        ModelFormatError
            If something is missing or does not fit together.
        """
        body, end, _ = text.partition("\nend of trees")
        head, *parts = body.split("\nTree=")
        if not end:
            raise ModelFormatError("the reranker's trees cannot be read: 'end of trees' is missing")
        header = _fields(head)
        if header.get("num_tree_per_iteration", "1") != "1":
            raise UnsupportedTreesError("they give several scores to a row")
        if "average_output" in head.splitlines():
            raise UnsupportedTreesError("their mean counts, not their sum")
        try:
            n_features = int(header["max_feature_idx"]) + 1
            trees = [_tree(_fields(part)) for part in parts]
        except KeyError as error:
            raise ModelFormatError(
                f"the reranker's trees cannot be read: {error} is missing"
            ) from None
        except ValueError as error:
            if isinstance(error, RankerError):
                raise
            raise ModelFormatError(f"the reranker's trees cannot be read: {error}") from None
        if not trees:
            raise ModelFormatError("the reranker's trees cannot be read: there are none")
        for number, tree in enumerate(trees):
            _check(number, tree, n_features)
        return cls(n_features, trees)


def _fields(part: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in part.splitlines())
    return {name: value for name, sign, value in pairs if sign}


def _tree(fields: dict[str, str]) -> Tree:
    if fields.get("num_cat", "0") != "0":
        raise UnsupportedTreesError("they have categorical splits")
    if fields.get("is_linear", "0") != "0":
        raise UnsupportedTreesError("their leaves are linear models")
    if fields["num_leaves"] == "1":
        fields = dict.fromkeys(_WHOLE, "") | {"threshold": ""} | fields
    whole = (np.array(fields[name].split(), np.int64) for name in _WHOLE)
    feature, decision, left, right = whole
    threshold, leaf_value = (
        np.array(fields[name].split(), np.float64) for name in ("threshold", "leaf_value")
    )
    return Tree(feature, threshold, decision, left, right, leaf_value)


_WHOLE = ("split_feature", "decision_type", "left_child", "right_child")


def _check(number: int, tree: Tree, n_features: int) -> None:
    # Kernels read what these numbers point at, whatever is there.
    n_nodes = len(tree.leaf_value) - 1
    lengths = {len(x) for x in (tree.feature, tree.threshold, tree.decision, tree.left, tree.right)}
    children = np.concatenate((tree.left, tree.right))
    expected = np.setdiff1d(np.arange(-n_nodes - 1, n_nodes), [0]) if n_nodes > 0 else children[:0]
    if (
        lengths != {n_nodes}
        or not np.array_equal(np.sort(children), expected)
        or ((tree.feature < 0) | (tree.feature >= n_features)).any()
        or np.isnan(tree.threshold).any()
    ):
        raise ModelFormatError(f"the reranker's trees cannot be read: tree {number} is damaged")
