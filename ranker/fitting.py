"""From a log and settings to what serves: the steps of a fit."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from features.arrays import FrameLike
from features.errors import ConfigError, ModelFormatError
from features.history import LogFacts
from features.infer import infer_stage
from features.schema import check_interactions, time_zone
from features.stage import FeatureStage
from ranker.border import check_tables, report_time
from ranker.candidates.base import Generator
from ranker.components import from_json, to_json
from ranker.defaults import (
    NCandidates,
    choose_holdout,
    default_generators,
    depths_of,
    popularity_of,
    repeats_in,
    wants_every_item,
)
from ranker.evaluation.frames import collect
from ranker.grades import Grades, with_grades
from ranker.holdout import Fold, Holdout, n_judging
from ranker.id_dtype import IdDtype
from ranker.impressions import check_impressions
from ranker.model_files import State
from ranker.negatives import Negatives
from ranker.rerank.first_stage import FUSION
from ranker.rerank.gate import TWO_STAGE, GateMode, GateReport
from ranker.rerank.lambdarank import LambdaRank
from ranker.settings import (
    NEURAL,
    check_n_candidates,
    check_parts,
    check_settings,
    generators_by_name,
)
from ranker.skew import check_skew
from ranker.snapshot import Snapshot
from ranker.training import Windows, label_windows, train_reranker

logger = logging.getLogger(__name__)

_PARTS = ("features", "reranker", "holdout", "negatives")


@dataclass(frozen=True)
class Settings:
    """What a fit depends on besides the log: keywords of the recommender, which explains them."""

    generators: Mapping[str, Generator] | Sequence[tuple[str, Generator]] | Literal["neural"] | None
    features: FeatureStage | None
    reranker: LambdaRank | None
    holdout: Holdout | None
    n_windows: int | None
    window_length: str | int | None
    n_candidates: NCandidates | None
    repeats: bool | None
    gate: GateMode
    max_groups: int
    grades: Grades | None
    negatives: Negatives | None
    cold_share: float
    chunk_size: int
    n_threads: int
    random_state: int

    @classmethod
    def of(cls, recommender: Any) -> Settings:
        """The attributes of these names, as they are now."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: getattr(recommender, name) for name in names})

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold them.

        Raises
        ------
        ConfigError
            If a part is none that can be saved, see :func:`ranker.components.to_json`.
        """
        values = self.keywords()
        for name in _PARTS:
            values[name] = None if values[name] is None else to_json(values[name])
        for name in ("n_candidates", "grades"):
            if isinstance(values[name], Mapping):
                values[name] = dict(values[name])
        if self.generators not in (None, NEURAL):
            named = generators_by_name(self.generators)
            values["generators"] = [[name, to_json(part)] for name, part in named.items()]
        return values

    @classmethod
    def from_json(cls, values: Any, own: Mapping[str, Callable[..., Any]]) -> Settings:
        """Undo :meth:`to_json`; ``own`` has the caller's classes and functions by name.

        Raises
        ------
        ModelFormatError
            If they are none, or a part is not known.
        """
        try:
            found = dict(values)
            for name in _PARTS:
                found[name] = None if found[name] is None else from_json(found[name], own)
            if found["generators"] not in (None, NEURAL):
                found["generators"] = [
                    (name, from_json(part, own)) for name, part in found["generators"]
                ]
            settings = cls(**found)
            settings.check()
        except (AttributeError, KeyError, TypeError, ValueError, ConfigError) as error:
            if isinstance(error, ModelFormatError):
                raise
            raise ModelFormatError(
                f"the settings of the recommender cannot be read: {error!r}"
            ) from None
        return settings

    def keywords(self) -> dict[str, Any]:
        """For the constructor of a recommender with these settings."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def check(self) -> None:
        """Make sure that each is of its kind.

        Raises
        ------
        ConfigError
        """
        check_parts(
            features=self.features,
            reranker=self.reranker,
            holdout=self.holdout,
            negatives=self.negatives,
        )
        check_settings(
            repeats=self.repeats,
            n_windows=self.n_windows,
            max_groups=self.max_groups,
            chunk_size=self.chunk_size,
            gate=self.gate,
            grades=self.grades,
            cold_share=self.cold_share,
            n_threads=self.n_threads,
            random_state=self.random_state,
        )

    def choose_holdout(self, facts: LogFacts) -> Holdout:
        """Where labels come from in a log of these facts."""
        return choose_holdout(facts, self.holdout, self.n_windows, self.window_length)

    def folds(self, log: pl.DataFrame, facts: LogFacts) -> list[Fold]:
        """The folds of a log, freshest first, their labels graded."""
        graded = with_grades(log, self.grades)
        return self.choose_holdout(facts).folds(graded, facts, random_state=self.random_state)


