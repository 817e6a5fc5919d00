"""The nearest items of each item: ours against implicit's ``CosineRecommender``.

``python tests/benchmarks/bench_neighbours.py`` takes all purchases of Complete Journey, which the
extra ``demo`` brings. README.md beside it says how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read when the libraries load.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from implicit.nearest_neighbours import CosineRecommender
from implicit.utils import ParameterWarning
from scipy import sparse

from ranker.candidates.nearest import nearest_to_each
from ranker.datasets import load_complete_journey
from ranker.parallel import n_cores

N = 100  # neighbours of each item


def taken(share: float) -> sparse.csr_matrix:
    """Who took what, float64 of ones, CSR [n_users, n_items]; the first users by id."""
    pairs = load_complete_journey().interactions.select("user_id", "item_id").unique()
    columns = [np.unique(pairs[name].to_numpy(), return_inverse=True)[1] for name in pairs.columns]
    matrix = sparse.csr_matrix((np.ones(pairs.height), columns))
    return matrix[: max(1, int(share * matrix.shape[0]))]


def ours(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """By the kernel of ItemKNN, each row of unit length."""
    norms = np.sqrt(np.maximum(matrix.getnnz(axis=0), 1))
    rows = sparse.csr_matrix(matrix.T.multiply(1 / norms[:, None]))
    return nearest_to_each(rows, rows.T.tocsr(), N)


def theirs(matrix: sparse.csr_matrix, n_threads: int) -> sparse.csr_matrix:
    """By implicit, for which an item is one of its own neighbours."""
    model = CosineRecommender(K=N + 1, num_threads=n_threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # of a matrix that it makes itself
        model.fit(matrix, show_progress=False)
    return model.similarity


def agree(own: sparse.csr_matrix, other: sparse.csr_matrix, n_rows: int, seed: int) -> bool:
    """Whether drawn items have the same similarities; equal ones may be of other items."""
    for row in np.random.default_rng(seed).integers(0, own.shape[0], n_rows):
        part = other[row]
        expected = np.sort(part.data[part.indices != row])[::-1][:N]
        found = np.sort(own[row].data)[::-1]
        if len(found) != len(expected) or not np.allclose(found, expected, atol=1e-5):
            return False
    return True


def measure(*, share: float, repeats: int, seed: int) -> dict[str, Any]:
    """Seconds of each, in turn, by the clock."""
    matrix = taken(share)
    ours(matrix[:2])  # compiles
    systems: dict[str, Callable[[], sparse.csr_matrix]] = {
        "ours": lambda: ours(matrix),
        "implicit": lambda: theirs(matrix, n_cores()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    found = {}
    for _ in range(repeats):
        for name, system in systems.items():
            start = time.perf_counter()
            found[name] = system()
            seconds[name].append(time.perf_counter() - start)
    return {
        "users": matrix.shape[0],
        "items": matrix.shape[1],
        "pairs": matrix.nnz,
        "cores": n_cores(),
        "seconds": seconds,
        "ratio": statistics.median(
            other / own for own, other in zip(seconds["ours"], seconds["implicit"], strict=True)
        ),
        "same": agree(found["ours"], found["implicit"], 2000, seed),
    }


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the users")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(share=arguments.share, repeats=arguments.repeats, seed=arguments.seed)
    print("{users:,} users, {items:,} items, {pairs:,} pairs, {cores} cores".format(**result))
    for name, values in result["seconds"].items():
        print(f"{name:10s} {statistics.median(values):7.2f} s")
    print(f"implicit / ours {result['ratio']:.2f}, the same similarities: {result['same']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
