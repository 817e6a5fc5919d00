"""Tables that are not those of the fit: an error before any work, or no matter."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.schema import check_same_schema
from features.stage import FeatureStage
from ranker import ConfigError, SchemaError, TwoStageRecommender
from tests.logs import make_log
from tests.recommenders import everything, item_table, small, user_table

LOG = make_log("datetime")
NEW = LOG.tail(5).with_columns(pl.col("timestamp") + dt.timedelta(days=400))


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


DRIFT = {
    "missing": (
        lambda t: t.drop("brand"),
        r"brand: the column is missing, but the model was fitted with it \(String\)",
    ),
    "number for text": (
        lambda t: t.with_columns(brand=pl.lit(3)),
        r"brand: dtype Int32 \(such as 3, 3, 3\), but the model was fitted with String",
    ),
    "text for a list": (
        lambda t: t.with_columns(genres=pl.lit("g1")),
        r"genres: dtype String .* fitted with List\(String\); cast it to that, or fit again",
    ),
}


@pytest.mark.parametrize(("change", "message"), DRIFT.values(), ids=DRIFT)
def test_other_columns_are_refused_and_nothing_has_happened(change, message, fitted):
    before = fitted.fingerprint
    with pytest.raises(SchemaError, match=rf"items: 1 problem\n.*{message}"):
        fitted.refresh(NEW, items=change(item_table()))
    assert fitted.fingerprint == before


def test_every_problem_is_in_one_error(fitted):
    table = user_table().select("user_id", age=pl.lit("old"))
    with pytest.raises(SchemaError, match=r"users: 1 problem\n.*age: dtype String"):
        fitted.refresh(NEW, users=table)
    table = item_table().select("item_id", genres=pl.lit(1))
    with pytest.raises(SchemaError) as caught:
        fitted.refresh(NEW, items=table)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        *("title", "brand", "genres"),
    ]


def test_new_categories_columns_and_widths_are_no_matter():
    recommender = everything()
    table = item_table().with_columns(
        brand=pl.lit("unheard of").cast(pl.Categorical), title=None, price=pl.lit(1.5)
    )
    users = user_table().cast({"age": pl.Int8})
    recommender.refresh(NEW, items=table, users=users)
    candidates = recommender.generate_candidates(["u003"])
    features = recommender.build_features(candidates)
    assert features["affinity_brand_share"].drop_nulls().n_unique() == 1, "all of one brand"
    assert recommender.recommend(["u003"], k=5).height == 5


def test_times_of_another_kind_are_refused(fitted):
    numbers = NEW.with_columns(timestamp=pl.lit(1_700_000_000))
    with pytest.raises(SchemaError, match=r"times are Int\d+ in timestamp of new_inter"):
        fitted.refresh(numbers)
    with pytest.raises(SchemaError, match="Int64 in timestamp of histories, Datetime"):
        fitted.recommend(histories=numbers)


def test_tables_that_would_make_new_features_are_refused():
    table = item_table().rename({"brand": "maker"})
    recommender = small(features=FeatureStage()).fit(LOG)
    before = recommender.fingerprint
    with pytest.raises(ConfigError, match=r"other features .* such as \['affinity_genres_count"):
        recommender.refresh(NEW, items=table)
    assert recommender.fingerprint == before
    # By default there is no block for tables that were not there at the fit.
    recommender = small().fit(LOG)
    names = recommender.describe_features()
    assert recommender.refresh(NEW, items=table).describe_features().equals(names)


def test_versions_of_items_serve_train_and_are_saved(tmp_path):
    first, last = LOG["timestamp"].min(), LOG["timestamp"].max()
    names = item_table()["item_id"]
    later = dict(zip(names, ["p", "q"] * len(names), strict=False))
    versions = [
        item_table().with_columns(valid_from=pl.lit(first - dt.timedelta(days=1))),
        item_table().with_columns(
            valid_from=pl.lit(first + (last - first) / 2),
            brand=pl.Series([later[name] for name in names]),
            title=pl.lit("new title"),
        ),
    ]
    recommender = small().fit(LOG, items=pl.concat(versions))
    recommender.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    for one in (recommender, again):
        told = one.build_features(one.generate_candidates(["u003"])).drop_nulls(
            "affinity_brand_count"
        )
        shares = told.group_by(pl.col("item_id").replace_strict(later)).agg(
            pl.col("affinity_brand_count").n_unique()
        )
        assert shares["affinity_brand_count"].to_list() == [1, 1], "as of the later brands"
    assert again.fingerprint == recommender.fingerprint
    assert recommender.explain("u003", k=3).height == 3


DTYPES = [pl.Int8, pl.UInt32, pl.Float32, pl.Decimal(9, 2), pl.String, pl.Categorical, pl.Date]
DTYPES += [pl.Datetime("ms"), pl.Boolean, pl.List(pl.String), pl.List(pl.Int8)]
KINDS = [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6]


@given(st.integers(0, len(DTYPES) - 1), st.integers(0, len(DTYPES) - 1))
@settings(max_examples=60, deadline=None)
def test_kinds_of_dtypes(one, two):
    old, new = (pl.DataFrame(schema={"x": DTYPES[place]}) for place in (one, two))
    if KINDS[one] == KINDS[two]:
        assert check_same_schema("items", new, old) is not None
    else:
        with pytest.raises(SchemaError, match=r"x: dtype"):
            check_same_schema("items", new, old)
