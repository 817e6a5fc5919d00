"""What the user had to do with the item before."""

from __future__ import annotations

import numpy as np

from features.clock import ClockKind
from ranker.explain import words
from ranker.explain.case import Case
from ranker.explain.topics import Topic

# An item is due where the time since the last instant is this part of the mean interval, and there
# were enough instants to speak of an interval.
_DUE = (0.8, 1.5)
_RHYTHM = 3


def tell_history(case: Case, _: Topic) -> str | None:
    """``bought 9 times, about every 24 days, last 10 days ago``; None where it was never taken."""
    own, clock = case.own, case.setting.clock
    is_this = own.item == case.item
    if not is_this.any():
        return None
    if clock.kind is ClockKind.NONE:
        return _counted(case, int(is_this.sum()))
    instants = np.unique(own.time[is_this])
    parts = [_counted(case, len(instants))]
    since = (own.now - instants[-1]) / clock.unit
    said = words.ago(clock, since)
    if len(instants) == 1:
        return ", ".join([*parts, said] if said else parts)
    interval = (instants[-1] - instants[0]) / (len(instants) - 1) / clock.unit
    if len(instants) == 2:
        apart = words.length(clock, interval)
        regularly = None if apart is None else f"{apart} apart"
    else:
        regularly = words.every(clock, interval)
    parts += [regularly] if regularly else []
    parts += [f"last {said}"] if said else []
    if len(instants) >= _RHYTHM and _DUE[0] <= since / interval <= _DUE[1]:
        parts.append("so due about now")
    return ", ".join(parts)


def _counted(case: Case, n_instants: int) -> str:
    """How often: by the names of events, where the log has several."""
    names = case.setting.snapshot.history.facts.event_names
    if len(names) < 2:
        return f"{case.verb} {words.times(n_instants)}"
    event = case.own.event[case.own.item == case.item]
    counts = {name: int((event == place).sum()) for place, name in enumerate(names)}
    counts["other"] = int((event < 0).sum())
    return ", ".join(f"{name} {words.times(count)}" for name, count in counts.items() if count)
