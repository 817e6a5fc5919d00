"""Matrix factorisation with biases, by gradient descent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, TypeAlias

import numpy as np
import polars as pl
import torch
from scipy import sparse
from torch import nn

from features.arrays import AnyArray, Float32Array, Int64Array
from features.errors import ConfigError
from features.history import History
from ranker.arguments import check_above_zero
from ranker.candidates.growth import Growth
from ranker.candidates.user_keys import find_rows, known_keys
from ranker.neural import losses
from ranker.neural.fold_in import Ridge
from ranker.neural.generator import check_at_least
from ranker.neural.inner_product import InnerProduct
from ranker.neural.layers import pick, spread
from ranker.neural.pairs import PairBatch, Pairs
from ranker.neural.training import train

_MAX_VALIDATION_USERS = 2_000
_LOSSES = ("mse", "softmax", "sampled", "bpr", "bce")

PairLoss: TypeAlias = Literal["mse", "softmax", "sampled", "bpr", "bce", "nce"]


@dataclass(kw_only=True)
class MatrixFactorization(InnerProduct):
    """``R = U'V`` with the mean and biases of users and items.

    Koren, Bell, Volinsky: Matrix factorization techniques for recommender systems (2009), eq.
    (4); with log loss as in Rendle et al.: Neural collaborative filtering vs. matrix
    factorization revisited (RecSys 2020).

    A user is known by his events: with the very events of the log he has the vector that training
    found (of users with the same events: the first one's); with others, one is solved for by
    least squares while the items' vectors are held (:class:`ranker.neural.fold_in.Ridge`).

    Parameters
    ----------
    factors : int
    loss : "mse", "softmax", "sampled", "bpr" or "bce"
        ``"mse"``: where weights differ they are ratings, and the squared error of them is
        minimised; where all are equal, that from 1 of events and from 0 of items drawn.
        ``"softmax"``, ``"sampled"``: cross entropy among all items, or among those of the batch
        and ``n_negatives`` more with the log-Q correction. ``"bpr"``; ``"bce"``: log loss.
    n_negatives : int
        Items without events of the user that are drawn uniformly, for each event; by
        ``"sampled"`` any items, for a batch.
    regularization : float
        Of the squared length of the vectors and biases, for each example.
    init_std : float
        Standard deviation of the vectors at the start.
    """

    batch_size: int = 1024
    learning_rate: float = 3e-3
    loss: PairLoss = "mse"
    n_negatives: int = 4
    regularization: float = 0.01
    init_std: float = 0.1

    learned: ClassVar[tuple[str, ...]] = (
        *InnerProduct.learned,
        *("n_users_", "keys_", "place_", "gram_", "targets_"),
    )

    def _check(self) -> None:
        super()._check()
        check_at_least(self, n_negatives=int(self.loss in ("bpr", "bce", "nce")), regularization=0)
        check_above_zero(init_std=self.init_std)
        self._check_loss()

    def _check_loss(self) -> None:
        if self.loss not in _LOSSES:
            raise ConfigError(f"loss={self.loss!r} is not known; expected one of {_LOSSES}")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Factorise; attributes are not used."""
        self._begin(history)
        self.n_users_: AnyArray = np.array(history.n_users)
        pairs = Pairs(history, self.item_, self.random_state or 0)
        is_rating = pairs.is_explicit and self.loss == "mse"
        self.network_: nn.Module = self._seeded()
        network = self._table()
        lesson = _Lesson(self, network, pairs, is_rating=is_rating)
        self.n_epochs_: AnyArray = np.array(
            train(
                network,
                lesson.batches,
                lesson.loss,
                self._schedule(history, network),
                validate=lesson.validate if pairs.held_out.any() else None,
            )
        )
        self._keep(history, pairs, is_rating=is_rating)

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """Users with new events are folded in as new ones are; new items wait for a fit."""
        later = self.unfitted(0).restore(self._renumbered(growth))
        later._index(growth.after)
        return later

    def _build(self) -> nn.Module:
        return _Table(int(self.n_users_), len(self.item_), self.factors, self.init_std)

    def _table(self) -> _Table:
        network: _Table = self.network_  # type: ignore[assignment]
        return network

    def _keep(self, history: History, pairs: Pairs, *, is_rating: bool) -> None:
        """Take out of the network what serves."""
        table = self._table().numpy()
        bounds = (-np.inf, np.inf)
        if is_rating:
            bounds = float(pairs.target.min()), float(pairs.target.max())
        self._finish(table.item, table.item_bias, table.mean, bounds)
        self.keys_, self.place_ = known_keys(history)
        x, offsets = self._problem()
        self.gram_: AnyArray = Ridge.gram_of(x, offsets)
        # What a score means is settled by the loss for squared error only; for the others it is
        # asked what training made of pairs that were taken, and of all pairs.
        targets = (1.0, 0.0)
        if is_rating:
            targets = (np.nan, np.nan)
        elif self.loss != "mse" and history.n_events:
            targets = self._mean_scores(history, pairs)
        self.targets_: AnyArray = np.array(targets)

    def _mean_scores(self, history: History, pairs: Pairs) -> tuple[float, float]:
        """The mean score of all events, and that of all users with events and all items."""
        users = self._trained(np.arange(history.n_users)).astype(np.float64)
        count = sparse.csr_matrix(
            (np.ones(history.n_events), (pairs.item, pairs.user)),
            shape=(len(self.item_), history.n_users),
        )
        taken = float(((count @ users) * self.vectors_).sum() / history.n_events)
        mean_item = self.vectors_.mean(0, dtype=np.float64)
        return taken, float((users[history.lengths > 0].mean(0) * mean_item).sum())

    def _trained(self, rows: AnyArray) -> Float32Array:
        """Vectors that training found, of rows of its users."""
        table = self._table().numpy()
        one = np.ones(len(rows), np.float32)
        bias = table.mean + table.user_bias[rows]
        return np.column_stack((table.user[rows], bias, one)).astype(np.float32)

    def _problem(self) -> tuple[Float32Array, Float32Array]:
        """Of the items: what a user's vector and bias are multiplied with, and the rest."""
        return self.vectors_[:, :-1], self.vectors_[:, -1] + self.average_[0, -2]

    def _encode(self, history: History) -> Float32Array:
        out = np.zeros((history.n_users, self.factors + 2), np.float32)
        row = find_rows(history, self.keys_, self.place_)
        out[row >= 0] = self._trained(row[row >= 0])
        place = self._places(history.item)
        users = np.setdiff1d(history.user[place >= 0], np.flatnonzero(row >= 0))
        taken, other = self.targets_.tolist()
        is_rating = bool(np.isnan(taken))
        x, offsets = self._problem()
        ridge = Ridge(
            x, offsets, self.gram_, other, 0 if is_rating else self._weight(), self.regularization
        )
        targets = history.weight if is_rating else np.full(history.n_events, taken)
        solved = ridge.solve(history.indptr, place, targets, users)
        solved[:, -1] += self.average_[0, -2]
        out[users] = np.column_stack((solved, np.ones(len(users), np.float32)))
        return out

    def _weight(self) -> int:
        """Examples of other items for each event."""
        return self.n_negatives if self.loss in ("mse", "bpr", "bce") else 1


class _Arrays:
    """The tables of a network as arrays."""

    def __init__(self, network: _Table) -> None:
        tables = {
            name: value.detach().cpu().numpy() for name, value in network.state_dict().items()
        }
        self.user, self.item = tables["user.weight"], tables["item.weight"]
        self.user_bias, self.item_bias = tables["user_bias"], tables["item_bias"]
        self.mean = float(tables["mean"])


class _Table(nn.Module):
    """Vectors and biases of users and items."""

    def __init__(self, n_users: int, n_places: int, width: int, init_std: float) -> None:
        super().__init__()
        self.user = nn.Embedding(n_users, width)
        self.item = nn.Embedding(n_places, width)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=init_std)
        self.user_bias = nn.Parameter(torch.zeros(n_users))
        self.item_bias = nn.Parameter(torch.zeros(n_places))
        self.mean = nn.Parameter(torch.zeros(()))

    def numpy(self) -> _Arrays:
        """The tables as arrays."""
        return _Arrays(self)


