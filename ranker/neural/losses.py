"""What networks learn from: how the score of what was taken stands to those of the rest."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch.nn import functional

Loss: TypeAlias = Literal["softmax", "sampled", "bpr", "mse"]

_SCORES = 2**20  # scores held at a time: few enough to stay in the cache of a processor


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
    loss: torch.Tensor = _CrossEntropy.apply(users, items, target, log_q)  # type: ignore[no-untyped-call]
    return loss


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


class _CrossEntropy(torch.autograd.Function):
    """Scores, their softmax and both gradients in one go, a run of users at a time.

    The scores are the largest array of a training by far. None of them is kept for the way back,
    and the passes over them find them in the cache.
    """

    @staticmethod
    def forward(
        context: Any,
        users: torch.Tensor,
        items: torch.Tensor,
        target: torch.Tensor,
        log_q: torch.Tensor | None,
    ) -> torch.Tensor:
        n, m = len(users), len(items)
        height = max(_SCORES // max(m, 1), 32)
        buffer = users.new_empty(min(height, n), m)
        users_grad, items_grad = torch.empty_like(users), torch.zeros_like(items)
        total = users.new_zeros(())
        for start in range(0, n, height):
            part = users[start : start + height]
            wanted = target[start : start + height, None]
            scores = torch.mm(part, items.T, out=buffer[: len(part)])
            if log_q is not None:
                scores -= log_q
            torch.log_softmax(scores, 1, out=scores)
            total -= scores.gather(1, wanted).sum()
            # The gradient by the scores: their softmax, less one at the target.
            scores.exp_().scatter_add_(1, wanted, -torch.ones_like(wanted, dtype=scores.dtype))
            torch.mm(scores, items, out=users_grad[start : start + height])
            items_grad.addmm_(scores.T, part)
        context.save_for_backward(users_grad, items_grad)
        context.n = n
        return total / n

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scale = gradient / context.n
        users_grad, items_grad = context.saved_tensors
        return users_grad * scale, items_grad * scale, None, None


def log_loss(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Cross entropy of taken or not, by the logistic function of each score by itself."""
    n = positive.numel() + negative.numel()
    return -(functional.logsigmoid(positive).sum() + functional.logsigmoid(-negative).sum()) / n
