"""The feature blocks from their definitions: one user and one item at a time, no arrays."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np

from tests.features.logs import Query, World

NAN = math.nan


def decay(world: World, user: int, share: float) -> list[float]:
    """Weight of each event of a user, as the float32 that it is kept in."""
    if not world.log.has_time:
        return [1.0 for _ in world.events_of(user)]
    ages = (world.now(user) - world.log.tick(event.time) for event in world.events_of(user))
    return [float(np.float32(0.5 ** (age / world.half_life(share)))) for age in ages]


def instants(world: World, user: int, item: str | None = None) -> list[int]:
    """Distinct ticks of a user's events, ascending."""
    events = world.events_of(user)
    return sorted({world.log.tick(e.time) for e in events if item in (None, e.item)})


def history_features(world: World, user: int, item: str, slow=1 / 6, fast=1 / 24):
    events = world.events_of(user)
    is_own = [event.item == item for event in events]
    count = sum(is_own)
    row = {"history_count": count, "history_share": count / len(events) if count else 0.0}
    if world.log.has_time:
        for name, share in (("slow", slow), ("fast", fast)):
            weights = decay(world, user, share)
            own = sum(weight for weight, mine in zip(weights, is_own, strict=True) if mine)
            row[f"history_{name}_count"] = own
            row[f"history_{name}_share"] = own / sum(weights) if count else 0.0
        row |= rhythm(world, user, item)
    if len(world.log.names) > 1:
        for name in world.log.names:
            taken = [event for event in events if event.item == item and event.name == name]
            row[f"history_{name}_count"] = len(taken)
    return row


def rhythm(world: World, user: int, item: str):
    unit, unit_name = world.log.unit, world.log.unit_name
    every, own = instants(world, user), instants(world, user, item)
    recency = world.now(user) - own[-1] if own else NAN
    interval = (own[-1] - own[0]) / (len(own) - 1) if len(own) > 1 else NAN
    return {
        f"history_recency_{unit_name}": recency / unit,
        f"history_first_{unit_name}": (world.now(user) - own[0]) / unit if own else NAN,
        f"history_interval_{unit_name}": interval / unit,
        "history_due_ratio": recency / interval,
        "history_visits": len(own),
        "history_visits_since": sum(t > own[-1] for t in every) if own else NAN,
        "history_visit_rate": len(own) / sum(t >= own[0] for t in every) if own else NAN,
    }


def similarity_features(world, user, item, similarities, n_latest, fading):
    """``similarities[source][a][b]`` is how similar b is to a."""
    events = world.events_of(user)
    # Without time there are no latest ones.
    first = -n_latest if world.log.has_time else 0
    latest = list(zip(events, decay(world, user, fading), strict=True))[first:]
    end = instants(world, user)[-1] if events else None
    second = instants(world, user)[-2:][0] if events else None
    row = {}
    for name, similarity in similarities.items():
        values = [similarity.get(event.item, {}).get(item, 0.0) for event, _ in latest]
        is_last = [world.log.tick(event.time) == end for event, _ in latest]
        row[f"{name}_sum"] = sum(values) if events else NAN
        row[f"{name}_max"] = max(0.0, *values) if events else NAN
        last = sum(value for value, last in zip(values, is_last, strict=True) if last)
        row[f"{name}_last"] = last if events else NAN
        faded = sum(value * weight for value, (_, weight) in zip(values, latest, strict=True))
        row[f"{name}_recent"] = faded if events else NAN
        row[f"{name}_mean"] = sum(values) / len(values) if events else NAN
        both = [world.log.tick(event.time) >= second for event, _ in latest]
        last_2 = sum(value for value, is_in in zip(values, both, strict=True) if is_in)
        row[f"{name}_last_2"] = last_2 if events else NAN
    return row


def affinity_features(name, user_vector, item_vector, has_events):
    if not has_events or not any(item_vector):
        return {f"{name}_dot": NAN, f"{name}_cosine": NAN}
    dot = sum(a * b for a, b in zip(user_vector, item_vector, strict=True))
    norms = math.hypot(*user_vector) * math.hypot(*item_vector)
    return {f"{name}_dot": dot, f"{name}_cosine": dot / norms if norms else 0.0}


def item_features(world: World, item: str, windows=(1 / 336, 1 / 48, 1 / 12)):
    log = world.log
    as_of = max(world.now(user) for user in world.users)
    starts = {}
    if log.is_comparable:
        starts = {f"{round(1 / share)}th": as_of - log.span * share for share in windows}
    starts["all"] = -math.inf
    counts = {
        label: {
            other: sum(e.item == other and log.tick(e.time) >= start for e in log.events)
            for other in world.items
        }
        for label, start in starts.items()
    }
    taken_by = [user for user in world.users if instants(world, user, item)]
    row, share = {}, {}
    for label, count in counts.items():
        total = sum(count.values())
        share[label] = count[item] / total if total and taken_by else NAN
        row[f"item_share_{label}"] = share[label]
        ahead = sum(other > count[item] for other in count.values())
        row[f"item_rank_{label}"] = 1 + ahead if count[item] else NAN
    for short, long in itertools.pairwise(starts):
        row[f"item_trend_{short}"] = share[short] / share[long] if share[long] else NAN
    return row | item_rhythm(world, item, taken_by, as_of)


