"""Items by their titles and descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features import words
from features.arrays import BoolArray
from features.columns import column_names, listing
from features.errors import ConfigError
from ranker.candidates.content_table import need_items, report_unknown
from ranker.neural.content_model import ContentModel
from ranker.neural.encoders import TextEncoder
from ranker.neural.generator import check_at_least
from ranker.neural.item_features import Features, read_words
from ranker.neural.recency_mean import RecencyMeanModel


@dataclass(kw_only=True)
class TextContent(ContentModel, RecencyMeanModel):
    """A network over the words of items, learned from what users take next.

    Items without events are proposed by their words; those without words never.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns of the item table, read one behind the other. Default: all texts.
    encoder : "cnn", "gru" or "bag"
        Filters over 2, 3 and 4 words with the largest value of each (Kim: Convolutional neural
        networks for sentence classification, EMNLP 2014); a recurrent network's last state; or
        the mean of the words.
    max_words : int
        Words read of an item.
    max_vocabulary : int
        Different words, the most frequent ones.
    """

    columns: Sequence[str] | None = None
    encoder: TextEncoder = "cnn"
    max_words: int = 64
    max_vocabulary: int = 30_000

    def __post_init__(self) -> None:
        """JSON knows no tuples."""
        self.columns = column_names(self.columns)

    def _check(self) -> None:
        super()._check()
        check_at_least(self, max_words=1, max_vocabulary=1)

    def _text(self) -> TextEncoder:
        return self.encoder

    def _read(
        self,
        items: pl.DataFrame | None,
        users: pl.DataFrame | None,
        is_taught: BoolArray,
        knows_user: BoolArray,
    ) -> tuple[Features, Features]:
        table = need_items(self, items)
        columns = self.columns
        if columns is None:
            columns = [column.name for column in table if words.is_text(column)]
            if not columns:
                raise ConfigError(
                    f"no column of items holds text of two words or more; {listing(table)}"
                )
        chosen = [table[name] for name in words.word_columns(table, columns)]
        text = read_words(chosen, is_taught, "text", self.max_words, self.max_vocabulary)
        report_unknown(self, text.is_known, f"known words in {', '.join(columns)}")
        return (text,), ()
