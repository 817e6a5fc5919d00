"""The rows and columns of the interaction matrix, as networks read them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from features.arrays import AnyArray, Float32Array, Int64Array
from ranker.neural.layers import spread

_SHRINK = 5.0  # cells that pull the mean of a row to that of all


@dataclass(frozen=True)
class Rows:
    """Rows of the matrix of users and items, or of its transpose (CSR).

    Attributes
    ----------
    indptr : int64 array [n_rows + 1]
    column : int64 array [n_cells]
        Ascending in each row.
    value : float32 array [n_cells]
        Mean weight of a cell's events, less the mean of all.
    key : int64 array [n_cells]
        ``row * n_columns + column``, ascending.
    n_columns : int
    """

    indptr: Int64Array
    column: Int64Array
    value: Float32Array
    key: Int64Array
    n_columns: int

    @classmethod
    def of(cls, row: AnyArray, column: AnyArray, value: AnyArray, shape: tuple[int, int]) -> Rows:
        """Collect events, whose columns may be repeated."""
        key, at = np.unique(row * np.int64(shape[1]) + column, return_inverse=True)
        mean = np.bincount(at, value, len(key)) / np.bincount(at, minlength=len(key))
        indptr = np.searchsorted(key, np.arange(shape[0] + 1) * np.int64(shape[1]))
        column = key % max(shape[1], 1)
        return cls(indptr, column, mean.astype(np.float32), key, shape[1])

    def at(self, rows: AnyArray, columns: AnyArray) -> Float32Array:
        """Values of cells, NaN where there is none."""
        wanted = rows * np.int64(self.n_columns) + columns
        if not len(self.key):
            return np.full(len(wanted), np.nan, np.float32)
        place = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        return np.where(self.key[place] == wanted, self.value[place], np.nan).astype(np.float32)

    def bags(self, rows: AnyArray) -> Bags:
        """The cells of some rows, as tensors."""
        size = np.diff(self.indptr)[rows]
        offset = np.cumsum(size) - size
        cells = np.repeat(self.indptr[rows] - offset, size) + np.arange(size.sum())
        return Bags(*(torch.from_numpy(x) for x in (self.column[cells], self.value[cells], offset)))


@dataclass(frozen=True)
class Bags:
    """Cells of some rows, one row after another."""

    column: torch.Tensor
    value: torch.Tensor
    offset: torch.Tensor

    def to(self, device: str) -> Bags:
        """The same on a device."""
        return Bags(*(x.to(device) for x in (self.column, self.value, self.offset)))


class Tower(nn.Module):
    """A row of the matrix to a vector and a bias.

    The first layer adds the vectors of the row's columns, one for that there is an event and one
    times its value, over the root of their number; ReLU stands between the layers.

    Parameters
    ----------
    n_columns : int
    widths : tuple of int
        Of the layers' outputs; the last is the length of the vector.
    is_rating : bool
        Values tell something: they are read, and their mean is where the bias begins.
    dropout : float
    init_std : float
        Standard deviation of the columns' vectors at the start.
    """

    def __init__(
        self,
        n_columns: int,
        widths: tuple[int, ...],
        *,
        is_rating: bool,
        dropout: float,
        init_std: float,
    ) -> None:
        super().__init__()
        outputs = (*widths[:-1], widths[-1] + 1)
        self.n_out = widths[-1]
        self.taken = nn.Embedding(n_columns, outputs[0])
        self.rated = nn.Embedding(n_columns, outputs[0]) if is_rating else None
        for table in (self.taken, self.rated):
            if table is not None:
                nn.init.normal_(table.weight, std=init_std)
        self.first_bias = nn.Parameter(torch.zeros(outputs[0]))
        self.level = nn.Parameter(torch.ones(()))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(outputs))
        self.dropout = nn.Dropout(dropout)

    def sums(self, bags: Bags) -> torch.Tensor:
        """Of each row: its columns' vectors, the sum of its values, its number of cells."""
        column, offset = bags.column, bags.offset
        total = functional.embedding_bag(column, self.taken.weight, offset, mode="sum")
        if self.rated is not None:
            total = total + functional.embedding_bag(
                column, self.rated.weight, offset, mode="sum", per_sample_weights=bags.value
            )
        facts = torch.stack((bags.value, torch.ones_like(bags.value)), dim=1)
        own = torch.arange(len(column), device=column.device)
        return torch.cat((total, functional.embedding_bag(own, facts, offset, mode="sum")), dim=1)

    def cell(self, column: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """What single cells add to the sums of their rows; nothing where the value is NaN."""
        is_there = ~value.isnan()
        value = torch.where(is_there, value, 0.0)
        vector = self.taken(column)
        if self.rated is not None:
            vector = vector + value[:, None] * self.rated(column)
        facts = torch.stack((value, torch.ones_like(value)), dim=1)
        return torch.cat((vector, facts), dim=1) * is_there[:, None]

    def forward(self, sums: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors [n, widths[-1]] and biases [n] from the sums of rows."""
        number = sums[:, -1].clamp(min=0.0)
        hidden = sums[:, :-2] / number.clamp(min=1.0).sqrt()[:, None] + self.first_bias
        for layer in self.layers:
            hidden = layer(self.dropout(functional.relu(hidden)))
        vector, bias = hidden[:, : self.n_out], hidden[:, self.n_out]
        if self.rated is not None:
            level = spread(self.level, len(bias))
            bias = bias + level * sums[:, -2] / (number + _SHRINK)
        return vector, bias