def item_rhythm(world: World, item: str, taken_by: list[int], as_of: int):
    log = world.log
    times = [instants(world, user, item) for user in taken_by]
    again = [(own[-1] - own[0]) / (len(own) - 1) for own in times if len(own) > 1]
    row = {
        "item_users": len(taken_by) / len({e.user for e in log.events}) if taken_by else NAN,
        "item_repeat_rate": len(again) / len(times) if times else NAN,
        "item_visits_per_user": sum(map(len, times)) / len(times) if times else NAN,
    }
    if log.has_time:
        row[f"item_interval_{log.unit_name}"] = statistics.median(again or [NAN]) / log.unit
    if log.is_comparable:
        first = min((own[0] for own in times), default=NAN)
        last = max((own[-1] for own in times), default=NAN)
        row[f"item_age_{log.unit_name}"] = (as_of - first) / log.unit
        row[f"item_recency_{log.unit_name}"] = (as_of - last) / log.unit
    return row


def user_features(world: World, user: int):
    log, events = world.log, world.events_of(user)
    n_items = len({event.item for event in events})
    count = {item: sum(e.item == item for e in log.events) for item in world.items}
    order = sorted(world.items, key=lambda item: (-count[item], item))
    n_taken = sum(n > 0 for n in count.values())
    ranks = [order.index(event.item) / n_taken for event in events]
    row = {
        "user_events": len(events),
        "user_items": n_items,
        "user_repeat_share": 1 - n_items / len(events) if events else NAN,
        "user_item_rank": sum(ranks) / len(ranks) if ranks else NAN,
    }
    if log.has_time:
        times, now = instants(world, user), world.now(user)
        first, last = (times[0], times[-1]) if times else (NAN, NAN)
        interval = (last - first) / (len(times) - 1) if len(times) > 1 else NAN
        row["user_visits"] = len(times) if times else NAN
        row[f"user_tenure_{log.unit_name}"] = (now - first) / log.unit
        row[f"user_recency_{log.unit_name}"] = (now - last) / log.unit
        row[f"user_interval_{log.unit_name}"] = interval / log.unit
    return row


def source_features(query: Query, place: int, item: str):
    row, ranks = {}, []
    for source in query.sources:
        proposals = query.proposals[place][source]
        names = [name for name, _ in proposals]
        rank = names.index(item) + 1 if item in names else NAN
        row[f"{source}_score"] = dict(proposals).get(item, NAN)
        row[f"{source}_rank"] = rank
        row[f"{source}_percentile"] = rank / max(1, len(names))
        ranks += [rank] if item in names else []
    fusion = sum(1 / (60 + rank) for rank in ranks)
    return row | {"n_sources": len(ranks), "best_rank": min(ranks), "fusion": fusion}


def listwise_features(values: list[float]) -> list[tuple[float, float]]:
    """Rank and ratio of each value of one user's list."""
    known = [value for value in values if not math.isnan(value)]
    mean = sum(known) / len(known) if known else NAN
    return [
        (NAN, NAN)
        if math.isnan(value)
        else (1 + sum(other > value for other in known), value / mean if mean > 0 else NAN)
        for value in values
    ]


def lateness_features(world: World, item: str, latest=(1, 5, 20)):
    if world.log.kind != "positions":
        return {}
    mine, places, late = [], [], {n: [] for n in latest}
    for user in world.users:
        times = [world.log.tick(event.time) for event in world.events_of(user)]
        for event in world.events_of(user):
            before = sum(time < world.log.tick(event.time) for time in times)
            after = sum(time > world.log.tick(event.time) for time in times)
            mine.append(event.item == item)
            places.append((before + len(times) - after) / (2 * len(times)))
            for n in latest:
                late[n].append(after < n)

    def smooth(values):
        own = [value for value, is_own in zip(values, mine, strict=True) if is_own]
        mean = sum(values) / len(values)
        return (sum(own) + 5 * mean) / (len(own) + 5), mean

    names = [*(f"item_latest_{n}" for n in latest), "item_place"]
    if not any(mine):
        return dict.fromkeys(names, NAN)
    lifts = [own / mean for own, mean in (smooth(late[n]) for n in latest)]
    return dict(zip(names, [*lifts, smooth(places)[0]], strict=True))
