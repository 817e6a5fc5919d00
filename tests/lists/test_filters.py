"""Each filter on a fitted recommender, by ids and times as a caller has them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from features.errors import ConfigError, SchemaError
from ranker import TwoStageRecommender
from ranker.lists import (
    FilterAllowed,
    FilterAvailable,
    FilterDenied,
    FilterSeen,
    FilterWhere,
    NewItems,
    Policy,
)
from tests.logs import make_log
from tests.recommenders import N_ITEMS, everything, item_table, small, user_table

LOG = make_log("datetime")
LAST = LOG["timestamp"].max()
K = 8


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


@pytest.fixture(scope="module")
def plain(fitted) -> pl.DataFrame:
    return fitted.recommend(k=K)


def served(fitted: TwoStageRecommender, *steps, **keywords) -> pl.DataFrame:
    return fitted.recommend(k=K, policy=Policy(steps), **keywords)


def pairs_of(frame: pl.DataFrame) -> set[tuple]:
    return set(frame.select("user_id", "item_id").iter_rows())


def test_seen_ever_and_of_late_and_by_name(fitted, plain):
    taken = LOG.filter(pl.col("timestamp") > LAST - timedelta(days=20))
    orders = LOG.filter(event="cart")
    assert pairs_of(plain) & pairs_of(taken)
    assert pairs_of(plain) & pairs_of(orders)
    assert not pairs_of(served(fitted, FilterSeen())) & pairs_of(LOG)
    of_late = pairs_of(served(fitted, FilterSeen(within="20d")))
    assert not of_late & pairs_of(taken)
    assert of_late & pairs_of(LOG)
    by_name = pairs_of(served(fitted, FilterSeen(event="cart")))
    assert not by_name & pairs_of(orders)
    assert by_name & pairs_of(LOG)


def test_seen_in_a_session(fitted):
    session = pl.DataFrame(
        {"user_id": ["guest"] * 2, "item_id": ["i001", "i002"], "timestamp": [LAST, LAST]}
    )
    found = fitted.recommend(histories=session, k=K, policy=Policy([FilterSeen()]))
    assert not {"i001", "i002"} & set(found["item_id"])
    assert found.height == K


def test_allowed_and_denied(fitted):
    some = ["i003", "i004", "i005", "i019", "unheard of"]
    allowed = served(fitted, FilterAllowed(pl.Series(some, dtype=pl.Categorical)))
    assert set(allowed["item_id"]) == set(some[:4])
    assert (allowed.group_by("user_id").len()["len"] == 4).all()
    denied = served(fitted, FilterDenied(some))
    assert not set(denied["item_id"]) & set(some)
    assert (denied.group_by("user_id").len()["len"] == K).all()


def test_denied_to_single_users_strangers_too(fitted, plain):
    first = plain.filter(rank=1).select("user_id", "item_id")
    stranger = fitted.recommend(["guest"], k=1)
    both = pl.concat([first, stranger.select("user_id", "item_id")])
    users = pl.Series([*fitted.user_ids, "guest"])
    found = fitted.recommend(users, k=K, policy=Policy([FilterDenied(both)]))
    assert not pairs_of(found) & pairs_of(both)
    assert pairs_of(found) >= pairs_of(plain) - pairs_of(both), "denied to nobody else"
    assert found.height == K * len(users)
    with pytest.raises(SchemaError, match="user_id: ids are Int64"):
        served(fitted, FilterDenied(both.with_columns(user_id=pl.lit(1))))


def test_available_now_and_from_a_day_to_another(fitted):
    items = [f"i{number:03}" for number in range(10)]
    table = pl.DataFrame(
        {
            "item_id": items,
            "available_from": [None] * 5 + [LAST + timedelta(days=1)] * 5,
            "available_until": [LAST + timedelta(days=9)] * 4 + [LAST] + [None] * 5,
        }
    )
    assert set(served(fitted, FilterAvailable(table))["item_id"]) == set(items[:4])
    later = FilterAvailable(table, at=LAST + timedelta(days=1))
    assert set(served(fitted, later)["item_id"]) <= set(items[:4] + items[5:])
    assert "i009" in served(fitted, later)["item_id"]
    by_day = pl.DataFrame({"item_id": items, "available_until": [date(2030, 1, 1)] * 10})
    assert set(served(fitted, FilterAvailable(by_day.lazy()))["item_id"]) <= set(items)
    with pytest.raises(SchemaError, match="available_from is Int32; expected Date or Datetime"):
        served(fitted, FilterAvailable(table.with_columns(available_from=pl.lit(3))))


def test_available_where_the_user_is():
    users = user_table().with_columns(
        shop=pl.when(pl.col("age") % 3 > 0).then(pl.format("shop {}", pl.col("age") % 3))
    )
    fitted = small().fit(LOG, items=item_table(), users=users)
    table = pl.DataFrame(
        {
            "item_id": [f"i{number:03}" for number in range(20)],
            "shop": ["shop 1"] * 9 + ["shop 2"] * 8 + [None] * 3,
        }
    )
    found = served(fitted, FilterAvailable(table, by="shop"))
    stock = {shop: set(group["item_id"]) for (shop,), group in table.group_by("shop")}
    home = dict(users.select("user_id", "shop").iter_rows())
    for (user,), group in found.group_by("user_id"):
        here = stock[None] | (stock[home[user]] if home.get(user) else set())
        assert set(group["item_id"]) <= here
        assert group.height == min(K, len(here))
    own = FilterAvailable(
        pl.DataFrame({"item_id": ["i001", "i002", "i003"], "user_id": ["u001", "u001", None]}),
        by="user_id",
    )
    found = served(fitted, own)
    assert set(found.filter(user_id="u001")["item_id"]) == {"i001", "i002", "i003"}
    assert set(found.filter(pl.col("user_id") != "u001")["item_id"]) == {"i003"}


def test_the_same_number_is_the_same_place_whatever_its_dtype():
    # A column of whole numbers with a gap comes as floats out of pandas.
    users = user_table().with_columns((pl.col("age") % 3).alias("shop"))
    in_floats = users.with_columns(pl.col("shop").cast(pl.Float64))
    table = pl.DataFrame({"item_id": [f"i{n:03}" for n in range(9)], "shop": [0, 1, 2] * 3})
    for of_users, of_items in ((users, pl.Float32), (in_floats, pl.Int32), (in_floats, pl.Float64)):
        fitted = small().fit(LOG, items=item_table(), users=of_users)
        step = FilterAvailable(table.cast({"shop": of_items}), by="shop")
        found = served(fitted, step).join(users, on="user_id")
        assert found.height == 3 * found["user_id"].n_unique() > 0
        assert (found["item_id"].str.slice(1).cast(pl.Int64) % 3 == found["shop"]).all()


def test_conditions_on_items_and_users(fitted):
    brand = dict(item_table().select("item_id", "brand").iter_rows())
    on_items = served(fitted, FilterWhere(pl.col("brand") == "brand 1"))
    assert {brand.get(item) for item in on_items["item_id"]} == {"brand 1"}
    rule = FilterWhere((pl.col("brand") == "brand 1") | (pl.col("user_age") >= 20))
    ages = dict(user_table().iter_rows())
    for (user,), group in served(fitted, rule).group_by("user_id"):
        brands = {brand.get(item) for item in group["item_id"]}
        assert (brands == {"brand 1"}) == (ages.get(user, 0) < 20)
    alone = served(fitted, FilterWhere(pl.col("user_age") >= 20))
    assert set(alone["user_id"]) == {user for user, age in ages.items() if age >= 20}


def test_conditions_on_ids_and_strangers(fitted):
    rule = FilterWhere((pl.col("user_id") != "guest") | (pl.col("item_id") > "i010"))
    found = fitted.recommend(["u001", "guest", "other"], k=K, policy=Policy([rule]))
    by_user = {user: set(group["item_id"]) for (user,), group in found.group_by("user_id")}
    assert min(by_user["guest"]) > "i010"
    assert min(by_user["other"]) <= "i010"
    known = FilterWhere(pl.col("user_age").is_not_null())
    assert fitted.recommend(["guest"], k=K, policy=Policy([known])).is_empty()


def test_new_by_age_and_by_release():
    released = [datetime(2020, 1, 1)] * N_ITEMS
    released[20] = released[21] = LAST - timedelta(days=2)
    items = pl.DataFrame(
        {"item_id": [f"i{number:03}" for number in range(N_ITEMS)], "released": released}
    ).with_columns(day=pl.col("released").dt.date())
    fitted = small().fit(LOG, items=items)
    for column in ("released", "day"):
        found = served(fitted, NewItems(2, max_age="5d", column=column))
        counts = found.group_by("user_id").agg(pl.col("item_id").is_in(["i020", "i021"]).sum())
        assert (counts["item_id"] == 2).all()
    with pytest.raises(ConfigError, match="the column item_id of items is String; expected Date"):
        served(fitted, NewItems(1, max_age="5d", column="item_id"))


def test_new_by_the_first_event():
    late = LOG.tail(2).with_columns(item_id=pl.lit("brand new"))
    log = pl.concat([LOG, late])
    found = served(small().fit(log), NewItems(1, max_age="3d"))
    assert "brand new" in found["item_id"]
    first = log.group_by("item_id").agg(pl.col("timestamp").min())
    young = first.filter(pl.col("timestamp") >= LAST - timedelta(days=3))["item_id"]
    has_one = found.group_by("user_id").agg(pl.col("item_id").is_in(young.implode()).any())
    assert has_one["item_id"].all()
