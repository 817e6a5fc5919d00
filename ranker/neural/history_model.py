"""Networks that read a user's events and propose the items whose vectors point the same way."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self, cast

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional

from features.arrays import AnyArray, BoolArray, Float32Array, Int32Array, Int64Array
from features.errors import ConfigError
from features.history import History
from ranker.arguments import check_above_zero
from ranker.candidates.base import Retrieved
from ranker.candidates.growth import Growth
from ranker.candidates.vectors import VectorGenerator
from ranker.neural import losses
from ranker.neural.generator import (
    INFERENCE,
    NeuralGenerator,
    check_at_least,
)
from ranker.neural.layers import pick
from ranker.neural.sequences import NextItem, Sequences, latest, read
from ranker.neural.training import train
from ranker.neural.validation import total_gain

_BLOCK = 128  # users encoded at a time; one fixed height keeps their rounding the same
_RUN = 4_096  # items encoded at a time
_MAX_VALIDATION_USERS = 2_000
_VALIDATION_SHARE = 0.1
_SAMPLE = 4_096  # items drawn for a batch
_NEGATIVES = 8  # items drawn for each target
_DEPTH = 10  # of the lists by which epochs are judged


class Batch(NamedTuple):
    """Sequences as tensors, in the terms of :class:`ranker.neural.sequences.Sequences`.

    ``row`` is the row of each sequence's user among the snapshot's users, -1 for strangers.
    """

    item: torch.Tensor
    gap: torch.Tensor
    size: torch.Tensor
    row: torch.Tensor


class TwoSides(nn.Module):
    """An encoder of items and an encoder of histories into one space.

    Parameters
    ----------
    items : Module
        Item row numbers, int64 [n] -> vectors [n, d].
    history : Module
        Vectors of the events [b, l, d] and the :class:`Batch` -> vectors [b, l, d], of which the
        one at an event knows nothing of later events.
    temperature : float, optional
        Vectors are brought to length one, and inner products divided by it.
    """

    def __init__(self, items: nn.Module, history: nn.Module, temperature: float | None) -> None:
        super().__init__()
        self.items = items
        self.history = history
        self.temperature = temperature

    def item_vectors(self, rows: torch.Tensor) -> torch.Tensor:
        """Vectors of items, ready for the inner product."""
        vectors: torch.Tensor = self.items(rows)
        return vectors if self.temperature is None else functional.normalize(vectors, dim=-1)

    def user_vectors(self, vectors: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Vectors of users after each of their events, ready for the inner product."""
        users: torch.Tensor = self.history(vectors, batch)
        if self.temperature is None:
            return users
        return functional.normalize(users, dim=-1) / self.temperature


