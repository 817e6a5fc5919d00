"""A feature block from a function of one's own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import polars as pl

from features.arrays import Float32Array
from features.block import Context, Feature, FittedBlock
from features.candidates import Candidates
from features.errors import ConfigError, SchemaError
from features.gather import gather
from features.history import History
from features.item_table import FittedItems

Instant: TypeAlias = dt.datetime | int | None
"""A datetime (naive UTC), a number on an integer clock, None where the clock compares no users."""
Function: TypeAlias = Callable[[pl.LazyFrame, Instant], pl.DataFrame | pl.LazyFrame]

_IDS = ("user_id", "item_id")
_SHOWN = 3


@dataclass(frozen=True)
class CustomBlock:
    """Features that a function computes from the events before an instant.

    Keyed by item, the function gets the whole log of the snapshot, once. Keyed by user, or by user
    and item, it gets the events of the users who are served (of a session, those of the session),
    some users at a time, all looked at at one instant: so what it says of a user may depend on
    nobody else. Sessions that end later than the log are looked at each at an instant of its own,
    so that they cost a call each.

    Parameters
    ----------
    name : str
        The family of the features, and the beginning of their names.
    key : "user_id", "item_id" or both
    function : callable
        Gets a LazyFrame (user_id and item_id as Int64 or String, weight, and timestamp and event
        where the log has them; all strictly before the instant) and the instant: a datetime
        (naive UTC), a whole number, or None where each user has a sequence of his own.
        Returns a frame with the key, each at most once and in any order, and one number or Boolean
        a feature. What it does not name is unknown, and so is what is not finite. Its columns may
        not depend on the data, and a frame without rows must not trouble it.
    units, meanings : mapping of column to str
        For :meth:`features.stage.FeatureTables.describe`.

    Notes
    -----
    A saved model holds the name of the function and not its code: hand the function over again, as
    in ``load(path, custom=[function])``. :func:`features.leaks.check_no_leak` tells whether it
    knows anything that it should not.

    Examples
    --------
    >>> import polars as pl
    >>> def basket(history, as_of):
    ...     baskets = history.group_by("user_id", "timestamp").len()
    ...     return baskets.group_by("user_id").agg(pl.col("len").mean().alias("size"))
    >>> block = CustomBlock("basket", key="user_id", function=basket, units={"size": "count"})
    """

    name: str
    key: str | Sequence[str]
    function: Function
    units: Mapping[str, str] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a key that is none."""
        name: object = self.name
        if not isinstance(name, str) or not name:
            raise ConfigError(
                f"name={name!r}: a custom block needs a name, as text: its features begin with it"
            )
        key: object = self.key
        keys = self.keys if isinstance(key, Iterable) else ()
        if not keys or not {*keys} <= {*_IDS} or len({*keys}) < len(keys):
            raise ConfigError(
                f"custom block {self.name!r}: key={self.key!r}; expected 'user_id', 'item_id' or "
                f"('user_id', 'item_id')"
            )
        if not callable(self.function):
            raise ConfigError(
                f"custom block {self.name!r}: function is a {type(self.function).__name__}; "
                f"expected a function of (history, as_of)"
            )
        for argument in ("units", "meanings"):
            value = getattr(self, argument)
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"custom block {self.name!r}: {argument}={value!r}; expected a text for each "
                    f'column, such as {{"size": "count"}}'
                )

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    def fit(self, context: Context) -> FittedBlock:
        """Ask for the features of the items, or, of users, for the columns.

        Raises
        ------
        ConfigError
            If the function fails, or units or meanings are given for columns that it has not.
        SchemaError
            With every problem of the frame that it returns.
        """
        history = context.history
        if self.keys == ("item_id",):
            found = self.compute(history, _instant(history))
            features = self._features(found)
            rows = history.items.encode(found["item_id"])
            return FittedItems(features, _spread(rows, found, history.n_items))
        # Users without events are asked about too, so the function has to stand that.
        found = self.compute(history.rows(0, 0), _instant(history))
        return FittedUsers(self, self._features(found))

    def compute(
        self, history: History, as_of: Instant, expected: tuple[Feature, ...] | None = None
    ) -> pl.DataFrame:
        """What the function says: the key, then Float32 columns; unknown ids may be among them.

        Parameters
        ----------
        history : History
        as_of : datetime, int or None
        expected : tuple of Feature, optional
            Their columns in their order, and no others.
        """
        try:
            found = self.function(history.interactions().lazy(), as_of)
            found = found.collect() if isinstance(found, pl.LazyFrame) else found
        except Exception as error:
            raise ConfigError(
                f"custom block {self.name!r}: its function failed on {history.n_events} events as "
                f"of {as_of}: {type(error).__name__}: {error}; it must take any number of events, "
                f"none included"
            ) from error
        dtypes = {"user_id": history.users.values.dtype, "item_id": history.items.values.dtype}
        problems = self._problems(found, dtypes)
        if not problems and expected is not None:
            names = [feature.name for feature in expected]
            columns = {self._feature_name(column): column for column in self._columns(found)}
            if set(columns) != set(names):
                problems.append(
                    f"the columns are {sorted(columns.values())} here and were others at the fit, "
                    f"whose features are {names}; return the same ones whatever the data, with "
                    f"null where nothing is known"
                )
            else:
                found = found.select(*self.keys, *(columns[name] for name in names))
        if problems:
            raise SchemaError(f"custom block {self.name!r}", problems)
        return found.select(
            # An id beyond the range of the log's is unknown like any other.
            *(pl.col(key).cast(dtypes[key], strict=False) for key in self.keys),
            *(pl.col(column).cast(pl.Float32) for column in self._columns(found)),
        )

    def _features(self, found: pl.DataFrame) -> tuple[Feature, ...]:
        columns = self._columns(found)
        strangers = sorted({*self.units, *self.meanings} - {*columns})
        if strangers:
            raise ConfigError(
                f"custom block {self.name!r}: units or meanings are given for {strangers}, but the "
                f"columns are {columns}; name them alike"
            )
        key = " and ".join(self.keys)
        return tuple(
            Feature(
                self._feature_name(column),
                self.name,
                self.units.get(column, "value"),
                self.meanings.get(column, f"{column} by {key}"),
            )
            for column in columns
        )

    def _feature_name(self, column: str) -> str:
        return f"{self.name}_{column}"

    def _columns(self, found: pl.DataFrame) -> list[str]:
        return [column for column in found.columns if column not in self.keys]

    def _problems(self, found: object, dtypes: Mapping[str, pl.DataType]) -> list[str]:
        if not isinstance(found, pl.DataFrame):
            return [f"the function returned a {type(found).__name__}; expected a polars frame"]
        missing = [key for key in self.keys if key not in found.columns]
        if missing:
            return [
                f"{key}: no such column among {found.columns}; the frame needs its key"
                for key in missing
            ]
        problems = []
        for key in self.keys:
            dtype, wanted = found.schema[key], dtypes[key]
            is_text = dtype in (pl.String, pl.Categorical, pl.Enum)
            if found.height and not (is_text if wanted == pl.String else dtype.is_integer()):
                problems.append(
                    f"{key}: dtype {dtype} (such as {found[key][0]!r}), but the ids of the log are "
                    f"{wanted}; cast it to that"
                )
            elif found[key].null_count():
                problems.append(f"{key}: {found[key].null_count()} ids are null; drop those rows")
        repeated = found.select(self.keys).filter(found.select(self.keys).is_duplicated())
        if repeated.height and not problems:
            shown = ", ".join(map(repr, repeated.unique(maintain_order=True).head(_SHOWN).rows()))
            problems.append(
                f"{' and '.join(self.keys)}: {repeated.unique().height} keys stand in more than "
                f"one row (such as {shown}); group by the key, and aggregate"
            )
        if not self._columns(found):
            problems.append(f"there are no columns beside {list(self.keys)}; return some features")
        for column in self._columns(found):
            dtype = found.schema[column]
            if column in _IDS:
                problems.append(
                    f"{column}: is an id, but the key is {self.key!r}; drop the column or make it "
                    f"part of the key"
                )
            elif not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
                shown = ", ".join(map(repr, found[column].drop_nulls().head(_SHOWN).to_list()))
                problems.append(
                    f"{column}: dtype {dtype}{f' (such as {shown})' if shown else ''}; expected a "
                    f"number or Boolean: turn durations into days with dt.total_days(), text into "
                    f"counts or shares"
                )
        return problems


