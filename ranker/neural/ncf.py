"""Networks in place of the inner product: neural collaborative filtering."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeAlias

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

from features.arrays import AnyArray, Float32Array, Int32Array, Int64Array
from features.errors import ConfigError
from features.history import History
from ranker.arguments import check_above_zero
from ranker.candidates.base import Generator, Retrieved
from ranker.candidates.growth import Growth
from ranker.candidates.predictor import RatingPredictor
from ranker.candidates.user_keys import find_rows, known_keys
from ranker.neural import losses
from ranker.neural.generator import (
    INFERENCE,
    NeuralGenerator,
    as_widths,
    check_at_least,
    check_widths,
)
from ranker.neural.layers import spread
from ranker.neural.pairs import PairBatch, Pairs
from ranker.neural.training import Schedule, train

Architecture: TypeAlias = Literal["gmf", "mlp", "neumf"]

_RUN = 16_384  # items scored at a time
_MAX_VALIDATION_USERS = 1_000  # a network over all items costs more than products
_RERANK = "rerank."


@dataclass(kw_only=True)
class NeuralCollaborativeFiltering(NeuralGenerator, RatingPredictor):
    """GMF, MLP and NeuMF, of He et al.: Neural collaborative filtering (WWW 2017).

    A network reads the embeddings of a user and an item, trained by log loss against items drawn
    uniformly from those that the user did not take. There is no inner product by which the best
    items could be found: all are scored, in runs, or those of another generator's list.

    A user is known by his events: with the very events of the log he has the embedding that
    training found (of users with the same events: the first one's); with others, the mean over
    his items of the mean embedding of those who took them.

    Parameters
    ----------
    architecture : "gmf", "mlp" or "neumf"
        Weighted products of embeddings, eq. (9); layers over two embeddings side by side, eq.
        (10); or both in one, eq. (12).
    factors : int
        Length of the embeddings of GMF.
    layers : tuple of int
        Widths of the hidden layers of MLP; the first is also the length of its embeddings.
    pretrain : bool
        Train GMF and MLP by themselves first, and let NeuMF begin with their weights, the output
        layers halved (section 3.4.1). It goes on at a tenth of the learning rate (the paper: by
        plain gradient descent).
    n_negatives : int
        For each event.
    regularization : float
        Of the squared length of the embeddings, for each example.
    init_std : float
        Standard deviation of the embeddings at the start. On few events MLP needs more than the
        paper's 0.01 (0.3, say), or its units fall silent before they tell items apart.
    rerank : Generator, optional
        Score the list of this source alone; it is fitted along.
    depth : int
        Length of that list.
    """

    batch_size: int = 1024
    learning_rate: float = 2e-3
    architecture: Architecture = "neumf"
    factors: int = 16
    layers: tuple[int, ...] = (64, 32, 16)
    pretrain: bool = True
    n_negatives: int = 4
    regularization: float = 0.0
    init_std: float = 0.01
    rerank: Generator | None = None
    depth: int = 200

    learned: ClassVar[tuple[str, ...]] = (
        *("n_items_", "item_", "n_users_", "keys_", "place_", "typical_", "n_epochs_"),
    )

    def __post_init__(self) -> None:
        """Settings read from JSON hold lists."""
        self.layers = as_widths("layers", self.layers)

    def _check(self) -> None:
        super()._check()
        check_at_least(self, factors=1, n_negatives=1, regularization=0, depth=1)
        check_above_zero(init_std=self.init_std)
        check_widths(self, "layers")
        if self.rerank is not None and not isinstance(self.rerank, Generator):
            raise ConfigError(f"rerank={self.rerank!r}; expected a generator, such as ALS()")
        if self.architecture not in ("gmf", "mlp", "neumf"):
            raise ConfigError(
                f"architecture={self.architecture!r} is not known; expected 'gmf', 'mlp' or 'neumf'"
            )
        if self.architecture != "gmf" and not self.layers:
            raise ConfigError("layers=() has no layer; give the widths, such as (64, 32, 16)")

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        """Learn from the interactions; attributes are passed on to ``rerank``."""
        self.n_items_: AnyArray = np.array(history.n_items)
        self.n_users_: AnyArray = np.array(history.n_users)
        self.item_: Int32Array = np.unique(history.item)
        pairs = Pairs(history, self.item_, self.random_state or 0)
        parts: list[_Network] = []
        kept: list[Path] = []
        if self.architecture == "neumf" and self.pretrain:
            for name in ("gmf", "mlp"):
                part: NeuralCollaborativeFiltering = dataclasses.replace(self, architecture=name)
                part.n_users_, part.item_ = self.n_users_, self.item_
                parts.append(part._network(part._seeded()))
                schedule = _named(self._schedule(history, parts[-1]), name)
                _Lesson(self, parts[-1], pairs).run(schedule)
                kept += [schedule.checkpoint] if schedule.checkpoint else []
        network = self._network(self._seeded())
        if parts:
            network.begin(*parts)
        schedule = self._schedule(history, network)
        if parts:
            # Adam knows nothing of the steps that led there, and would leap away.
            schedule = dataclasses.replace(schedule, learning_rate=self.learning_rate / 10)
        self.n_epochs_: AnyArray = np.array(_Lesson(self, network, pairs).run(schedule))
        for path in kept:
            path.unlink(missing_ok=True)
        self.network_: nn.Module = network
        self._remember(history, pairs)
        if self.rerank is not None:
            seed = self.random_state or 0
            self.source_ = self.rerank.unfitted(seed).fit(history, items=items, users=users)

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """Users with new events are placed as new ones are; new items wait for a fit."""
        later = self.unfitted(0).restore(self._renumbered(growth))
        if self.rerank is not None:
            later.source_ = self.source_.refreshed(growth, items=items, users=users)
        return later

    def _build(self) -> nn.Module:
        return _Network(
            int(self.n_users_),
            len(self.item_),
            0 if self.architecture == "mlp" else self.factors,
            () if self.architecture == "gmf" else self.layers,
            self.init_std,
        )

    def _network(self, module: nn.Module | None = None) -> _Network:
        network: _Network = module or self.network_  # type: ignore[assignment]
        return network

    def _remember(self, history: History, pairs: Pairs) -> None:
        """Whose embedding is whose, and what users of an item are like."""
        self.keys_, self.place_ = known_keys(history)
        cells = np.unique(pairs.user * len(self.item_) + pairs.item)
        user, item = np.divmod(cells, max(len(self.item_), 1))
        table = self._network().user.weight.detach().cpu().numpy()
        total = np.zeros((len(self.item_), table.shape[1]))
        np.add.at(total, item, table[user])
        count = np.bincount(item, minlength=len(self.item_))
        self.typical_: Float32Array = (total / np.maximum(count, 1)[:, None]).astype(np.float32)

    def arrays(self) -> dict[str, AnyArray]:
        """Everything learned, that of ``rerank`` included."""
        arrays = super().arrays()
        if self.rerank is not None:
            source = self._get("source_").arrays()
            arrays |= {f"{_RERANK}{name}": value for name, value in source.items()}
        return arrays

    def restore(self, arrays: dict[str, AnyArray]) -> Self:
        """Take over what :meth:`arrays` gave."""
        super().restore({k: v for k, v in arrays.items() if not k.startswith(_RERANK)})
        if self.rerank is not None:
            part = {k.removeprefix(_RERANK): v for k, v in arrays.items() if k.startswith(_RERANK)}
            self.source_ = self.rerank.unfitted(self.random_state or 0).restore(part)
        return self

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest log odds; nothing for users without events of known items."""
        vectors = self._vectors(history)
        found = Retrieved.empty(history.n_users, n)
        if self.rerank is None:
            listed = None
        else:
            listed = self.source_.retrieve(history, self.depth, exclude_seen=exclude_seen).item
        with INFERENCE, torch.inference_mode():
            scorer = _Scorer(self._network(), self._device())
            for user in np.flatnonzero(vectors.any(axis=1)):
                # One user at a time: nobody's company can touch the rounding of his scores.
                if listed is None:
                    rows, scores = self.item_, scorer.all(vectors[user])
                else:
                    rows = np.sort(listed[user][listed[user] >= 0])
                    rows = rows[self._places(rows) >= 0]
                    scores = scorer.some(vectors[user], self._places(rows), self.depth)
                if exclude_seen:
                    seen = history.item[history.indptr[user] : history.indptr[user + 1]]
                    keeps = ~np.isin(rows, seen)
                    rows, scores = rows[keeps], scores[keeps]
                best = np.lexsort((rows, -scores))[:n]
                found.item[user, : len(best)] = rows[best]
                found.score[user, : len(best)] = scores[best]
        return found

    def score_pairs(self, history: History, user: AnyArray, item: AnyArray) -> Float32Array:
        """Probabilities, float32 [n]; for strangers and unknown items the mean embedding counts."""
        network = self._network()
        vectors, place = self._vectors(history), self._places(item)
        table = network.item.weight.detach().cpu().numpy()
        typical = self.typical_.mean(0, dtype=np.float32)
        vectors = np.where(vectors.any(axis=1, keepdims=True), vectors, typical)
        average = table.mean(0)
        out = np.empty(len(user), np.float32)
        device = self._device()
        with INFERENCE, torch.inference_mode():
            for at in range(0, len(user), _RUN):
                rows = slice(at, at + _RUN)
                items = np.where((place[rows] >= 0)[:, None], table[place[rows]], average)
                u, v = (torch.from_numpy(x).to(device) for x in (vectors[user[rows]], items))
                out[rows] = torch.sigmoid(network(u, v)).cpu().numpy()
        return out

    def _vectors(self, history: History) -> Float32Array:
        """User embeddings, float32 [n_users, d]; zeros for users of whom nothing is known."""
        typical: Float32Array = self._get("typical_")
        table = self._network().user.weight.detach().cpu().numpy()
        out = np.zeros((history.n_users, table.shape[1]), np.float32)
        row = find_rows(history, self.keys_, self.place_)
        out[row >= 0] = table[row[row >= 0]]
        place = self._places(history.item)
        for user in np.flatnonzero((history.lengths > 0) & (row < 0)):
            own = np.unique(place[history.indptr[user] : history.indptr[user + 1]])
            own = own[own >= 0]
            if len(own):
                out[user] = typical[own].mean(0)
        return out

    def _places(self, item: AnyArray) -> AnyArray:
        """Places of item rows among ``item_``, -1 for others."""
        place = np.full(int(self.n_items_) + 1, -1)  # the last stands for row -1
        place[self.item_] = np.arange(len(self.item_))
        return place[item]


def _named(schedule: Schedule, name: str) -> Schedule:
    return dataclasses.replace(
        schedule, description=f"{schedule.description} ({name})", keeps_checkpoint=True
    )


class _Network(nn.Module):
    """Embeddings of users and items, of GMF and MLP side by side, and what is made of them."""

    def __init__(
        self,
        n_users: int,
        n_places: int,
        factors: int,
        widths: tuple[int, ...],
        init_std: float,
    ) -> None:
        super().__init__()
        self.factors = factors
        width = factors + (widths[0] if widths else 0)
        self.user = nn.Embedding(n_users, width)
        self.item = nn.Embedding(n_places, width)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, std=init_std)
        inputs = (2 * widths[0], *widths[:-1]) if widths else ()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(inputs, widths, strict=True))
        self.out = nn.Linear(factors + (widths[-1] if widths else 0), 1)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Logits of pairs of vectors, [n]; ``user`` may be a single vector for all items."""
        f = self.factors
        product = user[..., :f] * item[..., :f]
        if not self.layers:
            return self._output(product)
        # The first layer reads the two side by side; what a vector adds is the same in all pairs.
        first: nn.Linear = self.layers[0]  # type: ignore[assignment]
        weight, half = first.weight, first.in_features // 2
        hidden = functional.linear(user[..., f:], weight[:, :half])
        hidden = hidden + functional.linear(item[..., f:], weight[:, half:], first.bias)
        hidden = functional.relu(hidden)
        for layer in self.layers[1:]:
            hidden = functional.relu(layer(hidden))
        product = product.expand(*hidden.shape[:-1], f)
        return self._output(torch.cat((product, hidden), dim=-1))

    def _output(self, inputs: torch.Tensor) -> torch.Tensor:
        logits = functional.linear(inputs, self.out.weight)[..., 0]
        return logits + spread(self.out.bias, logits.numel()).view(logits.shape)

    @torch.no_grad()
    def begin(self, gmf: _Network, mlp: _Network) -> None:
        """Take over the weights of the two parts; each has half a say (alpha = .5)."""
        for name in ("user", "item"):
            whole, left, right = (getattr(part, name).weight for part in (self, gmf, mlp))
            whole.copy_(torch.cat((left, right), dim=1))
        self.layers.load_state_dict(mlp.layers.state_dict())
        self.out.weight.copy_(torch.cat((gmf.out.weight, mlp.out.weight), dim=1) / 2)
        self.out.bias.copy_((gmf.out.bias + mlp.out.bias) / 2)


class _Scorer:
    """A user's log odds of items by place."""

    def __init__(self, network: _Network, device: str) -> None:
        self.network, self.device = network, device

    def all(self, user: Float32Array) -> Float32Array:
        """Of all places, in runs of fixed length."""
        vector = torch.from_numpy(user).to(self.device)
        table = self.network.item.weight
        runs = [self._of(vector, table[at : at + _RUN]) for at in range(0, len(table), _RUN)]
        return np.concatenate(runs)

    def some(self, user: Float32Array, places: Int64Array, depth: int) -> Float32Array:
        """Of some places, brought to one length so that their rounding is the same."""
        padded = np.zeros(depth, np.int64)
        padded[: len(places)] = places
        vector = torch.from_numpy(user).to(self.device)
        rows = torch.from_numpy(padded).to(self.device)
        return self._of(vector, self.network.item.weight[rows])[: len(places)]

    def _of(self, user: torch.Tensor, items: torch.Tensor) -> Float32Array:
        values: Float32Array = self.network(user[None], items).cpu().numpy()
        return values


