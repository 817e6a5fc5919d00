"""Vectors of items for steps that look at similarity."""

from __future__ import annotations

import numpy as np

from features.arrays import Float32Array
from features.columns import listing
from features.errors import ConfigError
from features.kernel import kernel
from features.vectors import is_vector, ready_made
from ranker.lists.context import ListContext


def unit_vectors(context: ListContext, step: object, name: str) -> Float32Array:
    """The vectors of a source, or of a column of the item table, at length 1.

    Parameters
    ----------
    context : ListContext
    step : object
        What the message calls who asks.
    name : str
        A source is meant where a column has the same name.

    Returns
    -------
    float32 array [n_items, n_factors]
        Zeros for items that have none.

    Raises
    ------
    ConfigError
        If there is no such source or column, or it has no vectors.
    """
    if name in context.sources:
        vectors = context.sources[name].item_vectors
        if vectors is None:
            raise ConfigError(
                f"{step}: the source {name!r} has no vectors of items; {_offers(context)}"
            )
    elif context.items is not None and name in context.items.columns:
        dtype = context.items.schema[name]
        if not is_vector(dtype):
            raise ConfigError(
                f"{step}: the column {name!r} of items is {dtype}; expected an Array or List of "
                f"numbers; {_offers(context)}"
            )
        vectors, _ = ready_made(context.items[name])
    else:
        raise ConfigError(
            f"{step}: {name!r} is no source and no column of items; {_offers(context)}"
        )
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float32Array = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return np.ascontiguousarray(unit, np.float32)


def embeddings(context: ListContext) -> list[str]:
    """Names of the sources with vectors of items, then of the columns that hold some."""
    named = [name for name, one in context.sources.items() if one.item_vectors is not None]
    if context.items is not None:
        named += [name for name, dtype in context.items.schema.items() if is_vector(dtype)]
    return named


def _offers(context: ListContext) -> str:
    named = embeddings(context)
    if named:
        return f"there are vectors by {', '.join(map(repr, named))}"
    columns = "" if context.items is None else f" ({listing(context.items)})"
    return (
        f"no source has vectors and no column of items holds any{columns}; give the recommender a "
        f"source such as ALS, or fit it with a column of embeddings"
    )


@kernel
def similarity(vectors: Float32Array, a: int, b: int) -> float:
    """``(1 + cosine) / 2`` of two items, in [0, 1]; one half where a vector is unknown."""
    dot = 0.0
    for factor in range(vectors.shape[1]):
        dot += vectors[a, factor] * vectors[b, factor]
    return 0.5 + 0.5 * dot
