"""What a sentence claims, looked up in the log by plain means."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from features.clock import Clock, ClockKind
from ranker.explain import words

_DAY = 24 * 3600 * 10**6
_CLOCK = Clock(ClockKind.ABSOLUTE)
_LABELS = {"title": "called"}
_NUMBER = r"([\d,]+(?:\.\d+)?)"


@dataclass(frozen=True)
class LogFacts:
    """A log of everybody, the titles and attributes of its items, and the instant of the lists."""

    log: pl.DataFrame
    items: pl.DataFrame
    as_of: datetime
    verb: str

    def check(self, user: object, item: object, reason: str) -> list[str]:
        """Make sure that all parts of a reason are true; returns their kinds."""
        return [self._check_part(user, item, part) for part in _parts(reason)]

    def _check_part(self, user: object, item: object, part: str) -> str:  # noqa: PLR0911
        own = self.log.filter(user_id=user)
        if part.startswith("goes with "):
            self._check_pair(own, item, part)
            return "similarity"
        if part.startswith("matches the taste for "):
            self._partner(
                own, item, part.removeprefix("matches the taste for ").rpartition(" (")[0]
            )
            return "taste"
        if part.startswith("other items "):
            self._check_affinity(own, item, part)
            return "affinity"
        if match := re.fullmatch(
            rf"the (?:(\S+) )?most {self.verb} item(?: of the last (.+))?", part
        ):
            places = self._places(item, match[2])
            assert (match[1] or "1st") in map(words.ordinal, places), (part, places)
            return "popularity"
        if match := re.fullmatch(
            rf"among the (\d+) % most {self.verb} items(?: of the last (.+))?", part
        ):
            parts = [math.ceil(100 * n / self.items.height) for n in self._places(item, match[2])]
            assert int(match[1]) in parts, (part, parts)
            return "popularity"
        if match := re.fullmatch(rf"{self.verb} by {_NUMBER} % of all users", part):
            takers = self.log.filter(item_id=item)["user_id"]
            share = takers.n_unique() / self.log["user_id"].n_unique()
            assert words.percent(share) == f"{match[1]} %", part
            return "users"
        if part.startswith((f"{self.verb} once", f"{self.verb} twice")) or re.match(
            rf"{self.verb} {_NUMBER} times", part
        ):
            assert part == self._history(own, item), part
            return "history"
        times = (
            self.log.filter(item_id=item)
            .group_by("user_id")
            .agg(
                n=pl.col("timestamp").n_unique(),
                mean=(pl.col("timestamp").max() - pl.col("timestamp").min()).dt.total_microseconds()
                / (pl.col("timestamp").n_unique() - 1),
                first=pl.col("timestamp").min(),
            )
        )
        back = times.filter(pl.col("n") > 1)
        if part.startswith("rising: "):
            self._check_trend(item, part)
        elif part.startswith("new: "):
            since = words.ago(_CLOCK, self._days(times["first"].min()))
            assert part == f"new: first {self.verb} {since}"
        elif part.startswith(f"{self.verb} again by "):
            share = words.percent(back.height / times.height)
            assert part == f"{self.verb} again by {share} of those who have {self.verb} it"
        elif part.startswith(f"{self.verb} again about "):
            rhythm = words.every(_CLOCK, back["mean"].median() / _DAY)
            assert part == f"{self.verb} again {rhythm} by the typical user"
        else:
            assert re.fullmatch(rf"number {_NUMBER} by \w+", part), part
        return " ".join(part.split()[:2])

    def _history(self, own: pl.DataFrame, item: object) -> str:
        times = own.filter(item_id=item)["timestamp"].unique().sort()
        since = self._days(times[-1])
        said = f"{self.verb} {words.times(len(times))}"
        if len(times) == 1:
            return f"{said}, {words.ago(_CLOCK, since)}"
        interval = (times[-1] - times[0]).total_seconds() / 86_400 / (len(times) - 1)
        rhythm = words.every(_CLOCK, interval)
        if len(times) == 2:
            rhythm = f"{words.length(_CLOCK, interval)} apart"
        said += f", {rhythm}" if rhythm else ""
        said += f", last {words.ago(_CLOCK, since)}"
        is_due = len(times) > 2 and 0.8 <= since / interval <= 1.5
        return said + (", so due about now" if is_due else "")

    def _check_pair(self, own: pl.DataFrame, item: object, part: str) -> None:
        head, _, counts = part.removeprefix("goes with ").rpartition(" (by ")[0].partition(": of ")
        partners = self._partner(own, item, head)
        if not counts:
            return
        asked, both = (int(n.replace(",", "")) for n in re.findall(r"\b[\d,]*\d\b", counts)[:2])
        takers = [set(self.log.filter(item_id=one)["user_id"]) for one in (*partners, item)]
        assert any((len(some), len(some & takers[-1])) == (asked, both) for some in takers[:-1]), (
            part
        )

    def _partner(self, own: pl.DataFrame, item: object, said: str) -> list[object]:
        """The user's own items that are called so and were taken then: at least one."""
        title, _, when = said.rpartition(f", {self.verb} ")
        names = self.items.filter(pl.col("title") == title.removeprefix("another "))["item_id"]
        last = (
            own.group_by("item_id")
            .agg(pl.col("timestamp").max())
            .filter(pl.col("item_id").is_in(names.implode()) & (pl.col("item_id") != item))
        )
        partners = [
            one for one, time in last.iter_rows() if words.ago(_CLOCK, self._days(time)) == when
        ]
        assert partners, said
        return partners

    def _check_affinity(self, own: pl.DataFrame, item: object, part: str) -> None:
        match = re.fullmatch(
            rf"other items (?:of )?(.+) {self.verb} (once|twice|{_NUMBER} times), last (.+)", part
        )
        assert match, part
        columns = {
            match[1][len(label) + 1 :]: column
            for column in self.items.columns
            if match[1].startswith((label := _LABELS.get(column, column.replace("_", " "))) + " ")
        }
        found = []
        for value, column in columns.items():
            if self.items.schema[column] == pl.List:
                has = pl.col(column).cast(pl.List(pl.String)).list.contains(value)
            else:
                has = pl.col(column).cast(pl.String) == value
            others = self.items.filter(has & (pl.col("item_id") != item))["item_id"]
            assert self.items.filter(has, item_id=item).height == 1, part
            events = own.filter(pl.col("item_id").is_in(others.implode()))
            if events.height:
                since = self._days(events["timestamp"].max())
                found.append((words.times(events.height), words.ago(_CLOCK, since)))
        assert (match[2], match[4]) in found, (part, found)

    def _places(self, item: object, window: str | None) -> list[int]:
        """Places of the item in all windows that are called so, of ties the best."""
        places = []
        for events in self._windows(window):
            counts = events["item_id"].value_counts()
            own = counts.filter(item_id=item)["count"].item()
            places.append(1 + counts.filter(pl.col("count") > own).height)
        return places

    def _check_trend(self, item: object, part: str) -> None:
        match = re.fullmatch(
            r"rising: its share of all events in the last (.+) is (.+) times that in "
            r"(?:the last (.+)|the whole log)",
            part,
        )
        assert match, part
        ratios = [
            f"{(short['item_id'] == item).mean() / (long['item_id'] == item).mean():.1f}"
            for short in self._windows(match[1])
            for long in self._windows(match[3])
        ]
        assert match[2] in ratios, (part, ratios)

    def _windows(self, said: str | None) -> list[pl.DataFrame]:
        if said is None:
            return [self.log]
        span = self.log["timestamp"].max() - self.log["timestamp"].min()
        days = span.total_seconds() / 86_400
        return [
            self.log.filter(pl.col("timestamp") >= self.as_of - span / share)
            for share in (336, 48, 12)
            if words.length(_CLOCK, days / share) == said
        ]

    def _days(self, time: datetime) -> float:
        return (self.as_of - time).total_seconds() / 86_400


def _parts(reason: str) -> list[str]:
    return reason.split("; ")
