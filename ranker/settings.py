"""Whether the settings of a recommender can be, before anything is fitted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from features.errors import ConfigError
from features.stage import FeatureStage
from ranker.arguments import check_count, check_flag, is_number
from ranker.candidates.base import Generator
from ranker.candidates.merge import REST
from ranker.funnel import FINAL_LIST, UNION
from ranker.grades import check_grades
from ranker.negatives import Negatives
from ranker.rerank.blend import BLEND
from ranker.rerank.first_stage import FUSION
from ranker.rerank.gate import GATE_MODES, TWO_STAGE
from ranker.rerank.lambdarank import LambdaRank

# Systems and stages that reports name beside the sources; "best" would have a column best_rank,
# which there is for all sources together.
_RESERVED = (TWO_STAGE, FUSION, BLEND, UNION, FINAL_LIST, REST, "best", "served")
NEURAL = "neural"
"""In place of generators: those that suit the data, networks among them."""

_PAIRS = 'expected (name, generator) pairs, such as [("als", ALS())]'


def generators_by_name(generators: Any) -> dict[str, Generator]:
    """The sources by their names.

    Parameters
    ----------
    generators : sequence of (name, Generator), or mapping

    Raises
    ------
    ConfigError
        If they are no pairs of a name and a generator, or names are not distinct or taken.
    """
    if isinstance(generators, Mapping):
        generators = generators.items()
    if isinstance(generators, str | Generator) or not isinstance(generators, Iterable):
        raise ConfigError(f"generators={generators!r}; {_PAIRS}; or {NEURAL!r}")
    pairs = list(generators)
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ConfigError(f"generators has {pair!r}; {_PAIRS}")
        name, generator = pair
        if not isinstance(name, str) or not name:
            raise ConfigError(f"generators has the name {name!r}; expected text, as in {_PAIRS}")
        if not isinstance(generator, Generator):
            hint = f"; give an object: {generator.__name__}()" if _is_class(generator) else ""
            raise ConfigError(f"generators: {name!r} is {generator!r}, no generator{hint}")
        if name in _RESERVED:
            raise ConfigError(
                f"generators has the name {name!r}, which reports use for something else, as they "
                f"do {', '.join(map(repr, _RESERVED))}; choose another"
            )
    named = dict(pairs)
    if len(named) < len(pairs) or not named:
        raise ConfigError(
            f"generators need distinct names, at least one; got {[name for name, _ in pairs]}"
        )
    return named


def check_parts(*, features: Any, reranker: Any, holdout: Any, negatives: Any) -> None:
    """Make sure that the parts are objects that can do what is asked of them.

    Raises
    ------
    ConfigError
    """
    if features is not None and not isinstance(features, FeatureStage):
        raise ConfigError(f"features={features!r}; expected FeatureStage(blocks=(...)), or None")
    if reranker is not None and not isinstance(reranker, LambdaRank):
        raise ConfigError(
            f"reranker={reranker!r}; expected an object such as "
            f'LambdaRank(objective="lambdarank"), or None'
        )
    if negatives is not None and not isinstance(negatives, Negatives):
        raise ConfigError(
            f"negatives={negatives!r}; expected an object such as Negatives(at_most=300), or None"
        )
    if holdout is not None and (_is_class(holdout) or not hasattr(holdout, "folds")):
        raise ConfigError(
            f'holdout={holdout!r}; expected an object such as LabelWindows("28d"), or None; a '
            f'length alone goes into window_length="28d"'
        )


def check_settings(
    *,
    repeats: Any,
    n_windows: Any,
    max_groups: Any,
    chunk_size: Any,
    gate: Any,
    grades: Any,
    cold_share: Any,
    n_threads: Any,
    random_state: Any,
) -> None:
    """Make sure that the other settings are of their kinds.

    Raises
    ------
    ConfigError
    """
    if gate not in GATE_MODES:
        raise ConfigError(
            f"gate={gate!r} is not known; expected one of {', '.join(map(repr, GATE_MODES))}"
        )
    check_grades(grades)
    if not is_number(cold_share) or not 0 <= cold_share <= 1:
        raise ConfigError(f"cold_share={cold_share!r}; expected a number from 0 to 1")
    for name, value in (("n_threads", n_threads), ("random_state", random_state)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
            raise ConfigError(f"{name}={value!r}; expected a whole number, 0 or more")
    check_flag(repeats=repeats)
    check_count(max_groups=max_groups, chunk_size=chunk_size)
    if n_windows is not None:
        check_count(n_windows=n_windows)


def check_n_candidates(n_candidates: Any, sources: Iterable[str]) -> None:
    """Make sure that the number of candidates is one, by source if need be.

    Raises
    ------
    ConfigError
        Of a source that is not there, with the nearest that is.
    """
    if n_candidates is None or isinstance(n_candidates, str):
        if n_candidates not in (None, "all"):
            raise ConfigError(
                f"n_candidates={n_candidates!r} is not known; expected a number, numbers by "
                f"source, or 'all'"
            )
        return
    if not isinstance(n_candidates, Mapping):
        check_count(n_candidates=n_candidates)
        return
    sources = list(sources)
    for name, depth in n_candidates.items():
        if name not in sources:
            near = difflib.get_close_matches(str(name), sources, n=1, cutoff=0.5)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise ConfigError(
                f"n_candidates has {name!r}, which is no source: there are {sources}{hint}"
            )
        if depth != 0 or isinstance(depth, bool):  # 0: not asked, as choose_depths may find
            check_count(**{f"n_candidates[{name!r}]": depth})
    if not any(n_candidates.get(name, 1) for name in sources):
        raise ConfigError(f"n_candidates={dict(n_candidates)!r} asks no source for anything")


def _is_class(value: object) -> bool:
    return isinstance(value, type)
