"""Several forests as one: the mean of their scores is the score of a larger forest."""

from __future__ import annotations

import re
from collections.abc import Sequence

from features.errors import ModelFormatError

_TREE = re.compile(r"Tree=\d+\n")
_VALUES = ("leaf_value", "internal_value", "shrinkage")  # what a score adds up, or is told of it


def merge_forests(texts: Sequence[str], weights: Sequence[float]) -> str:
    """The weighted sum of several models in LightGBM's text form, as one model.

    Each tree's leaves are multiplied by the weight of its model. So the sum is scored, explained
    and saved as any other forest, and TreeSHAP values of it add up to its scores.

    Parameters
    ----------
    texts : sequence of str
        Models on the same features.
    weights : sequence of float

    Raises
    ------
    ModelFormatError
        If a text is not a model.
    """
    heads, trees, tails = [], [], []
    for text, weight in zip(texts, weights, strict=True):
        head, *blocks = _TREE.split(text)
        last, mark, tail = blocks[-1].partition("end of trees") if blocks else ("", "", "")
        if not mark:
            raise ModelFormatError("a model's trees cannot be read: their end is missing")
        heads.append(head)
        tails.append(mark + tail)
        trees += [_scaled(block, weight) for block in (*blocks[:-1], last)]
    blocks = [f"Tree={number}\n{tree}" for number, tree in enumerate(trees)]
    sizes = " ".join(str(len(block.encode())) for block in blocks)
    head = re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", heads[0])
    return head + "".join(blocks) + tails[0]


def _scaled(tree: str, weight: float) -> str:
    lines = []
    for line in tree.split("\n"):
        name, equals, values = line.partition("=")
        if name in _VALUES:
            scaled = " ".join(repr(float(value) * weight) for value in values.split())
            lines.append(f"{name}{equals}{scaled}")
        else:
            lines.append(line)
    return "\n".join(lines)
