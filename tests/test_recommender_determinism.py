"""The same seed gives the same lists, whatever is done to rows, users, chunks, threads and ids."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ranker import SchemaError, TwoStageRecommender
from tests.logs import CLOCKS, make_log
from tests.recommenders import everything, item_table, numbered, small, user_table

LOG = make_log("datetime")


@pytest.fixture(scope="module")
def fitted() -> TwoStageRecommender:
    return everything()


@pytest.fixture(scope="module")
def lists(fitted) -> pl.DataFrame:
    return fitted.recommend(k=12)


def shuffled(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    return frame.sample(fraction=1, shuffle=True, seed=seed)


@pytest.mark.parametrize("clock", [clock for clock in CLOCKS if clock != "none"])
def test_shuffled_rows(clock):
    log = make_log(clock)
    tables = {"items": item_table(), "users": user_table()}
    fingerprints, found = set(), []
    for seed in range(3):
        mixed = {name: shuffled(table, seed) for name, table in tables.items()}
        recommender = small(clock=clock).fit(shuffled(log, seed), **mixed)
        fingerprints.add(recommender.fingerprint)
        found.append(recommender.recommend(k=12))
    assert len(fingerprints) == 1
    for other in found[1:]:
        assert_frame_equal(other, found[0])


def test_shuffled_rows_without_a_clock():
    found = [small(clock="none").fit(shuffled(make_log("none"), seed)) for seed in range(3)]
    assert len({recommender.fingerprint for recommender in found}) == 1


def test_shuffled_users(fitted, lists):
    users = shuffled(fitted.user_ids.to_frame(), 4)["user_id"]
    again = fitted.recommend(users, k=12)
    assert again["user_id"].unique(maintain_order=True).to_list() == users.to_list()
    assert_frame_equal(again.sort("user_id", "rank"), lists)
    for user in users[:3]:
        assert_frame_equal(fitted.recommend([user], k=12), lists.filter(user_id=user))


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_chunks_and_threads(chunk_size, n_threads, lists, fitted):
    recommender = everything(chunk_size=chunk_size, n_threads=n_threads)
    assert recommender.fingerprint == fitted.fingerprint
    assert_frame_equal(recommender.recommend(k=12), lists)
    funnels = [one.funnel(LOG).drop("seconds") for one in (recommender, fitted)]
    assert_frame_equal(*funnels)
    assert_frame_equal(recommender.generate_candidates(), fitted.generate_candidates())


def test_a_second_fit_of_the_same_object(lists):
    recommender = small().fit(make_log("shared", n_users=30, n_items=12, seed=5))
    recommender.fit(LOG, items=item_table(), users=user_table())
    assert_frame_equal(recommender.recommend(k=12), lists)


def test_save_and_load(fitted, lists, tmp_path: Path):
    fitted.save(tmp_path / "model")
    again = TwoStageRecommender.load(tmp_path / "model")
    assert_frame_equal(again.recommend(k=12), lists)
    assert again.fingerprint == fitted.fingerprint


@pytest.mark.parametrize("clock", CLOCKS)
def test_whole_numbers_and_text_as_ids(clock):
    # The same log but for its ids; they sort alike, since the text is padded with zeros.
    log = make_log(clock)
    text = small(clock=clock).fit(log, items=item_table(), users=user_table())
    number = small(clock=clock).fit(
        numbered(log),
        items=item_table().with_columns(pl.col("item_id").str.strip_prefix("i").cast(pl.Int64)),
        users=user_table().with_columns(pl.col("user_id").str.strip_prefix("u").cast(pl.Int64)),
    )
    lists = number.recommend(k=12)
    assert lists.schema["user_id"] == lists.schema["item_id"] == pl.Int64
    assert_frame_equal(lists, numbered(text.recommend(k=12)))


def test_another_seed_is_another_recommender(fitted):
    other = everything(random_state=1)
    assert other.fingerprint != fitted.fingerprint
    assert len(fitted.fingerprint) == 64
    assert everything().fingerprint == fitted.fingerprint


def test_other_attributes_are_another_recommender():
    # Rules read them as they are now: an export must not go on under other prices.
    log, users = LOG.head(300), user_table()
    items = item_table().with_columns(price=pl.lit(1.0), raw=pl.lit(b"\xff"))
    model = small().fit(log, items=items, users=users)
    found = {model.fingerprint}
    event = log.tail(1)
    found.add(model.refresh(event, items=items, users=users).fingerprint)
    dearer = items.with_columns(pl.col("price") + 1)
    for _ in range(2):  # each adds an event, hence from the same log
        again = small().fit(log, items=items, users=users).refresh(event, items=dearer, users=users)
        found.add(again.fingerprint)
    assert len(found) == 3


@pytest.mark.parametrize("dtype", [pl.UInt8, "enum"])
def test_ids_that_do_not_fit_the_callers_dtype_come_back_as_they_are(dtype):
    log, stranger, new = numbered(LOG), 300, 301
    wide = pl.Int64
    if dtype == "enum":
        log, stranger, new, wide = LOG, "stranger", "new", pl.String
    dtypes = {
        name: pl.Enum(log[name].unique().sort()) if dtype == "enum" else dtype
        for name in ("user_id", "item_id")
    }
    narrow = log.with_columns(pl.col(n).cast(d) for n, d in dtypes.items())
    recommender = small().fit(narrow)
    found = recommender.recommend([stranger], k=3)
    assert found["user_id"].to_list() == [stranger] * 3
    assert found.schema["item_id"] == dtypes["item_id"]
    session = log.head(3).with_columns(user_id=pl.lit(stranger))
    assert recommender.recommend(histories=session, k=3)["user_id"][0] == stranger
    event = log.tail(1).with_columns(user_id=pl.lit(new), item_id=pl.lit(new))
    assert recommender.refresh(event).recommend(k=3).schema["user_id"] == wide
    assert new in recommender.user_ids.to_list()
    items = pl.DataFrame({"item_id": [*log["item_id"].unique(), new]})
    of_table = small().fit(narrow, items=items).recommend(k=len(items), exclude_seen=False)
    assert new in of_table["item_id"].to_list()
    assert of_table.schema["user_id"] == dtypes["user_id"]
    with pytest.raises(SchemaError, match="user_id: 1 values do not fit Int64"):
        small().fit(numbered(LOG)).recommend(pl.Series([2**63], dtype=pl.UInt64))


@pytest.mark.parametrize(
    "dtype", [pl.Int8, pl.Int32, pl.UInt64, pl.Categorical, "enum", pl.String], ids=str
)
def test_ids_come_back_in_the_callers_dtype(dtype, tmp_path: Path):
    frame = numbered(LOG)
    if dtype in (pl.Categorical, "enum", pl.String):
        frame = LOG
    dtypes = {
        name: pl.Enum(LOG[name].unique().sort(descending=True)) if dtype == "enum" else dtype
        for name in ("user_id", "item_id")
    }
    recommender = small().fit(frame.with_columns(pl.col(n).cast(d) for n, d in dtypes.items()))
    expected = small().fit(frame).recommend(k=5)
    recommender.save(tmp_path / "model")
    candidates = recommender.generate_candidates()
    found = [
        recommender.recommend(k=5),
        TwoStageRecommender.load(tmp_path / "model").recommend(k=5),
        candidates,
        recommender.score(recommender.build_features(candidates)),
    ]
    for result in found:
        assert result.schema["user_id"] == dtypes["user_id"]
        assert result.schema["item_id"] == dtypes["item_id"]
    for result in found[:2]:
        ids = pl.col("user_id", "item_id")
        kind = pl.Int64 if expected.schema["user_id"] == pl.Int64 else pl.String
        assert_frame_equal(result.with_columns(ids.cast(kind)), expected)
    assert recommender.user_ids.dtype == dtypes["user_id"]
    assert recommender.explain(frame["user_id"][0])["item_id"].dtype == dtypes["item_id"]
