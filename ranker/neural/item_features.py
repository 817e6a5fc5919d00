"""Attributes of items or users as arrays that networks read, one row per row of the table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import polars as pl

from features import words
from features.arrays import AnyArray, BoolArray, Float32Array
from features.columns import check_columns
from features.errors import ConfigError
from features.vectors import is_vector, ready_made
from ranker.neural.images import is_image, read_arrays

logger = logging.getLogger(__name__)

Kind: TypeAlias = Literal["category", "bag", "text", "numeric", "vector", "image"]

_BY_TYPE: tuple[tuple[Callable[[pl.DataType], bool], Kind], ...] = (
    (words.is_list_of_values, "bag"),
    (is_image, "image"),
    (is_vector, "vector"),
)
_FEW = 64  # different integers that are read as names; of more, their size is what tells
_CLIP = 5.0  # standard deviations behind which a number says no more


@dataclass(frozen=True)
class Feature:
    """An attribute, encoded.

    Attributes
    ----------
    kind : Kind
    values : array [n_rows, ...]
        ``"category"``, ``"bag"``, ``"text"``: int32 [n_rows, length], numbers of names and words
        from 1, left-aligned, 0 = nothing. ``"numeric"``, ``"vector"``: float32 [n_rows, width],
        standardised. ``"image"``: uint8 or float32 [n_rows, channels, height, width].
    is_known : bool array [n_rows]
        False where there is nothing or nothing usable; ``values`` are zeros there.
    n_codes : int
        Numbers in use, 0 included; 0 where values are not numbers of names.
    """

    kind: Kind
    values: AnyArray
    is_known: BoolArray
    n_codes: int = 0


Features: TypeAlias = tuple[Feature, ...]


def to_arrays(features: Features, prefix: str) -> dict[str, AnyArray]:
    """Features as plain arrays with names that :func:`from_arrays` knows."""
    arrays: dict[str, AnyArray] = {}
    for index, feature in enumerate(features):
        name = f"{prefix}{index}.{feature.kind}."
        arrays[f"{name}values"] = feature.values
        arrays[f"{name}is_known"] = feature.is_known
        arrays[f"{name}n_codes"] = np.array(feature.n_codes)
    return arrays


def from_arrays(arrays: dict[str, AnyArray], prefix: str) -> Features:
    """Take features back from what :func:`to_arrays` gave; other names are passed over."""
    found: dict[int, Feature] = {}
    for name, values in arrays.items():
        if name.startswith(prefix) and name.endswith(".values"):
            index, kind, _ = name.removeprefix(prefix).split(".")
            start = name.removesuffix("values")
            found[int(index)] = Feature(
                next(known for known in get_args(Kind) if known == kind),
                values,
                arrays[f"{start}is_known"],
                int(arrays[f"{start}n_codes"]),
            )
    return tuple(found[index] for index in sorted(found))


def known_rows(features: Features, n_rows: int) -> BoolArray:
    """Rows of which any feature knows anything, bool [n_rows]."""
    known: BoolArray = np.zeros(n_rows, bool)
    for feature in features:
        known = known | feature.is_known
    return known


def are_read_alike(
    former: Features, former_rows: AnyArray, later: Features, later_rows: AnyArray
) -> bool:
    """Whether some rows of one reading are what other rows of another are, to the last bit."""
    return len(former) == len(later) and all(
        one.kind == other.kind
        and one.n_codes == other.n_codes
        and np.array_equal(*_as_wide(one.values[former_rows], other.values[later_rows]))
        and np.array_equal(one.is_known[former_rows], other.is_known[later_rows])
        for one, other in zip(former, later, strict=True)
    )


def _as_wide(one: AnyArray, other: AnyArray) -> tuple[AnyArray, AnyArray]:
    """Two arrays of numbers of words, the narrower one filled up: a long text makes all wide."""
    if one.ndim != 2 or other.ndim != 2:
        return one, other
    width = max(one.shape[1], other.shape[1])
    wide = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (one, other))
    return next(wide), next(wide)


def read_features(
    table: pl.DataFrame,
    columns: Sequence[str] | None,
    is_taught: BoolArray,
    *,
    max_words: int,
    max_vocabulary: int,
) -> Features:
    """Read attributes by what their columns hold.

    String: text where it has two words or more on average, else a name. Categorical, Enum,
    Boolean and integers of few values: names. Lists of String or integers: bags of names. Other
    numbers, dates and times: standardised. Lists and arrays of floats: vectors. Arrays of two or
    three dimensions: images.

    Parameters
    ----------
    table : DataFrame
    columns : sequence of str, optional
        Default: all but ids, and but names that hardly two rows share.
    is_taught : bool array [n_rows]
        Rows that the training meets: vocabularies and scales are theirs.
    max_words, max_vocabulary : int
        Words read of a row, and different ones.

    Raises
    ------
    ConfigError
        If a named column does not exist or its values are of none of these kinds.
    """
    if columns is not None:
        check_columns(table, columns)
    found = []
    for name in table.columns if columns is None else columns:
        kind = kind_of(table[name], is_named=columns is not None)
        if kind is None and columns is not None:
            raise ConfigError(
                f"{name} is {table.schema[name]}, of which no feature can be made; expected text, "
                f"names, numbers, dates, or lists or arrays of names or numbers"
            )
        if kind is None or name in ("item_id", "user_id"):
            continue
        if kind in ("category", "bag", "text"):
            longest = 1 if kind == "category" else max_words
            found.append(read_words([table[name]], is_taught, kind, longest, max_vocabulary))
        elif kind == "numeric":
            found.append(_read_numbers(table[name], is_taught))
        elif kind == "vector":
            found.append(read_vectors(table[name], is_taught))
        else:
            found.append(Feature("image", *read_arrays(table[name], None, is_taught)))
    return tuple(found)


def kind_of(column: pl.Series, *, is_named: bool) -> Kind | None:
    """What a column holds, or None for what cannot be used."""
    dtype = column.dtype
    for is_such, kind in _BY_TYPE:
        if is_such(dtype):
            return kind
    if dtype.is_integer() and column.n_unique() <= min(_FEW, max(len(column) // 2, 2)):
        return "category"
    if dtype.is_numeric() or dtype in (pl.Date, pl.Datetime):
        return "numeric"
    if words.is_text(column):
        return "text"
    is_name = dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean)
    return "category" if is_name and (is_named or words.is_category(column)) else None


def read_words(
    columns: Iterable[pl.Series],
    is_taught: BoolArray,
    kind: Kind,
    max_words: int,
    max_vocabulary: int,
) -> Feature:
    """Words of columns, one behind the other, as numbers of the most frequent ones.

    A word that no row of the training has is left out: nothing could be learned of it.
    """
    parts = [words.words(column) for column in columns]
    lists = pl.DataFrame([part.alias(str(index)) for index, part in enumerate(parts)]).select(
        pl.concat_list(pl.all())
    )
    row, word = words.cells(lists.to_series())
    counts = word.filter(pl.Series(is_taught[row])).value_counts().rename({word.name: "word"})
    # A name that one row alone has tells that row apart and nothing else; so may an id.
    counts = counts.filter(pl.col("count") >= 2).sort(["count", "word"], descending=[True, False])
    number = words.number(word, counts["word"].head(max_vocabulary)) + 1
    row, number = row[number > 0], number[number > 0]
    lengths = np.bincount(row, minlength=len(is_taught))
    place = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = int(max(1, min(max_words, lengths.max(initial=0))))
    values = np.zeros((len(is_taught), width), np.int32)
    is_read = place < width
    values[row[is_read], place[is_read]] = number[is_read]
    return Feature(kind, values, lengths > 0, min(counts.height, max_vocabulary) + 1)


def read_vectors(column: pl.Series, is_taught: BoolArray) -> Feature:
    """Ready-made embeddings, standardised; unusable ones are reported."""
    vectors, is_known = ready_made(column)
    n = int((~is_known).sum())
    if n:
        logger.warning(
            "%s: %d of %d rows have no finite vector other than zero", column.name, n, len(column)
        )
    values = _standardised(vectors, is_known, is_taught)
    # All numbers together, not each: what hardly varies shall not be made as loud as the rest.
    scale = values[is_known & is_taught] if (is_known & is_taught).any() else values[is_known]
    return (
        Feature("vector", values / max(float(scale.std()), 1e-6), is_known)
        if is_known.any()
        else Feature("vector", vectors, is_known)
    )


def _read_numbers(column: pl.Series, is_taught: BoolArray) -> Feature:
    number = column.to_physical() if column.dtype in (pl.Date, pl.Datetime) else column
    values = number.cast(pl.Float64).fill_null(np.nan).to_numpy()[:, None].copy()
    is_known = np.isfinite(values[:, 0])
    values[~is_known] = 0.0
    values = _standardised(values, is_known, is_taught)
    if (is_known & is_taught).any():
        scale = values[is_known & is_taught].std() or 1.0
        values = np.clip(values / scale, -_CLIP, _CLIP)
    return Feature("numeric", values.astype(np.float32), is_known)


def _standardised(values: AnyArray, is_known: BoolArray, is_taught: BoolArray) -> Float32Array:
    taught = values[is_known & is_taught]
    centred: AnyArray = values - (taught.mean(axis=0) if len(taught) else 0.0)
    centred[~is_known] = 0.0
    return centred
