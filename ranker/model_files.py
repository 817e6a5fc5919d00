"""A fitted recommender's state as files and settings, and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import polars.selectors as cs

from features.clock import Clock, ClockKind
from features.encode import encode
from features.errors import MissingExtraError, ModelFormatError
from features.history import LogFacts
from features.schema import check_interactions, check_items, check_users
from features.stage import FeatureStage
from features.versions import as_known
from ranker.arguments import plain_number
from ranker.candidates.base import Generator
from ranker.candidates.restored import check_restored
from ranker.components import check_names, from_json, is_ours, to_json
from ranker.evaluation.intervals import PairedInterval
from ranker.holdout import Fold
from ranker.id_dtype import IdDtype
from ranker.persistence import (
    arrays_to_bytes,
    bytes_to_arrays,
    bytes_to_frame,
    frame_to_bytes,
)
from ranker.rerank.blend import BLEND, Blend
from ranker.rerank.first_stage import FUSION
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.gate import TWO_STAGE, GateReport, Segment
from ranker.skew import SkewReport
from ranker.snapshot import Snapshot, Taught, seed_of


@dataclass(frozen=True)
class State:
    """All that a fit leaves behind.

    Attributes
    ----------
    log : DataFrame
        Canonical interactions.
    items, users : DataFrame or None
        Attribute tables.
    facts : LogFacts
    user_dtype, item_dtype : IdDtype
    stage : FeatureStage
    specs : dict of name to Generator
        The generators' parameters, without what they learned.
    depths : dict of name to int
    every_item : bool
        The whole catalogue is proposed to everybody.
    repeats : bool
    system, cold_system : str
    model : FittedLambdaRank or None
    gate : GateReport or None
    skew : SkewReport or None
    choices : tuple of str
    random_state : int
    n_trained : int
        Of the log, the first so many events were those of the fit.
    """

    log: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    facts: LogFacts
    user_dtype: IdDtype
    item_dtype: IdDtype
    stage: FeatureStage
    specs: dict[str, Generator]
    depths: dict[str, int]
    every_item: bool
    repeats: bool
    system: str
    cold_system: str
    model: FittedLambdaRank | None
    gate: GateReport | None
    skew: SkewReport | None
    choices: tuple[str, ...]
    random_state: int
    n_trained: int

    @property
    def as_of(self) -> int | None:
        """The tick after the last event; None without a clock that compares users."""
        clock = self.facts.clock
        if not clock.is_comparable:
            return None
        return int(clock.ticks(self.log["timestamp"]).max()) + clock.step

    @property
    def known_items(self) -> pl.DataFrame | None:
        """The attributes of items as of the end of the log, a row per item."""
        if self.items is None:
            return None
        return as_known(self.items, "item_id", as_of=self.as_of, clock=self.facts.clock)

    def snapshot(
        self,
        fold: Fold | None = None,
        label: str = "everything",
        former: Taught | None = None,
    ) -> Snapshot:
        """Fit the generators on what a fold of the log knows, by default on all of it.

        Those among ``former``, who learned from fewer events, take in what is new.
        """
        log, as_of = (self.log, self.as_of) if fold is None else (fold.history, fold.as_of)
        return Snapshot.build(
            log,
            as_of=as_of,
            facts=self.facts,
            generators=self.specs,
            stage=self.stage,
            items=self.items,
            users=self.users,
            every_item=self.every_item,
            random_state=self.random_state,
            label=label,
            former=former,
        )


def to_files(state: State, snapshot: Snapshot) -> tuple[dict[str, bytes], dict[str, Any]]:
    """File contents by name, and settings that JSON can hold."""
    files = {"interactions.parquet": frame_to_bytes(state.log)}
    for name, table in (("items", state.items), ("users", state.users)):
        if table is not None:
            files[f"{name}.parquet"] = frame_to_bytes(table)
    for index, generator in enumerate(snapshot.generators.values()):
        files[f"generator-{index}.npz"] = arrays_to_bytes(generator.arrays())
    if state.model is not None:
        files["reranker.txt"] = state.model.text.encode()
    return files, _settings(state, snapshot)


def _settings(state: State, snapshot: Snapshot) -> dict[str, Any]:
    check_names([state.stage, *state.specs.values()])
    return {
        "facts": {
            "clock": state.facts.clock.kind.value,
            "is_date": state.facts.clock.is_date,
            "span": state.facts.span,
            "event_names": list(state.facts.event_names),
            # Named where there is one: models from before it was known are as they were.
            **({} if state.facts.clock.zone is None else {"zone": state.facts.clock.zone}),
        },
        "user_dtype": state.user_dtype.to_json(),
        "item_dtype": state.item_dtype.to_json(),
        "features": to_json(state.stage),
        "feature_names": list(snapshot.tables.names),
        # Pairs, since the order of the sources is the order of their columns.
        "generators": [[name, to_json(spec)] for name, spec in state.specs.items()],
        "depths": state.depths,
        "every_item": state.every_item,
        "repeats": state.repeats,
        "system": state.system,
        "cold_system": state.cold_system,
        "gate": None if state.gate is None else dataclasses.asdict(state.gate),
        "skew": None if state.skew is None else dataclasses.asdict(state.skew),
        "choices": list(state.choices),
        "random_state": state.random_state,
        "n_trained": state.n_trained,
    }


def from_files(
    files: dict[str, bytes], settings: dict[str, Any], own: Mapping[str, Callable[..., Any]]
) -> tuple[State, Snapshot]:
    """Undo :func:`to_files`; ``own`` has the caller's classes and functions by name.

    Raises
    ------
    ModelFormatError
        If something is missing or does not fit together.
    """
    try:
        return _from_files(files, settings, own)
    except (ModelFormatError, MissingExtraError):
        raise
    # Whatever values of another kind lead to: settings are those of classes that trust them.
    except Exception as error:
        raise ModelFormatError(f"the model's files do not fit together: {error!r}") from error


def _from_files(
    files: dict[str, bytes], settings: dict[str, Any], own: Mapping[str, Callable[..., Any]]
) -> tuple[State, Snapshot]:
    facts, gate = settings["facts"], settings["gate"]
    names = tuple(settings["feature_names"])
    log = check_interactions(bytes_to_frame(files["interactions.parquet"]))
    state = State(
        log=log,
        items=check_items(bytes_to_frame(files["items.parquet"]))
        if "items.parquet" in files
        else None,
        users=check_users(bytes_to_frame(files["users.parquet"]))
        if "users.parquet" in files
        else None,
        facts=LogFacts(
            Clock(ClockKind(facts["clock"]), is_date=facts["is_date"], zone=facts.get("zone")),
            facts["span"],
            tuple(facts["event_names"]),
        ),
        user_dtype=IdDtype.from_json(settings["user_dtype"]),
        item_dtype=IdDtype.from_json(settings["item_dtype"]),
        stage=from_json(settings["features"], own),
        specs={name: from_json(spec, own) for name, spec in settings["generators"]},
        depths={name: int(settings["depths"][name]) for name, _ in settings["generators"]},
        every_item=settings["every_item"],
        repeats=settings["repeats"],
        system=settings["system"],
        cold_system=settings["cold_system"],
        model=(
            FittedLambdaRank(files["reranker.txt"].decode(), names)
            if "reranker.txt" in files
            else None
        ),
        gate=None if gate is None else _gate(gate),
        skew=None if settings["skew"] is None else SkewReport(**settings["skew"]),
        choices=tuple(settings["choices"]),
        random_state=settings["random_state"],
        n_trained=settings["n_trained"],
    )
    history, items, users = encode(
        state.log, as_of=state.as_of, facts=state.facts, items=state.items, users=state.users
    )
    generators = {
        name: spec.unfitted(seed_of(name, state.random_state)).restore(
            bytes_to_arrays(files[f"generator-{index}.npz"])
        )
        for index, (name, spec) in enumerate(state.specs.items())
    }
    for name, generator in generators.items():
        if is_ours(generator):
            check_restored(name, generator.arrays(), history.n_items)
    snapshot = Snapshot.assemble(
        *(history, generators, state.stage),
        items=items,
        users=users,
        every_item=state.every_item,
    )
    systems = {*state.specs, FUSION} | ({TWO_STAGE} if state.model is not None else set())
    if state.model is not None and state.gate is not None and state.gate.blend is not None:
        systems.add(BLEND)
    if not {state.system, state.cold_system} <= systems:
        raise ModelFormatError(
            f"the model serves {state.system!r} and {state.cold_system!r}, which are none of its "
            f"systems {sorted(systems)}"
        )
    if snapshot.tables.names != names:
        raise ModelFormatError("this version computes other features than the model was fitted on")
    return state, snapshot


def _gate(values: dict[str, Any]) -> GateReport:
    segments = {
        name: Segment(**segment | {"against": _intervals(segment["against"])})
        for name, segment in values["segments"].items()
    }
    blend = values["blend"]
    return GateReport(
        **values
        | {
            "against": _intervals(values["against"]),
            "segments": segments,
            "blend": None if blend is None else Blend(**blend),
        }
    )


def _intervals(pairs: dict[str, dict[str, float]]) -> dict[str, PairedInterval]:
    return {name: PairedInterval(**pair) for name, pair in pairs.items()}


def fingerprint(state: State, snapshot: Snapshot) -> str:
    """SHA-256 of everything that makes the lists, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    settings = json.dumps(_settings(state, snapshot), sort_keys=True, default=plain_number)
    digest.update(settings.encode())
    history = snapshot.history
    for ids in (history.users.values, history.items.values):
        digest.update("\n".join(map(str, ids)).encode())
    for array in (history.indptr, history.item, history.time, history.weight, history.event):
        digest.update(array.tobytes())
    for table in (snapshot.items, snapshot.users):
        if table is not None:
            digest.update(_canonical_text(table))
    for generator in snapshot.generators.values():
        for array in generator.arrays().values():
            digest.update(array.tobytes())
    if state.model is not None:
        digest.update(state.model.text.encode())
    return digest.hexdigest()


def _canonical_text(table: pl.DataFrame) -> bytes:
    """A table as text, whatever the order of its columns, its chunks or its categories' codes."""
    table = table.select(sorted(table.columns))
    schema = ", ".join(f"{name}: {dtype}" for name, dtype in table.schema.items())
    # Of a column of bytes Polars 2.1 writes no JSON, and panics.
    text = table.with_columns(cs.binary().bin.encode("hex")).write_ndjson()
    return f"{schema}\n{text}".encode()
