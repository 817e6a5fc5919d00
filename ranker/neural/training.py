"""The one training loop of all networks."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from features.errors import ConfigError, ModelFormatError
from ranker.progress import progress_bar

B = TypeVar("B")
State: TypeAlias = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long, how fast and from which seed a network learns.

    Parameters
    ----------
    epochs : int
        At most so many.
    patience : int
        Epochs without a better validation score before the training stops.
    learning_rate, weight_decay : float
        Of Adam (Kingma, Ba: ICLR 2015); the decay is decoupled (Loshchilov, Hutter: ICLR 2019).
    seed : int
    device : str
    checkpoint : Path, optional
        File in which each epoch is kept. A training that finds it there goes on behind its last
        epoch, and ends with the same weights as one that was never interrupted. When it has ended
        it removes the file.
    description : str
        For the progress bar.
    averaging : float
        0: the weights are those of the last step. Above, and below 1: a running mean of the
        weights of all steps, which forgets all but this share with each, is validated and kept;
        it goes less astray than the weights of any one step (Polyak, Juditsky: Acceleration of
        stochastic approximation by averaging, 1992).
    keeps_checkpoint : bool
        Leave the file where it is: a later part of the same fit may be interrupted too.
    """

    epochs: int
    patience: int
    learning_rate: float
    weight_decay: float
    seed: int
    device: str
    checkpoint: Path | None
    description: str
    averaging: float = 0.0
    keeps_checkpoint: bool = False


@dataclass
class _Progress:
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_score: float = -np.inf


def train(
    network: torch.nn.Module,
    batches: Callable[[np.random.Generator], Iterable[B]],
    loss: Callable[[B], torch.Tensor],
    schedule: Schedule,
    *,
    validate: Callable[[], float] | None = None,
) -> int:
    """Fit a network with Adam; it is left with the weights of its best epoch.

    Parameters
    ----------
    network : Module
    batches : callable
        Draws the batches of one epoch from a random generator that is new for every epoch.
    loss : callable
        Loss of a batch, a scalar.
    schedule : Schedule
    validate : callable, optional
        Score of the network as it stands (with the mean weights, if they are asked for), larger =
        better. Without it all epochs are run.

    Returns
    -------
    int
        Number of the best epoch, from 1.

    Raises
    ------
    ConfigError
        If the loss or the score is not finite any more.
    ModelFormatError
        If the checkpoint cannot be read, or is of another network.
    """
    network.to(schedule.device)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    mean = copy.deepcopy(network.state_dict()) if schedule.averaging else None
    best = copy.deepcopy(network.state_dict())
    progress = _Progress()
    if schedule.checkpoint is not None and schedule.checkpoint.is_file():
        progress, mean, best = _resume(schedule.checkpoint, network, optimizer, mean)
    with (
        torch.random.fork_rng(devices=[]),
        progress_bar(schedule.epochs, schedule.description, "epoch") as bar,
    ):
        bar.update(progress.epoch)
        while not _is_done(progress, schedule, validates=validate is not None):
            progress.epoch += 1
            # Seeds follow the epoch, so that a resumed training draws what an unbroken one does.
            torch.manual_seed(schedule.seed * 1_000_003 + progress.epoch)
            rng = np.random.default_rng([schedule.seed, progress.epoch])
            network.train()
            total = torch.zeros((), device=schedule.device)
            for batch in batches(rng):
                optimizer.zero_grad(set_to_none=True)
                value = loss(batch)
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                progress.step += 1
                total += value.detach()
                if mean is not None:
                    _follow(mean, network, progress.step, schedule.averaging)
            _check_finite("loss", total.item(), progress.epoch, schedule)
            network.eval()
            # Of weights that went astray there is one error behind, no warnings before.
            with np.errstate(over="ignore", invalid="ignore"):
                score = progress.epoch if validate is None else _score(network, mean, validate)
            _check_finite("validation score", score, progress.epoch, schedule)
            if score > progress.best_score:
                progress.best_score, progress.best_epoch = score, progress.epoch
                best = copy.deepcopy(network.state_dict() if mean is None else mean)
            if schedule.checkpoint is not None:
                _keep(schedule.checkpoint, network, mean, optimizer, best, progress)
            bar.update()
    network.load_state_dict(best)
    network.eval()
    if schedule.checkpoint is not None and not schedule.keeps_checkpoint:
        schedule.checkpoint.unlink(missing_ok=True)
    return progress.best_epoch


