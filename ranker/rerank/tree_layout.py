"""Whether a model's text is laid out as LightGBM writes it, which LightGBM does not look at.

It takes lengths and sizes on trust: a text in which they do not agree ends the process.
"""

from __future__ import annotations

import re

import numpy as np

from features.errors import ModelFormatError

_OF_NODES = {
    **dict.fromkeys(("split_feature", "decision_type", "left_child", "right_child"), np.int64),
    **dict.fromkeys(("split_gain", "threshold", "internal_value"), np.float64),
    **dict.fromkeys(("internal_weight", "internal_count"), np.float64),
}
_OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
_PARAMETER = re.compile(r"\[\w+: [^\]]*\]")
_HEADER = (
    *("num_class", "num_tree_per_iteration", "max_feature_idx", "feature_names"),
    *("feature_infos", "tree_sizes"),
)


def check_layout(text: str) -> None:
    """Make sure that sizes, numbers of trees, of nodes and of features agree in a model's text.

    Trees with categorical splits or linear leaves, which our rerankers do not grow, are checked
    for their sizes alone.

    Raises
    ------
    ModelFormatError
        With what does not agree.
    """
    try:
        _check(text)
    except (ValueError, KeyError, OverflowError) as error:
        raise ModelFormatError(f"the reranker's trees cannot be read: {error}") from None


def _check(text: str) -> None:
    if not text.isascii() or "\0" in text or "\r" in text or "end of parameters" not in text:
        raise ValueError("their end is missing, or there are signs that no such text has")
    head, start, _ = text.partition("\nTree=0\n")
    header = _fields(head)
    missing = [name for name in {**dict.fromkeys(_HEADER), **header} if not header.get(name)]
    if missing or not start:
        raise ValueError(f"they have no {', '.join(missing) or 'tree'}")
    n_features = int(header["max_feature_idx"]) + 1
    names, infos = header["feature_names"].split(" "), header["feature_infos"].split(" ")
    if header["num_class"] != header["num_tree_per_iteration"] or int(header["num_class"]) < 1:
        raise ValueError("they have not as many trees an iteration as classes")
    if len(names) != n_features or len(infos) != n_features:
        raise ValueError(f"they name {len(names)} features, and have {n_features}")
    at = len(head) + 1
    for number, size in enumerate(map(int, header["tree_sizes"].split())):
        block = text[at : at + size] if size > 0 else ""
        if not block.startswith(f"Tree={number}\n") or block.count("Tree=") != 1:
            raise ValueError(f"tree {number} is not where its size says")
        _check_tree(number, _fields(block), n_features)
        at += size
    if not text.startswith("end of trees", at):
        raise ValueError("their sizes do not add up")
    parameters = text[at:].partition("\nparameters:")[2].partition("\nend of parameters")[0]
    odd = [line for line in parameters.splitlines() if line and not _PARAMETER.fullmatch(line)]
    if odd:
        raise ValueError(f"{odd[0]!r} is no parameter")


def _check_tree(number: int, fields: dict[str, str], n_features: int) -> None:
    if fields.get("num_cat") != "0" or fields.get("is_linear", "0") != "0":
        return
    n_leaves = int(fields["num_leaves"])
    float(fields["shrinkage"])
    if n_leaves == 1:
        float(fields["leaf_value"])
        return
    lengths = {name: len(np.array(fields[name].split(), np.float64)) for name in _OF_LEAVES}
    nodes = {name: np.array(fields[name].split(), dtype) for name, dtype in _OF_NODES.items()}
    if set(lengths.values()) != {n_leaves} or {len(x) for x in nodes.values()} != {n_leaves - 1}:
        raise ValueError(f"tree {number} has not as many nodes and leaves as it says")
    feature = nodes["split_feature"]
    children = np.sort(np.concatenate((nodes["left_child"], nodes["right_child"])))
    expected = np.setdiff1d(np.arange(-n_leaves, n_leaves - 1), [0])
    if ((feature < 0) | (feature >= n_features)).any() or not np.array_equal(children, expected):
        raise ValueError(f"tree {number} has splits or children that are none")


def _fields(part: str) -> dict[str, str]:
    pairs = [line.partition("=") for line in part.splitlines()]
    fields = {name: value for name, sign, value in pairs if sign}
    if len(fields) != sum(bool(sign) for _, sign, _ in pairs):
        raise ValueError("a line stands there twice")
    return fields
