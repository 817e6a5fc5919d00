"""MovieLens in the three formats that GroupLens distributes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeAlias

import polars as pl

from features.errors import ConfigError
from ranker.datasets.dataset import Dataset
from ranker.datasets.files import listing, read, require_files
from ranker.datasets.table import load_table


def load_movielens(folder: str | Path, *, tags_before: datetime | None = None) -> Dataset:
    """Load MovieLens as GroupLens distributes it; the format is told from the files in the folder.

    Parameters
    ----------
    folder : str or Path
        The unpacked archive: ``u.data`` (100k), ``ratings.dat`` (1m, 10m) or ``ratings.csv``
        (latest, latest-small, 20m and later).
    tags_before : datetime or None
        Add ``tags`` (List[String]) to the items: those that users gave strictly before this
        instant, in UTC. By default no tag is read, since a tag is an event, and one that was
        given after the instant the model looks back from would leak.

    Returns
    -------
    Dataset
        Interactions: ``user_id``, ``item_id``, ``rating`` (Float32), ``timestamp`` (Datetime in
        microseconds, UTC without a zone). Items: ``title``, ``year`` (Int32), ``genres``
        (List[String], empty where none is known), for 100k also ``release_date``. Users, where
        the archive has them: ``age`` (Int32; in 1m the lower end of a band), ``gender``,
        ``occupation`` (in 1m a code), ``zip_code``.

    Raises
    ------
    ConfigError
        If the folder holds none of the formats, a file of the format is missing or cannot be
        read, or tags are asked for where there are none.
    """
    folder = Path(folder)
    needed, load = _find_format(folder)
    require_files(folder, needed, "MovieLens")
    try:
        interactions, items, users = load(folder)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(
            f"{folder}: {', '.join(needed)} do not fit the format: {error}"
        ) from error
    if tags_before is not None:
        items = _with_tags(items, folder, tags_before)
    return Dataset(
        name=folder.resolve().name,
        interactions=interactions.select("user_id", "item_id", "rating", "timestamp"),
        items=items,
        users=users,
        description="Ratings of movies (GroupLens, University of Minnesota).",
    )


_Tables: TypeAlias = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame | None]
_Format: TypeAlias = tuple[tuple[str, ...], Callable[[Path], _Tables]]

# The order of the flag columns of u.item; the first, "unknown", is left out.
# fmt: off
_GENRES_100K = (
    "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)
# fmt: on


def _load_100k(folder: Path) -> _Tables:
    ratings = _read_ratings(folder / "u.data", separator="\t", fields=[0, 1, 2, 3])
    columns = ("item_id", "title", "release_date", "video_date", "url", "unknown", *_GENRES_100K)
    movies = _read_lines(folder / "u.item", "|", columns)
    genres = pl.concat_list(
        pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in _GENRES_100K
    )
    items = movies.select(
        pl.col("item_id").cast(pl.Int64),
        "title",
        _year(),
        pl.col("release_date").replace("", None).str.to_date("%d-%b-%Y"),
        genres.list.drop_nulls().alias("genres"),
    )
    names = ("user_id", "age", "gender", "occupation", "zip_code")
    return ratings, items, _read_users(folder / "u.user", "|", names)


def _load_dat(folder: Path) -> _Tables:
    # Polars takes one byte as separator: "::" leaves an empty field between two fields.
    ratings = _read_ratings(folder / "ratings.dat", separator=":", fields=[0, 2, 4, 6])
    movies = _read_lines(folder / "movies.dat", "::", ("item_id", "title", "genres"))
    items = movies.select(pl.col("item_id").cast(pl.Int64), "title", _year(), _genres())
    if not (folder / "users.dat").is_file():  # 10m has none
        return ratings, items, None
    names = ("user_id", "gender", "age", "occupation", "zip_code")
    return ratings, items, _read_users(folder / "users.dat", "::", names)


def _load_csv(folder: Path) -> _Tables:
    ids = {"user_id": "userId", "item_id": "movieId"}
    ratings = load_table(folder / "ratings.csv", columns=ids, timestamp_unit="s")
    movies = load_table(folder / "movies.csv", columns={"item_id": "movieId"})
    items = movies.select("item_id", "title", _year(), _genres())
    return ratings.with_columns(pl.col("rating").cast(pl.Float32)), items, None


# The files that a format needs, the one that tells it first, and its loader.
_FORMATS: tuple[_Format, ...] = (
    (("u.data", "u.item", "u.user"), _load_100k),
    (("ratings.dat", "movies.dat"), _load_dat),
    (("ratings.csv", "movies.csv"), _load_csv),
)


def _find_format(folder: Path) -> _Format:
    for needed, load in _FORMATS:
        if (folder / needed[0]).is_file():
            return needed, load
    looked_for = ", or ".join(" and ".join(needed) for needed, _ in _FORMATS)
    raise ConfigError(
        f"{folder} holds no MovieLens data: looked for {looked_for}{listing(folder)}; "
        f"give the folder of the unpacked archive"
    )


def _read_ratings(file: Path, *, separator: str, fields: list[int]) -> pl.DataFrame:
    reader = partial(
        pl.read_csv,
        separator=separator,
        has_header=False,
        quote_char=None,
        infer_schema_length=None,
        glob=False,
    )
    # By place: the names of columns without a header changed between versions of Polars.
    user, item, rating, timestamp = (pl.nth(field) for field in fields)
    return read(reader, file).select(
        user.cast(pl.Int64).alias("user_id"),
        item.cast(pl.Int64).alias("item_id"),
        rating.cast(pl.Float32).alias("rating"),
        pl.from_epoch(timestamp.cast(pl.Int64), time_unit="s").alias("timestamp"),
    )


def _read_users(file: Path, separator: str, names: tuple[str, ...]) -> pl.DataFrame:
    users = _read_lines(file, separator, names)
    return users.with_columns(pl.col("user_id").cast(pl.Int64), pl.col("age").cast(pl.Int32))


def _year() -> pl.Expr:
    return pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int32).alias("year")


def _genres() -> pl.Expr:
    names = pl.col("genres").str.split("|")
    return names.list.eval(pl.element().filter(pl.element() != "(no genres listed)"))


def _with_tags(items: pl.DataFrame, folder: Path, before: datetime) -> pl.DataFrame:
    require_files(folder, ("tags.csv",), "MovieLens tags")
    ids = {"user_id": "userId", "item_id": "movieId"}
    if before.tzinfo is not None:
        raise ConfigError(f"tags_before={before!r} has a time zone; give it in UTC without one")
    tags = (
        load_table(folder / "tags.csv", columns=ids, timestamp_unit="s")
        .filter(pl.col("timestamp") < before)
        .group_by("item_id")
        .agg(pl.col("tag").cast(pl.String).unique().sort().alias("tags"))
    )
    joined = items.join(tags, on="item_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("tags").fill_null([]))


def _read_lines(file: Path, separator: str, names: tuple[str, ...]) -> pl.DataFrame:
    # Not splitlines(): it also splits at \x85, which latin-1 has inside of titles.
    lines = _read_text(file).replace("\r\n", "\n").split("\n")
    rows = [line.split(separator) for line in lines if line]
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise ConfigError(
                f"{file}: row {number} has {len(row)} fields between {separator!r}, expected "
                f"{len(names)}: {separator.join(row)[:80]!r}"
            )
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _read_text(file: Path) -> str:
    content = file.read_bytes()
    try:
        return content.decode("utf-8")  # 10m
    except UnicodeDecodeError:
        return content.decode("latin-1")  # 100k and 1m
