"""A user as the mean of his items, the latest first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ranker.arguments import check_above_zero
from ranker.neural.encoders import FeatureEncoder
from ranker.neural.history_model import Batch, HistoryModel
from ranker.neural.layers import spread


@dataclass(kw_only=True)
class RecencyMeanModel(HistoryModel):
    """Base of the networks to which a user is the recency-weighted mean of his items' vectors.

    Parameters
    ----------
    half_life : float
        Events after which one counts half, to begin with; it is learned.
    """

    half_life: float = 5.0

    def _check(self) -> None:
        super()._check()
        check_above_zero(half_life=self.half_life)

    def _history_network(self) -> nn.Module:
        return RecencyMean(self.factors, self.half_life, is_deep=False)


class RecencyMean(nn.Module):
    """A user as the mean of his events so far, each counting ``2^(-steps ago / half_life)``.

    Parameters
    ----------
    width : int
    half_life : float
        Events after which one counts half, to begin with; it is learned.
    is_deep : bool
        A network changes the mean, beside the user's attributes where there are some.
    attributes : FeatureEncoder, optional
        Of the rows of the users' table.
    silence : float
        With attributes: share of the sequences whose events are passed over in the training, so
        that attributes alone can speak for users without any.
    """

    def __init__(
        self,
        width: int,
        half_life: float,
        *,
        is_deep: bool,
        attributes: FeatureEncoder | None = None,
        silence: float = 0.0,
    ) -> None:
        super().__init__()
        self.log_half_life = nn.Parameter(torch.tensor(float(half_life)).log())
        self.attributes = attributes
        self.silence = silence
        self.deep = None
        if is_deep or attributes is not None:
            last = nn.Linear(2 * width, width)
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)
            n = 2 if attributes is not None else 1
            self.deep = nn.Sequential(nn.Linear(n * width, 2 * width), nn.GELU(), last)

    def forward(self, vectors: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Events [b, l, width] and their batch -> users behind each event [b, l, width]."""
        at = torch.arange(vectors.shape[1], device=vectors.device)
        ago = (at[:, None] - at).clamp(min=0)
        half_life = spread(self.log_half_life, len(at)).exp()[:, None]
        share = torch.exp2(-ago / half_life).tril()
        mean = (share / share.sum(1, keepdim=True)) @ vectors
        if self.training and self.attributes is not None and self.silence:
            is_heard = torch.rand(len(vectors), 1, 1, device=vectors.device) >= self.silence
            mean = mean * is_heard
        return self.of_mean(mean, batch.row)

    def of_mean(self, mean: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        """Users by the mean of their events [b, l, width] and their rows in the table [b]."""
        if self.deep is None:
            return mean
        inputs = mean
        if self.attributes is not None:
            known = self.attributes(row.clamp(min=0)) * (row >= 0)[:, None]
            mean = mean + known[:, None]
            inputs = torch.cat((inputs, known[:, None].expand_as(inputs)), -1)
        out: torch.Tensor = mean + self.deep(inputs)
        return out
