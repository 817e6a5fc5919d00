"""Where the reranker's labels come from: a later time, the last interactions, or a random part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import polars as pl

from features.arrays import BoolArray, Int64Array
from features.clock import WEEK, ClockKind
from features.errors import ConfigError
from features.history import LogFacts
from ranker.arguments import check_count, is_number
from ranker.grades import label_pairs
from ranker.text import count

# An open window length is the time that this share of the latest events took: adapted to how
# dense the log is, about a month of a year's purchases.
_DEFAULT_SHARE = 1 / 12

# An open number of windows is three, or as many as a week has if they are shorter than that, or
# more while these have fewer users with labels than a ranker needs to tell features apart.
_FEWEST_WINDOWS, _MOST_WINDOWS, _ENOUGH_USERS = 3, 12, 1_000

# What has learned from so much of what a fold knows is good enough for it.
_NEARLY_ALL = 0.9

# Random folds are all of one kind, and cost little where users are few.
_FEWEST_FOLDS, _MOST_FOLDS, _MANY_USERS = 4, 10, 10_000


@dataclass(frozen=True)
class Fold:
    """A part of the log to know, and what came of it.

    Attributes
    ----------
    log : DataFrame
        Canonical interactions.
    is_known : bool array [n_rows]
        The rows of the log that lie before the labels.
    labels : DataFrame
        ``user_id``, ``item_id``, distinct; with ``grade`` where the log has one.
    as_of : int or None
        The tick at which users are looked at, on a clock that compares them; where the labels are
        no window of time, the end of the log, at which serving looks at them too.
    span : (int, int) or None
        The ticks from which on and before which the labels lie, where they are a window of time.
    """

    log: pl.DataFrame
    is_known: BoolArray
    labels: pl.DataFrame
    as_of: int | None
    span: tuple[int, int] | None = None

    @property
    def history(self) -> pl.DataFrame:
        """The interactions before the labels; copied when asked for, so that folds are small."""
        return self.log.filter(pl.Series(self.is_known))

    def follows(self, other: Fold) -> bool:
        """Whether all that the other one knows is known here too, and little more."""
        if self.log is not other.log or (other.is_known & ~self.is_known).any():
            return False
        return bool(other.is_known.sum() >= _NEARLY_ALL * self.is_known.sum())


class Holdout(Protocol):
    """A way to cut labels from a log."""

    def folds(
        self, interactions: pl.DataFrame, facts: LogFacts, *, random_state: int
    ) -> list[Fold]:
        """Cut the folds, freshest first; a fold without labels or history is left out."""

    def describe(self, facts: LogFacts, interactions: pl.DataFrame, n_folds: int) -> str:
        """One line for people; ``n_folds`` is how many :meth:`folds` has cut."""


@dataclass(frozen=True)
class LabelWindows:
    """Labels from windows of time at the end of the log, each seen from its beginning.

    Window i has its labels in ``[T_i, T_i + length)`` and knows the events before ``T_i - gap``.

    Parameters
    ----------
    length : str or int, optional
        ``"28d"`` on an absolute clock, a whole number on an integer one. Default: the time that
        the latest twelfth of the events took; from a day on in whole days and from a week on in
        whole weeks, so that all snapshots stand at the hour and the weekday of serving.
    n_windows : int, optional
        How many windows, one before the other. Default: three, or a week of them, since every day
        is another; and up to twelve where these have labels of fewer than a thousand users.
    gap : str or int, optional
        Time between what is known and the labels, as long as serving lags behind. Default: none.
    n_validation : int
        The freshest so many windows choose the number of trees and open the gate. One hour of a
        day has few users, and is like no other: of windows of an hour take a day's.
    """

    length: str | int | None = None
    n_windows: int | None = None
    gap: str | int | None = None
    n_validation: int = 1

    def __post_init__(self) -> None:
        check_count(n_validation=self.n_validation)
        if self.n_windows is not None:
            check_count(n_windows=self.n_windows)
            if self.n_validation > max(1, self.n_windows - 1):
                raise ConfigError(
                    f"n_validation={self.n_validation} of n_windows={self.n_windows} leaves no "
                    f"window to learn from before them; give more windows"
                )

    def folds(
        self, interactions: pl.DataFrame, facts: LogFacts, *, random_state: int
    ) -> list[Fold]:
        """See :class:`Holdout`.

        Raises
        ------
        ConfigError
            If the timestamps do not compare users.
        """
        length = self.ticks(interactions, facts)
        gap = 0 if self.gap is None else facts.clock.duration(self.gap)
        times = pl.Series(facts.clock.ticks(interactions["timestamp"]))
        end = int(times.max()) + facts.clock.step  # type: ignore[arg-type]  # ticks are int64
        first = int(times.min())  # type: ignore[arg-type]
        folds: list[Fold] = []
        fewest, n_users = self._fewest(length, facts), 0
        for window in range(self.n_windows or _MOST_WINDOWS):
            if self.n_windows is None and window >= fewest and n_users >= _ENOUGH_USERS:
                break
            start = end - (window + 1) * length
            if start - gap <= first:
                break  # nothing is known before
            labels = label_pairs(interactions.filter((times >= start) & (times < start + length)))
            is_known = (times < start - gap).to_numpy()
            if labels.height and is_known.any():
                span = (start, start + length)
                folds.append(Fold(interactions, is_known, labels, start - gap, span))
                n_users += labels["user_id"].n_unique()
        return folds

    def ticks(self, interactions: pl.DataFrame, facts: LogFacts) -> int:
        """Length of a window in ticks."""
        if not facts.clock.is_comparable:
            raise ConfigError(
                f"LabelWindows needs timestamps that compare users, and this log's clock is "
                f"{facts.clock.kind.value}; use LastInteractions() or RandomHoldout()"
            )
        if self.length is not None:
            return facts.clock.duration(self.length)
        times = np.sort(facts.clock.ticks(interactions["timestamp"]))
        length = int(times[-1] + facts.clock.step - times[int(len(times) * (1 - _DEFAULT_SHARE))])
        # Days may be written as their midnights, of which the last may have a twelfth of all.
        between = np.diff(np.unique(times))
        return facts.clock.whole(max(length, int(between.min()) if len(between) else 0))

    def _fewest(self, length: int, facts: LogFacts) -> int:
        if facts.clock.kind is not ClockKind.ABSOLUTE:
            return _FEWEST_WINDOWS
        return max(_FEWEST_WINDOWS, WEEK // length)

    def describe(self, facts: LogFacts, interactions: pl.DataFrame, n_folds: int) -> str:
        """One line for people."""
        length = facts.clock.spell(self.ticks(interactions, facts))
        judged = f", the latest {self.n_validation} to judge by" if self.n_validation > 1 else ""
        windows = _counted(n_folds, "label window")
        return f"{windows} of {length} at the end of the log{judged}"


@dataclass(frozen=True)
class LastInteractions:
    """Labels from each user's last interactions; the order is all that is needed.

    What a user took at one instant (an order of several items) comes as a whole: nothing of the
    instant of a label is known.

    Seen over all users this uses some of the future: other users' events before their own last
    ones may be later than a label. Where the clock compares users, LabelWindows does not.

    Parameters
    ----------
    n : int
        Instants of each user whose items are the labels of a fold.
    n_windows : int
        How many folds, each ``n`` instants further back.
    """

    n: int = 1
    n_windows: int = 3

    def __post_init__(self) -> None:
        check_count(n=self.n, n_windows=self.n_windows)

    def folds(
        self, interactions: pl.DataFrame, facts: LogFacts, *, random_state: int
    ) -> list[Fold]:
        """See :class:`Holdout`; users keep at least one instant to be known by."""
        if facts.clock.kind is ClockKind.NONE:
            raise ConfigError(
                "LastInteractions needs timestamps for the order; use RandomHoldout()"
            )
        ordered = interactions.sort(interactions.columns).sort(
            "user_id", "timestamp", maintain_order=True
        )
        size, from_end = _instants(ordered)
        end = _end(interactions, facts)
        folds = []
        for window in range(self.n_windows):
            start, stop = window * self.n, (window + 1) * self.n
            if stop >= size.max():
                break  # nobody has so many
            labels = label_pairs(
                ordered.filter(pl.Series((from_end >= start) & (from_end < stop) & (size > stop)))
            )
            # What a fresher fold asks of a user who is too short for this one is not known here.
            is_known = from_end >= np.minimum(stop, (size - 1) // self.n * self.n)
            if labels.height:
                folds.append(Fold(ordered, is_known, labels, end))
        return folds

    def describe(self, facts: LogFacts, interactions: pl.DataFrame, n_folds: int) -> str:
        """One line for people."""
        folds = _counted(n_folds, "fold")
        return f"labels from each user's last interactions ({folds} of {self.n})"


@dataclass(frozen=True)
class RandomHoldout:
    """Labels from a random part of the pairs of user and item, for logs without any time.

    Cross-fitted: each fold hides another part and knows all the rest, so that no score and no
    feature of a pair ever saw that pair. Some users judge in all folds, the others teach, see
    :func:`n_judging`.

    Parameters
    ----------
    fraction : float
        Share of the pairs that a fold hides. Little, so that a fold knows nearly what serving
        knows: some sources gain more than others by every further pair.
    n_folds : int, optional
        Default: four, or up to ten while these together have fewer than ten thousand users with
        labels; at most as many as hide different pairs.

    Raises
    ------
    ConfigError
        If the fraction is not between 0 and 1, or the folds would hide more than all pairs.
    """

    n_validation: ClassVar[None] = None  # all

    fraction: float = 0.1
    n_folds: int | None = None

    def __post_init__(self) -> None:
        if not is_number(self.fraction) or not 0 < self.fraction < 1:
            raise ConfigError(f"fraction={self.fraction!r}; expected a number above 0 and below 1")
        if self.n_folds is None:
            return
        check_count(n_folds=self.n_folds)
        if self.fraction * self.n_folds > 1:
            raise ConfigError(
                f"fraction={self.fraction} times n_folds={self.n_folds} must be at most 1, so that "
                f"the folds hide different pairs"
            )

    def folds(
        self, interactions: pl.DataFrame, facts: LogFacts, *, random_state: int
    ) -> list[Fold]:
        """See :class:`Holdout`."""
        pairs = label_pairs(interactions).select("user_id", "item_id")
        place = np.random.default_rng(random_state).permutation(pairs.height) / pairs.height
        fold_of = pairs.with_columns(pl.Series("fold", place // self.fraction).cast(pl.Int64))
        marked = interactions.join(
            fold_of, on=["user_id", "item_id"], how="left", maintain_order="left"
        )
        end = _end(interactions, facts)
        folds: list[Fold] = []
        n_users = 0
        for fold in range(self.n_folds or min(_MOST_FOLDS, int(1 / self.fraction))):
            if self.n_folds is None and fold >= _FEWEST_FOLDS and n_users >= _MANY_USERS:
                break
            labels = marked.filter(pl.col("fold") == fold)
            # Events that are no labels belong to no fold, and are known in each.
            is_known = (marked["fold"].fill_null(-1) != fold).to_numpy()
            if labels.height and is_known.any():
                folds.append(Fold(marked.drop("fold"), is_known, label_pairs(labels), end))
                n_users += labels["user_id"].n_unique()
        return folds

    def describe(self, facts: LogFacts, interactions: pl.DataFrame, n_folds: int) -> str:
        """One line for people."""
        folds = _counted(n_folds, "random fold")
        share = f"{100 * self.fraction:.3g}% of the pairs"
        return f"labels from {folds} of {share}, judged by users who do not teach"


def n_judging(holdout: Holdout, n_folds: int) -> int:
    """How many of the folds, the freshest, choose the number of trees and open the gate.

    As ``holdout.n_validation`` says, or one. All where that is None, as with random ones: then
    users are parted, see :meth:`ranker.training.Windows.split`. What one of these folds hides the
    others know, so that what a user never took is a negative in each of them, and nothing else is.
    A forest that learned which users and items these are by heart would look right on any fold,
    and be wrong of all that is still to come.

    Raises
    ------
    ConfigError
        If there are no other windows than those that the caller wants to judge by.
    """
    n_validation: int | None = getattr(holdout, "n_validation", 1)
    if n_validation is None:
        return max(1, n_folds)
    if 1 < n_validation >= n_folds > 0:
        raise ConfigError(
            f"n_validation={n_validation}, but the log has {n_folds} label windows, and some have "
            f"to be left to learn from; give fewer, or more n_windows"
        )
    return n_validation


def default_holdout(facts: LogFacts) -> Holdout:
    """The way that the timestamps allow: windows of time, last interactions, or at random."""
    if facts.clock.is_comparable:
        return LabelWindows()
    return RandomHoldout() if facts.clock.kind is ClockKind.NONE else LastInteractions()


def _instants(ordered: pl.DataFrame) -> tuple[Int64Array, Int64Array]:
    """Of rows in order of user and time: instants of each row's user, and those after the row's."""
    user, time = pl.col("user_id"), pl.col("timestamp")
    is_new = (user != user.shift()).fill_null(value=True)
    starts = ordered.select(user=is_new, instant=is_new | (time != time.shift()))
    user_row = np.cumsum(starts["user"].to_numpy()) - 1
    instant = np.cumsum(starts["instant"].to_numpy())
    last = np.zeros(user_row[-1] + 1, np.int64)
    np.maximum.at(last, user_row, instant)
    size = np.diff(last, prepend=0)
    return size[user_row], last[user_row] - instant


def _end(interactions: pl.DataFrame, facts: LogFacts) -> int | None:
    """The tick after the last event, on a clock that compares users."""
    if not facts.clock.is_comparable:
        return None
    return int(facts.clock.ticks(interactions["timestamp"]).max()) + facts.clock.step


def _counted(n: int, noun: str) -> str:
    return count(n, noun) if n else f"no {noun}s"
