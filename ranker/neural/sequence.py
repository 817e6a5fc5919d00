"""Sequence models: what a user takes next, from the order of what he took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn
from torch.nn import functional

from features.errors import ConfigError
from ranker.neural.generator import check_at_least, check_share
from ranker.neural.history_model import Batch, HistoryModel
from ranker.neural.layers import Dropout, LayerNorm
from ranker.neural.sequences import N_GAPS


@dataclass(kw_only=True)
class OrderedHistoryModel(HistoryModel):
    """Base of the networks that read a user's latest items in their order.

    ``"attention"``: Kang, McAuley: Self-attentive sequential recommendation (ICDM 2018), trained
    with the softmax over all items or a sample of them. ``"gru"``: Hidasi et al.: Session-based
    recommendations with recurrent neural networks (ICLR 2016). Inputs and outputs share the item
    vectors.

    Parameters
    ----------
    architecture, n_layers, n_heads, dropout, time_gaps
        See :class:`SequenceEncoder`.
    """

    architecture: Literal["attention", "gru"] = "attention"
    n_layers: int = 2
    n_heads: int = 2
    dropout: float = 0.3
    time_gaps: bool = False

    def _check(self) -> None:
        super()._check()
        check_at_least(self, n_layers=1, n_heads=1)
        check_share(self, "dropout")
        if self.architecture not in ("attention", "gru"):
            raise ConfigError(
                f"architecture={self.architecture!r} is not known; expected 'attention' or 'gru'"
            )
        if self.architecture == "attention" and self.factors % self.n_heads:
            raise ConfigError(
                f"factors={self.factors} cannot be parted among n_heads={self.n_heads}; "
                f"choose a multiple"
            )

    def _history_network(self) -> nn.Module:
        if self.architecture == "gru":
            return _Recurrent(self.factors, self.n_layers, self.dropout, self.time_gaps)
        return _SelfAttention(
            self.factors, self.max_length, self.n_layers, self.n_heads, self.dropout, self.time_gaps
        )


@dataclass(kw_only=True)
class SequenceEncoder(OrderedHistoryModel):
    """A recurrent or self-attentive network over the user's latest items, each known by its id.

    Parameters
    ----------
    architecture : "attention" or "gru"
    n_layers, n_heads : int
        ``n_heads`` for the attention only.
    dropout : float
    time_gaps : bool
        Tell the network how long ago the event before was, by powers of two of the clock's ticks.
    """

    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    averaging: float = 0.998

    _item_tables: ClassVar[tuple[str, ...]] = ("network.items.weight",)

    def _items_network(self) -> nn.Module:
        table = nn.Embedding(int(self.n_items_), self.factors)
        nn.init.normal_(table.weight, std=self.factors**-0.5 / 2)
        return table


class _Recurrent(nn.Module):
    def __init__(self, width: int, n_layers: int, dropout: float, time_gaps: bool) -> None:
        super().__init__()
        self.gap = nn.Embedding(N_GAPS, width) if time_gaps else None
        self.dropout = Dropout(dropout)
        between = dropout if n_layers > 1 else 0.0
        self.gru = nn.GRU(width, width, n_layers, batch_first=True, dropout=between)
        self.out = nn.Linear(width, width)

    def forward(self, vectors: torch.Tensor, batch: Batch) -> torch.Tensor:
        if self.gap is not None:
            vectors = vectors + self.gap(batch.gap)
        hidden, _ = self.gru(self.dropout(vectors))
        out: torch.Tensor = self.out(self.dropout(hidden))
        return out


class _SelfAttention(nn.Module):
    def __init__(
        self, width: int, length: int, n_layers: int, n_heads: int, dropout: float, time_gaps: bool
    ) -> None:
        super().__init__()
        self.scale = width**0.5
        self.position = nn.Embedding(length, width)
        nn.init.normal_(self.position.weight, std=0.02)
        self.gap = nn.Embedding(N_GAPS, width) if time_gaps else None
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(_Layer(width, n_heads, dropout) for _ in range(n_layers))
        self.norm = LayerNorm(width)

    def forward(self, vectors: torch.Tensor, batch: Batch) -> torch.Tensor:
        # Counted from the last event, whose position is the same however long the history.
        at = torch.arange(vectors.shape[1], device=vectors.device)
        position = (batch.size[:, None] - 1 - at).clamp(min=0)
        hidden = vectors * self.scale + self.position(position)
        if self.gap is not None:
            hidden = hidden + self.gap(batch.gap)
        hidden = self.dropout(hidden)
        for layer in self.layers:
            hidden = layer(hidden)
        out: torch.Tensor = self.norm(hidden)
        return out


class _Layer(nn.Module):
    """Causal attention, then a network at each place; both add to what they read normalised."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.share = dropout
        self.norm_attention = LayerNorm(width)
        self.inputs = nn.Linear(width, 3 * width)
        self.outputs = nn.Linear(width, width)
        self.norm_places = LayerNorm(width)
        self.places = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(4 * width, width),
        )
        self.dropout = Dropout(dropout)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        n, length, width = hidden.shape
        parts = self.inputs(self.norm_attention(hidden)).view(n, length, 3, self.n_heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        # Padding stands behind the events, where a causal network does not look.
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.dropout(
            self.outputs(mixed.transpose(1, 2).reshape(n, length, width))
        )
        out: torch.Tensor = hidden + self.dropout(self.places(self.norm_places(hidden)))
        return out
