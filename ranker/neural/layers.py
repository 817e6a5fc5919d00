"""Torch's layers, drawn faster, or summed in an order that no number of threads changes."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def pick(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Rows of a table that learns, ``table[rows]``.

    The gradients of a row that is picked more than once are added up by threads as they come when
    it is picked by indexing; by torch's ``embedding``, in one order.

    Parameters
    ----------
    table : tensor [n, d] or [n]
    rows : int64 tensor [...]

    Returns
    -------
    tensor [..., d] or [...]
    """
    if table.dim() == 1:
        return functional.embedding(rows, table[:, None])[..., 0]
    return functional.embedding(rows, table)


def spread(number: torch.Tensor, n: int) -> torch.Tensor:
    """A number that learns, ``n`` times; torch adds up large gradients of one number by thread.

    Parameters
    ----------
    number : tensor [] or [1]
    n : int

    Returns
    -------
    tensor [n]
    """
    if not torch.is_grad_enabled():
        return number.reshape(1).expand(n)  # nothing is added up: lists need no copies
    return pick(number.reshape(1), torch.zeros(n, dtype=torch.int64, device=number.device))


class Dropout(nn.Module):
    """Sets a share of the values to zero while training, and scales the others up.

    Torch asks its generator once for each value; here one draw of 64 bits serves eight of them,
    so that the share is a multiple of 1/256.

    Parameters
    ----------
    share : float
        0 <= share < 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.threshold = round(share * 256)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Drop, while training."""
        if not self.training or not self.threshold:
            return values
        n = values.numel()
        draws = torch.empty(-(-n // 8), dtype=torch.int64, device=values.device)
        draws.random_(-(2**63), None)
        kept = (draws.view(torch.uint8)[:n] >= self.threshold).view(values.shape)
        return values * kept.to(values.dtype).mul_(256 / (256 - self.threshold))


class LayerNorm(nn.Module):
    """Values of each row brought to mean 0 and variance 1, then scaled and shifted.

    Torch adds up the gradients of scale and shift per thread; apart from the normalisation they
    are plain sums.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Normalise the last axis."""
        return functional.layer_norm(values, values.shape[-1:]) * self.weight + self.bias