@dataclass(frozen=True)
class Fitting:
    """A fit that has begun: all that is known before anything is learned.

    Attributes
    ----------
    settings : Settings
    state : State
        Without a reranker yet.
    folds : list of Fold
        Freshest first.
    holdout : str
        A line about them.
    n_validation : int
        How many of the freshest are to judge by.
    """

    settings: Settings
    state: State
    folds: list[Fold]
    holdout: str
    n_validation: int

    @classmethod
    def begin(
        cls,
        settings: Settings,
        interactions: FrameLike,
        items: FrameLike | None,
        users: FrameLike | None,
    ) -> Fitting:
        """Check everything, and choose what nobody chose.

        Raises
        ------
        SchemaError
            With every problem of a frame.
        ConfigError
            If settings contradict each other or the data.
        """
        settings.check()
        wanted = settings.generators
        named = None if wanted in (None, NEURAL) else generators_by_name(wanted)
        raw = collect(interactions, table="interactions")
        log = check_interactions(raw)
        report_time(raw.schema, log)
        zone = time_zone(raw.schema)
        tables = check_tables(log, items, users, zone=zone)
        facts = LogFacts.of(log, zone)
        folds = settings.folds(log, facts)
        repeats = repeats_in(folds) if settings.repeats is None else settings.repeats
        if named is None:
            named = default_generators(
                facts,
                repeats=repeats,
                n_users=log["user_id"].n_unique(),
                n_items=log["item_id"].n_unique(),
                items=tables[0],
                networks=wanted == NEURAL,
            )
        check_n_candidates(settings.n_candidates, named)
        depths = depths_of(named, settings.n_candidates)
        every_item = wants_every_item(settings.n_candidates, log, tables[0])
        stage = settings.features or infer_stage(log, facts, items=tables[0], users=tables[1])
        choices = (
            f"repeats: {'items are' if repeats else 'nothing is'} taken again",
            "sources: "
            + ", ".join(name if every_item else f"{name} {n}" for name, n in depths.items())
            + (", and every item for everybody" if every_item else ""),
            f"features: {stage.summary}",
        )
        state = State(
            log=log,
            items=tables[0],
            users=tables[1],
            facts=facts,
            user_dtype=IdDtype(raw.schema["user_id"]),
            item_dtype=IdDtype(raw.schema["item_id"]),
            stage=stage,
            specs=named,
            depths=depths,
            every_item=every_item,
            repeats=repeats,
            system=FUSION,
            cold_system=FUSION,
            model=None,
            gate=None,
            skew=None,
            choices=choices,
            random_state=settings.random_state,
            n_trained=log.height,
        )
        holdout = settings.choose_holdout(facts)
        n_validation = n_judging(holdout, len(folds))
        said = holdout.describe(facts, log, len(folds))
        return cls(settings, state, folds, said, n_validation)

    def label(self, impressions: FrameLike | None = None) -> Windows:
        """The candidates of each fold with their features and labels."""
        settings, state = self.settings, self.state
        shown = None
        if impressions is not None:
            (settings.reranker or LambdaRank()).check_positions()  # before hours of labelling
            shown = check_impressions(
                collect(impressions, table="impressions"), state.log, state.facts.clock
            )
        return label_windows(
            self.folds,
            state.snapshot,
            state.depths,
            repeats=state.repeats,
            max_groups=settings.max_groups,
            negatives=settings.negatives or Negatives(),
            cold_share=settings.cold_share,
            impressions=shown,
            n_validation=self.n_validation,
            random_state=settings.random_state,
            n_threads=settings.n_threads,
        )

    @property
    def why_no_trees(self) -> str:
        """What labels lack that teach nothing, and what helps."""
        lack = (
            "of users with events before, none or a single one took a candidate"
            if self.folds
            else "no events lie before the labels"
        )
        facts = self.state.facts
        if facts.clock.is_comparable and facts.span == facts.clock.step:
            return "all events are of one instant; leave out timestamp, to hold some out at random"
        shorter = "shorter label windows, as by window_length, or more events"
        by_time = facts.clock.is_comparable
        return f"{lack} ({self.holdout}); give {shorter if by_time else 'more events of each user'}"

    def train(self, impressions: FrameLike | None = None) -> tuple[State, Snapshot]:
        """Learn to rank, and build what is served from."""
        settings, state = self.settings, self.state
        trained = train_reranker(
            # Without a name here, so that it can be freed while trees grow.
            self.label(impressions),
            settings.reranker or LambdaRank(),
            list(state.specs),
            fill=popularity_of(state.specs),
            blend=settings.gate == "blend",
            random_state=settings.random_state,
            n_threads=settings.n_threads,
        )
        snapshot = state.snapshot()
        if trained is None:
            logger.warning(
                "there is no second stage, the fusion of the sources is served: %s",
                self.why_no_trees,
            )
            skew = None
        else:
            skew = check_skew(
                *(trained.sight, trained.recall, trained.model, snapshot, state.depths),
                exclude_seen=not state.repeats,
                random_state=settings.random_state,
                n_threads=settings.n_threads,
            )
        gate = None if trained is None else trained.gate
        system, cold_system, verdict = _served_by(gate, settings.gate, popularity_of(state.specs))
        choices = (
            f"clock: {state.facts.clock.kind.value}; {self.holdout}",
            *state.choices,
            "reranker: " + ("none" if trained is None else trained.choice),
            *([] if skew is None else [f"training against serving: {skew}"]),
            verdict,
        )
        for line in choices:
            logger.info(line)
        state = dataclasses.replace(
            state,
            system=system,
            cold_system=cold_system,
            model=None if trained is None else trained.model,
            gate=gate,
            skew=skew,
            choices=choices,
        )
        return state, snapshot


def _served_by(
    gate: GateReport | None, mode: GateMode, popular: str | None
) -> tuple[str, str, str]:
    """What serves users with and without events, and a line that says why."""
    if gate is None:
        cold = popular or FUSION
        return FUSION, cold, f"gate: nothing to learn from; {_serves(FUSION, cold)}"
    system, cold = gate.choose(mode), gate.cold_winner
    against = gate.against[gate.best_first_stage]
    is_tie = against.difference == against.low == against.high == 0  # nothing can be ordered
    if gate.winner != TWO_STAGE and mode == "warn" and not is_tie:
        logger.warning(
            "the second stage is not better than %s on the freshest labels: %s",
            gate.best_first_stage,
            gate,
        )
    return system, cold, f"gate: {gate}; {_serves(system, cold)}"


def _serves(system: str, cold: str) -> str:
    return f"serves {system}, {cold} to users without events"
