"""Policies as objects: what they refuse, what they are called, what their fingerprint tells."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import ConfigError, SchemaError
from ranker.lists import (
    DPP,
    MMR,
    Calibrate,
    Cap,
    Epsilon,
    Explore,
    FilterAllowed,
    FilterAvailable,
    FilterDenied,
    FilterSeen,
    FilterWhere,
    NewItems,
    Policy,
    Quota,
)
from tests.lists.cases import Case, catalogue, one_user

ROOT = Path(__file__).parents[2]
ITEMS = catalogue(
    5, brand=["a", "b", "a", None, "b"], price=[1.5, 2.0, 3.0, 4.0, None], empty=[None] * 5
)


def case(**keywords) -> Case:
    return one_user([5, 4, 3, 2, 1], ITEMS, **keywords)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "there are no steps"),
        (MMR("als"), r"write Policy\(\[step"),
        (None, "no list of steps"),
        ([MMR], "is no step"),
        (["Cap"], "is no step"),
        ([Explore(1), MMR("als")], "Explore is the last step"),
        ([Explore(1), Explore(1)], "Explore is the last step"),
        ([Cap("brand", 1), Quota("brand", {"a": 2})], r"asks for 2 of 'a'.*allows 1"),
        ([Quota("brand", {"a": 2}), Cap("brand", {"a": 1})], r"asks for 2 of 'a'.*allows 1"),
    ],
)
def test_policies_that_cannot_be(steps, message):
    with pytest.raises(ConfigError, match=message):
        Policy(steps)


def test_caps_of_other_values_and_columns_do_not_contradict():
    Policy([Cap("brand", {"b": 1}), Quota("brand", {"a": 2})])
    Policy([Cap("kind", 1), Quota("brand", {"a": 2})])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MMR(""), "expected a name"),
        (lambda: MMR(3), "embedding=3"),
        (lambda: MMR("als", diversity=1.5), r"diversity=1.5; expected a number from 0 to 1"),
        (lambda: MMR("als", diversity=float("nan")), "diversity=nan"),
        (lambda: DPP("als", diversity="much"), "diversity='much'"),
        (lambda: DPP("als", depth=0), "depth=0; expected a whole number, 1 or more"),
        (lambda: Calibrate("genre", strength=-0.1), "strength=-0.1"),
        (lambda: Cap("brand", 0), "at_most=0; expected a whole number, 1 or more"),
        (lambda: Cap("brand", True), "at_most=True"),
        (lambda: Cap("brand", 1.5), "at_most=1.5"),
        (lambda: Cap("brand", {}), "at_most is empty"),
        (lambda: Cap("brand", {"a": 0}), r"at_most\['a'\]=0"),
        (lambda: Cap("brand", {1.5: 1}), "names the value 1.5"),
        (lambda: Cap(pl.col("price") > 1, {"a": 1}), "names values"),
        (lambda: Cap(3, 1), "of=3"),
        (lambda: Cap(pl.lit(True), 1), "names no column"),
        (lambda: Quota("brand", 2), r"does not say which value.*Quota\('brand'"),
        (lambda: Quota("brand", {"a": -1}), r"at_least\['a'\]=-1"),
        (lambda: NewItems(0), "at_least=0"),
        (lambda: NewItems(1, max_events=-1), "max_events=-1; expected a whole number, 0 or more"),
        (lambda: NewItems(1, column="since"), "give max_age too"),
        (lambda: Explore(0), "places=0"),
        (lambda: Explore(1, by=0.1), r"by=0.1; expected Epsilon"),
        (lambda: Explore(1, random_state="x"), "random_state='x'"),
        (lambda: Epsilon(2), "epsilon=2"),
        (lambda: FilterAllowed([]), "items is empty"),
        (lambda: FilterAllowed("i1"), "is no list of ids"),
        (lambda: FilterDenied([1, "a"]), "ids of one kind"),
        (lambda: FilterWhere(True), "expected a Polars expression"),
        (lambda: FilterWhere(pl.lit(1) > 0), "names no column"),
        (lambda: FilterAvailable(ITEMS.clear()), "has no rows"),
    ],
)
def test_steps_that_cannot_be(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FilterDenied([1.5, 2.0]), "item_id is Float64; expected integers or text"),
        (lambda: FilterDenied([1, None]), "item_id is null in 1 of 2 rows"),
        (lambda: FilterDenied(pl.DataFrame({"item": [1]})), "'item_id' is missing"),
        (lambda: FilterAvailable(ITEMS, by="shop"), "column 'shop' is missing"),
    ],
)
def test_frames_that_cannot_be(make, message):
    with pytest.raises(SchemaError, match=message):
        make()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Cap("brnad", 1), r"Cap\('brnad', 1\): items have no column 'brnad'; there are brand"),
        (Cap("price", 1), r"price of items is Float64; expected text.*give a condition"),
        (Cap("brand", {"A": 1}), r"no item has 'A' in brand; the nearest value is 'a'"),
        (Cap("empty", {"A": 1}), "it has no values"),
        (Cap(pl.col("price") + 1, 1), "expected a condition, true or false"),
        (Cap(pl.col("price") > "x", 1), "fails"),
        (Cap(pl.col("prices") > 1, 1), "no column 'prices'"),
        (Quota("brand", {"c": 1}), "no item has 'c' in brand"),
        (Quota(pl.col("price") > 99, 1), "true for no item"),
        (Calibrate("genre"), "no column 'genre'"),
        (
            MMR("alss"),
            r"'alss' is no source and no column of items; there are vectors by 'vectors'",
        ),
        (MMR("own"), "the source 'own' has no vectors"),
        (DPP("brand"), "the column 'brand' of items is String; expected an Array or List"),
        (FilterAllowed([77, 78]), r"the catalogue has none of them, such as \[77, 78\]"),
        (FilterDenied([0, 1, 2, 3, 4]), "let no item of the catalogue through"),
        (FilterWhere(pl.col("user_age") > 1), r"no column 'user_age'; of items there are brand"),
        (FilterWhere(pl.col("brand") > pl.col("user_id")), "fails"),
        (FilterSeen(event="order"), "the log has no events 'order'; there are none with a name"),
        (FilterSeen(within="7d"), "the log has no timestamps"),
        (NewItems(1, max_age="7d"), "one clock for everybody.*give max_events"),
        (FilterAvailable(pl.DataFrame({"item_id": [0], "shop": ["a"]}), by="shop"), "fit.*users="),
        (
            FilterAvailable(pl.DataFrame({"item_id": [0], "available_from": [date(2024, 1, 1)]})),
            "leave the times out",
        ),
    ],
)
def test_steps_that_do_not_fit_the_data(step, message):
    one = case(vectors=np.eye(5, dtype=np.float32))
    with pytest.raises(ConfigError, match=message):
        one.lists(Policy([step]), 3)


@pytest.mark.parametrize("kind", [FilterAllowed, FilterDenied, FilterAvailable])
def test_ids_of_another_kind(kind):
    ids = pl.DataFrame({"item_id": ["i1"]})
    with pytest.raises(SchemaError, match=r"ids are String \(such as 'i1'\), those of the log"):
        case().lists(Policy([kind(ids)]), 3)


def test_without_an_item_table():
    one = case()
    context = one.context
    object.__setattr__(context, "items", None)
    with pytest.raises(ConfigError, match=r"call fit\(..., items=items\)"):
        Cap("brand", 1).limits(context)


def test_columns_of_both_tables_by_one_name():
    one = one_user([1.0], catalogue(1, user_age=[3]), users=pl.DataFrame({"age": [3]}))
    with pytest.raises(ConfigError, match="user_age is a column of items, and age one of users"):
        one.lists(Policy([FilterWhere(pl.col("user_age") > 1)]), 1)


def test_more_places_than_there_are():
    policy = Policy([Quota("brand", {"a": 2, "b": 1}), NewItems(1), Explore(2)])
    policy.check_length(6)
    with pytest.raises(ConfigError, match=r"asks for 6 places of a list of k=5.*NewItems\(\) 1"):
        policy.check_length(5)


def test_categorical_and_small_integer_ids_are_ids():
    assert case().items_of(Policy([FilterDenied(pl.Series([0, 9], dtype=pl.UInt8))]), 2) == [[1, 2]]
    words = pl.Series(["x"], dtype=pl.Categorical)
    assert FilterDenied(words).items.schema == {"item_id": pl.String}


STEPS = {
    "seen": lambda: FilterSeen(within="7d"),
    "seen longer": lambda: FilterSeen(within="8d"),
    "denied": lambda: FilterDenied([1, 2]),
    "denied text": lambda: FilterDenied(["1", "2"]),
    "denied others": lambda: FilterDenied([1, 3]),
    "allowed": lambda: FilterAllowed([1, 2]),
    "where": lambda: FilterWhere(pl.col("price").is_in(list(range(100)))),
    "where else": lambda: FilterWhere(pl.col("price").is_in(list(range(99)))),
    "available": lambda: FilterAvailable(ITEMS, at=date(2024, 1, 1)),
    "available later": lambda: FilterAvailable(ITEMS, at=date(2024, 1, 2)),
    "cap": lambda: Cap("brand", 2),
    "cap values": lambda: Cap("brand", {"a": 2}),
    "quota": lambda: Quota("brand", {"a": 2}),
    "mmr": lambda: MMR("als"),
    "dpp": lambda: DPP("als"),
    "explore": lambda: Explore(1, by=Epsilon(0.2)),
    "explore more": lambda: Explore(1, by=Epsilon(0.3)),
}


def test_fingerprints_tell_policies_apart_and_know_them_again():
    first = {name: Policy([make()]).fingerprint for name, make in STEPS.items()}
    assert first == {name: Policy([make()]).fingerprint for name, make in STEPS.items()}
    assert len(set(first.values())) == len(STEPS)
    assert all(len(one) == 64 for one in first.values())
    there, back = [Cap("brand", 2), MMR("als")], [MMR("als"), Cap("brand", 2)]
    assert Policy(there).fingerprint != Policy(back).fingerprint
    assert FilterDenied([2, 1, 1]).items.equals(FilterDenied([1, 2]).items)
    by_numpy = Policy([Cap("brand", np.int64(2)), MMR("als", diversity=np.float32(0.5))])
    assert by_numpy.fingerprint == Policy([Cap("brand", 2), MMR("als", diversity=0.5)]).fingerprint


def test_fingerprints_are_the_same_in_another_process():
    code = (
        "import polars as pl\n"
        "from ranker.lists import *\n"
        "print(Policy([FilterWhere(pl.col('price') > 2), FilterDenied([1, 2])]).fingerprint)"
    )
    own = Policy([FilterWhere(pl.col("price") > 2), FilterDenied([1, 2])]).fingerprint
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == own


def test_names_for_people():
    policy = Policy([FilterDenied([1, 2]), Cap("brand", 2), MMR("als", diversity=0.5), Explore(2)])
    assert str(policy) == (
        "FilterDenied(2 rows), Cap('brand', 2), MMR('als', diversity=0.5), Explore(places=2)"
    )
    assert [str(one) for one in policy.prefixes()][1] == "FilterDenied(2 rows), Cap('brand', 2)"


def test_the_frames_of_the_caller_stay_as_they_were():
    frame = pl.DataFrame({"item_id": pl.Series(["b", "a"], dtype=pl.Categorical), "more": [1, 2]})
    before = frame.clone()
    FilterDenied(frame.lazy().drop("more"))
    FilterAvailable(frame.lazy())
    assert frame.equals(before)
    assert frame.schema == before.schema