class _Lesson:
    """Log loss and validation of a network over the pairs of a history."""

    def __init__(
        self, model: NeuralCollaborativeFiltering, network: _Network, pairs: Pairs
    ) -> None:
        self.model, self.network, self.pairs = model, network, pairs
        self.device = model._device()

    def run(self, schedule: Schedule) -> int:
        """Train; the number of the best epoch."""
        can_validate = self.pairs.held_out.any()
        return train(
            self.network,
            self.batches,
            self.loss,
            schedule,
            validate=self.validate if can_validate else None,
        )

    def batches(self, rng: np.random.Generator) -> Iterator[PairBatch]:
        """Batches of one epoch."""
        return self.pairs.batches(rng, self.model.batch_size, self.model.n_negatives)

    def loss(self, batch: PairBatch) -> torch.Tensor:
        """Log loss of a batch, with what the lengths of the embeddings cost."""
        places = np.concatenate((batch.item[:, None], batch.negative), axis=1)
        user = self.network.user(torch.from_numpy(batch.user).to(self.device))[:, None]
        item = self.network.item(torch.from_numpy(places).to(self.device))
        scores = self.network(user, item)
        value = losses.log_loss(scores[:, 0], scores[:, 1:])
        if self.model.regularization:
            cost = user.square().sum(-1).mean() + item.square().sum(-1).mean()
            value = value + self.model.regularization * cost
        return value

    @torch.inference_mode()
    def validate(self) -> float:
        """NDCG of the events held out, for some users."""
        table = self.network.item.weight

        def scores(users: Int64Array) -> Float32Array:
            vectors = self.network.user(torch.from_numpy(users).to(self.device))
            parts = [self.network(vector[None], table).cpu().numpy() for vector in vectors]
            return np.stack(parts)

        return self.pairs.ndcg(scores, _MAX_VALIDATION_USERS)
