"""What all neural generators share: their training parameters, their weights as arrays."""

from __future__ import annotations

import hashlib
import json
import threading
from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from features.arrays import AnyArray, FrameLike
from features.errors import ConfigError, ModelFormatError
from features.history import History
from ranker.arguments import check_above_zero, plain_number
from ranker.candidates.base import Generator
from ranker.candidates.growth import Growth
from ranker.candidates.user_keys import keys_after
from ranker.neural.training import Schedule

# Runs of users are served by threads, and torch has threads of its own: one run at a time.
INFERENCE = threading.Lock()

_NETWORK = "network."


@dataclass(kw_only=True)
class NeuralGenerator(Generator):
    """A generator whose parameters are the weights of a network.

    Subclasses set everything that ``learned`` names and :meth:`_build` needs, build the network,
    and train it. Weights are kept as arrays, so that a model is saved without pickle.

    Parameters
    ----------
    epochs : int
        At most so many passes over the events.
    patience : int
        Epochs without a better validation score before the training stops.
    batch_size : int
    learning_rate, weight_decay : float
        Of Adam, with decoupled weight decay.
    averaging : float
        Of the weights over the steps: 0 = the last step's, 0.998 = a mean over some 500 steps,
        which is what is validated and kept.
    device : str, optional
        ``"cpu"``, ``"cuda"``, ... Default: CUDA where there is one.
    checkpoints : str, optional
        Folder that keeps every epoch by safetensors; a fit that was interrupted goes on from
        there. A checkpoint belongs to one history with its catalogue and attributes and to one
        set of parameters, and is removed when the fit has ended.
    random_state : int, optional
        Default: 0, or what the engine derives from its own.
    """

    epochs: int = 30
    patience: int = 3
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    averaging: float = 0.0
    device: str | None = None
    checkpoints: str | None = None
    random_state: int | None = None

    # Of what arrays() gives: tables of the network with a row per item of the history.
    _item_tables: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def _build(self) -> torch.nn.Module:
        """An untrained network of the shape that the learned attributes say."""

    def _check(self) -> None:
        """Make sure that the parameters can be learned with; subclasses add their own.

        Raises
        ------
        ConfigError
        """
        check_at_least(self, epochs=1, patience=1, batch_size=1, weight_decay=0)
        check_above_zero(learning_rate=self.learning_rate)
        check_share(self, "averaging")
        if self.device is not None:
            try:
                torch.empty(0, device=self.device)
            except (RuntimeError, AssertionError, TypeError) as error:
                raise ConfigError(
                    f"device={self.device!r} cannot be used ({str(error).splitlines()[0]}); "
                    f"expected 'cpu', 'cuda', or None for what there is"
                ) from None

    def fit(
        self,
        interactions: History | FrameLike,
        *,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
    ) -> Self:
        """See :meth:`Generator.fit`.

        Raises
        ------
        ConfigError
            For parameters out of range, and if the training diverges.
        """
        self._check()
        return super().fit(interactions, items=items, users=users)

    def arrays(self) -> dict[str, AnyArray]:
        """Everything learned, the weights of the network included."""
        network: torch.nn.Module = self._get("network_")
        weights = {
            f"{_NETWORK}{name}": value.detach().cpu().numpy()
            for name, value in network.state_dict().items()
        }
        return super().arrays() | weights

    def restore(self, arrays: dict[str, AnyArray]) -> Self:
        """Take over what :meth:`arrays` gave."""
        weights = {
            name.removeprefix(_NETWORK): torch.from_numpy(np.array(value))
            for name, value in arrays.items()
            if name.startswith(_NETWORK)
        }
        super().restore({k: v for k, v in arrays.items() if not k.startswith(_NETWORK)})
        self.network_ = self._build()
        try:
            self.network_.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelFormatError(
                f"the weights of {type(self).__name__} do not fit its parameters: {error}"
            ) from None
        self.network_.to(self._device()).eval()
        return self

    def _renumbered(self, growth: Growth) -> dict[str, AnyArray]:
        """What was learned, by the row numbers of the later history."""
        arrays = self.arrays()
        arrays["n_items_"] = np.array(growth.after.n_items)
        arrays["item_"] = growth.item_row[arrays["item_"]]
        for name in arrays.keys() & set(self._item_tables):
            arrays[name] = growth.of_items(arrays[name])
        if "keys_" in arrays:  # a vector per user of the training
            known = keys_after(growth, arrays["keys_"], arrays["place_"])
            arrays["keys_"], arrays["place_"] = known
        return arrays

    def _seeded(self) -> torch.nn.Module:
        """An untrained network whose weights follow from ``random_state`` alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state or 0)
            return self._build()

    def _schedule(self, history: History, network: torch.nn.Module) -> Schedule:
        return Schedule(
            epochs=self.epochs,
            patience=self.patience,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            seed=self.random_state or 0,
            device=self._device(),
            checkpoint=self._checkpoint(history, network),
            description=f"train {type(self).__name__}",
            averaging=self.averaging,
        )

    def _device(self) -> str:
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    def _checkpoint(self, history: History, network: torch.nn.Module) -> Path | None:
        """Where a training is kept, by all that it depends on."""
        if self.checkpoints is None:
            return None
        parameters = {k: v for k, v in asdict(self).items() if k not in ("checkpoints", "device")}
        names = ("indptr", "item", "time", "weight", "event", "row")
        arrays: dict[str, AnyArray] = {name: getattr(history, name) for name in names}
        arrays["item_"] = self._get("item_")
        # Networks hold what was learned beforehand, such as encoded attributes, as buffers.
        arrays |= {name: value.cpu().numpy() for name, value in network.named_buffers()}
        facts: dict[str, Any] = {
            "model": type(self).__name__,
            "parameters": parameters,
            "clock": history.clock.kind.value,
            "catalogue": [history.n_users, history.n_items],
            "arrays": {name: [str(array.dtype), array.shape] for name, array in arrays.items()},
            "weights": {name: value.shape for name, value in network.state_dict().items()},
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=plain_number).encode())
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).data)
        return Path(self.checkpoints) / f"{digest.hexdigest()[:32]}.safetensors"


def check_at_least(generator: Generator, **bounds: float) -> None:
    """Make sure that parameters, by name, are not below their bounds.

    Raises
    ------
    ConfigError
    """
    for name, bound in bounds.items():
        value = getattr(generator, name)
        if not value >= bound:
            raise ConfigError(f"{name}={value!r} must be at least {bound}")


def check_share(generator: Generator, *names: str, includes_one: bool = False) -> None:
    """Make sure that parameters are at least 0 and below 1, or, on demand, 1.

    Raises
    ------
    ConfigError
    """
    for name in names:
        value = getattr(generator, name)
        if not (0 <= value < 1 or (includes_one and value == 1)):
            upper = "at most" if includes_one else "below"
            raise ConfigError(f"{name}={value!r} must be at least 0 and {upper} 1")


def as_widths(name: str, widths: Any) -> tuple[int, ...]:
    """Widths of layers as a tuple; JSON has lists.

    Raises
    ------
    ConfigError
        If it is a single one.
    """
    if isinstance(widths, str | int | float):
        raise ConfigError(f"{name}={widths!r}; expected the widths of layers: ({widths!r},)")
    return tuple(widths)


def check_widths(generator: Generator, name: str) -> None:
    """Make sure that all widths of layers are above zero.

    Raises
    ------
    ConfigError
    """
    widths = getattr(generator, name)
    if not all(width >= 1 for width in widths):
        raise ConfigError(f"{name}={widths!r} must be widths of at least 1")
