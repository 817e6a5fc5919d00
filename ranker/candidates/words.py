"""Columns of an item table as words: text by its words, lists and categories by their values."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import polars as pl

from features.arrays import BoolArray, Int32Array, Int64Array
from features.errors import ConfigError

logger = logging.getLogger(__name__)

# Letters and digits of any script, and signs such as emoji, one each.
_WORD = r"[\p{L}\p{M}\p{N}]+|\p{So}"
_SAMPLE = 2_000  # rows that tell a text from a name
_KEYS = ("item_id", "user_id")


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
    if columns is not None:
        check_columns(table, columns)
        wrong = [name for name in columns if not _has_words(table.schema[name])]
        if wrong:
            listed = ", ".join(f"{name} ({table.schema[name]})" for name in wrong)
            raise ConfigError(
                f"columns hold no words: {listed}; expected String, Categorical, Enum, integers, "
                f"or lists of String or integers"
            )
        return list(columns)
    chosen = [
        series.name
        for series in table
        if series.name not in _KEYS
        and (is_list_of_values(series.dtype) or is_text(series) or is_category(series))
    ]
    if not chosen:
        raise ConfigError(f"no column of items holds text, lists or categories; {listing(table)}")
    return chosen


def check_columns(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Make sure that columns exist.

    Raises
    ------
    ConfigError
        With those that do not.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ConfigError(f"items have no column {', '.join(map(repr, missing))}; {listing(table)}")


def listing(table: pl.DataFrame) -> str:
    """The columns that there are, for messages."""
    names = ", ".join(
        f"{name} ({dtype})" for name, dtype in table.schema.items() if name not in _KEYS
    )
    return f"there are {names}" if names else "there are no columns but the id"


def need_items(model: object, items: pl.DataFrame | None) -> pl.DataFrame:
    """The table of items, which a model of their content cannot do without.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if items is None:
        raise ConfigError(
            f"{type(model).__name__} knows items by their content; hand over a table: "
            f"fit(interactions, items=items)"
        )
    return items


def report_unknown(model: object, is_known: BoolArray, expected: str) -> None:
    """Warn of the items of which there is no content."""
    n = int((~is_known).sum())
    if n:
        logger.warning(
            "%s: %d of %d items have no %s; by content they are similar to nothing",
            *(type(model).__name__, n, len(is_known), expected),
        )


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


def _is_integer(dtype: object) -> bool:
    return isinstance(dtype, pl.DataType) and dtype.is_integer()
