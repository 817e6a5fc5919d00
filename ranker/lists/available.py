"""What is available: everywhere or where the user is, now or from a day to another."""

from __future__ import annotations

import datetime as dt
import difflib
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import polars as pl

from features.arrays import BoolArray, Int32Array
from features.clock import ClockKind
from features.columns import check_columns
from features.errors import ConfigError, SchemaError
from features.history import History
from ranker.lists.arguments import check_name, named
from ranker.lists.by_segment import SegmentMasks
from ranker.lists.context import ListContext
from ranker.lists.eligible import BoundFilter, EverybodysItems, Filter, Masks
from ranker.lists.item_ids import frame_of, rows_of

_FROM, _UNTIL = "available_from", "available_until"


@dataclass(frozen=True, eq=False)
class FilterAvailable(Filter):
    """Shows only what a table says is available.

    Parameters
    ----------
    table : DataFrame or LazyFrame
        ``item_id``; on request ``available_from`` and ``available_until`` (as the log's
        timestamps; the item is available from the one on, and no longer at the other; null: no
        bound), and the column named by ``by``. An item may have several rows; without any it is
        not available.
    by : str, optional
        A column of the table and of the user table, such as a shop or a country: a row is for
        users with its value, one with null for everybody. ``"user_id"`` works too.
    at : datetime, date or int, optional
        The instant. Default: that of the served snapshot, just after the last event.
    """

    table: Any
    _: KW_ONLY
    by: str | None = None
    at: dt.datetime | dt.date | int | None = None

    def __post_init__(self) -> None:
        columns: tuple[str, ...] = ("item_id", _FROM, _UNTIL)
        if self.by is not None:
            check_name(self, "by", self.by)
            columns = (*columns, self.by)
        at: object = self.at
        if at is not None and (isinstance(at, bool) or not isinstance(at, dt.date | int)):
            raise ConfigError(
                f"FilterAvailable: at={at!r} is a {type(at).__name__}; expected a datetime or date "
                f"(such as datetime.date(2020, 1, 1)), or a whole number on an integer clock"
            )
        table = frame_of(self, "table", self.table, columns, ("item_id",))
        self._check_spelling(columns)
        if self.by is not None and self.by not in table.columns:
            raise SchemaError("table of FilterAvailable", [f"column {self.by!r} is missing"])
        if not table.height:
            raise ConfigError("FilterAvailable: the table has no rows: nothing could be shown")
        object.__setattr__(self, "table", table.unique().sort(table.columns))

    def _check_spelling(self, columns: tuple[str, ...]) -> None:
        """Other columns are passed over: a table of items will do. But no misspelt bound."""
        if not isinstance(self.table, pl.DataFrame | pl.LazyFrame):
            return
        for name in {*self.table.collect_schema()} - {*columns}:
            meant = difflib.get_close_matches(name, (_FROM, _UNTIL), n=1, cutoff=0.85)
            if meant:
                raise SchemaError(
                    "table of FilterAvailable",
                    [f"column {name!r} has no meaning here; if {meant[0]!r} is meant, rename it"],
                )

    def bind(self, context: ListContext) -> BoundFilter:
        """Find out what is available at the instant.

        Raises
        ------
        SchemaError
            If ids or times are of another kind than those of the log.
        ConfigError
            If users have no such column, or nothing is available.
        """
        history = context.history
        table = self.table.filter(self._is_valid(history))
        rows = rows_of(self, "item_id", table["item_id"], history.items)
        table = table.with_columns(pl.Series("item", rows)).filter(pl.col("item") >= 0)
        if not table.height:
            raise ConfigError(f"{self}: no item of the catalogue is available at the instant")
        if self.by is None:
            return EverybodysItems(_mask(table["item"].to_numpy(), history.n_items))
        return self._by_segment(context, table)

    def _by_segment(self, context: ListContext, table: pl.DataFrame) -> BoundFilter:
        by = str(self.by)
        if by == "user_id":
            dtype = context.history.users.values.dtype
        elif context.users is None:
            raise ConfigError(
                f"{self}: by={by!r} is an attribute of users, but the recommender was fitted "
                f"without a table of them; call fit(..., users=users)"
            )
        else:
            users = context.users
            named(self, "by", lambda: check_columns(users, [by]))
            dtype = context.users.schema[by]
        if table.schema[by].is_numeric() != dtype.is_numeric() and table.schema[by] != pl.Null:
            raise SchemaError(
                "table of FilterAvailable",
                [f"{by} is {table.schema[by]}, and {dtype} of users; cast it to that"],
            )
        if dtype.is_numeric() and dtype.is_float() != table.schema[by].is_float():
            # They meet as text, and the text of 1 is not that of 1.0.
            dtype = pl.Float64()
            table = table.cast({by: dtype})
        n_items = context.history.n_items
        for_all = _mask(table.filter(pl.col(by).is_null())["item"].to_numpy(), n_items)
        # Rows, not masks: by user id there may be as many groups as users.
        groups = {
            key: group["item"].to_numpy()
            for (key,), group in table.drop_nulls(by).cast({by: pl.String}).group_by(by)
        }

        def mask_of(values: dict[str, Any]) -> BoolArray:
            value = values[by]
            text = None if value is None else pl.Series([value], dtype=dtype).cast(pl.String)[0]
            mask = for_all.copy()
            mask[groups.get(text, [])] = True
            return mask

        return BoundFilterAvailable(SegmentMasks(context.users, [by], mask_of))

    def _is_valid(self, history: History) -> pl.Series:
        is_valid = pl.Series([True]).new_from_index(0, self.table.height)
        bounds = [name for name in (_FROM, _UNTIL) if name in self.table.columns]
        if not bounds:
            return is_valid
        clock = history.clock
        if self.at is None and not clock.is_comparable:
            raise ConfigError(
                f"{self}: {bounds[0]} needs timestamps that are one clock for everybody, and this "
                f"log's is {clock.kind.value}; leave the times out"
            )
        at = self.at
        now = history.as_of if at is None else named(self, "at", lambda: clock.tick(at))
        for name in bounds:
            times = self.table[name]
            if times.dtype == pl.Null:
                continue
            is_absolute = clock.kind is ClockKind.ABSOLUTE
            if not (times.dtype in (pl.Date, pl.Datetime) if is_absolute else _is_int(times)):
                expected = "Date or Datetime" if is_absolute else "integers"
                raise SchemaError(
                    "table of FilterAvailable",
                    [f"{name} is {times.dtype}; expected {expected}, as the log's timestamps"],
                )
            if isinstance(times.dtype, pl.Datetime) and times.dtype.time_zone is not None:
                times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            if not times.dtype.is_integer():
                times = times.cast(pl.Datetime("us"))
            ticks = times.to_physical()
            is_valid &= ((ticks <= now) if name == _FROM else (ticks > now)).fill_null(value=True)
        return is_valid


@dataclass(frozen=True)
class BoundFilterAvailable(BoundFilter):
    """:class:`FilterAvailable` by an attribute of users."""

    segments: SegmentMasks

    def by_user(self, history: History) -> Masks:
        """What is available to each user."""
        return self.segments.masks(history)


def _is_int(values: pl.Series) -> bool:
    return values.dtype.is_integer()


def _mask(rows: Int32Array, n_items: int) -> BoolArray:
    mask = np.zeros(n_items, np.bool_)
    mask[rows] = True
    return mask
