"""Networks end with the same weights on any number of threads, to the last bit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from ranker.neural import (
    DeepMatrixFactorization,
    Hybrid,
    ImageContent,
    MatrixFactorization,
    NeuralCollaborativeFiltering,
    SequenceEncoder,
    SequenceHybrid,
    TextContent,
    TwoTower,
)
from ranker.neural.history_model import Batch
from ranker.neural.interaction_rows import Tower
from ranker.neural.layers import pick, spread
from ranker.neural.ncf import _Network
from ranker.neural.recency_mean import RecencyMean
from tests.content import people_of
from tests.logs import history_of, make_log

# Large batches, so that there is enough of most sums for two threads.
LARGE = {"batch_size": 6_000, "n_negatives": 8}
SAMPLED = {"batch_size": 6_000, "n_negatives": 50}
TOWERS = {"towers": (32, 16)}


@pytest.fixture(scope="module")
def log():
    return history_of(make_log("shared", n_users=300, n_items=200, n_events=6_000))


@pytest.fixture(scope="module")
def items(log):
    """Long texts and images of a usual size."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 300, (log.n_items, 50))
    pixels = rng.random((log.n_items, 32, 32)).astype(np.float32)
    return pl.DataFrame(
        {
            "item_id": log.items.values,
            "title": [" ".join(f"word{word}" for word in row) for row in words],
            "price": rng.random(log.n_items),
            "image": pl.Series(pixels, dtype=pl.Array(pl.Float32, (32, 32))),
        }
    )


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        *((MatrixFactorization, LARGE | {"loss": loss}) for loss in ("mse", "bpr", "sampled")),
        (MatrixFactorization, {"batch_size": 6_000, "loss": "softmax"}),
        (DeepMatrixFactorization, TOWERS),
        (DeepMatrixFactorization, TOWERS | {"loss": "nce"}),
        (DeepMatrixFactorization, TOWERS | LARGE),
        (NeuralCollaborativeFiltering, LARGE | {"architecture": "gmf"}),
        (NeuralCollaborativeFiltering, LARGE | {"architecture": "mlp"}),
        (SequenceEncoder, {"max_length": 30, "batch_size": 6_000}),
        (SequenceEncoder, {"max_length": 30, "n_negatives": 50}),
        (SequenceEncoder, {"max_length": 30, "architecture": "gru"} | LARGE),
        (SequenceEncoder, {"max_length": 30, "loss": "bpr"} | LARGE),
        (SequenceHybrid, {"max_length": 30, "batch_size": 6_000}),
        (SequenceHybrid, {"max_length": 30, "n_negatives": 50}),
        (Hybrid, SAMPLED),
        (TwoTower, SAMPLED),
        (TwoTower, {"loss": "mse"} | LARGE),
        *((TextContent, {"encoder": encoder} | SAMPLED) for encoder in ("cnn", "gru", "bag")),
        (ImageContent, SAMPLED),
    ],
)
def test_trap_threads_change_no_weight(log, items, kind, parameters):
    check_weights(kind(epochs=1, random_state=0, **parameters), log, items)


def test_trap_threads_change_no_weight_of_towers_without_ratings(items):
    frame = make_log("shared", n_users=300, n_items=200, n_events=6_000).drop("weight")
    towers = DeepMatrixFactorization(epochs=1, random_state=0, **TOWERS, **LARGE)
    check_weights(towers, history_of(frame), items)


def test_trap_threads_change_no_gradient_of_single_numbers():
    """Of more rows than the fits above have: torch shares a sum out above 32,768 values."""
    rng = np.random.default_rng(2)
    n, length = 40_000, 200
    tower = Tower(5, (8, 4), is_rating=True, dropout=0.0, init_std=0.1)
    sums = torch.from_numpy(rng.random((n, tower.layers[0].in_features + 2))).float()
    mean = RecencyMean(4, 10.0, is_deep=False)
    events = torch.from_numpy(rng.normal(size=(2, length, 4))).float()
    batch = Batch(*(torch.zeros((2, length), dtype=torch.int64) for _ in Batch._fields))
    network = _Network(9, 9, 4, (), 0.1)
    pairs = torch.from_numpy(rng.normal(size=(n, 4))).float()

    def gradients():
        for module in (tower, mean, network):
            module.zero_grad()
        (tower(sums)[1] * sums[:, 0]).sum().backward()
        mean(events, batch).square().sum().backward()
        network(pairs, pairs).square().sum().backward()
        numbers = (tower.level, mean.log_half_life, network.out.bias)
        return [number.grad.clone() for number in numbers]

    first, *others = on_threads(gradients)
    assert all(gradient.abs() > 1e-3 for gradient in first)
    for other in others:
        assert first == other


@pytest.mark.parametrize("shape", [(7,), (7, 3), ()])
def test_trap_threads_change_no_gradient_of_what_is_taken_often(shape):
    rng = np.random.default_rng(1)
    rows = torch.from_numpy(rng.integers(0, 7, 100_000))
    start = torch.from_numpy(rng.normal(size=shape))
    weight = torch.from_numpy(rng.normal(size=(100_000, *shape[1:])))

    def gradient():
        table = start.float().requires_grad_()
        taken = pick(table, rows) if shape else spread(table, len(rows))
        torch.testing.assert_close(taken, table[rows] if shape else table.expand(len(rows)))
        (taken * weight.float()).sum().backward()
        return table.grad

    found = on_threads(gradient)
    exact = torch.zeros(shape, dtype=torch.float64)
    exact = exact.index_add(0, rows, weight) if shape else weight.sum()
    torch.testing.assert_close(found[0].double(), exact, rtol=1e-3, atol=1e-2)
    assert all(torch.equal(found[0], other) for other in found[1:])


def on_threads(do):
    """What is found on one thread, and twice on two."""
    n_threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 2, 2):
            torch.set_num_threads(n)
            found.append(do())
    finally:
        torch.set_num_threads(n_threads)
    return found


def check_weights(generator, log, items):
    first, *others = on_threads(
        lambda: generator.unfitted(0).fit(log, items=items, users=people_of(log)).arrays()
    )
    for name, array in first.items():
        for other in others:
            np.testing.assert_array_equal(array, other[name], err_msg=name)
