"""The configuration file that `ranker init` writes."""

from __future__ import annotations


def example_config() -> str:
    """Return a commented configuration file that works as it stands with the extra ``demo``."""
    return _EXAMPLE


_EXAMPLE = """\
# Configuration of `ranker doctor | fit | evaluate | export`. Relative paths start at this file.

[data]
# Either a data set that the package knows ...
dataset = "complete-journey"         # or "movielens", with path = "folder of the archive"
# path = "ml-latest-small"

# ... or your own tables: CSV, TSV, Parquet, NDJSON or Arrow, one file or a glob; an address such as
# "s3://bucket/events/*.parquet", with keys from the environment; or an SQL query to PostgreSQL
# (password in PGPASSWORD or ~/.pgpass), "duckdb:FILE", or "duckdb::memory:" over files.
# interactions = "events/*.parquet"
# items = "products.csv"             # optional: attributes by item_id
# users = { sql = "SELECT * FROM customers", database = "postgresql://me@host/shop" }  # optional
# timestamp_unit = "s"               # where timestamp holds numbers since 1970: "s", "ms" or "us"

# Our names to the names in your files; columns that are not mentioned keep their names.
# [data.columns]
# user_id = "customer"
# item_id = "sku"
# timestamp = "ordered_at"           # optional, as are weight and event
# [data.item_columns]
# item_id = "sku"
# [data.user_columns]
# user_id = "customer"

[split]                              # what `ranker evaluate` holds out: one of the three
test = "28d"                         # the last 28 days (a whole number for integer timestamps)
# test_fraction = 0.1                # the last tenth of the events
# at = 2017-12-04T00:00:00           # everything from an instant on
# exclude_seen = true                # never list again what a user has had; for exports as well

[model]
preset = "balanced"                  # "fast", "balanced" or "best" (where timestamps only order
#                                    # each user's events it needs the extra "neural")
random_state = 0
path = "model"                       # the folder that `ranker fit` saves to
keep = 2                             # models in it: that of the last fit and those before
# n_candidates = 300                 # items that each source may propose; "all": every item
# n_windows = 3                      # label windows to learn from
# window_length = "28d"
# gate = "warn"                      # "fallback": serve the best source where reranking loses;
#                                    # "blend": that, or both orders together
# repeats = true                     # things are consumed again, as groceries are

[evaluate]
k = [10, 20]
# metrics = ["ndcg", "recall@50", "map", "mrr", "hit_rate", "coverage"]  # with @ at that depth only

[export]
path = "export"
k = 50
# format = "parquet"                 # "parquet-lists", "ndjson": one row per user; "arrow"
# chunk_size = 4096                  # users at a time, at most
# max_memory = "4GB"                 # as many at a time as fit (Linux)
# n_shards = 10                      # files; by default one for each half million rows
# engine = "ray"                     # by workers of a Ray cluster, not by one process
# n_workers = 4                      # by default one for each machine
users = "all"                        # or a file, an address or a query with a column user_id
"""