@dataclass(frozen=True)
class FittedUsers:
    """A block whose features belong to users, or to users and items; knows but its columns."""

    block: CustomBlock
    features: tuple[Feature, ...]

    def fill(self, history: History, candidates: Candidates, out: Float32Array) -> None:
        """See :class:`features.block.FittedBlock`."""
        if not candidates.n_rows:
            return
        # Sessions may end later than the snapshot, each at an instant of its own.
        found = pl.concat(
            self.block.compute(part, _instant(part), self.features) for part in _by_instant(history)
        )
        user = history.users.encode(found["user_id"])
        if self.block.keys == ("user_id",):
            gather(_spread(user, found, history.n_users), candidates.user, out)
            return
        item = history.items.encode(found["item_id"])
        # Rows of candidates ascend by user and item, and so do these numbers of a pair.
        width = history.n_items
        pair = np.where((user < 0) | (item < 0), -1, user.astype(np.int64) * width + item)
        asked = candidates.user.astype(np.int64) * width + candidates.item
        place = np.minimum(np.searchsorted(asked, pair), len(asked) - 1)
        is_asked = asked[place] == pair
        rows = np.where(is_asked, place, -1)
        out[:] = _spread(rows, found, len(asked))


def _by_instant(history: History) -> Iterator[History]:
    """The users, apart by when they are looked at where their clock compares them."""
    instants = np.unique(history.now)
    if not history.clock.is_comparable or len(instants) <= 1:
        yield history
        return
    for instant in instants:
        yield history.of_users(history.now == instant)


def _instant(history: History) -> Instant:
    return history.clock.instant(history.as_of) if history.clock.is_comparable else None


def _spread(rows: np.ndarray, found: pl.DataFrame, n_rows: int) -> Float32Array:
    """Float32 columns to rows by number, -1 to none; what is left out or not finite is NaN."""
    columns = [column for column in found.columns if column not in _IDS]
    table = np.full((n_rows, len(columns)), np.nan, np.float32)
    values = found.select(columns).fill_null(np.nan).to_numpy()
    table[rows[rows >= 0]] = values[rows >= 0]
    table[~np.isfinite(table)] = np.nan
    return table
