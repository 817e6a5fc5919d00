"""Generators, blocks and other parameterised parts as JSON, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from features.affinity import AttributeAffinity
from features.breadth import UserBreadth
from features.content import LatestCosine, WordSimilarity
from features.context import ClockAffinity, ColdFlags
from features.custom import CustomBlock
from features.encoding import AttributeEncoding
from features.errors import ConfigError, ModelFormatError
from features.event import ItemConversion, LastEvents
from features.item import ItemPopularity
from features.lateness import ItemLateness
from features.listwise import Listwise
from features.numeric import NumericAttributes
from features.pair import UserItemHistory
from features.segment import SegmentShare
from features.similarity import EmbeddingAffinity, HistorySimilarity
from features.source import SourceScores
from features.stage import FeatureStage
from features.user import UserActivity
from ranker.candidates.als import ALS
from ranker.candidates.approximate import Approximate
from ranker.candidates.audience import Audience
from ranker.candidates.bpr import BPR
from ranker.candidates.content import EmbeddingSimilarity, TextSimilarity
from ranker.candidates.covisitation import CoVisitation
from ranker.candidates.ease import EASE
from ranker.candidates.item_knn import ItemKNN
from ranker.candidates.own_history import OwnHistory
from ranker.candidates.popularity import Popularity
from ranker.candidates.random_walk import RandomWalk
from ranker.candidates.segments import CategoryPopularity, SegmentPopularity
from ranker.candidates.transitions import Transitions
from ranker.candidates.user_knn import UserKNN
from ranker.holdout import LabelWindows, LastInteractions, RandomHoldout
from ranker.negatives import Negatives
from ranker.rerank.lambdarank import LambdaRank

_KNOWN: tuple[type, ...] = (
    *(Approximate, ALS, Audience, BPR, CoVisitation, EASE, ItemKNN, OwnHistory, Popularity),
    *(CategoryPopularity, RandomWalk, SegmentPopularity, Transitions, UserKNN),
    *(EmbeddingSimilarity, TextSimilarity),
    *(SourceScores, UserItemHistory, HistorySimilarity, EmbeddingAffinity),
    *(LastEvents, LatestCosine, WordSimilarity, ItemConversion, SegmentShare, UserBreadth),
    *(AttributeEncoding, NumericAttributes, ColdFlags, ClockAffinity),
    *(
        ItemPopularity,
        ItemLateness,
        UserActivity,
        AttributeAffinity,
        CustomBlock,
        Listwise,
        FeatureStage,
    ),
    *(LabelWindows, LastInteractions, RandomHoldout, LambdaRank, Negatives),
)

_FUNCTION = "function"
_TWICE = "{!r} is the name of {}; rename it, as a saved model finds them by their names"

# Where the classes of the optional extra stand: torch is imported for a model that needs it.
_NEURAL = frozenset(
    {
        "DeepMatrixFactorization",
        "Hybrid",
        "ImageContent",
        "MatrixFactorization",
        "NeuralCollaborativeFiltering",
        "SequenceEncoder",
        "SequenceHybrid",
        "TextContent",
        "TwoTower",
    }
)

_OURS = frozenset(part.__name__ for part in _KNOWN) | _NEURAL


def is_ours(part: object) -> bool:
    """Whether a part is of a class of this package that is always there."""
    return type(part) in _KNOWN


def by_name(custom: Iterable[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The caller's own classes and functions by the names that a saved model has for them.

    Raises
    ------
    ConfigError
        If one has no name, or that of another one or of a class of ours.
    """
    given: object = custom
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"custom={custom!r}; expected a list: load(path, custom=[function])")
    found: dict[str, Callable[..., Any]] = {}
    for part in custom:
        name = getattr(part, "__name__", None)
        if name is None:
            raise ConfigError(f"custom has {part!r}, which has no name; expected what def made")
        if found.setdefault(name, part) is not part:
            raise ConfigError(_TWICE.format(name, "two classes or functions"))
        if name in _OURS and not _is_of_this_package(part):
            raise ConfigError(_TWICE.format(name, "a class of ours besides"))
    return found


def check_names(parts: Iterable[object]) -> None:
    """Make sure that all classes and functions in some parts can be told apart by their names.

    Raises
    ------
    ConfigError
        As :func:`by_name` does.
    """
    by_name({id(named): named for part in parts for named in _named(part)}.values())


def _named(part: object) -> Iterator[Callable[..., Any]]:
    if isinstance(part, tuple):
        for one in part:
            yield from _named(one)
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        yield type(part)
        for field in dataclasses.fields(part):
            yield from _named(getattr(part, field.name))
    elif callable(part) and hasattr(part, "__name__"):
        yield part


def _is_of_this_package(part: Callable[..., Any]) -> bool:
    return part in _KNOWN or part.__module__.startswith("ranker.neural.")


def to_json(part: Any) -> dict[str, Any]:
    """The type and the parameters of a part.

    Raises
    ------
    ConfigError
        If the part is not a dataclass, so that its parameters are not known, or has a function
        without a name.
    """
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        raise ConfigError(
            f"{type(part).__name__} cannot be saved: make it a dataclass whose fields are its "
            f"parameters"
        )
    parameters = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            value = to_json(value)
        elif isinstance(value, tuple):
            value = [to_json(x) if dataclasses.is_dataclass(x) else x for x in value]
        elif isinstance(value, Mapping):
            value = dict(value)
        elif callable(value):
            value = _function_to_json(value)
        parameters[field.name] = value
    return {"type": type(part).__name__, "parameters": parameters}


def _function_to_json(function: Callable[..., Any]) -> dict[str, Any]:
    name = getattr(function, "__name__", "<lambda>")
    if not name.isidentifier():
        raise ConfigError(
            f"{function!r} cannot be saved, as it has no name to be found by: define it with def"
        )
    return {"type": _FUNCTION, "parameters": {"name": name}}


def from_json(spec: Mapping[str, Any], own: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """Make a part again; nothing is imported by name.

    Parameters
    ----------
    spec : mapping
        From :func:`to_json`.
    own : mapping of name to type or function, optional
        The caller's own, from :func:`by_name`.

    Raises
    ------
    ModelFormatError
        If the type is not known or its parameters do not fit.
    MissingExtraError
        If it is a neural one and torch is not installed.
    """
    own = own or {}
    known: dict[str, Callable[..., Any]] = {part.__name__: part for part in _KNOWN} | {**own}
    name = str(spec.get("type"))
    try:
        if name == _FUNCTION:
            name = spec["parameters"]["name"]
            return own[name]
        if name in _NEURAL and name not in known:
            from ranker import neural

            part = getattr(neural, name)
        else:
            part = known[name]
        return part(**{name: _value(v, own) for name, v in spec["parameters"].items()})
    except KeyError:
        raise ModelFormatError(
            f"{name!r} is no part of this version; if it is your own, pass its class or function: "
            f"load(path, custom=[...])"
        ) from None
    except TypeError as error:
        raise ModelFormatError(f"{spec['type']} cannot be made again: {error}") from None


def _value(value: Any, own: Mapping[str, Callable[..., Any]]) -> Any:
    if isinstance(value, list):  # tuples, as dataclasses that are constants hold them
        return tuple(_value(one, own) for one in value)
    if isinstance(value, Mapping) and set(value) == {"type", "parameters"}:
        return from_json(value, own)
    return value
