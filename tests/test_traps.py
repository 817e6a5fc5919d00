"""Traps of libraries that belong to no single module; the others stand with what they guard."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from ranker import ALS
from tests.logs import history_from

ROOT = Path(__file__).parents[1]


def test_trap_lleaves_needs_an_llvm_that_numba_cannot_use():
    for name in ("pyproject.toml", "requirements.lock"):
        assert not re.search(r"^\W*lleaves", (ROOT / name).read_text(), re.MULTILINE)
    sources = [*(ROOT / "ranker").rglob("*.py"), *(ROOT / "features").rglob("*.py")]
    assert len(sources) > 50
    assert not [file for file in sources if "import lleaves" in file.read_text()]


def test_trap_implicit_fit_returns_nothing_and_its_models_cannot_be_cloned():
    ones = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    with threadpool_limits(1, "blas"):  # implicit warns of more, in the first model of a process
        model = AlternatingLeastSquares(factors=2, iterations=1, num_threads=1)
        assert model.fit(ones, show_progress=False) is None
    with pytest.raises(TypeError, match="Cannot clone object"):
        clone(model)
    generator = ALS(factors=2, iterations=1)
    history = history_from([[0, 1], [1, 2], [2]], 3)
    assert generator.fit(history) is generator
    again = generator.unfitted(0)
    assert again is not generator
    assert not hasattr(again, "vectors_")
    np.testing.assert_array_equal(again.fit(history).vectors_, generator.vectors_)
