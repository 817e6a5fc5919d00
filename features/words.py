"""Columns of an item table as words: text by its words, lists and categories by their values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from features.arrays import Int32Array, Int64Array
from features.choice import ColumnKind, choose_columns, spell
from features.columns import listing
from features.errors import ConfigError

# Letters and digits of any script, and signs such as emoji, one each.
_WORD = r"[\p{L}\p{M}\p{N}]+|\p{So}"
_SAMPLE = 2_000  # rows that tell a text from a name


def words(column: pl.Series) -> pl.Series:
    """The words of each row, List(String); empty for null, blank text and empty lists.

    Parameters
    ----------
    column : Series
        String: split into lower-case words. List of String or integers: its values. Categorical,
        Enum, Boolean or integer: the value.

    Examples
    --------
    >>> words(pl.Series(["Toy Story (1995)", None, " "])).to_list()
    [['toy', 'story', '1995'], [], []]
    """
    dtype = column.dtype
    if dtype == pl.String:
        found = column.str.to_lowercase().str.extract_all(_WORD)
    elif isinstance(dtype, pl.List):
        found = column.cast(pl.List(pl.String)).list.drop_nulls()
    else:
        found = column.cast(pl.String).reshape((len(column), 1)).cast(pl.List(pl.String))
        found = found.list.drop_nulls()
    return found.fill_null(pl.lit([], pl.List(pl.String))) if found.null_count() else found


def is_list_of_values(dtype: pl.DataType) -> bool:
    """Whether a column holds tags, genres, ids of attributes and the like."""
    return isinstance(dtype, pl.List) and (dtype.inner == pl.String or _is_integer(dtype.inner))


def is_text(column: pl.Series) -> bool:
    """Whether a column of String holds titles or descriptions: two words or more on average."""
    if column.dtype != pl.String:
        return False
    lengths = words(column.drop_nulls().head(_SAMPLE)).list.len()
    lengths = lengths.filter(lengths > 0)
    return len(lengths) > 0 and int(lengths.sum()) >= 2 * len(lengths)


def is_category(column: pl.Series) -> bool:
    """Whether most rows of a column of names share their value with another row."""
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        return False
    known = column.drop_nulls()
    return len(known) > 0 and 2 * known.n_unique() <= len(known)


def word_columns(table: pl.DataFrame, columns: Sequence[str] | None) -> list[str]:
    """Columns that are read as words: those named, or all texts, lists of values and categories.

    Raises
    ------
    ConfigError
        If a column does not exist or holds no words, or if nothing is named and none does.
    """
    chosen = choose_columns(table, columns, WORDS).columns
    if columns is None and not chosen:
        raise ConfigError(f"no column of items holds text, lists or categories; {listing(table)}")
    return list(chosen)


def cells(found: pl.Series) -> tuple[Int64Array, pl.Series]:
    """Row number of each word, and the word, in order."""
    frame = pl.DataFrame({"word": found}).with_row_index("row")
    frame = frame.explode("word").drop_nulls("word")
    return frame["row"].to_numpy().astype(np.int64), frame["word"]


def number(word: pl.Series, vocabulary: pl.Series) -> Int32Array:
    """Places of words in a vocabulary; -1 where they are not in it."""
    places = pl.DataFrame({"word": vocabulary}).with_row_index("place")
    joined = word.to_frame("word").join(places, on="word", how="left", maintain_order="left")
    return joined["place"].cast(pl.Int32).fill_null(-1).to_numpy()


def _has_words(dtype: pl.DataType) -> bool:
    names = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)
    return dtype in names or dtype.is_integer() or is_list_of_values(dtype)


def _why_no_words(column: pl.Series) -> str:
    if is_list_of_values(column.dtype) or is_text(column) or is_category(column):
        return ""
    return "hardly a word is shared" if column.dtype == pl.String else spell(column.dtype)


def _is_integer(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and dtype.is_integer()


WORDS = ColumnKind(
    "items",
    "words",
    "String, Categorical, Enum, integers, or lists of String or integers",
    _has_words,
    _why_no_words,
)
