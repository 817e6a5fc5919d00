"""Which generators suit a log, when the caller names none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.clock import ClockKind
from features.errors import ConfigError
from features.history import LogFacts
from ranker.candidates.als import ALS
from ranker.candidates.base import Generator
from ranker.candidates.covisitation import CoVisitation
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.holdout import Fold, Holdout, LabelWindows, LastInteractions, default_holdout

# Where more of the later pairs than this were there before, things are taken again.
_REPEAT_SHARE = 0.1

_DEPTH = 100
_OWN_DEPTH = 400  # own history is the best source there is, and rarely longer


def default_generators(facts: LogFacts, *, repeats: bool) -> dict[str, Generator]:
    """The sources for a log.

    Parameters
    ----------
    facts : LogFacts
    repeats : bool
        Whether items are taken again.
    """
    generators: dict[str, Generator] = {"popular": Popularity()}
    if facts.clock.is_comparable:
        generators["trending"] = Popularity(half_life=1 / 336)
    if repeats:
        generators["own"] = OwnHistory()
    generators |= {"als": ALS(), "item_knn": ItemKNN()}
    if facts.clock.kind is not ClockKind.NONE:
        generators["covisitation"] = CoVisitation()
    return generators


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
    return default


def depths_of(
    generators: Mapping[str, Generator], n_candidates: int | Mapping[str, int] | None
) -> dict[str, int]:
    """How many items each source may propose to a user."""
    chosen = n_candidates if isinstance(n_candidates, Mapping) else {}
    base = n_candidates if isinstance(n_candidates, int) else _DEPTH
    return {
        name: chosen.get(name, _OWN_DEPTH if isinstance(generator, OwnHistory) else base)
        for name, generator in generators.items()
    }


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
