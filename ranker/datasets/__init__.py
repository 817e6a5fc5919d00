"""Loaders that bring interactions and attribute tables into this package's column names."""

from ranker.datasets.complete_journey import load_complete_journey
from ranker.datasets.dataset import Dataset, load_folder
from ranker.datasets.movielens import load_movielens
from ranker.datasets.table import load_table, scan_table
from ranker.datasets.timestamps import TimestampUnit
from ranker.query import Query

__all__ = [
    "Dataset",
    "Query",
    "TimestampUnit",
    "load_complete_journey",
    "load_folder",
    "load_movielens",
    "load_table",
    "scan_table",
]