class _Lesson:
    """Losses and validation of a table over the pairs of a history."""

    def __init__(
        self, model: MatrixFactorization, network: _Table, pairs: Pairs, *, is_rating: bool
    ) -> None:
        self.model, self.network, self.pairs, self.is_rating = model, network, pairs, is_rating
        self.device = model._device()
        counts = np.bincount(pairs.item[~pairs.held_out], minlength=pairs.n_places)
        self.share = counts / max(counts.sum(), 1)
        if is_rating:
            # The mean is where the descent begins; ratings are far from zero.
            nn.init.constant_(network.mean, float(pairs.target[~pairs.held_out].mean()))

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.random.Generator, PairBatch]]:
        """Batches of one epoch, each with the numbers that its loss draws."""
        draws = not self.is_rating and self.model.loss in ("mse", "bpr", "bce")
        n_negatives = self.model.n_negatives if draws else 0
        for batch in self.pairs.batches(rng, self.model.batch_size, n_negatives):
            yield rng, batch

    def loss(self, drawn: tuple[np.random.Generator, PairBatch]) -> torch.Tensor:
        """Loss of a batch, with what the lengths of the vectors cost."""
        rng, batch = drawn
        user = self._on_device(batch.user)
        if self.model.loss in ("softmax", "sampled"):
            return self._among(user, batch.item, rng)
        network = self.network
        places = np.concatenate((batch.item[:, None], batch.negative), axis=1)
        item = self._on_device(places)
        u, v = network.user(user), network.item(item)
        bias = pick(network.user_bias, user)[:, None], pick(network.item_bias, item)
        mean = spread(network.mean, len(user))[:, None]
        scores = torch.einsum("nd,nkd->nk", u, v) + mean + bias[0] + bias[1]
        # The user takes part in each example.
        cost = u.square().sum(1) + bias[0][:, 0].square()
        cost = cost.mean() + (v.square().sum(2) + bias[1].square()).mean()
        out: torch.Tensor = self._form(scores, batch) + self.model.regularization * cost
        return out

    def _form(self, scores: torch.Tensor, batch: PairBatch) -> torch.Tensor:
        positive, negative = scores[:, 0], scores[:, 1:]
        if self.is_rating:
            return (self._on_device(batch.target) - positive).square().mean()
        forms = {"mse": losses.squared_error, "bpr": losses.bpr, "bce": losses.log_loss}
        return forms[self.model.loss](positive, negative)

    def _among(
        self, user: torch.Tensor, item: Int64Array, rng: np.random.Generator
    ) -> torch.Tensor:
        """Cross entropy of the items taken among all, or among a sample."""
        network, log_q = self.network, None
        if self.model.loss == "softmax":
            chosen = np.arange(self.pairs.n_places)
        else:
            drawn = rng.integers(0, self.pairs.n_places, self.model.n_negatives)
            chosen = np.unique(np.concatenate((item, drawn)))
            expected = len(item) * self.share[chosen] + self.model.n_negatives / self.pairs.n_places
            log_q = self._on_device(np.log(-np.expm1(-expected))).float()
        place = self._on_device(np.searchsorted(chosen, item))
        rows = self._on_device(chosen)
        u, v = (
            network.user(user),
            torch.cat((network.item(rows), pick(network.item_bias, rows)[:, None]), dim=1),
        )
        one = torch.ones_like(u[:, :1])
        cost = u.square().sum(1).mean() + pick(v, place).square().sum(1).mean()
        entropy = losses.cross_entropy(torch.cat((u, one), dim=1), v, place, log_q)
        out: torch.Tensor = entropy + self.model.regularization * cost
        return out

    @torch.inference_mode()
    def validate(self) -> float:
        """NDCG of the events held out, or their negative root of the mean squared error."""
        table = self.network.numpy()
        if not self.is_rating:
            return self.pairs.ndcg(
                lambda user: table.user[user] @ table.item.T + table.item_bias,
                _MAX_VALIDATION_USERS,
            )
        user, item = (x[self.pairs.held_out] for x in (self.pairs.user, self.pairs.item))
        guess = table.mean + table.user_bias[user] + table.item_bias[item]
        guess += (table.user[user] * table.item[item]).sum(1)
        return -float(np.sqrt(np.square(guess - self.pairs.target[self.pairs.held_out]).mean()))

    def _on_device(self, array: AnyArray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)
