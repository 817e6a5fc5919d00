"""What a report says, before anybody has thought of how it looks."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from ranker.rerank.gate import GateReport
from ranker.skew import SkewReport

SERVED = "served"
"""What the served lists are called where several systems order them."""


@dataclass(frozen=True)
class Absent:
    """A part that does not apply.

    Attributes
    ----------
    why : str
        A whole sentence, or several.
    """

    why: str


@dataclass(frozen=True)
class Facts:
    """What was judged, and on what.

    Attributes
    ----------
    name : str
        Of the data.
    description : str
        Of the data, a sentence or two; may be empty.
    n_train, n_test : int
        Events, and pairs of user and item that count: of the test rows, each once, and without
        those seen before where lists leave them out.
    n_items : int
        Items of the train rows.
    n_users : int
        Test users who are judged.
    train_span, test_span : pair of str, or None
        First and last time, as text; None without timestamps.
    k : int
        Length of the lists.
    exclude_seen : bool
        Lists leave out what the user took before.
    version : str
        Of this package.
    random_state : int
    """

    name: str
    description: str
    n_train: int
    n_test: int
    n_items: int
    n_users: int
    train_span: tuple[str, str] | None
    test_span: tuple[str, str] | None
    k: int
    exclude_seen: bool
    version: str
    random_state: int


@dataclass(frozen=True)
class Systems:
    """Everything that can order a list, judged on the same users.

    Attributes
    ----------
    table : DataFrame
        From :func:`ranker.compare`, the differences being the served lists minus the system.
    served : str
        The system whose lists are served; ``"served"`` where different users get different ones.
    rival : str or None
        What the served lists are measured by: the best system without a second stage, or, where
        that is served, the second stage. None if there is no other system.
    by_segment : DataFrame or Absent
        The same table for ``served`` and ``rival`` with ``segment`` and ``level``.
    quality : DataFrame
        Further metrics of the served lists, from :func:`ranker.evaluate`.
    """

    table: pl.DataFrame
    served: str
    rival: str | None
    by_segment: pl.DataFrame | Absent
    quality: pl.DataFrame

    def row(self, system: str, metric: str = "ndcg") -> dict[str, float]:
        """The row of a system in :attr:`table`."""
        return self.table.row(
            by_predicate=(pl.col("system") == system) & (pl.col("metric") == metric), named=True
        )


@dataclass(frozen=True)
class Diversity:
    """Accuracy against diversity.

    Attributes
    ----------
    curve : DataFrame
        From :func:`ranker.lists.diversity_curve`.
    embedding : str
        Whose vectors say how unlike two items are.
    n_users : int
        Test users that it is made of.
    """

    curve: pl.DataFrame
    embedding: str
    n_users: int


@dataclass(frozen=True)
class Features:
    """What the trees split on.

    Attributes
    ----------
    table : DataFrame
        One row per feature, the largest gain first: name, family, gain, meaning.
    text : bool
        Some source or feature reads words of the items.
    """

    table: pl.DataFrame
    text: bool


@dataclass(frozen=True)
class Calibration:
    """Whether scores can be read as probabilities.

    Attributes
    ----------
    curve : DataFrame
        predicted, observed, n: scores turned into probabilities by what was taken by one half of
        the users, checked on the other half.
    error : float
        Expected calibration error of the latter, from 0.
    n_learned, n_checked : int
        Users of either half.
    """

    curve: pl.DataFrame
    error: float
    n_learned: int
    n_checked: int


@dataclass(frozen=True)
class UserList:
    """One user's list with its reasons.

    Attributes
    ----------
    user_id : str
    n_events : int
        In the train rows.
    n_relevant : int
        Held-out items.
    ndcg : float
    past : tuple of str
        Titles of what the user took last, the latest first.
    missed : tuple of str
        Titles of held-out items that the list does not have; some of them.
    n_missed : int
    rows : DataFrame
        place, item_id, title (null if there is none), taken, source, rank, reason.
    """

    user_id: str
    n_events: int
    n_relevant: int
    ndcg: float
    past: tuple[str, ...]
    missed: tuple[str, ...]
    n_missed: int
    rows: pl.DataFrame


@dataclass(frozen=True)
class Report:
    """All that the page is made of.

    Attributes
    ----------
    facts : Facts
    systems : Systems
    gate : GateReport or Absent
        What the recommender knew of its second stage before the test rows.
    funnel, headroom : DataFrame
        See the methods of the recommender; the funnel without seconds.
    diversity : Diversity or Absent
    features : Features or Absent
    skew : SkewReport or Absent
    places : DataFrame
        place, listed, taken, rate, low, high: how often what stands at a place was taken.
    calibration : Calibration or Absent
    lists : tuple of UserList
        From well to badly served.
    has_titles : bool
    choices : tuple of str
        What the fit found out and chose.
    """

    facts: Facts
    systems: Systems
    gate: GateReport | Absent
    funnel: pl.DataFrame
    headroom: pl.DataFrame
    diversity: Diversity | Absent
    features: Features | Absent
    skew: SkewReport | Absent
    places: pl.DataFrame
    calibration: Calibration | Absent
    lists: tuple[UserList, ...]
    has_titles: bool
    choices: tuple[str, ...]
