"""How the item does with everybody."""

from __future__ import annotations

import math

from features.clock import ClockKind
from ranker.explain import words
from ranker.explain.case import Case
from ranker.explain.topics import Topic

_NAMED = 100  # places up to this are told as such, those behind as parts of the catalogue
_LARGEST_PART = 0.2  # who is not among these is not popular
_RISING = 1.2
_NEW = 1 / 12  # of the length of the log
_HOUR = 3600 * 10**6  # ticks


def tell_popularity(case: Case, topic: Topic) -> str | None:
    """``the 7th most bought item of the last 7 days``, or that it rises, is new, is kept.

    What is told is what the strongest feature of the topic speaks of: a place in a window of time,
    a trend, the share of users, of those who came back, the age. None where that is nothing to
    recommend an item by, such as a place far behind.
    """
    strongest = case.strongest(topic)
    kind = "" if strongest is None else strongest.name.removeprefix("item_")
    value = math.nan if strongest is None else case.value(strongest.name)
    verb = case.verb
    if kind == "users":
        return f"{verb} by {words.percent(value)} of all users"
    if kind == "repeat_rate" and value > 0:
        return f"{verb} again by {words.percent(value)} of those who have {verb} it"
    if kind.startswith("interval_") and (said := words.every(case.setting.clock, value)):
        return f"{verb} again {said} by the typical user"
    if kind.startswith(("trend_", "latest_")) and value >= _RISING:
        return _rising(case, kind, value)
    if kind.startswith("age_") and (said := _new(case, value)):
        return said
    window = kind.partition("_")[2] if kind.startswith(("rank_", "share_")) else "48th"
    return _placed(case, window) or _placed(case, "all")


def _placed(case: Case, window: str) -> str | None:
    """The place by number of events in a window."""
    rank = case.value(f"item_rank_{window}")
    part = rank / case.setting.snapshot.history.n_items
    if not (rank <= _NAMED or part <= _LARGEST_PART):
        return None
    of = _window(case, window)
    when = "" if of is None else f" of {of}"
    if rank > _NAMED:
        return f"among the {_up(part)} most {case.verb} items{when}"
    place = "the most" if rank == 1 else f"the {words.ordinal(rank)} most"
    return f"{place} {case.verb} item{when}"


def _rising(case: Case, kind: str, value: float) -> str | None:
    trend, _, window = kind.partition("_")
    if trend == "latest":
        where = "as users' latest" if window == "1" else f"among users' latest {window}"
        return f"rising: {where} {value:.1f} times as often as the average item"
    labels = [
        feature.name.removeprefix("item_rank_")
        for feature in case.setting.features
        if feature.name.startswith("item_rank_") and feature.family == "item"
    ]
    longer = labels[labels.index(window) + 1]
    short, long = _window(case, window), _window(case, longer) or "the whole log"
    if short is None:
        return None
    return f"rising: its share of all events in {short} is {value:.1f} times that in {long}"


def _new(case: Case, age: float) -> str | None:
    history = case.setting.snapshot.history
    said = words.ago(history.clock, age)
    if said is None or age * history.clock.unit > _NEW * history.facts.span:
        return None
    return f"new: first {case.verb} {said}"


def _window(case: Case, label: str) -> str | None:
    """A window of time in words; None for the whole log."""
    history = case.setting.snapshot.history
    is_share = label.endswith("th")  # of the log's length; otherwise it is a length of time
    if label == "all":
        return None
    if history.clock.kind is not ClockKind.ABSOLUTE:
        return f"the last {label} of the log" if is_share else f"the last {label}"
    if is_share:
        ticks = history.facts.span / int(label.removesuffix("th"))
    else:
        ticks = history.clock.duration(label)
    if not is_share and ticks < _HOUR:
        return f"the last {round(60 * ticks / _HOUR)} minutes"
    return f"the last {words.length(history.clock, ticks / history.clock.unit)}"


def _up(part: float) -> str:
    """A share that is not exceeded, in whole percent."""
    return f"{math.ceil(100 * part)} %"
