"""Matrix factorisation whose vectors come out of networks over the interaction matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

from features.arrays import AnyArray, Float32Array
from features.errors import ConfigError
from features.history import History
from ranker.neural import losses
from ranker.neural.generator import INFERENCE, as_widths, check_share, check_widths
from ranker.neural.interaction_rows import Rows, Tower
from ranker.neural.layers import pick, spread
from ranker.neural.matrix_factorization import MatrixFactorization
from ranker.neural.pairs import PairBatch, Pairs
from ranker.neural.training import train

_BLOCK = 128  # rows encoded at a time; one fixed height keeps their rounding the same
_MAX_VALIDATION_USERS = 2_000
_SMALLEST = 1e-6


@dataclass(kw_only=True)
class DeepMatrixFactorization(MatrixFactorization):
    """Embeddings and their inner product, or towers over the rows and columns of the matrix.

    Without towers: an embedding of each user and item, inner product, biases, Adam. With towers:
    Xue et al.: Deep matrix factorization models for recommender systems (IJCAI 2017), where a
    network reads a user's row of the matrix and another an item's column. So a user is a function
    of his events, and strangers have a vector at once. Unlike in the paper the cell that is to be
    predicted is left out of both while the network learns, as it is not there when it matters.

    Parameters
    ----------
    towers : tuple of int
        Widths of the layers, the last of which replaces ``factors``. Empty: embeddings.
    loss : "mse" or "nce"
        Squared error, as in :class:`MatrixFactorization`; or, of towers, the paper's cross
        entropy of the cosine with the rating over the largest one, eq. (13).
    dropout : float
        Between the layers of the towers.
    regularization : float
        Of the squared length of the vectors and biases, for each example.
    """

    towers: tuple[int, ...] = ()
    dropout: float = 0.0

    learned: ClassVar[tuple[str, ...]] = (*MatrixFactorization.learned, "scale_")

    def __post_init__(self) -> None:
        """Settings read from JSON hold lists."""
        self.towers = as_widths("towers", self.towers)

    def _check(self) -> None:
        super()._check()
        check_share(self, "dropout")
        check_widths(self, "towers")

    def _check_loss(self) -> None:
        expected = ("mse", "nce") if self.towers else ("mse",)
        if self.loss not in expected:
            raise ConfigError(
                f"loss={self.loss!r} is not known to {'' if self.towers else 'no '}towers; "
                f"expected one of {expected}"
            )

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Learn the interactions; attributes are not used."""
        if not self.towers:
            super()._learn(history, items=items, users=users)
            self.scale_: AnyArray = np.zeros(3)
            return
        self._begin(history)
        self.n_users_: AnyArray = np.array(history.n_users)
        pairs = Pairs(history, self.item_, self.random_state or 0)
        learns = ~pairs.held_out
        mean = float(pairs.target[learns].mean()) if learns.any() else 0.0
        largest = float(pairs.target.max()) if pairs.is_explicit else 1.0
        self.scale_ = np.array([pairs.is_explicit, mean, largest], np.float64)
        self.network_ = self._seeded()
        lesson = _Lesson(self, self._towers(), pairs)
        self.n_epochs_: AnyArray = np.array(
            train(
                self.network_,
                lesson.batches,
                lesson.loss,
                self._schedule(history, self.network_),
                validate=lesson.validate if pairs.held_out.any() else None,
            )
        )
        vectors, bias = lesson.everything().item_side()
        bounds = (-np.inf, np.inf)
        if pairs.is_explicit:
            bounds = float(pairs.target.min()), float(pairs.target.max())
        # The mean is added by the user's side.
        center = self._towers().mean.item() if self.loss == "mse" else 0.0
        self._finish(vectors, bias, center, bounds)
        self.keys_ = np.zeros(0, np.uint64)
        self.place_ = np.zeros(0, np.int64)
        self.gram_ = self.targets_ = np.zeros(0)

    def _build(self) -> nn.Module:
        if not self.towers:
            return super()._build()
        return _Towers(
            int(self.n_users_),
            len(self.item_),
            self.towers,
            is_rating=bool(self.scale_[0]),
            dropout=self.dropout,
            init_std=self.init_std,
            mean=float(self.scale_[1]) if self.scale_[0] else 0.0,
        )

    def _towers(self) -> _Towers:
        network: _Towers = self.network_  # type: ignore[assignment]
        return network

    def _encode(self, history: History) -> Float32Array:
        if not self.towers:
            return super()._encode(history)
        place = self._places(history.item)
        is_known = place >= 0
        shape = (history.n_users, len(self.item_))
        value = history.weight - np.float32(self.scale_[1])
        rows = Rows.of(
            history.user.astype(np.int64)[is_known], place[is_known], value[is_known], shape
        )
        vectors, bias = encode_all(self, self._towers().user, rows)
        out = np.column_stack((vectors, bias + self.average_[0, -2], np.ones(len(bias))))
        out[np.diff(rows.indptr) == 0] = 0.0
        return out.astype(np.float32)


