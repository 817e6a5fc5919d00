"""What a recommender knows once it is fitted, as attributes whose names end in an underscore."""

from __future__ import annotations

from features.errors import NotFittedError
from features.stage import FeatureStage
from ranker.candidates.base import Generator
from ranker.model_files import State
from ranker.rerank.fitted import FittedLambdaRank
from ranker.rerank.gate import GateReport
from ranker.skew import SkewReport
from ranker.tuning import Tuning


class Learned:
    """The attributes that a fit leaves behind; before it they raise NotFittedError."""

    _state: State
    _tuning: Tuning

    def _fitted(self) -> State:
        if "_state" not in self.__dict__:
            raise NotFittedError("this recommender is not fitted yet; call fit(interactions)")
        return self._state

    def _trees(self) -> FittedLambdaRank:
        model = self._fitted().model
        if model is None:
            raise NotFittedError("there is no second stage: the labels had nothing to learn from")
        return model

    @property
    def gate_(self) -> GateReport | None:
        """The second stage against every first one; None if there was nothing to learn from."""
        return self._fitted().gate

    @property
    def skew_(self) -> SkewReport | None:
        """Training against serving; None if there was nothing to learn from."""
        return self._fitted().skew

    @property
    def tuning_(self) -> Tuning:
        """What the last :meth:`tune` found."""
        if "_tuning" not in self.__dict__:
            raise NotFittedError("nothing was tuned yet; call tune(interactions, path)")
        return self._tuning

    @property
    def choices_(self) -> list[str]:
        """What ``fit`` found out and chose, a line each."""
        return list(self._fitted().choices)

    @property
    def stage_(self) -> FeatureStage:
        """What describes the candidates."""
        return self._fitted().stage

    @property
    def repeats_(self) -> bool:
        """Whether items are taken again."""
        return self._fitted().repeats

    @property
    def depths_(self) -> dict[str, int]:
        """How many items each source may propose to a user."""
        return self._fitted().depths

    @property
    def sources_(self) -> dict[str, Generator]:
        """The parameters of the sources, without what they learned."""
        return dict(self._fitted().specs)

    @property
    def system_(self) -> str:
        """What orders the lists of users with events."""
        return self._fitted().system

    @property
    def cold_system_(self) -> str:
        """What orders the lists of users without events."""
        return self._fitted().cold_system
