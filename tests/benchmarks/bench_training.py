"""Sequences per second of a training epoch: this engine, a plain torch loop, and RecTools.

``python tests/benchmarks/bench_training.py [--rectools-python PATH]`` trains a self-attentive
network for one epoch on one synthetic log by each system, each in a process of its own, and prints
times, ratios and peaks of memory. README.md beside it says how to read them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

SIZES = {
    "n_users": 4_000,
    "n_items": 5_000,
    "n_events": 40,  # of each user
    "factors": 64,
    "n_layers": 2,
    "n_heads": 2,
    "batch_size": 128,
    "dropout": 0.2,
}
SMALL = SIZES | {"n_users": 300, "n_items": 400}
WARM_UP = SIZES | {"n_users": 100, "n_items": 50}


def make_items(sizes: dict[str, Any], seed: int) -> np.ndarray:
    """Items of each user in the order in which he took them, int64 [n_users, n_events]."""
    shape = sizes["n_users"], sizes["n_events"]
    return (np.random.default_rng(seed).random(shape) ** 2 * sizes["n_items"]).astype(np.int64)


def _frame(items: np.ndarray) -> dict[str, np.ndarray]:
    n_users, n_events = items.shape
    return {
        "user_id": np.repeat(np.arange(n_users), n_events),
        "item_id": items.ravel(),
        "timestamp": np.tile(np.arange(n_events), n_users),
    }


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The function; each call adds its time."""

    def timed(*arguments: Any, **more: Any) -> Any:
        start = time.perf_counter()
        value = function(*arguments, **more)
        seconds.append(time.perf_counter() - start)
        return value

    return timed


def _network(sizes: dict[str, Any]) -> Any:
    from ranker.neural import SequenceEncoder

    names = ("factors", "n_layers", "n_heads", "dropout")
    length = sizes["n_events"] - 1
    return SequenceEncoder(
        **{name: sizes[name] for name in names},
        max_length=length,
        batch_size=sizes["batch_size"] * length,  # there in events, here in users
        loss="softmax",
        epochs=1,
        learning_rate=1e-3,
        random_state=0,
    )


def train_ranker(items: np.ndarray, sizes: dict[str, Any]) -> float:
    """Seconds of the epoch of ``SequenceEncoder``, its validation left out."""
    import polars as pl

    from ranker.neural import history_model

    seconds: list[float] = []
    with (
        mock.patch.object(history_model, "train", _timed(history_model.train, seconds)),
        mock.patch.object(history_model._Lesson, "validate", return_value=0.0),
    ):
        _network(sizes).fit(pl.DataFrame(_frame(items)))
    return seconds[0]


def train_plain(items: np.ndarray, sizes: dict[str, Any]) -> float:
    """Seconds of an epoch as one writes it in torch: its encoder, cross entropy and Adam."""
    import torch
    from torch import nn

    width, length = sizes["factors"], sizes["n_events"] - 1
    table, position = nn.Embedding(sizes["n_items"], width), nn.Embedding(length, width)
    layer = nn.TransformerEncoderLayer(
        *(width, sizes["n_heads"], 4 * width, sizes["dropout"]),
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    encoder = nn.TransformerEncoder(
        layer, sizes["n_layers"], nn.LayerNorm(width), enable_nested_tensor=False
    )
    parameters = [*table.parameters(), *position.parameters(), *encoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    mask = nn.Transformer.generate_square_subsequent_mask(length)
    rows = torch.from_numpy(items)
    start = time.perf_counter()
    for batch in torch.randperm(len(rows)).split(sizes["batch_size"]):
        inputs, target = rows[batch, :-1], rows[batch, 1:]
        hidden = encoder(table(inputs) + position.weight, mask=mask, is_causal=True)
        scores = hidden @ table.weight.T
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def train_rectools(items: np.ndarray, sizes: dict[str, Any]) -> float:
    """Seconds of the epoch of RecTools' SASRec, the making of its data set left out."""
    import logging
    import warnings

    import pandas as pd
    from pytorch_lightning import Trainer
    from rectools.dataset import Dataset
    from rectools.models.nn.transformers.sasrec import SASRecModel

    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    frame = pd.DataFrame(_frame(items)).rename(columns={"timestamp": "datetime"}).assign(weight=1)
    frame["datetime"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["datetime"], "h")
    dataset = Dataset.construct(frame)
    model = SASRecModel(
        n_blocks=sizes["n_layers"],
        n_heads=sizes["n_heads"],
        n_factors=sizes["factors"],
        dropout_rate=sizes["dropout"],
        session_max_len=sizes["n_events"] - 1,
        batch_size=sizes["batch_size"],
        loss="softmax",
        lr=1e-3,
        get_trainer_func=lambda: Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ),
    )
    seconds: list[float] = []
    with mock.patch.object(Trainer, "fit", _timed(Trainer.fit, seconds)):
        model.fit(dataset)
    return seconds[0]


SYSTEMS = {"ranker": train_ranker, "plain": train_plain, "rectools": train_rectools}


def work(system: str, sizes: dict[str, Any], seed: int, output: Path) -> None:
    """Train by one system in this process, and write what it took."""
    SYSTEMS[system](make_items(WARM_UP, seed), WARM_UP)  # what torch loads at its first step
    seconds = SYSTEMS[system](make_items(sizes, seed), sizes)
    figures = {
        "seconds": seconds,
        "cpu_seconds": time.process_time(),
        "sequences_per_second": sizes["n_users"] / seconds,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    output.write_text(json.dumps(figures))


def measure(
    pythons: dict[str, str], *, small: bool, seed: int, repeats: int
) -> dict[str, list[dict[str, float]]]:
    """Run the systems in turn, ``repeats`` times, so that what else goes on meets all alike."""
    figures: dict[str, list[dict[str, float]]] = {system: [] for system in pythons}
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        for _ in range(repeats):
            for system, python in pythons.items():
                command = [python, __file__, "--work", system, "--output", str(output)]
                command += ["--seed", str(seed), *(["--small"] if small else [])]
                subprocess.run(command, env=environment, check=True)
                figures[system].append(json.loads(output.read_text()))
    return figures


def show(figures: dict[str, list[dict[str, float]]]) -> None:
    """Print the quickest run of each system, and how many times as quick ours is."""
    best = {system: min(runs, key=lambda run: run["seconds"]) for system, runs in figures.items()}
    print(f"{'':10}{'seconds':>10}{'sequences/s':>14}{'peak GB':>10}{'ours is':>10}")
    for system, run in best.items():
        ratio = run["seconds"] / best["ranker"]["seconds"] if "ranker" in best else np.nan
        print(
            f"{system:10}{run['seconds']:10.1f}{run['sequences_per_second']:14.0f}"
            f"{run['peak_gb']:10.2f}{ratio:9.2f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rectools-python", help="interpreter with rectools[torch]")
    parser.add_argument("--small", action="store_true", help="only to see whether it runs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--work", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, SMALL if options.small else SIZES, options.seed, options.output)
        return
    pythons = {"ranker": sys.executable, "plain": sys.executable}
    if options.rectools_python:
        pythons["rectools"] = options.rectools_python
    figures = measure(pythons, small=options.small, seed=options.seed, repeats=options.repeats)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
