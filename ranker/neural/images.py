"""Images as arrays of one shape: from columns of arrays, or from files."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

from features.arrays import AnyArray, BoolArray
from features.errors import ConfigError, MissingExtraError

logger = logging.getLogger(__name__)


def is_image(dtype: pl.DataType) -> bool:
    """Whether values are arrays of numbers of two or three dimensions."""
    depth, inner = 0, dtype
    while isinstance(inner, pl.List | pl.Array):
        depth += 1
        inner = inner.inner  # type: ignore[assignment]
    return depth in (2, 3) and inner.is_numeric()


def read_arrays(
    column: pl.Series, shape: tuple[int, ...] | None, is_taught: BoolArray
) -> tuple[AnyArray, BoolArray]:
    """Images that stand in a column.

    Parameters
    ----------
    column : Series
        Lists or arrays of numbers: height x width, or height x width x channels.
    shape : tuple of int, optional
        Of each image, where its numbers stand in one flat row. Default: the commonest shape, of
        equally common ones the first; images of other shapes cannot be used.
    is_taught : bool array [n_rows]
        Rows whose numbers set the scale.

    Returns
    -------
    values : float32 array [n_rows, channels, height, width]
        Standardised; zeros where there is no usable image.
    is_known : bool array [n_rows]
    """
    rows = [None if row is None else _array(row) for row in column.to_list()]
    is_flat = shape is not None
    usable = {i: r for i, r in enumerate(rows) if r is not None and r.size and np.isfinite(r).all()}
    if shape is None:
        shapes = Counter(row.shape for row in usable.values() if row.ndim in (2, 3))
        shape = shapes.most_common(1)[0][0] if shapes else (1, 1)
    size, values = int(np.prod(shape)), np.zeros((len(rows), *shape), np.float32)
    is_known = np.zeros(len(rows), bool)
    for index, row in usable.items():
        if row.size == size if is_flat else row.shape == shape:
            values[index], is_known[index] = row.reshape(shape), True
    n_missing = sum(row is None for row in rows)
    _report(column.name, n_missing, int((~is_known).sum()) - n_missing, len(rows))
    taught = values[is_known & is_taught]
    if len(taught):
        values = (values - taught.mean()) / max(float(taught.std()), 1e-6)
        values[~is_known] = 0.0
    if values.ndim == 3:
        values = values[..., None]
    return np.ascontiguousarray(np.moveaxis(values, -1, 1), np.float32), is_known


def read_files(column: pl.Series, size: int) -> tuple[AnyArray, BoolArray]:
    """Images in files, by Pillow, one after another; files that cannot be read are reported.

    Parameters
    ----------
    column : Series of String
        Paths; null = no image.
    size : int
        Height and width to which all are brought.

    Returns
    -------
    values : uint8 array [n_rows, 3, size, size]
        Red, green, blue; zeros where there is no usable image.
    is_known : bool array [n_rows]

    Raises
    ------
    ConfigError
        If the column holds no text.
    MissingExtraError
        Without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(error.name or "PIL", "neural") from None
    if column.dtype != pl.String:
        raise ConfigError(
            f"{column.name} is {column.dtype}; expected paths of image files (String), or lists "
            f"or arrays of numbers"
        )
    values = np.zeros((len(column), 3, size, size), np.uint8)
    is_known = np.zeros(len(column), bool)
    first_problem = ""
    for index, path in enumerate(column.to_list()):
        if path is None:
            continue
        try:
            with Image.open(Path(path)) as image:
                pixels = np.asarray(image.convert("RGB").resize((size, size)))
        # Of a damaged file Pillow raises one or another; a bomb is an image too large to open.
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            first_problem = first_problem or f"; the first: {path}: {error}"
            continue
        values[index], is_known[index] = np.moveaxis(pixels, -1, 0), True
    n_missing = column.null_count()
    _report(column.name, n_missing, int((~is_known).sum()) - n_missing, len(column), first_problem)
    return values, is_known


def _array(row: list[object]) -> AnyArray | None:
    try:
        return np.array(row, np.float32)
    except (TypeError, ValueError):  # ragged, or with nulls of which no number can be made
        return np.empty(0, np.float32)


def _report(name: str, n_missing: int, n_bad: int, n_rows: int, first_problem: str = "") -> None:
    if n_missing or n_bad:
        logger.warning(
            "%s: of %d images %d are missing and %d cannot be used%s",
            *(name, n_rows, n_missing, n_bad, first_problem),
        )
