"""What networks learn from: how the score of what was taken stands to those of the rest."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch.nn import functional

Loss: TypeAlias = Literal["softmax", "sampled", "bpr", "mse"]


def cross_entropy(
    users: torch.Tensor, items: torch.Tensor, target: torch.Tensor, log_q: torch.Tensor | None
) -> torch.Tensor:
    """Cross entropy of the targets among the items, by inner product.

    Parameters
    ----------
    users : tensor [n, d]
    items : tensor [m, d]
        All items, or a sample that holds every target.
    target : int64 tensor [n]
        Places among ``items``.
    log_q : tensor [m], optional
        Log of the probability that the sample holds an item, which is taken off its score, so
        that the gradient is that of all items on average (Bengio, Senécal: Adaptive importance
        sampling to accelerate training of a neural probabilistic language model, 2008).
    """
    logits = users @ items.T
    if log_q is not None:
        logits = logits - log_q
    return functional.cross_entropy(logits, target)


def bpr(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """``-log sigmoid(positive - negative)``, Rendle et al.: BPR (UAI 2009), eq. (3).

    Parameters
    ----------
    positive : tensor [n]
    negative : tensor [n, n_negatives]
    """
    return -functional.logsigmoid(positive[:, None] - negative).mean()


def squared_error(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Squared distance from 1 of what was taken and from 0 of what was drawn at random."""
    n = positive.numel() + negative.numel()
    return ((1.0 - positive).square().sum() + negative.square().sum()) / n
