"""Neural generators, on torch: the optional extra ``neural``."""

from __future__ import annotations

from features.errors import MissingExtraError

try:
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError(error.name or "torch", "neural") from None

from ranker.neural.deep_matrix_factorization import DeepMatrixFactorization
from ranker.neural.hybrid import Hybrid
from ranker.neural.image import ImageContent
from ranker.neural.matrix_factorization import MatrixFactorization
from ranker.neural.ncf import NeuralCollaborativeFiltering
from ranker.neural.sequence import SequenceEncoder
from ranker.neural.sequence_hybrid import SequenceHybrid
from ranker.neural.text import TextContent
from ranker.neural.two_tower import TwoTower

__all__ = [
    "DeepMatrixFactorization",
    "Hybrid",
    "ImageContent",
    "MatrixFactorization",
    "NeuralCollaborativeFiltering",
    "SequenceEncoder",
    "SequenceHybrid",
    "TextContent",
    "TwoTower",
]
