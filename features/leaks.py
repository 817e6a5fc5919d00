"""A check, for blocks of one's own too, that no feature knows what cannot be known."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard, cast

import numpy as np
import polars as pl

from features.arrays import BoolArray, Float32Array, FrameLike
from features.block import Block, Context
from features.candidates import Candidates
from features.clock import ClockKind
from features.encode import encode
from features.errors import ConfigError, LeakError
from features.example_source import ExampleSource
from features.history import History, LogFacts
from features.ids import Ids
from features.listwise import Listwise
from features.schema import check_interactions, check_tables, time_zone
from features.stage import FeatureStage, FeatureTables, block_name

Maker: TypeAlias = "Callable[[pl.DataFrame], Block | FeatureStage]"

_SOURCE = "source"
_LATER = (
    "once events at that instant or later are {}: it is built from more than the events before the "
    "instant; cut them off with '<', not '<='"
)
_AGAIN = (
    "if the same is asked again: it is drawn at random or reads a clock; seed it, and take as_of "
    "for the time"
)
_RENAMED = (
    "once all ids are renamed: it looks them up in something beside the history that it is given, "
    "such as a frame in a closure, which no snapshot can cut off at its instant. Compute it from "
    "the history; if the frame never changes, check a function that builds the block from the "
    "interactions instead: check_no_leak(lambda interactions: block, interactions)"
)
_ALONE = (
    "if the user is asked about alone: it depends on who else is served; let a function keyed by "
    "user compare nobody with others"
)


def check_no_leak(
    block: Block | FeatureStage | Maker,
    interactions: FrameLike,
    *,
    items: FrameLike | None = None,
    users: FrameLike | None = None,
    random_state: int = 0,
    n_instants: int = 3,
    n_users: int = 20,
    n_items: int = 20,
) -> None:
    """Make sure that no feature knows more than the events before an instant.

    The log is cut at several instants where something happened. For some users and items the
    features are computed from what came before. They must stay the same if what came at the instant
    and later is left out, altered, or followed by more; if each user is asked about alone; and if
    everything is renamed, which finds blocks that look into a frame of their own.

    One instant is laid through the logs of all users where the timestamp is a Datetime, a Date or a
    clock of whole numbers. Where it counts each user's own positions, every user's log is cut at
    the same position, and ``as_of`` is None: each is looked at after his last event before it.
    Without timestamps a random half of the rows is the past, once. In these two cases a block
    cannot be given what came later but by whoever made it: so the changes tell of functions from
    interactions to a block, and the new names of blocks that hold a frame.

    Parameters
    ----------
    block : Block, FeatureStage, or function from interactions to one of them
        A function is given each of the altered logs, so that what it builds may well hold a log:
        it is told apart by what it says. It is not tried with other names.
    interactions : DataFrame or LazyFrame
        See :func:`features.schema.check_interactions`.
    items, users : DataFrame or LazyFrame, optional
    random_state : int
    n_instants, n_users, n_items : int
        How many instants, users at each of them, and items for each of these, at most.

    Raises
    ------
    LeakError
        With the block, the feature, the instant, a user and an item, and both values. Values count
        as the same to five digits, for sums in another order.
    SchemaError, ConfigError
        If the frames are of no use, or the log too short to be cut.

    Examples
    --------
    >>> import polars as pl
    >>> from features.item import ItemPopularity
    >>> log = pl.DataFrame({"user_id": [1, 2, 1], "item_id": [7, 7, 8], "timestamp": [10, 20, 35]})
    >>> check_no_leak(ItemPopularity(), log)
    """
    if not _is_stage_or_block(block):
        _check_maker(block)
    log, zone = check_interactions(interactions), time_zone(interactions.collect_schema())
    world = _World(log, LogFacts.of(log, zone), *check_tables(log, items, users, zone=zone))
    rng = np.random.default_rng(random_state)
    make = _maker(block)
    for cut in _cuts(world, n_instants, rng):
        asked = _draw(world, cut.past, n_users, n_items, rng)
        base = _Told.of(make(cut.past), world, cut, asked)
        try:
            for change, future in cut.futures:
                log = pl.concat([cut.past, future])
                # Without an instant to cut at, what came later is known to the maker alone.
                known = cut if cut.tick is None else dataclasses.replace(cut, past=log)
                told = _Told.of(make(log), world, known, asked)
                base.compare(told, _LATER.format(change))
            if _is_stage_or_block(block):
                names = _Names.of(world, asked)
                renamed = dataclasses.replace(cut, past=names.rename(cut.past))
                told = _Told.of(
                    make(renamed.past), world.renamed(names), renamed, names.rename(asked)
                )
                base.compare(told, _RENAMED)
            base.compare(base.alone(), _ALONE)
        except LeakError:
            base.compare(_Told.of(make(cut.past), world, cut, asked), _AGAIN)
            raise


def _check_maker(block: object) -> None:
    expected = (
        "expected one block as an object, FeatureStage((block, ...)) of several, or a function "
        "from interactions to them; of a function of (history, as_of), make one: "
        "CustomBlock(name, key, function)"
    )
    if not callable(block):
        raise ConfigError(f"block={block!r}; {expected}")
    try:
        inspect.signature(block).bind(None)
    except TypeError as error:
        raise ConfigError(f"block={block!r} cannot be given a log ({error}); {expected}") from None
    except ValueError:  # what is written in C may not tell
        return


def _is_stage_or_block(block: Block | FeatureStage | Maker) -> TypeGuard[Block | FeatureStage]:
    return hasattr(block, "fit") and not isinstance(block, type)


def _maker(block: Block | FeatureStage | Maker) -> Callable[[pl.DataFrame], FeatureStage]:
    def make(log: pl.DataFrame) -> FeatureStage:
        built = block if _is_stage_or_block(block) else cast(Maker, block)(log)
        if not _is_stage_or_block(built):
            raise ConfigError(
                f"block={block!r} is a function that returned a {type(built).__name__}; expected "
                f"one from interactions to a block; of a function of (history, as_of), make one: "
                f"CustomBlock(name, key, function)"
            )
        return built if isinstance(built, FeatureStage) else FeatureStage((built,), Listwise(()))

    return make


@dataclass(frozen=True)
class _World:
    """What does not change."""

    log: pl.DataFrame
    facts: LogFacts
    items: pl.DataFrame | None
    users: pl.DataFrame | None

    def renamed(self, names: _Names) -> _World:
        tables = (None if t is None else names.rename(t) for t in (self.items, self.users))
        return _World(self.log, self.facts, *tables)


@dataclass(frozen=True)
class _Names:
    """Other ids, none of which was there before, in the same order: ties are broken alike."""

    new: dict[str, tuple[Ids, pl.Series]]

    @classmethod
    def of(cls, world: _World, asked: pl.DataFrame) -> _Names:
        new = {}
        for column, table in (("user_id", world.users), ("item_id", world.items)):
            frames = [world.log, asked, *([] if table is None else [table])]
            ids = Ids.sorted(*(frame[column] for frame in frames))
            if ids.values.dtype == pl.String:
                new[column] = ids, "renamed " + ids.values
            else:
                first = _unused(ids.values, len(ids))
                new[column] = ids, pl.int_range(first, first + len(ids), eager=True)
        return cls(new)

    def rename(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            new.gather(ids.encode(frame[column])).rename(column)
            for column, (ids, new) in self.new.items()
            if column in frame.columns
        )


def _unused(ids: pl.Series, n: int) -> int:
    """The first of ``n`` numbers in a row that are no ids: above all others, or below."""
    lowest, highest = int(ids.min()), int(ids.max())  # type: ignore[arg-type]  # numbers
    return highest + 1 if highest + n < 2**63 else lowest - n


@dataclass(frozen=True)
class _Cut:
    """A log before an instant, and several that came of it."""

    tick: int | None
    instant: object
    past: pl.DataFrame
    futures: tuple[tuple[str, pl.DataFrame], ...]


def _draw(
    world: _World, past: pl.DataFrame, n_users: int, n_items: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Users, a stranger among them, each with items of his own and of others."""
    known, catalogue = past["user_id"].unique().sort(), past["item_id"].unique().sort()
    rows = []
    for user in (*_some(known, n_users, rng), _stranger(world.log["user_id"])[0]):
        own = past.filter(pl.col("user_id") == user)["item_id"].unique().sort()
        chosen = pl.concat([_some(own, n_items // 2, rng), _some(catalogue, n_items // 2, rng)])
        column = pl.lit(user, known.dtype).alias("user_id")
        rows.append(chosen.unique().sort().to_frame().select(column, "item_id"))
    return pl.concat(rows)


def _some(ids: pl.Series, n: int, rng: np.random.Generator) -> pl.Series:
    return ids.gather(rng.permutation(len(ids))[:n])


@dataclass(frozen=True)
class _Told:
    """What a stage says of candidates as of a cut."""

    tables: FeatureTables
    names: tuple[tuple[str, str], ...]
    instant: object
    history: History
    candidates: Candidates
    table: Float32Array

    @classmethod
    def of(cls, stage: FeatureStage, world: _World, cut: _Cut, asked: pl.DataFrame) -> _Told:
        history, items, users = encode(
            cut.past, as_of=cut.tick, facts=world.facts, items=world.items, users=world.users
        )
        sources = {_SOURCE: ExampleSource.of(history)}
        tables = stage.fit(Context(history, items=items, users=users, sources=sources))
        served = history.select(asked["user_id"].unique(maintain_order=True))
        rank = pl.col("item_id").rank("ordinal").over("user_id")
        candidates = Candidates.from_frame(
            asked.with_columns((1 / rank).alias(f"{_SOURCE}_score"), rank.alias(f"{_SOURCE}_rank")),
            users=served.users,
            items=history.items,
            sources=(_SOURCE,),
        )
        owners = [
            (block_name(block), feature.name)
            for block, fitted in zip(stage.blocks, tables.blocks, strict=True)
            for feature in fitted.features
        ]
        owners += [("Listwise", feature.name) for feature in tables.listwise.features]
        table = tables.transform(served, candidates)
        return cls(tables, tuple(owners), cut.instant, served, candidates, table)

    def alone(self) -> _Told:
        """The same, each user asked about in a call of its own."""
        parts = [np.empty((0, self.table.shape[1]), np.float32)]
        for user in range(self.history.n_users):
            served = self.history.rows(user, user + 1), self.candidates.rows(user, user + 1)
            parts.append(self.tables.transform(*served))
        table = np.concatenate(parts)
        return _Told(self.tables, self.names, self.instant, self.history, self.candidates, table)

    def compare(self, other: _Told, change: str) -> None:
        """Raise at the first feature that is not the same."""
        if self.names != other.names:
            others = sorted({*self.names} ^ {*other.names})
            raise ConfigError(
                f"as of {self.instant} there are other features, such as {others[:3]}, {change}"
            )
        same = np.isclose(self.table, other.table, rtol=1e-5, atol=1e-7, equal_nan=True)
        if same.all():
            return
        column = int((~same).any(axis=0).argmax())
        row = int((~same[:, column]).argmax())
        block, feature = self.names[column]
        raise LeakError(
            block=block,
            feature=feature,
            instant=self.instant,
            user_id=self.candidates.users.values[int(self.candidates.user[row])],
            item_id=self.candidates.items.values[int(self.candidates.item[row])],
            values=(float(self.table[row, column]), float(other.table[row, column])),
            change=change,
        )


def _cuts(world: _World, n_instants: int, rng: np.random.Generator) -> list[_Cut]:
    """Cut where something happened, so that there are events at the very instant."""
    log, clock = world.log, world.facts.clock
    if clock.kind is ClockKind.NONE:
        is_past = rng.random(log.height) < 0.5
        is_past[rng.integers(log.height)] = True
        return [_Cut(None, "a random half of the log", *_parted(log, is_past, None, rng))]
    ticks = clock.ticks(log["timestamp"])
    instants = np.unique(ticks)[1:]
    if not len(instants):
        raise ConfigError(
            "all events have one timestamp, so that nothing lies before another; give a longer log"
        )
    places = np.linspace(0, len(instants) - 1, n_instants + 2)[1:-1].round().astype(int)
    return [
        _Cut(
            int(tick) if clock.is_comparable else None,
            clock.instant(int(tick)),
            *_parted(log, ticks < tick, clock.timestamps(np.array([tick])), rng),
        )
        for tick in instants[np.unique(places)]
    ]


def _parted(
    log: pl.DataFrame, is_past: BoolArray, instant: pl.Series | None, rng: np.random.Generator
) -> tuple[pl.DataFrame, tuple[tuple[str, pl.DataFrame], ...]]:
    """The past, and what came of it, by what is said of it."""
    past, later = log.filter(pl.Series(is_past)), log.filter(pl.Series(~is_past))
    altered = later.with_columns(
        log[column].gather(rng.integers(log.height, size=later.height))
        for column in log.columns
        if column != "timestamp"
    )
    # At the very instant: what is known already happens again, and somebody takes something new.
    again = past.gather(rng.integers(past.height, size=min(past.height, 1000)))
    new = past.head(1).with_columns(_stranger(log["user_id"]), _stranger(log["item_id"]))
    more = pl.concat([again, new])
    if instant is not None:
        more = more.with_columns(instant.gather([0] * more.height).cast(log.schema["timestamp"]))
    return past, (
        ("put back", later),
        ("altered", altered),
        ("followed by more", pl.concat([later, more])),
    )


def _stranger(ids: pl.Series) -> pl.Series:
    """An id that is not among these."""
    unused = str(ids.max()) + "~" if ids.dtype == pl.String else _unused(ids, 1)
    return pl.Series(ids.name, [unused], dtype=ids.dtype)