def shuffled(n: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random runs of the numbers below ``n``."""
    order = rng.permutation(n)
    for start in range(0, n, batch_size):
        yield order[start : start + batch_size]


def _check_finite(name: str, value: float, epoch: int, schedule: Schedule) -> None:
    if not math.isfinite(value):
        raise ConfigError(
            f"{schedule.description}: the {name} is {value} in epoch {epoch}; "
            f"learning_rate={schedule.learning_rate!r} is too large, choose a smaller one (or, "
            f"where events have weights, smaller weights)"
        )


def _score(network: torch.nn.Module, mean: State | None, validate: Callable[[], float]) -> float:
    """Validate with the mean weights, if there are such."""
    if mean is None:
        return validate()
    last = copy.deepcopy(network.state_dict())
    network.load_state_dict(mean)
    score = validate()
    network.load_state_dict(last)
    return score


def _follow(mean: State, network: torch.nn.Module, step: int, averaging: float) -> None:
    """Move the running mean of the weights towards those of a step."""
    # The first steps are far from where the weights end, and are forgotten faster.
    forgotten = 1.0 - min(averaging, step / (step + 10))
    now = network.state_dict()
    moving = [name for name, value in now.items() if value.is_floating_point()]
    with torch.no_grad():
        torch._foreach_lerp_([mean[n] for n in moving], [now[n] for n in moving], forgotten)
        for name in now.keys() - set(moving):
            mean[name].copy_(now[name])


def _is_done(progress: _Progress, schedule: Schedule, *, validates: bool) -> bool:
    stale = progress.epoch - progress.best_epoch
    return progress.epoch >= schedule.epochs or (validates and stale >= schedule.patience)


def _keep(
    path: Path,
    network: torch.nn.Module,
    mean: State | None,
    optimizer: torch.optim.Optimizer,
    best: State,
    progress: _Progress,
) -> None:
    """Write a checkpoint beside its place and move it there when it is whole."""
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"mean/{name}": value for name, value in (mean or {}).items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    metadata = {"progress": json.dumps(vars(progress))}
    save_file({name: value.cpu().clone() for name, value in tensors.items()}, whole, metadata)
    whole.replace(path)


def _resume(
    path: Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer, mean: State | None
) -> tuple[_Progress, State | None, State]:
    """Take over a checkpoint; ``mean`` tells whether it has to hold one."""
    parts: dict[str, State] = {part: {} for part in ("network", "mean", "best", "optimizer")}
    try:
        with safe_open(path, framework="pt") as file:
            progress = _Progress(**json.loads(file.metadata()["progress"]))
            for key in file.keys():  # noqa: SIM118 - an open file, no mapping
                part, name = key.split("/", 1)
                parts[part][name] = file.get_tensor(key)
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise _unusable(path, f"cannot be read ({error})") from None
    own = network.state_dict()
    shapes = {name: value.shape for name, value in own.items()}
    for part in ("network", "best") if mean is None else ("network", "best", "mean"):
        if {name: value.shape for name, value in parts[part].items()} != shapes:
            raise _unusable(path, "holds the weights of another network")
        parts[part] = {name: value.to(own[name].device) for name, value in parts[part].items()}
    parameters = list(network.parameters())
    state: dict[int, State] = {}
    for key, value in parts["optimizer"].items():
        index, name = key.split("/")
        if int(index) >= len(parameters) or value.shape not in ((), parameters[int(index)].shape):
            raise _unusable(path, "holds the optimizer of another network")
        state.setdefault(int(index), {})[name] = value
    network.load_state_dict(parts["network"])
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return progress, None if mean is None else parts["mean"], parts["best"]


def _unusable(path: Path, problem: str) -> ModelFormatError:
    return ModelFormatError(
        f"the checkpoint {path} {problem}; remove the file, and the training begins anew"
    )
