"""Prices, sizes and dates of the candidate: as such, for the user, and within their category."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from features.arrays import Float32Array, Float64Array, Int32Array, Int64Array
from features.block import Context, Feature
from features.candidates import Candidates
from features.choice import Choice, ColumnKind, choose_columns, spell
from features.clock import ClockKind
from features.codes import ITEM_CODE
from features.history import History
from features.kernel import kernel

_DAY = 24 * 3600 * 10**6
_LARGEST = float(np.finfo(np.float32).max)
_FEW = 64  # different integers that may be names; of more, their size is what tells
_DISTINCT = 0.9  # integers of which hardly two are equal are ids


@dataclass(frozen=True)
class NumericAttributes:
    """Numbers and dates of items against what the user takes and what is usual in the category.

    Null, NaN and infinity are unknown. A Datetime with a time zone is brought to UTC, one without
    and a Date are UTC. A ratio is unknown where what it is taken to is not above zero.

    Parameters
    ----------
    columns : tuple of str, optional
        Columns of the item table: integers, floats, Decimal, Date or Datetime. Default: all such
        columns with two values or more, but for integers that are rather names or ids: of few
        values, with hardly two alike, or in a column whose name ends in ``_id``.
    category : str, optional
        Column of the item table with text, categories or integers. Default: the first such column
        whose values most items share with others, and which is not itself compared. Empty: none.
    max_columns : int
        Of the default columns, the first so many.
    """

    columns: tuple[str, ...] | None = None
    category: str | None = None
    max_columns: int = 6

    def choose(self, context: Context) -> Choice:
        """The columns, the category, and why; see :class:`features.block.ChoosesColumns`."""
        items = context.items
        choice = choose_columns(items, self.columns, NUMBERS, self.max_columns)
        category = self.category
        if category is None and items is not None:
            others = items.drop(choice.columns)
            category = next(iter(choose_columns(others, None, ITEM_CODE).columns), "")
        elif category:
            choose_columns(items, [category], ITEM_CODE)
        within = f"; compared within {category}" if category and choice.columns else ""
        return Choice(choice.columns, choice.reason + within, {"category": category or ""})

    def fit(self, context: Context) -> FittedNumericAttributes:
        """Read the columns and compare each item with those of its category.

        Raises
        ------
        ConfigError
            If a column does not exist or does not hold such values.
        """
        history, items = context.history, context.items
        is_absolute = history.clock.kind is ClockKind.ABSOLUTE
        choice = self.choose(context)
        if items is None:
            return FittedNumericAttributes({}, is_absolute)
        category = items[choice.others["category"]] if choice.others["category"] else None
        attributes = {name: _Attribute.of(items[name], category) for name in choice.columns}
        return FittedNumericAttributes(attributes, is_absolute)


@dataclass(frozen=True)
class FittedNumericAttributes:
    """The block at an instant."""

    attributes: dict[str, _Attribute]
    is_absolute: bool

    @property
    def features(self) -> tuple[Feature, ...]:
        """Three columns a number, two a date, then those within the category."""
        return tuple(
            Feature(
                f"attribute_{attribute.name}_{kind}",
                "attribute",
                unit,
                meaning,
                about=attribute.name,
            )
            for attribute in self.attributes.values()
            for kind, unit, meaning in self._kinds(attribute)
        )

    def _kinds(self, attribute: _Attribute) -> list[tuple[str, str, str]]:
        name, category = attribute.name, attribute.category
        if attribute.is_date:
            kinds = [
                ("age_days", "days", f"time since the item's {name}")
                if self.is_absolute
                else ("days", "days", f"the item's {name} in days since 1970"),
                ("user_days", "days", f"the item's {name} minus its mean over the user's events"),
            ]
        else:
            kinds = [
                ("value", "value", f"the item's {name}"),
                ("user_mean", "value", f"mean {name} over the user's events"),
                ("user_ratio", "ratio", f"the item's {name} over its mean over the user's events"),
            ]
        if category is not None:
            if not attribute.is_date:
                kinds += [
                    ("mean_ratio", "ratio", f"the item's {name} over the mean of its {category}"),
                    ("median_ratio", "ratio", f"the same over the median of its {category}"),
                ]
            kinds.append(
                ("place", "share", f"place by {name} among those of its {category}, 0 = least")
            )
        return kinds

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        now = history.now if self.is_absolute else np.zeros(history.n_users, np.int64)
        column = 0
        for attribute in self.attributes.values():
            n_own = 2 if attribute.is_date else 3
            _fill_own(
                attribute.value,
                attribute.is_date,
                self.is_absolute,
                now,
                history.indptr,
                history.item,
                candidates.indptr,
                candidates.item,
                out[:, column : column + n_own],
            )
            column += n_own
            width = attribute.within.shape[1]
            out[:, column : column + width] = attribute.within[candidates.item]
            column += width


@dataclass(frozen=True)
class _Attribute:
    """A column of the item table.

    Attributes
    ----------
    name : str
    category : str or None
    is_date : bool
    value : float64 array [n_items]
        Microseconds since 1970 for a date; NaN = unknown.
    within : float32 array [n_items, n]
        Columns that compare the item with its category.
    """

    name: str
    category: str | None
    is_date: bool
    value: Float64Array
    within: Float32Array

    @classmethod
    def of(cls, column: pl.Series, category: pl.Series | None) -> _Attribute:
        value, is_date = read_numbers(column), is_instant(column.dtype)
        if category is None:
            within = np.empty((len(value), 0), np.float32)
            return cls(column.name, None, is_date, value, within)
        columns = _within(value, category)
        within = np.stack(columns[2:] if is_date else columns, axis=1)
        within[~(np.abs(within) <= _LARGEST)] = np.nan
        within = within.astype(np.float32)
        return cls(column.name, category.name, is_date, value, within)


def is_instant(dtype: pl.DataType) -> bool:
    """Whether values are dates."""
    return dtype == pl.Date or isinstance(dtype, pl.Datetime)


def is_number(dtype: pl.DataType) -> bool:
    """Whether values are numbers or dates."""
    return dtype.is_numeric() or is_instant(dtype)


def read_numbers(column: pl.Series) -> Float64Array:
    """Numbers as they are and dates in microseconds since 1970, float64; NaN = unknown.

    Numbers that float32 cannot hold are unknown as well.
    """
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime):
        column = column.dt.cast_time_unit("us").to_physical()  # UTC, whatever the time zone
    value = column.cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    value[~(np.abs(value) <= _LARGEST)] = np.nan
    return value


def _why_no_number(column: pl.Series) -> str:
    dtype = column.dtype
    if not is_number(dtype):
        return spell(dtype)
    value = read_numbers(column)
    known = value[~np.isnan(value)]
    n_values = len(np.unique(known))
    if n_values < 2:
        return "the same for all" if n_values else "nothing is known"
    is_name = n_values <= min(_FEW, len(known) / 2) or n_values > _DISTINCT * len(known)
    is_name |= column.name.endswith("_id")
    return "rather names than sizes" if is_name and dtype.is_integer() else ""


NUMBERS = ColumnKind(
    "items", "numbers or dates that differ", "numbers or dates", is_number, _why_no_number
)


def _within(value: Float64Array, category: pl.Series) -> tuple[Float64Array, ...]:
    """Ratio to the category's mean and to its median, and place in its order from 0 to 1."""
    number = pl.col("value")
    place = (number.rank("average") - 1) / (pl.len() - 1)
    frame = pl.DataFrame({"value": value, "category": category.cast(pl.String)})
    compared = (
        frame.with_row_index("row")
        .filter(number.is_finite() & pl.col("category").is_not_null())
        .select(
            "row",
            number / number.mean().over("category").pipe(_above_zero),
            (number / number.median().over("category").pipe(_above_zero)).alias("median"),
            place.over("category").alias("place"),
        )
    )
    columns = []
    for name in ("value", "median", "place"):
        column = np.full(len(value), np.nan)
        column[compared["row"].to_numpy()] = compared[name].fill_null(np.nan).to_numpy()
        columns.append(column)
    return tuple(columns)


def _above_zero(number: pl.Expr) -> pl.Expr:
    return pl.when(number > 0).then(number)


@kernel
def _fill_own(
    value: Float64Array,
    is_date: bool,
    is_absolute: bool,
    now: Int64Array,
    indptr: Int64Array,
    item: Int32Array,
    row_indptr: Int64Array,
    row_item: Int32Array,
    out: Float32Array,
) -> None:
    for user in range(len(indptr) - 1):
        total, n_known = 0.0, 0
        for at in range(indptr[user], indptr[user + 1]):
            one = value[item[at]]
            if not np.isnan(one):
                total += one
                n_known += 1
        mean = total / n_known if n_known else np.nan
        for row in range(row_indptr[user], row_indptr[user + 1]):
            one = value[row_item[row]]
            if is_date:
                out[row, 0] = (now[user] - one if is_absolute else one) / _DAY
                out[row, 1] = (one - mean) / _DAY
            else:
                out[row, 0] = one
                out[row, 1] = mean
                if mean > 0.0 and np.abs(one / mean) <= _LARGEST:
                    out[row, 2] = one / mean
