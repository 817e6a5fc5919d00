"""Items by their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.arrays import BoolArray
from features.columns import check_columns, listing
from features.errors import ConfigError
from features.vectors import is_vector
from ranker.candidates.content_table import need_items
from ranker.neural.content_model import ContentModel
from ranker.neural.generator import check_at_least
from ranker.neural.images import is_image, read_arrays, read_files
from ranker.neural.item_features import Feature, Features, read_vectors
from ranker.neural.recency_mean import RecencyMeanModel


@dataclass(kw_only=True)
class ImageContent(ContentModel, RecencyMeanModel):
    """A convolutional network over the images of items, learned from what users take next.

    Items without events are proposed by their images. Images that are missing or cannot be read
    are reported, and their items not proposed.

    Parameters
    ----------
    column : str, optional
        Of the item table: arrays or lists of numbers, height x width (x channels); paths of
        image files (String), read by Pillow; or ready-made features of images, flat arrays or
        lists of numbers. Default: the first column of arrays.
    shape : sequence of int, optional
        Height, width (and channels) of images whose numbers stand in one flat row; without it
        these are ready-made features.
    size : int
        Height and width to which images in files are brought.
    """

    column: str | None = None
    shape: Sequence[int] | None = None
    size: int = 32

    def __post_init__(self) -> None:
        """JSON knows no tuples."""
        self.shape = None if self.shape is None else tuple(self.shape)

    def _check(self) -> None:
        super()._check()
        check_at_least(self, size=1)

    def _read(
        self,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        is_taught: BoolArray,
        knows_user: BoolArray,
    ) -> tuple[Features, Features]:
        if self.shape is not None and len(self.shape) not in (2, 3):
            raise ConfigError(f"shape={self.shape} is no height, width (and number of channels)")
        table = need_items(self, items)
        column = table[self._column(table)]
        if is_image(column.dtype) or (is_vector(column.dtype) and self.shape is not None):
            shape = None if self.shape is None else tuple(self.shape)
            return (Feature("image", *read_arrays(column, shape, is_taught)),), ()
        if is_vector(column.dtype):
            return (read_vectors(column, is_taught),), ()
        return (Feature("image", *read_files(column, self.size)),), ()

    def _column(self, table: pl.DataFrame) -> str:
        if self.column is not None:
            check_columns(table, [self.column])
            return self.column
        for is_wanted in (is_image, is_vector):
            for name, dtype in table.schema.items():
                if is_wanted(dtype):
                    return name
        raise ConfigError(
            f"no column of items holds arrays; name the one with paths of files as column=; "
            f"{listing(table)}"
        )