@dataclass(kw_only=True)
class HistoryModel(NeuralGenerator, VectorGenerator):
    """Base of the networks whose user is what his events say, learned by predicting the next one.

    Events with items that the network does not know say nothing.

    Parameters
    ----------
    factors : int
        Length of the vectors.
    max_length : int
        Latest events of a user that are read.
    batch_size : int
        Events predicted in a step, in whole sequences: each counts about the same, however long
        its user's history is.
    loss : "softmax", "sampled", "bpr" or "mse"
        Cross entropy among all items, or among those of the batch and ``n_negatives`` more with
        the log-Q correction (among all where there are no more than that); BPR or squared error
        against ``n_negatives`` for each target.
    n_negatives : int, optional
        Items drawn uniformly: for a batch by ``"sampled"``, default 4096; for each target by
        ``"bpr"`` and ``"mse"``, default 8.
    temperature : float, optional
        Compare directions only: vectors are brought to length one, and their products divided by
        this. Default: plain inner products.
    """

    factors: int = 64
    max_length: int = 50
    batch_size: int = 1024
    loss: losses.Loss = "sampled"
    n_negatives: int | None = None
    temperature: float | None = None

    learned: ClassVar[tuple[str, ...]] = ("n_items_", "item_", "vectors_", "n_epochs_")
    is_shared: ClassVar[bool] = True

    @abstractmethod
    def _items_network(self) -> nn.Module:
        """Item row numbers, int64 [n], to vectors [n, factors]."""

    @abstractmethod
    def _history_network(self) -> nn.Module:
        """Event vectors [b, l, factors] and their :class:`Batch` to vectors [b, l, factors]."""

    def _proposable(self, history: History) -> Int32Array:
        """Rows of the items that can be proposed, ascending; by default those with events."""
        return np.unique(history.item)

    def _build(self) -> nn.Module:
        return TwoSides(self._items_network(), self._history_network(), self.temperature)

    def _check(self) -> None:
        super()._check()
        check_at_least(self, factors=1, max_length=1)
        if self.temperature is not None:
            check_above_zero(temperature=self.temperature)
        if self.n_negatives is not None:
            check_at_least(self, n_negatives=1)
        if self.loss not in ("softmax", "sampled", "bpr", "mse"):
            raise ConfigError(
                f"loss={self.loss!r} is not known; expected 'softmax', 'sampled', 'bpr' or 'mse'"
            )

    def _learn(
        self, history: History, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> None:
        self.n_items_: AnyArray = np.array(history.n_items)
        self.item_ = self._proposable(history)
        # Served as it is where there is nothing to learn from.
        self.network_ = self._seeded().to(self._device()).eval()
        examples = NextItem(history, self.max_length, self._held_out(history))
        lesson = _Lesson(self, cast(TwoSides, self.network_), examples)
        n_epochs = 0
        if examples.target_counts().any():
            n_epochs = train(
                self.network_,
                lambda rng: ((rng, *batch) for batch in examples.batches(rng, self.batch_size)),
                lesson.loss,
                self._schedule(history, self.network_),
                validate=lesson.validate if examples.held_out.any() else None,
            )
        self.n_epochs_: AnyArray = np.array(n_epochs)
        self.vectors_: Float32Array = lesson.vectors(self.item_).cpu().numpy()

    def refreshed(
        self, growth: Growth, *, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> Self:
        """The network as it is reads the new events; items that it has not met wait for a fit."""
        later = self.unfitted(0).restore(self._renumbered(growth))
        later._index(growth.after)
        return later

    def retrieve(self, history: History, n: int, *, exclude_seen: bool) -> Retrieved:
        """The largest inner products; nothing for users of whom nothing is known."""
        return self._nearest(self.user_vectors(history), history, n, exclude_seen=exclude_seen)

    @property
    def item_vectors(self) -> Float32Array:
        """Item embeddings, float32 [n_items, factors]; zeros for items that are not proposed."""
        vectors = np.zeros((int(self._get("n_items_")), self.factors), np.float32)
        vectors[self.item_] = self.vectors_
        return vectors

    def user_vectors(self, history: History) -> Float32Array:
        """User embeddings, float32 [n_users, factors]; zeros where nothing is known."""
        network = self._get("network_")
        return history.derived(self, network, lambda known: self._encode(self._visible(known)))

    def _visible(self, history: History) -> History:
        """The events with items that the network knows."""
        is_known = np.zeros(int(self.n_items_), bool)
        is_known[self.item_] = True
        return only_items(history, is_known)

    def _encode(self, history: History) -> Float32Array:
        """User embeddings by events with known items; zeros for users without any."""
        out = np.zeros((history.n_users, self.factors), np.float32)
        start, stop = latest(history, self.max_length)
        size = stop - start
        # The width follows from the user's own events: nobody else's can touch his rounding.
        width = np.minimum(2 ** np.ceil(np.log2(np.maximum(size, 1))), self.max_length)
        with INFERENCE, torch.inference_mode():
            for length in np.unique(width[size > 0]).astype(int):
                users = np.flatnonzero((width == length) & (size > 0))
                for at in range(0, len(users), _BLOCK):
                    rows = users[at : at + _BLOCK]
                    padded = np.concatenate((rows, np.repeat(rows[:1], _BLOCK - len(rows))))
                    part = read(history, padded, start[padded], stop[padded], length)
                    batch = self._batch(part, history)
                    last = self._last(batch)
                    out[rows] = last[: len(rows)].cpu().numpy()
        return out

    def _last(self, batch: Batch) -> torch.Tensor:
        """The user vectors behind the last event of each sequence."""
        network = cast(TwoSides, self.network_)
        hidden = network.user_vectors(network.items(batch.item), batch)
        return hidden[torch.arange(len(hidden), device=hidden.device), batch.size - 1]

    def _batch(self, sequences: Sequences, history: History) -> Batch:
        device = self._device()
        arrays = (sequences.item, sequences.gap, sequences.size, history.row[sequences.user])
        return Batch(*(torch.from_numpy(np.asarray(a, np.int64)).to(device) for a in arrays))

    def _held_out(self, history: History) -> AnyArray:
        """Users whose last event tells when to stop."""
        can = np.flatnonzero(history.lengths >= 3)
        n = min(_MAX_VALIDATION_USERS, int(_VALIDATION_SHARE * len(can)))
        held_out = np.zeros(history.n_users, bool)
        held_out[np.random.default_rng(self.random_state or 0).choice(can, n, replace=False)] = True
        return held_out


def only_items(history: History, is_kept: BoolArray) -> History:
    """The same users with the events of some items, whose flags are bool [n_items], alone."""
    keeps = is_kept[history.item]
    if keeps.all():
        return history
    return dataclasses.replace(
        history,
        indptr=np.concatenate(([0], np.cumsum(keeps)))[history.indptr],
        item=history.item[keeps],
        time=history.time[keeps],
        weight=history.weight[keeps],
        event=history.event[keeps],
    )


class _Lesson:
    """Losses and validation of a network over one history."""

    def __init__(self, model: HistoryModel, network: TwoSides, examples: NextItem) -> None:
        self.model, self.network, self.examples = model, network, examples
        device = model._device()
        self.proposable = torch.from_numpy(model.item_.astype(np.int64)).to(device)
        counts = examples.target_counts()[model.item_]
        self.share = torch.from_numpy(counts / max(counts.sum(), 1)).float().to(device)
        self.n_negatives = model.n_negatives or (_SAMPLE if model.loss == "sampled" else _NEGATIVES)
        # A sample as large as the catalogue costs nearly what all cost, and is the noisier.
        takes_all = model.loss == "sampled" and self.n_negatives >= len(self.proposable)
        self.kind: losses.Loss = "softmax" if takes_all else model.loss

    def loss(self, batch: tuple[np.random.Generator, Sequences, Int64Array]) -> torch.Tensor:
        rng, sequences, target_rows = batch
        inputs = self.model._batch(sequences, self.examples.history)
        is_event = np.arange(sequences.item.shape[1]) < sequences.size[:, None]
        target = np.searchsorted(self.model.item_, target_rows[is_event])
        hidden_at = torch.from_numpy(np.flatnonzero(is_event)).to(inputs.item.device)
        chosen, places = self._candidates(target, rng)
        rows = self.proposable[chosen]
        vectors, hidden = self._forward(inputs, rows, hidden_at)
        if self.kind == "softmax":
            return losses.cross_entropy(hidden, vectors, places, None)
        if self.kind == "sampled":
            expected = len(target) * self.share[chosen] + self.n_negatives / len(self.share)
            log_q = torch.log(-torch.expm1(-expected))  # of being drawn at least once
            return losses.cross_entropy(hidden, vectors, places, log_q)
        n = len(target)
        compared = pick(vectors, places)
        positive = (hidden * compared[:n]).sum(-1)
        negative = (hidden[:, None] * compared[n:].view(n, -1, vectors.shape[-1])).sum(-1)
        form = losses.bpr if self.kind == "bpr" else losses.squared_error
        return form(positive, negative)

    def _candidates(
        self, target: Int64Array, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Proposable items that are compared, ascending, and the targets' places among them.

        For pairwise losses each target's negatives come behind the targets.
        """
        device, n = self.proposable.device, len(self.proposable)
        if self.kind == "softmax":
            chosen, places = np.arange(n), target
        elif self.kind == "sampled":
            chosen = np.unique(np.concatenate((target, rng.integers(0, n, self.n_negatives))))
            places = np.searchsorted(chosen, target)
        else:
            drawn = rng.integers(0, n, len(target) * self.n_negatives)
            chosen, places = np.unique(np.concatenate((target, drawn)), return_inverse=True)
        return torch.from_numpy(chosen).to(device), torch.from_numpy(places).to(device)

    def _forward(
        self, inputs: Batch, rows: torch.Tensor, hidden_at: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of the compared items, and of the users at their events.

        An item that stands in several places is encoded once.
        """
        network = self.network
        is_needed = torch.zeros(int(self.model.n_items_), dtype=torch.bool, device=rows.device)
        is_needed[rows] = True
        is_needed[inputs.item] = True
        needed = is_needed.nonzero().squeeze(1)
        encoded = network.items(needed)
        place = is_needed.cumsum(0) - 1
        compared = encoded
        if len(needed) > len(rows):
            compared = pick(encoded, place[rows])
        if network.temperature is not None:
            compared = functional.normalize(compared, dim=-1)
        events = pick(encoded, place[inputs.item])
        hidden = network.user_vectors(events, inputs)
        return compared, pick(hidden.flatten(0, 1), hidden_at)

    def vectors(self, rows: Int32Array) -> torch.Tensor:
        """Item vectors, in runs."""
        with torch.inference_mode():
            every = torch.from_numpy(rows.astype(np.int64)).to(self.proposable.device)
            parts = [
                self.network.item_vectors(every[start : start + _RUN])
                for start in range(0, len(every), _RUN)
            ]
            return torch.cat(parts) if parts else torch.zeros((0, self.model.factors))

    @torch.inference_mode()
    def validate(self) -> float:
        """NDCG@10 of the events held out, among all items but those that the user took before."""
        sequences, target = self.examples.held_out_examples()
        vectors = self.vectors(self.model.item_)
        place = np.full(int(self.model.n_items_), -1)
        place[self.model.item_] = np.arange(len(self.model.item_))
        total = 0.0
        for at in range(0, len(target), _BLOCK):
            rows = slice(at, at + _BLOCK)
            part = Sequences(
                sequences.item[rows],
                sequences.gap[rows],
                sequences.size[rows],
                sequences.user[rows],
            )
            scores = self.model._last(self.model._batch(part, self.examples.history)) @ vectors.T
            row, event = np.nonzero(np.arange(part.item.shape[1]) < part.size[:, None])
            seen = place[part.item[row, event]]
            total += total_gain(scores.cpu().numpy(), place[target[rows]], row, seen, _DEPTH)
        return total / max(len(target), 1)
