"""WordSimilarity and LatestCosine against loops over events, words and factors."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.block import Context
from features.content import LatestCosine, WordSimilarity
from features.errors import ConfigError
from tests.features.logs import World, assert_fitted_equals, queries, worlds
from tests.features.oracle import NAN, decay
from tests.features.test_similarity_block import FakeSource

WORDS = st.sampled_from(["red", "green", "blue"])
CELLS = {
    "tags": st.none() | st.lists(st.none() | WORDS, max_size=4),
    "title": st.none() | st.lists(WORDS, max_size=3).map(" ".join),
}


@st.composite
def word_tables(draw, world: World) -> pl.DataFrame:
    n = len(world.items)
    tags = pl.Series(
        draw(st.lists(CELLS["tags"], min_size=n, max_size=n)), dtype=pl.List(pl.String)
    )
    title = pl.Series(draw(st.lists(CELLS["title"], min_size=n, max_size=n)), dtype=pl.String)
    return pl.DataFrame({"item_id": world.items, "tags": tags, "title": title})


def tfidf(
    world: World, frame: pl.DataFrame, columns, max_words
) -> dict[str, dict[tuple[str, str], float]]:
    """Weight of each word of each item, rows of length one."""
    counts = {}
    for place, item in enumerate(world.items):
        words = []
        for name in columns:
            cell = frame[name][place]
            found = [] if cell is None else cell.split() if name == "title" else cell.to_list()
            words += [(name, word) for word in found if word is not None]
        counts[item] = Counter(words)
    n_items = Counter(word for count in counts.values() for word in count)
    rows = {}
    for item, count in counts.items():
        row = {
            word: (1 + math.log(n)) * (1 + math.log((1 + len(counts)) / (1 + n_items[word])))
            for word, n in count.items()
        }
        heaviest = sorted(
            row, key=lambda word, row=row: (-round(row[word], 6), columns.index(word[0]), word[1])
        )
        row = {word: row[word] for word in heaviest[:max_words]}
        norm = math.hypot(*row.values())
        rows[item] = {word: weight / norm for word, weight in row.items()}
    return rows


def word_features(world: World, user: int, item: str, rows, n_latest, fading):
    events = list(zip(world.events_of(user), decay(world, user, fading), strict=True))
    latest = events[-n_latest:] if world.log.has_time else events
    latest = [(event.item, weight) for event, weight in latest if rows[event.item]]
    if not latest or not rows[item]:
        return dict.fromkeys(["words_last", "words_max", "words_mean", "words_recent"], NAN)
    cosines = [
        sum(weight * rows[item].get(word, 0.0) for word, weight in rows[own].items())
        for own, _ in latest
    ]
    total = sum(weight for _, weight in latest)
    faded = sum(cosine * weight for cosine, (_, weight) in zip(cosines, latest, strict=True))
    return {
        "words_last": cosines[-1],
        "words_max": max(cosines),
        "words_mean": sum(cosines) / len(cosines),
        "words_recent": faded / total,
    }


@given(data=st.data(), n_latest=st.sampled_from([1, 2, 20]))
@settings(max_examples=150, deadline=None)
def test_words_equal_loops_over_events_and_words(data, n_latest):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    frame = data.draw(word_tables(world))
    columns = data.draw(st.sampled_from([("tags",), ("title",), ("tags", "title")]))
    max_words = data.draw(st.sampled_from([1, 2, 32]))
    rows = tfidf(world, frame, columns, max_words)
    block = WordSimilarity(columns=columns, n_latest=n_latest, fading=1 / 4, max_words=max_words)
    fitted = block.fit(Context(world.history, items=frame))

    def oracle(user, item, place):
        return word_features(world, user, item, rows, n_latest, 1 / 4)

    assert_fitted_equals(fitted, oracle, query, atol=1e-6)


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_words_without_any(data):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    bare = pl.DataFrame({"item_id": world.items}).with_columns(price=1.0)
    for items in (None, bare):
        fitted = WordSimilarity().fit(Context(world.history, items=items))
        assert_fitted_equals(fitted, lambda *_: {}, query)
    with pytest.raises(
        ConfigError, match=r"columns cannot be used: price \(Float64\); expected String"
    ):
        WordSimilarity(columns=("price",)).fit(Context(world.history, items=bare))


WHOLE = st.integers(-2, 2).map(float)
VECTORS = st.none() | st.lists(WHOLE | st.sampled_from([math.nan, math.inf]), max_size=3)


def unit(vector) -> list[float] | None:
    """A vector of length one, None for what is unknown."""
    if vector is None or not all(map(math.isfinite, vector)) or not any(vector):
        return None
    return [x / math.hypot(*vector) for x in vector]


def cosine_features(world: World, user: int, item: str, vectors, latest):
    """``vectors[name][item]`` has length one or is None."""
    row = {}
    counts = (
        {f"latest_{n}": n for n in sorted(latest)} if world.log.has_time else {"latest_all": 99}
    )
    for name, by_item in vectors.items():
        own = [by_item[event.item] for event in world.events_of(user)]
        own = [vector for vector in own if vector is not None]
        for title, n in counts.items():
            cosine = NAN
            if own and by_item[item] is not None:
                mean = [sum(column) for column in zip(*own[-n:], strict=True)]
                norm = math.hypot(*mean)
                if norm > 1e-6:
                    pairs = zip(mean, by_item[item], strict=True)
                    cosine = sum(a * b for a, b in pairs) / norm
            row[f"{name}_{title}"] = cosine
    return row


def usable(cells) -> list[list[float] | None]:
    """Vectors of the commonest length; of several such lengths, of the longest."""
    lengths = Counter(len(cell) for cell in cells if cell)
    if not lengths:
        return [None for _ in cells]
    most = max(lengths.values())
    width = max(length for length, n in lengths.items() if n == most)
    return [unit(cell) if cell and len(cell) == width else None for cell in cells]


@given(data=st.data(), latest=st.sampled_from([(1, 5, 20), (2,), (3, 1)]))
@settings(max_examples=150, deadline=None)
def test_cosines_equal_loops_over_events_and_factors(data, latest):
    world = data.draw(worlds())
    query = data.draw(queries(world))
    n = len(world.items)
    cells = data.draw(st.lists(VECTORS, min_size=n, max_size=n))
    row = st.lists(WHOLE, min_size=2, max_size=2)
    of_source = data.draw(st.lists(row, min_size=n, max_size=n))
    frame = pl.DataFrame(
        {"item_id": world.items, "text": pl.Series(cells, dtype=pl.List(pl.Float64))}
    )
    sources = {"silent": FakeSource(), "als": FakeSource(item_vectors=np.array(of_source, "f4"))}
    vectors = {
        "vector_text": dict(zip(world.items, usable(cells), strict=True)),
        "als": dict(zip(world.items, map(unit, of_source), strict=True)),
    }
    fitted = LatestCosine(latest=latest).fit(Context(world.history, frame, sources=sources))

    def oracle(user, item, place):
        return cosine_features(world, user, item, vectors, latest)

    assert_fitted_equals(fitted, oracle, query, atol=1e-6)


@given(world=worlds())
@settings(max_examples=5, deadline=None)
def test_default_columns_are_vectors_of_floats(world):
    frame = pl.DataFrame({"item_id": world.items}).with_columns(
        picture=pl.lit([0.5, 1.0], dtype=pl.Array(pl.Float32, 2)),
        years=pl.lit([1, 2], dtype=pl.List(pl.Int64)),
        tags=pl.lit(["a"], dtype=pl.List(pl.String)),
        price=1.0,
    )
    fitted = LatestCosine(latest=(1,)).fit(Context(world.history, items=frame))
    kind = "latest_1" if world.log.has_time else "latest_all"
    assert [feature.name for feature in fitted.features] == [f"vector_picture_{kind}"]
    with pytest.raises(ConfigError, match=r"price \(Float64\); expected an Array or List"):
        LatestCosine(columns=("price",)).fit(Context(world.history, items=frame))
