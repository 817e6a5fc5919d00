"""Neural generators, on torch: the optional extra ``neural``."""

from __future__ import annotations

from features.errors import MissingExtraError

try:
    import safetensors  # noqa: F401
    import torch  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        f"neural generators need torch and safetensors ({error}); "
        f"pip install 'twostage-ranker[neural]'"
    ) from None

from ranker.neural.sequence import SequenceEncoder

__all__ = ["SequenceEncoder"]
