"""Which generators suit a log, when the caller names none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import polars as pl

from features.choice import choose_columns
from features.clock import ClockKind
from features.errors import ConfigError
from features.history import LogFacts
from features.words import WORDS
from ranker.candidates.als import ALS
from ranker.candidates.base import Generator
from ranker.candidates.content import TextSimilarity
from ranker.candidates.covisitation import CoVisitation
from ranker.candidates.ease import EASE
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.candidates.random_walk import RandomWalk
from ranker.candidates.transitions import Transitions
from ranker.candidates.user_knn import UserKNN
from ranker.components import from_json
from ranker.holdout import (
    Fold,
    Holdout,
    LabelWindows,
    LastInteractions,
    RandomHoldout,
    default_holdout,
)
from ranker.rerank.lambdarank import MAX_GROUP_ROWS

# Where more of the later pairs than this were there before, things are taken again.
_REPEAT_SHARE = 0.1

NCandidates: TypeAlias = int | Mapping[str, int] | Literal["all"]
"""How many items each source may propose; ``"all"`` for the whole catalogue."""

_DEPTH = 100
_EASE_ITEMS = 5_000  # EASE inverts a matrix of all items for every snapshot: seconds up to here
_KNN_USERS = 100_000  # user kNN compares whoever is served with everybody
_OWN_DEPTH = 400  # own history is the best source there is, and rarely longer


def default_generators(
    facts: LogFacts,
    *,
    repeats: bool,
    n_users: int,
    n_items: int,
    items: pl.DataFrame | None = None,
    networks: bool = False,
) -> dict[str, Generator]:
    """The sources for a log.

    With a common clock what is taken now decides, and further sources of old pairs were worth
    nothing on its freshest labels. Without one they are worth about a tenth; and where events have
    no order at all, users of the same taste are worth a little besides.

    Parameters
    ----------
    facts : LogFacts
    repeats : bool
        Whether items are taken again.
    n_users, n_items : int
        Users and items with events.
    items : DataFrame, optional
        Their attributes, canonical.
    networks : bool
        Whether to take a network besides where one is known to help: for the order of each user's
        events, where that is all that timestamps tell; it reads the items' words where they have
        some.

    Raises
    ------
    MissingExtraError
        If there is to be a network and torch is not installed.
    """
    generators: dict[str, Generator] = {"popular": Popularity()}
    if facts.clock.is_comparable:
        generators["trending"] = Popularity(half_life=1 / 672)
    if repeats:
        generators["own"] = OwnHistory()
    ordered = facts.clock.kind is not ClockKind.NONE
    # Where pairs are all that is known, each has to count more against those that are not.
    als = ALS() if ordered else ALS(factors=128, alpha=20.0)
    generators |= {"als": als, "item_knn": ItemKNN()}
    if ordered:
        generators["covisitation"] = CoVisitation()
    elif n_users <= _KNN_USERS:
        generators["user_knn"] = UserKNN(power=2.0)
    if not facts.clock.is_comparable:
        generators["random_walk"] = RandomWalk()
        if ordered:
            generators["transitions"] = Transitions()
        if n_items <= _EASE_ITEMS:
            generators["ease"] = EASE()
        columns = () if items is None else choose_columns(items, None, WORDS).columns
        if columns:
            generators["text"] = TextSimilarity(columns=columns)
        if networks and ordered:
            generators["sequence"] = _sequence(columns)
    return generators


def _sequence(columns: Sequence[str]) -> Generator:
    """A network over the order of events; new items, however many, do not crowd out the others."""
    name = "SequenceHybrid" if columns else "SequenceEncoder"
    parameters = {"columns": [*columns], "min_events": 1} if columns else {}
    network: Generator = from_json({"type": name, "parameters": parameters})
    return network


def choose_holdout(
    facts: LogFacts,
    holdout: Holdout | None,
    n_windows: int | None,
    window_length: str | int | None,
) -> Holdout:
    """Where labels come from: as the caller says, or as the timestamps allow.

    Raises
    ------
    ConfigError
        If the wishes contradict each other or the clock.
    """
    if n_windows is None and window_length is None:
        return holdout or default_holdout(facts)
    if holdout is not None:
        raise ConfigError("give either holdout or n_windows and window_length, not both")
    default = default_holdout(facts)
    if isinstance(default, LabelWindows):
        return LabelWindows(length=window_length, n_windows=n_windows or default.n_windows)
    if window_length is not None:
        raise ConfigError(
            f"window_length={window_length!r} needs timestamps that compare users, and "
            f"this log's clock is {facts.clock.kind.value}"
        )
    if isinstance(default, LastInteractions):
        return LastInteractions(n_windows=n_windows or default.n_windows)
    n_folds = min(n_windows or 1, int(1 / RandomHoldout.fraction))
    # Of few folds each hides more: there has to be something to learn from.
    return RandomHoldout(0.2 if n_folds <= 2 else RandomHoldout.fraction, n_folds)


def depths_of(
    generators: Mapping[str, Generator], n_candidates: NCandidates | None
) -> dict[str, int]:
    """How many items each source may propose to a user."""
    if isinstance(n_candidates, str):
        return dict.fromkeys(generators, MAX_GROUP_ROWS)
    chosen = n_candidates if isinstance(n_candidates, Mapping) else {}
    base = _DEPTH if n_candidates is None or isinstance(n_candidates, Mapping) else n_candidates
    return {
        name: chosen.get(name, _OWN_DEPTH if isinstance(generator, OwnHistory) else base)
        for name, generator in generators.items()
    }


def wants_every_item(
    n_candidates: NCandidates | None, log: pl.DataFrame, items: pl.DataFrame | None
) -> bool:
    """Whether everybody is to get the whole catalogue as candidates.

    Raises
    ------
    ConfigError
        If the catalogue is too large for that.
    """
    if not isinstance(n_candidates, str):
        return False
    tables = [log] if items is None else [log, items]
    n_items = pl.concat([table["item_id"] for table in tables]).n_unique()
    if n_items > MAX_GROUP_ROWS:
        raise ConfigError(
            f"n_candidates='all' makes {n_items:,} rows of each user, and LightGBM takes at most "
            f"{MAX_GROUP_ROWS:,} in a query group; give a number of items for each source"
        )
    return True


def repeats_in(folds: Sequence[Fold]) -> bool:
    """Whether users come back to items: judged by the freshest fold's labels."""
    if not folds:
        return False
    pairs = folds[0].history.select("user_id", "item_id").unique()
    again = folds[0].labels.join(pairs, on=["user_id", "item_id"], how="semi").height
    return again > _REPEAT_SHARE * folds[0].labels.height


def popularity_of(generators: Mapping[str, Generator]) -> str | None:
    """Name of the first popularity source, which serves whom nothing is known of."""
    names = (name for name, source in generators.items() if isinstance(source, Popularity))
    return next(names, None)
