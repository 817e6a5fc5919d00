"""The two stages in one object; wiring only."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
import polars as pl

from features.arrays import FrameLike
from features.candidates import Candidates
from features.drift import DriftReport
from features.errors import ConfigError, ModelFormatError, RankerError
from features.history import History
from features.schema import check_interactions, check_is_frame, check_same_schema, time_zone
from features.stage import FeatureStage
from ranker import model_files
from ranker.arguments import check_count, check_flag
from ranker.border import Border, UserIds, check_has_ids, check_same_ids, check_tables
from ranker.budget import choose_depths
from ranker.candidates.base import Generator
from ranker.components import by_name
from ranker.defaults import NCandidates
from ranker.drift import window_drift
from ranker.evaluation.frames import check_pairs
from ranker.explain.asked import asked_pairs
from ranker.explain.explainer import Explainer
from ranker.fitting import Fitting, Settings
from ranker.funnel import FunnelCounts, Headroom
from ranker.grades import Grades
from ranker.heap import give_back_freed
from ranker.holdout import Holdout, n_judging
from ranker.labelling import unseen
from ranker.learned import Learned
from ranker.lists.apply import BoundPolicy
from ranker.lists.effect import NO_POLICY, effect_frame
from ranker.lists.embedding import embeddings, unit_vectors
from ranker.lists.policy import Policy
from ranker.model_files import State
from ranker.negatives import Negatives
from ranker.parallel import map_chunks
from ranker.rerank.gate import TWO_STAGE, GateMode
from ranker.rerank.lambdarank import LambdaRank
from ranker.serving import Asked, Server
from ranker.snapshot import Snapshot
from ranker.staleness import Staleness
from ranker.training import snapshots
from ranker.tuning import tune_reranker
from ranker.versions import load_version, save_version

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TwoStageRecommender(Learned):
    """Candidate generators, features as of an instant, and a LambdaRank reranker.

    Parameters
    ----------
    generators : sequence of (name, Generator) or mapping, optional
        The sources of candidates; the names are yours and appear in frames and reports.
        Default: what suits the data. ``"neural"``: that, and where timestamps only order each
        user's events a network over them besides, which takes minutes and the extra ``neural``:
        :class:`ranker.neural.SequenceHybrid` where items have words, else
        :class:`ranker.neural.SequenceEncoder`.
    features : FeatureStage, optional
        Default: what suits the data, see :meth:`features.stage.FeatureStage.infer`.
    reranker : LambdaRank, optional
    holdout : Holdout, optional
        Where labels come from. Default: windows of time, last interactions or a random part, by
        what the timestamps allow.
    n_windows : int, optional
        How many label windows; only without ``holdout``.
    window_length : str or int, optional
        ``"28d"``, or a whole number on an integer clock; only without ``holdout``.
    n_candidates : int, mapping of source name to int, or "all", optional
        How many items each source may propose to a user. ``"all"``: everybody's candidates are
        the whole catalogue, of 10,000 items at most, and the sources say what they know of it.
    repeats : bool, optional
        Whether items are taken again, so that seen ones may be recommended. Default: what the
        labels show.
    gate : "warn", "fallback" or "blend"
        The second stage is compared with every first stage on the freshest labels, over users
        with events before them. If it is not better by its mean: say so, or serve the better one;
        with ``"blend"`` that, unless the two orders together are better than each alone.
    max_groups : int
        Users of the freshest window to learn from, and of all older ones twice as many, or of all
        random folds three times as many; more are sampled.
    grades : mapping of event name to int, or "weight", optional
        What an event is worth as a label, from 0 (known, but no label) to 30; ``"weight"``: whole
        numbers in the column of that name. ``LambdaRank(label_gain=...)`` says what a grade counts.
        Default: every event is a label, and all are worth the same.
    negatives : Negatives, optional
        Which of the candidates that were not taken to learn from.
    cold_share : float
        Share of the users to learn from once more with a history of 0, 1 or 2 events, so that the
        trees know what to do with new users.
    chunk_size : int
        Users served at a time.
    n_threads : int
        0 = all cores. Lists do not depend on it, nor on ``chunk_size``.
    random_state : int

    Attributes
    ----------
    gate_ : GateReport or None
        None if there was nothing to learn from; then the rank fusion of the sources is served.
    skew_ : SkewReport or None
        Training against serving: recall of the candidates by window, source mix, score drift.
    tuning_ : Tuning
        After :meth:`tune`.
    choices_ : list of str
        What ``fit`` found out and chose, a line each.
    stage_ : FeatureStage
        What describes the candidates; its ``choices`` say why, if there was no wish.
    repeats_ : bool
    sources_ : dict of source name to Generator
        Their parameters, without what they learned.
    depths_ : dict of source name to int
    system_, cold_system_ : str
        What orders the lists of users with and without events.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame(
    ...     {"user_id": [1, 1, 2, 2, 3], "item_id": ["a", "b", "a", "c", "b"],
    ...      "timestamp": [1, 20, 40, 70, 110]}
    ... )
    >>> recommender = TwoStageRecommender(random_state=0).fit(log)
    >>> recommender.recommend([3, 99], k=2).get_column("user_id").to_list()
    [3, 3, 99, 99]
    """

    def __init__(
        self,
        *,
        generators: Sequence[tuple[str, Generator]]
        | Mapping[str, Generator]
        | Literal["neural"]
        | None = None,
        features: FeatureStage | None = None,
        reranker: LambdaRank | None = None,
        holdout: Holdout | None = None,
        n_windows: int | None = None,
        window_length: str | int | None = None,
        n_candidates: NCandidates | None = None,
        repeats: bool | None = None,
        gate: GateMode = "warn",
        max_groups: int = 20_000,
        grades: Grades | None = None,
        negatives: Negatives | None = None,
        cold_share: float = 0.05,
        chunk_size: int = 256,
        n_threads: int = 0,
        random_state: int = 0,
    ) -> None:
        self.generators = generators
        self.features = features
        self.reranker = reranker
        self.holdout = holdout
        self.n_windows = n_windows
        self.window_length = window_length
        self.n_candidates = n_candidates
        self.repeats = repeats
        self.gate = gate
        self.max_groups = max_groups
        self.grades = grades
        self.negatives = negatives
        self.cold_share = cold_share
        self.chunk_size = chunk_size
        self.n_threads = n_threads
        self.random_state = random_state

    @classmethod
    def preset(cls, name: Literal["fast", "balanced", "best"], **keywords: Any) -> Self:
        """A recommender with the settings of a preset; keywords of the constructor override them.

        Parameters
        ----------
        name : "fast", "balanced" or "best"
            ``"fast"`` learns from two windows and few trees, ``"balanced"`` is the default,
            ``"best"`` has ``generators="neural"``, learns from more negatives, and serves the mean
            of three forests of larger trees.
        """
        presets: dict[str, dict[str, Any]] = {
            "fast": {
                "n_windows": 2,
                "n_candidates": 60,
                "reranker": LambdaRank(learning_rate=0.2, n_trees=150, patience=15),
            },
            "balanced": {},
            "best": {
                "generators": "neural",
                "negatives": Negatives(at_most=200),
                "reranker": LambdaRank(n_leaves=31, n_models=3),
            },
        }
        if name not in presets:
            raise ConfigError(f"preset {name!r} is not known; expected one of {sorted(presets)}")
        settings = presets[name] | keywords
        if keywords.get("holdout") is not None:
            # It says how many windows there are, and how long: only the caller's wish contradicts.
            for setting in {"n_windows", "window_length"} - set(keywords):
                settings.pop(setting, None)
        return cls(**settings)

    def fit(
        self,
        interactions: FrameLike,
        *,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
        impressions: FrameLike | None = None,
    ) -> Self:
        """Learn from a log.

        Parameters
        ----------
        interactions : DataFrame or LazyFrame
            ``user_id``, ``item_id``, optional ``timestamp``, ``weight``, ``event``; see
            :func:`features.schema.check_interactions`.
        items, users : DataFrame or LazyFrame, optional
            Attributes. Items and users of the tables are known also without any event.
        impressions : DataFrame or LazyFrame, optional
            What was shown, taken or not: ``user_id``, ``item_id``, ``timestamp``, ``position`` (1 =
            first). LambdaRank then learns how much a position attracts by itself and leaves that
            out of the scores (unbiased learning to rank, as LightGBM has it).

        Returns
        -------
        self

        Raises
        ------
        SchemaError
            With every problem of a frame.
        ConfigError
            If parameters contradict each other or the data.
        """
        fitting = Fitting.begin(Settings.of(self), interactions, items, users)
        self._serve(*fitting.train(impressions))
        del fitting
        give_back_freed()
        return self

    def tune(
        self,
        interactions: FrameLike,
        path: str | Path,
        *,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
        impressions: FrameLike | None = None,
        seconds: float = 600,
        n_trials: int | None = None,
    ) -> Self:
        """Search for better settings of the reranker, for the next :meth:`fit` of this log.

        The label windows are made once; every trial learns from the older ones and is judged on the
        freshest. ``reranker`` becomes what was best, ``tuning_`` tells what was found. Needs the
        extra ``tune``.

        Parameters
        ----------
        interactions, items, users, impressions
            As in :meth:`fit`; positions are known to ``objective="lambdarank"`` alone, which all
            trials then have.
        path : str or Path
            A file that takes each trial as a line of JSON; a search that is called again with the
            same file and data goes on from there.
        seconds : float
            No trial is begun after so many, counted from the first.
        n_trials : int, optional
            At most so many, those in the file included.

        Returns
        -------
        self

        Raises
        ------
        MissingExtraError
            If Optuna is not installed.
        ConfigError
            If there are no labels to judge by, or the file is of another search.
        """
        fitting = Fitting.begin(Settings.of(self), interactions, items, users)
        windows = fitting.label(impressions)
        split = windows.split()
        if split is None:
            raise ConfigError(f"there are no labels to tune by: {fitting.why_no_trees}")
        self._tuning = tune_reranker(
            self.reranker or LambdaRank(),
            *split,
            windows.names,
            path=Path(path),
            seconds=seconds,
            n_trials=n_trials,
            random_state=self.random_state,
            n_threads=self.n_threads,
        )
        del fitting, windows, split
        give_back_freed()
        logger.info("tuning: %s", self._tuning)
        self.reranker = self._tuning.best
        return self

    def refresh(
        self,
        new_interactions: FrameLike,
        *,
        items: FrameLike | None = None,
        users: FrameLike | None = None,
        sources: Literal["update", "fit"] = "update",
    ) -> Self:
        """Serve from a new snapshot with more events in it; the reranker stays as it is.

        Parameters
        ----------
        new_interactions : DataFrame or LazyFrame
            Events to add, of old and new users and items; with the columns of the fit. A frame
            without rows is allowed here.
        items, users : DataFrame or LazyFrame, optional
            Attribute tables in place of those given before, with the same columns. Values that
            were not there before are no matter.
        sources : "update" or "fit"
            ``"update"``: each source takes in what is new and keeps the rest, as its
            :meth:`~ranker.candidates.base.Generator.refreshed` says: factors of matrices and
            weights of networks move away from those of a new fit, all else is the same but for
            rounding. All are fitted anew if the tables lack items or users that they had.
            ``"fit"``: all are fitted on all events. With either the length of the log, whose shares
            open half-lives and windows are, and the names of events stay those of the fit.

        Raises
        ------
        SchemaError
            With every column that is missing or of another kind than at the fit.
        ConfigError
            If there would be other features than those that the reranker knows.
        """
        if sources not in ("update", "fit"):
            raise ConfigError(f"sources={sources!r}; expected 'update' or 'fit'")
        state = self._fitted()
        check_is_frame(new_interactions, "new_interactions")
        given = new_interactions.lazy().collect()
        new = state.log.clear()
        if given.height or not set(new.columns) <= set(given.columns):
            new = check_interactions(given, "new_interactions")
        zone = time_zone(given.schema)
        state.facts.clock.check("new_interactions", new, zone=zone)
        if set(new.columns) != set(state.log.columns):
            raise ConfigError(
                f"new_interactions have the columns {sorted(new.columns)}, the model was fitted "
                f"with {sorted(state.log.columns)}; give the same ones"
            )
        check_same_ids(new_interactions=new, interactions=state.log)
        log = pl.concat([state.log, new.select(state.log.columns).cast(state.log.schema)])
        tables = check_tables(log, items, users, zone=state.facts.clock.zone)
        state = dataclasses.replace(
            state,
            log=log,
            items=_in_place_of("items", state.items, tables[0]),
            users=_in_place_of("users", state.users, tables[1]),
        )
        former = self._server.snapshot.taught if sources == "update" else None
        snapshot = state.snapshot(label="what is new", former=former)
        if state.model is not None and snapshot.tables.names != state.model.names:
            others = sorted({*snapshot.tables.names} ^ {*state.model.names})
            raise ConfigError(
                f"with these tables there would be other features than those of the fit, such as "
                f"{others[:3]}; give the tables that were there, or fit again"
            )
        served = self._state, self._server.snapshot
        self._serve(state, snapshot)
        try:
            self._try_out()
        except Exception:
            self._serve(*served)
            raise
        del served, former
        give_back_freed()
        if logger.isEnabledFor(logging.INFO):
            logger.info("refreshed: %s", self.staleness)
        return self

    def recommend(
        self,
        user_ids: UserIds | None = None,
        *,
        histories: FrameLike | None = None,
        k: int = 10,
        exclude_seen: bool | None = None,
        system: str | None = None,
        policy: Policy | None = None,
    ) -> pl.DataFrame:
        """Final lists.

        Parameters
        ----------
        user_ids : Series or sequence, optional
            Whom to serve, known or not; a user without events gets the cold-start list. Repeated
            ids are served once. Default: everybody who is known.
        histories : DataFrame or LazyFrame, optional
            Instead of ids: interactions that are all that is to be known of their users (a
            session, a new user). Nothing is fitted; events with unknown items are left out, and a
            user with no others gets the cold-start list. Users come in ascending order.
        k : int
            Length of a list. It is exactly this long, unless the catalogue has no more items that
            may be shown.
        exclude_seen : bool, optional
            Leave out what the user took before. Default: unless items are taken again.
        system : str, optional
            ``"two-stage"``, ``"fusion"`` or the name of a source, for comparisons. Default: what
            the gate lets through.
        policy : Policy, optional
            Rules, diversity and exploration, see :class:`ranker.lists.Policy`. Its rules win
            over ``k``.

        Returns
        -------
        DataFrame
            One row per user and rank: user_id, item_id (in the caller's dtypes), rank (Int64,
            1 = best), score (Float32, comparable within a user only, and descending within a user
            unless a policy chose another order; null for items that no source proposed), and,
            where the policy explores, propensity (Float64, see :class:`ranker.lists.Explore`).

        Raises
        ------
        ConfigError, SchemaError
            If the policy does not fit the data, or asks for more than ``k`` places.
        """
        self._fitted()
        asked = [Asked(system, self._bind(policy, k))]
        return self._lists(user_ids, histories, k, exclude_seen, asked)[0]

    def recommend_by_system(
        self,
        user_ids: UserIds | None = None,
        *,
        histories: FrameLike | None = None,
        k: int = 10,
        exclude_seen: bool | None = None,
    ) -> dict[str, pl.DataFrame]:
        """Lists by every source alone, by their rank fusion and by the two stages.

        All from the same candidates, for :func:`ranker.compare`. Parameters and frames as in
        :meth:`recommend`.
        """
        self._fitted()
        systems = self._server.systems
        lists = self._lists(user_ids, histories, k, exclude_seen, list(map(Asked, systems)))
        return dict(zip(systems, lists, strict=True))

    def policy_effect(
        self,
        policy: Policy | Mapping[str, Policy],
        test: FrameLike,
        *,
        k: int = 10,
        embedding: str | None = None,
        exclude_seen: bool | None = None,
    ) -> pl.DataFrame:
        """What each step of a policy costs and brings, over the users of a test set.

        Parameters
        ----------
        policy : Policy, or mapping of name to Policy
            Of one: its first step, its first two, and so on. Of several: each as it is.
        test : DataFrame or LazyFrame
            ``user_id``, ``item_id``.
        k : int
        embedding : str, optional
            A source with vectors, or a column of embeddings: how unlike each other the items of a
            list are by it is told too, as ``distance``.
        exclude_seen : bool, optional
            As in :meth:`recommend`.

        Returns
        -------
        DataFrame
            The first row is without policy, then one per step or policy: step, ndcg, change,
            change_low, change_high (of NDCG@k against the row above, or, of several policies,
            against the first row; paired 95 % interval), coverage, novelty (bits), distance,
            length (items a list); see :func:`ranker.lists.effect.effect_frame`.
        """
        log = self._fitted().log
        pairs = check_pairs(test, table="test")
        check_same_ids(test=pairs, interactions=log)
        exclude = self._excludes_seen(exclude_seen)
        named = dict(policy) if isinstance(policy, Mapping) else _by_last_step(policy)
        if NO_POLICY in named:
            raise ConfigError(f"policy: {NO_POLICY!r} is what the first row is called; rename it")
        asked = [Asked(), *(Asked(policy=self._bind(one, k)) for one in named.values())]
        users = pairs["user_id"].unique().sort()
        lists = self._lists(users, None, k, exclude, asked)
        vectors = None
        if embedding is not None:
            context = self._server.context(self._fitted().random_state)
            items = self._server.snapshot.history.items.values
            vectors = items, unit_vectors(context, "policy_effect", embedding)
        return effect_frame(
            dict(zip([NO_POLICY, *named], lists, strict=True)),
            pairs,
            log,
            k=k,
            against="first" if isinstance(policy, Mapping) else "previous",
            exclude_seen=exclude,
            embedding=vectors,
        )

    def generate_candidates(
        self,
        user_ids: UserIds | None = None,
        *,
        histories: FrameLike | None = None,
        exclude_seen: bool | None = None,
    ) -> pl.DataFrame:
        """What the sources propose: user_id, item_id, <source>_score, <source>_rank, n_sources.

        Scores and ranks (1 = best) are null where a source is silent. Parameters as in
        :meth:`recommend`.
        """
        self._fitted()
        exclude = self._excludes_seen(exclude_seen)
        frames = self._map(
            self._border.asked(user_ids, histories),
            lambda part: self._server.candidates(part, exclude_seen=exclude).frame(),
            "candidates",
        )
        return self._border.for_caller(pl.concat(frames))

    def build_features(
        self, candidates: FrameLike, *, histories: FrameLike | None = None
    ) -> pl.DataFrame:
        """The feature table of candidates: user_id, item_id, Float32 columns; null = unknown.

        Parameters
        ----------
        candidates : DataFrame or LazyFrame
            From :meth:`generate_candidates`, whole lists: some features compare a candidate with
            the others of its user.
        histories : DataFrame or LazyFrame, optional
            What was given there.
        """
        state, snapshot = self._fitted(), self._server.snapshot
        candidates = check_has_ids(candidates, "candidates")
        users = state.user_dtype.canonical(candidates["user_id"], "user_id")
        items = state.item_dtype.canonical(candidates["item_id"], "item_id")
        history = self._border.histories_of(users, histories)
        rows = Candidates.from_frame(
            candidates.with_columns(users, items),
            users=history.users,
            items=history.items,
            sources=tuple(snapshot.generators),
        )
        return self._border.for_caller(snapshot.tables.frame(history, rows))

    def describe_features(self) -> pl.DataFrame:
        """One row per column of :meth:`build_features`: name, family, unit, meaning."""
        self._fitted()
        return self._server.snapshot.tables.describe()

    def feature_importances(self) -> pl.DataFrame:
        """What the trees split on: name, family, gain; the largest first.

        Returns
        -------
        DataFrame
            One row per feature. ``gain`` (Float64, from 0 to 1) is its share of what all splits
            gained in training, so that those of a family can be added up.

        Raises
        ------
        NotFittedError
            If there is no second stage.
        """
        model = self._trees()
        gain = model.importance()
        total = max(float(gain.sum()), 1e-30)
        split_on = pl.DataFrame({"name": model.names, "gain": gain / total})
        described = self.describe_features().select("name", "family")
        return described.join(split_on, on="name", maintain_order="left").sort(
            "gain", "name", descending=[True, False]
        )

    def score(self, table: FrameLike) -> pl.DataFrame:
        """Score a feature table: user_id, item_id, score (Float32), in the order of its rows.

        Columns are taken by name, so that their order does not matter.

        Raises
        ------
        SchemaError, ConfigError
            If columns of ids, or features, are missing.
        NotFittedError
            If there is no second stage.
        """
        model = self._trees()
        table = check_has_ids(table, "features")
        missing = [name for name in model.names if name not in table.columns]
        if missing:
            raise ConfigError(
                f"the feature table lacks {len(missing)} columns, such as {missing[:3]}; build it "
                f"with build_features of this recommender"
            )
        for name in model.names:
            if not table.schema[name].is_numeric() and table.schema[name] not in (
                pl.Boolean,
                pl.Null,
            ):
                raise ConfigError(
                    f"{name} of the feature table is {table.schema[name]}; expected numbers, as "
                    f"build_features of this recommender has them"
                )
        matrix = table.select(pl.col(model.names).cast(pl.Float32).fill_null(np.nan)).to_numpy()
        scores = model.predict(np.ascontiguousarray(matrix), n_threads=self.n_threads)
        return table.select("user_id", "item_id").with_columns(pl.Series("score", scores))

    def explain(
        self,
        users: Any = None,
        item_ids: UserIds | None = None,
        *,
        histories: FrameLike | None = None,
        k: int = 10,
        exclude_seen: bool | None = None,
        verb: str = "taken",
    ) -> pl.DataFrame:
        """Why items are recommended; see :meth:`ranker.explain.explainer.Explainer.explain`.

        Parameters
        ----------
        users : id, Series or sequence of ids, DataFrame or LazyFrame
            A user, several, or a frame with the columns ``user_id`` and ``item_id``, such as
            :meth:`recommend` returns. Default, beside ``histories``: all of these.
        item_ids : Series or sequence, optional
            Of a single user. Default: the users' lists.
        histories : DataFrame or LazyFrame, optional
            What was given to :meth:`recommend`.
        k : int
            Length of the lists. Rows of a frame are compared with what was proposed for such.
        exclude_seen : bool, optional
            As in :meth:`recommend`, which it has to be the same as.
        verb : str
            What users do with items, as the sentences say it: a participle, such as ``"bought"``,
            ``"read"``, ``"played"``.

        Returns
        -------
        DataFrame
            One row per pair, in the order of the lists or the frame: user_id, item_id, score,
            source, rank, n_sources, ``<family>_effect`` each, reason. Where the trees did not order
            the list (the gate chose another system, or there are none) score and effects are null.

        Raises
        ------
        ConfigError
            If an item is not in the catalogue, or it is not clear whose items are meant.
        """
        state, snapshot = self._fitted(), self._server.snapshot
        check_count(k=k)
        said: object = verb
        if not isinstance(said, str) or not said:
            raise ConfigError(f'verb={verb!r}; expected a participle as text, such as "bought"')
        exclude = self._excludes_seen(exclude_seen)
        pairs = asked_pairs(
            users,
            item_ids,
            lambda some: self.recommend(
                some if histories is None else None,
                histories=histories,
                k=k,
                exclude_seen=exclude,
            ),
            state.user_dtype,
            state.item_dtype,
        )
        item = snapshot.history.items.encode(pairs["item_id"])
        if (item < 0).any():
            unknown = pairs["item_id"].filter(pl.Series(item < 0)).head(3).to_list()
            raise ConfigError(f"items {unknown} are not in the catalogue of this model")
        history = self._border.histories_of(pairs["user_id"], histories)
        has_events = history.lengths > 0
        return self._border.for_caller(
            self._explainer.explain(
                history,
                history.users.encode(pairs["user_id"]),
                item,
                propose=lambda some: self._server.candidates(some, exclude_seen=exclude, k=k),
                by_trees=np.where(has_events, state.system, state.cold_system) == TWO_STAGE,
                verb=verb,
                chunk_size=snapshot.chunk_size(self.chunk_size),
                n_threads=self.n_threads,
            )
        )

    @cached_property
    def _explainer(self) -> Explainer:
        state = self._fitted()
        return Explainer.of(self._server.snapshot, state.model, state.known_items)

    def funnel(self, test: FrameLike, *, exclude_seen: bool | None = None) -> pl.DataFrame:
        """Where the relevant items of a test set get lost.

        Parameters
        ----------
        test : DataFrame or LazyFrame
            ``user_id``, ``item_id``; where seen items are excluded, they are no relevant ones.
        exclude_seen : bool, optional
            As in :meth:`recommend`.

        Returns
        -------
        DataFrame
            One row per stage (each source, their union, the final list) and depth: stage, depth,
            recall (mean over users), found and lost (numbers of relevant items), adds (of those
            found, which no other source proposes at all: what the union would lose) and seconds
            (what the source took at full depth, on all threads together); null where the stage is
            no source.
        """
        log = self._fitted().log
        exclude = self._excludes_seen(exclude_seen)
        relevant = check_pairs(test, table="test").unique()
        check_same_ids(test=relevant, interactions=log)
        if exclude:
            relevant = unseen(relevant, self._server.snapshot.history)
        if not relevant.height:
            raise ConfigError(
                "test holds nothing but what its users took before; give later rows, or "
                "exclude_seen=False, so that they count"
            )
        counts = FunnelCounts(list(self.depths_))
        users = self._server.snapshot.history.select(relevant["user_id"].unique().sort())
        for part in self._map(
            users, lambda part: self._server.hits(part, relevant, exclude_seen=exclude), "funnel"
        ):
            counts.add(part)
        return counts.frame(self.depths_)

    def headroom(
        self, test: FrameLike, *, k: int = 10, exclude_seen: bool | None = None
    ) -> pl.DataFrame:
        """What a perfect order of the candidates would score, and where the rest is lost.

        Parameters
        ----------
        test : DataFrame or LazyFrame
            ``user_id``, ``item_id``; all of it counts, items that the user had before included.
        k : int
            Length of the list.
        exclude_seen : bool, optional
            As in :meth:`recommend`.

        Returns
        -------
        DataFrame
            One row per stage, each made of what the one before left: all relevant items, those not
            filtered (where lists leave out what the user had before), those
            retrieved by some source, all three in perfect order, and the list as it is served
            before it is filled up. Columns: stage, ndcg (at k, mean over users, always divided by
            what all relevant items would give), loss (of NDCG, to the row above; the losses and
            the last NDCG add up to 1), why (filtered, not retrieved, badly ranked) and n_items
            (relevant items left; of the list, within its first k).
        """
        check_count(k=k)
        wanted = check_pairs(test, table="test").unique()
        check_same_ids(test=wanted, interactions=self._fitted().log)
        exclude = self._excludes_seen(exclude_seen)
        relevant = unseen(wanted, self._server.snapshot.history) if exclude else wanted
        headroom = Headroom(k)
        users = self._server.snapshot.history.select(wanted["user_id"].unique().sort())
        n_wanted = wanted.group_by("user_id").len()
        for hits in self._map(
            users,
            lambda part: self._server.hits(part, relevant, exclude_seen=exclude, k=k),
            "headroom",
        ):
            own = hits.candidates.users.values.rename("user_id").to_frame()
            n = own.join(n_wanted, on="user_id", how="left", maintain_order="left")["len"]
            headroom.add(hits, n.cast(pl.Int64).to_numpy())
        return headroom.frame()

    def choose_depths(self, total: int = 300, *, deepest: int = 500) -> dict[str, int]:
        """How many items to ask each source for, if each user may have so many in all.

        The sources are fitted on what was known before the freshest labels, and the budget goes
        step by step to the source that finds most of what the others did not.

        Parameters
        ----------
        total : int
            Sum of the depths, at most: where more would find nothing, it is not spent.
        deepest : int
            No source is asked for more.

        Returns
        -------
        dict of source name to int
            For ``n_candidates`` of a new recommender.

        Raises
        ------
        ConfigError
            If the log has no labels, or no source finds any.
        """
        state = self._fitted()
        check_count(total=total, deepest=deepest)
        folds = Settings.of(self).folds(state.log, state.facts)
        if not folds:
            raise ConfigError("the log has no labels to choose depths by; give n_candidates")
        depths = choose_depths(
            state.snapshot(folds[0], "freshest window"),
            folds[0].labels,
            total=total,
            deepest=deepest,
            repeats=state.repeats,
            max_groups=self.max_groups,
            random_state=self.random_state,
            n_threads=self.n_threads,
        )
        logger.info("depths for %d candidates: %s", total, depths)
        return depths

    def drift(self, n_users: int = 500) -> DriftReport:
        """Whether the features still look as they did when the reranker learned from them.

        The label windows of the fit are looked at again, hence the sources fitted on each of them,
        and compared with what is served, which a :meth:`refresh` may have changed since.

        Parameters
        ----------
        n_users : int
            Of each window and of now, whose lists are compared.

        Returns
        -------
        DriftReport
            ``print(report)`` names the worst features, ``report.features`` has them all.

        Raises
        ------
        ConfigError
            If the log has no label windows.
        """
        state = self._fitted()
        check_count(n_users=n_users)
        settings = Settings.of(self)
        folds = settings.folds(state.log.head(state.n_trained), state.facts)
        if not folds:
            raise ConfigError("the log has no label windows to compare with")
        n_validation = n_judging(settings.choose_holdout(state.facts), len(folds))
        return window_drift(
            (snapshot for _, _, snapshot in snapshots(folds, state.snapshot, n_validation)),
            self._server.snapshot,
            state.depths,
            exclude_seen=not state.repeats,
            n_users=n_users,
            random_state=self.random_state,
            n_threads=self.n_threads,
        )

    def save(self, path: str | Path, *, keep: int = 2) -> None:
        """Save to a directory: JSON, npz, Parquet and text, with checksums.

        Whoever loads from there meanwhile gets the model before or this one, whole. Former ones
        stand beside it, for :func:`ranker.rollback`. What is no model is never replaced.

        Parameters
        ----------
        path : str or Path
        keep : int
            How many models the directory keeps, this one included.

        Raises
        ------
        ModelFormatError
            If something that is no model of ours stands at the path.
        ConfigError
            If nothing can be written there.
        """
        files, settings = model_files.to_files(self._fitted(), self._server.snapshot)
        settings |= {"recommender": Settings.of(self).to_json()}
        save_version(path, files, settings, fingerprint=self.fingerprint, keep=keep)

    @classmethod
    def load(cls, path: str | Path, *, custom: Iterable[Callable[..., Any]] = ()) -> Self:
        """Load a saved recommender; nothing is unpickled and no code is looked up by name.

        Parameters
        ----------
        path : str or Path
            Where it was saved: the current version is loaded; or one of ``path/versions``.
        custom : iterable of type or function
            Classes of your own generators and blocks, and functions of :class:`CustomBlock`, if
            the model has some: they are found by name, and have to be the same as when it was
            fitted.

        Raises
        ------
        ModelFormatError
            If anything is missing, changed, or of another version.
        """
        own = by_name(custom)
        files, settings = load_version(path)
        state, snapshot = model_files.from_files(files, settings, own)
        recommender = cls(**Settings.from_json(settings.get("recommender"), own).keywords())
        recommender._serve(state, snapshot)
        recommender._try_out()
        return recommender

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that makes the lists, 64 hexadecimal digits."""
        return model_files.fingerprint(self._fitted(), self._server.snapshot)

    @property
    def as_of(self) -> dt.datetime | int | None:
        """The instant that the served snapshot stands at; None without a common clock."""
        state = self._fitted()
        return None if state.as_of is None else state.facts.clock.instant(state.as_of)

    @property
    def staleness(self) -> Staleness:
        """How much has happened since the reranker learned."""
        state = self._fitted()
        return Staleness.of(state.log, state.n_trained, state.facts.clock)

    @property
    def embeddings(self) -> list[str]:
        """What MMR and DPP can go by: sources with vectors, then columns of the item table."""
        state = self._fitted()
        return embeddings(self._server.context(state.random_state))

    @property
    def user_ids(self) -> pl.Series:
        """Everybody who is known, ascending."""
        users = self._fitted().user_dtype.restore(self._server.snapshot.history.users.values)
        return users.rename("user_id")

    def _serve(self, state: State, snapshot: Snapshot) -> None:
        self._state = state
        self._border = Border.of(snapshot.history, state.user_dtype, state.item_dtype)
        self.__dict__.pop("_explainer", None)  # it spoke of the snapshot before
        self._bound: BoundPolicy | None = None
        blend = None if state.gate is None else state.gate.blend
        self._server = Server(
            snapshot, state.model, state.depths, state.system, state.cold_system, blend
        )

    def _try_out(self) -> None:
        # Classes check their parameters in a fit, and trust them afterwards: a list of somebody
        # tells now, and not when users come, whether those from a file can be served with.
        try:
            self.recommend(self.user_ids.head(1), k=1)
        except RankerError:
            raise
        except (Exception, pl.exceptions.PanicException) as error:
            raise ModelFormatError(f"the model cannot make a list: {error!r}") from error

    def _excludes_seen(self, exclude_seen: bool | None) -> bool:
        check_flag(exclude_seen=exclude_seen)
        return not self.repeats_ if exclude_seen is None else exclude_seen

    def _bind(self, policy: Policy | None, k: int) -> BoundPolicy | None:
        if policy is None:
            return None
        if not isinstance(policy, Policy):
            raise ConfigError(f"policy={policy!r}; expected ranker.lists.Policy([step, ...])")
        check_count(k=k)
        policy.check_length(k)
        # Of the one that was served last all is looked up already: users may come one by one.
        if self._bound is None or self._bound.policy is not policy:
            self._bound = BoundPolicy.of(policy, self._server.context(self._fitted().random_state))
        return self._bound

    def _map(self, history: History, work: Callable[[History], T], label: str) -> list[T]:
        if not history.n_users:
            return [work(history)]
        return list(
            map_chunks(
                lambda _, part: work(part),
                history,
                self._server.snapshot.chunk_size(self.chunk_size),
                self.n_threads,
                description=label,
            )
        )

    def _lists(
        self,
        user_ids: UserIds | None,
        histories: FrameLike | None,
        k: int,
        exclude_seen: bool | None,
        asked: Sequence[Asked],
    ) -> list[pl.DataFrame]:
        self._fitted()
        check_count(k=k)
        for one in asked:
            if one.system is not None and one.system not in self._server.systems:
                raise ConfigError(
                    f"system {one.system!r} is not known; expected one of {self._server.systems}"
                )
        exclude = self._excludes_seen(exclude_seen)
        parts = self._map(
            self._border.asked(user_ids, histories),
            lambda part: self._server.lists(part, k, exclude_seen=exclude, asked=asked),
            "recommend",
        )
        return [self._border.for_caller(pl.concat(frames)) for frames in zip(*parts, strict=True)]


def _in_place_of(
    table: str, old: pl.DataFrame | None, new: pl.DataFrame | None
) -> pl.DataFrame | None:
    if new is None:
        return old
    return new if old is None else check_same_schema(table, new, old)


def _by_last_step(policy: Policy) -> dict[str, Policy]:
    """The first step of a policy, the first two and so on, each named by the last of them."""
    if not isinstance(policy, Policy):
        raise ConfigError(f"policy={policy!r}; expected ranker.lists.Policy([step, ...])")
    return {f"{n}. {one.steps[-1]}": one for n, one in enumerate(policy.prefixes(), start=1)}
