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
from ranker.neural.layers import pick, spread
from tests.content import people_of
from tests.logs import history_of, make_log

# Large batches, so that there is enough of each sum for two threads.
LARGE = {"batch_size": 6_000, "n_negatives": 8}
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
        (SequenceEncoder, {"max_length": 30}),
        (SequenceEncoder, {"max_length": 30, "architecture": "gru", "n_negatives": 8}),
        (SequenceEncoder, {"max_length": 30, "loss": "bpr", "n_negatives": 8}),
        (SequenceHybrid, {"max_length": 30}),
        (Hybrid, {}),
        (TwoTower, {}),
        (TwoTower, {"loss": "mse", "n_negatives": 8}),
        *((TextContent, {"encoder": encoder}) for encoder in ("cnn", "gru", "bag")),
        (ImageContent, {}),
    ],
)
def test_trap_threads_change_no_weight(log, items, kind, parameters):
    first, *others = on_threads(
        lambda: (
            kind(epochs=1, random_state=0, **parameters)
            .fit(log, items=items, users=people_of(log))
            .arrays()
        )
    )
    for name, array in first.items():
        for other in others:
            np.testing.assert_array_equal(array, other[name], err_msg=name)


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
