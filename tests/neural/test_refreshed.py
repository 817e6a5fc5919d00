"""Networks that read new events, users and items without being trained again."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from features.encode import encode
from features.history import LogFacts
from features.schema import check_interactions
from ranker.candidates.growth import Growth

pytest.importorskip("torch", reason="the extra neural is not installed")

from ranker import ALS
from ranker.neural import (
    DeepMatrixFactorization,
    Hybrid,
    ImageContent,
    MatrixFactorization,
    NeuralCollaborativeFiltering,
    SequenceEncoder,
    SequenceHybrid,
    TextContent,
    TwoTower,
)
from tests.content import catalogue, people_of
from tests.logs import make_log

LOG = check_interactions(make_log("datetime"))
LATER = LOG["timestamp"].max()
NEW = pl.DataFrame(
    {
        "user_id": ["u003", "a new one", "a new one", "u004"],
        "item_id": ["i004", "i005", "i007", "a first"],  # row numbers of all others move
        "timestamp": [LATER] * 4,
    },
    schema_overrides={"timestamp": LOG.schema["timestamp"]},
)
CONTENT = [TextContent, ImageContent, TwoTower, Hybrid, SequenceHybrid]
BY_IDS = [SequenceEncoder, MatrixFactorization, DeepMatrixFactorization]
SMALL = {"epochs": 2, "factors": 8, "random_state": 0}


def encoded(log: pl.DataFrame, *, items=None, users=None):
    facts = LogFacts.of(LOG)
    as_of = int(facts.clock.ticks(log["timestamp"]).max()) + 1
    return encode(log, as_of=as_of, facts=facts, items=items, users=users)


@pytest.fixture(scope="module")
def logs() -> tuple[pl.DataFrame, pl.DataFrame]:
    log = LOG.select("user_id", "item_id", "timestamp")
    return log, pl.concat([log, NEW.select(log.columns)])


@pytest.fixture(scope="module")
def growth(logs) -> Growth:
    found = Growth.between(*(encoded(log)[0] for log in logs))
    assert found is not None
    return found


def fit_and_refresh(source, growth: Growth, *, after_items=None):
    tables = {
        name: {"items": catalogue(history), "users": people_of(history)}
        for name, history in (("before", growth.before), ("after", growth.after))
    }
    if after_items is not None:
        tables["after"]["items"] = after_items
    fitted = source.fit(growth.before, **tables["before"])
    return fitted, fitted.refreshed(growth, **tables["after"])


def same_weights(one, other) -> bool:
    pairs = zip(
        one.network_.state_dict().values(), other.network_.state_dict().values(), strict=True
    )
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in pairs)


@pytest.mark.parametrize("cls", [*CONTENT, *BY_IDS], ids=lambda cls: cls.__name__)
def test_users_without_new_events_are_where_they_were(cls, growth):
    fitted, refreshed = fit_and_refresh(cls(**SMALL), growth)
    before, after = fitted.user_vectors(growth.before), refreshed.user_vectors(growth.after)
    kept = ~growth.is_user_changed[growth.user_row]
    np.testing.assert_allclose(after[growth.user_row[kept]], before[kept], atol=1e-5)
    np.testing.assert_allclose(
        refreshed.item_vectors[growth.item_row], fitted.item_vectors, atol=1e-5
    )
    # The new user has two items that the network knows.
    row = growth.after.users.encode(pl.Series(["a new one"]))[0]
    assert after[row].any()
    found = refreshed.retrieve(growth.after, 5, exclude_seen=True).item[row]
    assert (found >= 0).all()
    restored = cls(**SMALL).restore(refreshed.arrays())
    np.testing.assert_array_equal(
        restored.retrieve(growth.after, 5, exclude_seen=True).item,
        refreshed.retrieve(growth.after, 5, exclude_seen=True).item,
    )
    # And once more, from there: nothing has changed since.
    still = Growth.between(growth.after, growth.after)
    tables = {"items": catalogue(growth.after), "users": people_of(growth.after)}
    again = refreshed.refreshed(still, **tables)
    np.testing.assert_allclose(again.user_vectors(growth.after), after, atol=1e-5)


@pytest.mark.parametrize("cls", CONTENT, ids=lambda cls: cls.__name__)
def test_a_new_item_is_where_it_would_be_if_it_had_been_in_the_catalogue(cls, growth, logs):
    _, refreshed = fit_and_refresh(cls(**SMALL), growth)
    whole = catalogue(growth.after)
    history, items, users = encoded(logs[0], items=whole, users=people_of(growth.before))
    known = cls(**SMALL).fit(history, items=items, users=users)
    row = growth.after.items.encode(pl.Series(["a first"]))[0]
    assert refreshed.item_vectors[row].any()
    if not refreshed.has_id_.any():  # tables of ids begin otherwise where there is an item more
        np.testing.assert_allclose(refreshed.item_vectors, known.item_vectors, atol=1e-4)
    item = refreshed.retrieve(growth.after, growth.after.n_items, exclude_seen=True).item
    assert (item == row).any()


@pytest.mark.parametrize("cls", BY_IDS, ids=lambda cls: cls.__name__)
def test_a_new_item_without_content_waits_for_a_fit(cls, growth):
    _, refreshed = fit_and_refresh(cls(**SMALL), growth)
    row = growth.after.items.encode(pl.Series(["a first"]))[0]
    item = refreshed.retrieve(growth.after, growth.after.n_items, exclude_seen=False).item
    assert not (item == row).any()


def test_other_words_of_known_items_mean_another_training(growth):
    other = catalogue(growth.after).with_columns(title=pl.col("title") + " sale")
    fitted, refreshed = fit_and_refresh(TextContent(**SMALL), growth, after_items=other)
    anew = TextContent(**SMALL).fit(growth.after, items=other, users=people_of(growth.after))
    np.testing.assert_array_equal(refreshed.item_vectors, anew.item_vectors)
    fitted, refreshed = fit_and_refresh(TextContent(**SMALL), growth)
    assert same_weights(fitted, refreshed)


def test_a_longer_text_of_a_new_item_changes_nothing(growth):
    is_new = pl.col("item_id") == "a first"
    long = pl.when(is_new).then(pl.lit(" ".join(["word1"] * 20))).otherwise("title").alias("title")
    table = catalogue(growth.after).with_columns(long)
    fitted, refreshed = fit_and_refresh(TextContent(**SMALL), growth, after_items=table)
    assert same_weights(fitted, refreshed)


@pytest.mark.parametrize("rerank", [None, ALS(factors=4)], ids=["alone", "rerank"])
def test_collaborative_filtering_by_a_network(rerank, growth):
    source = NeuralCollaborativeFiltering(
        **SMALL, architecture="gmf", rerank=rerank, depth=growth.after.n_items
    )
    fitted, refreshed = fit_and_refresh(source, growth)
    before = fitted.retrieve(growth.before, 6, exclude_seen=True).item
    after = refreshed.retrieve(growth.after, 6, exclude_seen=True).item
    kept = np.flatnonzero(~growth.is_user_changed[growth.user_row])
    if rerank is None:
        moved = growth.item_row[before[kept]]
        np.testing.assert_array_equal(after[growth.user_row[kept]], moved)
    row = growth.after.users.encode(pl.Series(["a new one"]))[0]
    assert (after[row] >= 0).all()