def encode_all(
    model: DeepMatrixFactorization, tower: Tower, rows: Rows
) -> tuple[Float32Array, Float32Array]:
    """Vectors and biases of all rows, as they take part in the inner product."""
    n_rows = len(rows.indptr) - 1
    vectors = np.zeros((n_rows, tower.n_out), np.float32)
    bias = np.zeros(n_rows, np.float32)
    is_user = tower is model._towers().user
    with INFERENCE, torch.inference_mode():
        for at in range(0, n_rows, _BLOCK):
            part = np.arange(at, min(at + _BLOCK, n_rows))
            sums = tower.sums(rows.bags(part).to(model._device()))
            block = sums.new_zeros((_BLOCK, sums.shape[1]))
            block[: len(part)] = sums
            vector, own = tower(block)
            if model.loss == "nce":
                vector = functional.normalize(functional.relu(vector), dim=1)
                vector = vector * (float(model.scale_[2]) if is_user else 1.0)
                own = torch.zeros_like(own)
            vectors[part] = vector[: len(part)].cpu().numpy()
            bias[part] = own[: len(part)].cpu().numpy()
    return vectors, bias


class _Towers(nn.Module):
    def __init__(
        self,
        n_users: int,
        n_places: int,
        widths: tuple[int, ...],
        *,
        is_rating: bool,
        dropout: float,
        init_std: float,
        mean: float,
    ) -> None:
        super().__init__()
        settings: dict[str, Any] = {
            "is_rating": is_rating,
            "dropout": dropout,
            "init_std": init_std,
        }
        self.user = Tower(n_places, widths, **settings)
        self.item = Tower(n_users, widths, **settings)
        self.mean = nn.Parameter(torch.tensor(mean))


class _Sides(NamedTuple):
    model: DeepMatrixFactorization
    users: Rows
    items: Rows

    def user_side(self) -> tuple[Float32Array, Float32Array]:
        return encode_all(self.model, self.model._towers().user, self.users)

    def item_side(self) -> tuple[Float32Array, Float32Array]:
        return encode_all(self.model, self.model._towers().item, self.items)


class _Lesson:
    """Losses and validation of two towers over the pairs of a history."""

    def __init__(self, model: DeepMatrixFactorization, network: _Towers, pairs: Pairs) -> None:
        self.model, self.network, self.pairs = model, network, pairs
        self.device = model._device()
        self.shape = int(model.n_users_), pairs.n_places
        self.sides = self._sides(~pairs.held_out)

    def everything(self) -> _Sides:
        """Rows and columns with the events held out."""
        return self._sides(np.ones(len(self.pairs.user), bool))

    def _sides(self, events: AnyArray) -> _Sides:
        user, item = self.pairs.user[events], self.pairs.item[events]
        value = self.pairs.target[events] - np.float32(self.model.scale_[1])
        return _Sides(
            self.model,
            Rows.of(user, item, value, self.shape),
            Rows.of(item, user, value, self.shape[::-1]),
        )

    def batches(self, rng: np.random.Generator) -> Iterator[PairBatch]:
        """Batches of one epoch; ratings under squared error need no other items."""
        is_rating = self.pairs.is_explicit and self.model.loss == "mse"
        n_negatives = 0 if is_rating else self.model.n_negatives
        return self.pairs.batches(rng, self.model.batch_size, n_negatives)

    def loss(self, batch: PairBatch) -> torch.Tensor:
        """Loss of a batch, with what the lengths of the vectors cost."""
        n, n_each = len(batch.user), 1 + batch.negative.shape[1]
        user = np.repeat(batch.user, n_each)
        item = np.concatenate((batch.item[:, None], batch.negative), axis=1).ravel()
        value = self.sides.users.at(user, item)
        u, user_bias = self._encoded(self.network.user, self.sides.users, user, item, value)
        v, item_bias = self._encoded(self.network.item, self.sides.items, item, user, value)
        target = self._on_device(batch.target)
        if self.model.loss == "nce":
            cosine = functional.cosine_similarity(functional.relu(u), functional.relu(v))
            share = torch.zeros((n, n_each), device=cosine.device)
            share[:, 0] = target / float(self.model.scale_[2]) if self.pairs.is_explicit else 1.0
            return functional.binary_cross_entropy(
                cosine.clamp(_SMALLEST, 1 - _SMALLEST), share.flatten()
            )
        scores = (u * v).sum(1) + user_bias + item_bias + spread(self.network.mean, len(user))
        cost = u.square().sum(1) + v.square().sum(1) + user_bias.square() + item_bias.square()
        scores = scores.view(n, n_each)
        if self.pairs.is_explicit:
            error = (target - scores[:, 0]).square().mean()
        else:
            error = losses.squared_error(scores[:, 0], scores[:, 1:])
        return error + self.model.regularization * cost.mean()

    def _encoded(
        self, tower: Tower, rows: Rows, row: AnyArray, column: AnyArray, value: AnyArray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of rows without the cell that is to be predicted."""
        distinct, at = np.unique(row, return_inverse=True)
        sums = pick(tower.sums(rows.bags(distinct).to(self.device)), self._on_device(at))
        own = tower.cell(self._on_device(column), self._on_device(value))
        vector, bias = tower(sums - own)
        return vector, bias

    def validate(self) -> float:
        """NDCG of the events held out, or their negative root of the mean squared error."""
        (u, user_bias), (v, item_bias) = self.sides.user_side(), self.sides.item_side()
        if not self.pairs.is_explicit or self.model.loss == "nce":
            return self.pairs.ndcg(lambda rows: u[rows] @ v.T + item_bias, _MAX_VALIDATION_USERS)
        held_out = self.pairs.held_out
        user, item = self.pairs.user[held_out], self.pairs.item[held_out]
        guess = (u[user] * v[item]).sum(1) + user_bias[user] + item_bias[item]
        guess += self.network.mean.item()
        return -float(np.sqrt(np.square(guess - self.pairs.target[held_out]).mean()))

    def _on_device(self, array: AnyArray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)
