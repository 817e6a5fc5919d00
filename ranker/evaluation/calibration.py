"""Shares of categories in a list against those in the user's past: one definition.

The metric ``"miscalibration"`` measures by it, and :class:`ranker.lists.Calibrate` brings lists
closer by it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from features.arrays import Float32Array, Float64Array, FrameLike, Int32Array, Int64Array
from features.codes import Codes
from features.columns import is_codes
from features.errors import SchemaError
from features.kernel import kernel
from features.schema import canonical_ids
from ranker.evaluation.frames import collect

ALPHA = 0.01
"""Of the paper: how much of the wanted shares is mixed into the list's."""


@kernel
def category_shares(
    event_item: Int32Array | Int64Array,
    event_weight: Float32Array,
    code_indptr: Int64Array,
    code: Int32Array,
    p: Float64Array,
    support: Int64Array,
) -> int:
    """Write the shares of the events of a user to p, and the codes that have one to support.

    An item of several categories counts for each in equal parts, one of none not at all.

    Parameters
    ----------
    event_item : int array [n_events]
        Row numbers of items.
    event_weight : float32 array [n_events]
    code_indptr, code
        Of :class:`features.codes.Codes`, by row numbers of items.
    p : float64 array [n_codes]
        All zero before; sums to 1 after, unless no event has a category.
    support : int64 array [n_codes]

    Returns
    -------
    int
        How many places of ``support`` were written.
    """
    n_support, total = 0, 0.0
    for event in range(len(event_item)):
        one = event_item[event]
        own = code[code_indptr[one] : code_indptr[one + 1]]
        if len(own) == 0 or event_weight[event] <= 0.0:
            continue
        total += event_weight[event]
        for one_code in own:
            if p[one_code] == 0.0:
                support[n_support] = one_code
                n_support += 1
            p[one_code] += event_weight[event] / len(own)
    for at in range(n_support):
        p[support[at]] /= total
    return n_support


@kernel
def divergence(p: float, q: float) -> float:
    """One summand of KL(p, q), with a part of p mixed into q (equations 6 and 7 of the paper)."""
    summand: float = p * np.log(p / ((1.0 - ALPHA) * q + ALPHA * p))
    return summand


@kernel
def list_divergence(
    event_indptr: Int64Array,
    event_item: Int64Array,
    rows: Int64Array,
    code_indptr: Int64Array,
    code: Int32Array,
    n_codes: int,
    k: int,
) -> Float64Array:
    """KL(p, q) of each user, p of all events alike and q of the first k items [n_users].

    Events and items without a category are passed over.
    """
    values = np.zeros(len(rows))
    p, q = np.zeros(n_codes), np.zeros(n_codes)
    support = np.empty(n_codes, np.int64)
    for user in range(len(rows)):
        events = event_item[event_indptr[user] : event_indptr[user + 1]]
        weights = np.ones(len(events), np.float32)
        n_support = category_shares(events, weights, code_indptr, code, p, support)
        n_items = 0
        for row in rows[user, :k]:
            n_items += row >= 0 and code_indptr[row] < code_indptr[row + 1]
        q[:] = 0.0
        for row in rows[user, :k]:
            if row >= 0:
                own = code[code_indptr[row] : code_indptr[row + 1]]
                for one_code in own:
                    q[one_code] += 1.0 / len(own) / n_items
        for at in range(n_support):
            one_code = support[at]
            values[user] += divergence(p[one_code], q[one_code])
            p[one_code] = 0.0
    return values


def check_categories(frame: FrameLike, *, like: pl.DataFrame) -> pl.DataFrame:
    """``item_id`` as Int64 or String, and the one other column, named ``category``.

    Parameters
    ----------
    frame : DataFrame or LazyFrame
        ``item_id``, once each, and one column of text, categories, integers, booleans, or lists of
        them.
    like : DataFrame
        Whose ``item_id`` the ids are to be found among.

    Raises
    ------
    SchemaError
        Other columns, values that are no categories, repeated ids, or ids of another dtype.
    """
    table = collect(frame, table="categories")
    others = [name for name in table.columns if name != "item_id"]
    if "item_id" not in table.columns or len(others) != 1:
        problem = f"the columns are {', '.join(table.columns)}; expected item_id and one other, "
        raise SchemaError("categories", [problem + 'as in items.select("item_id", "genres")'])
    (name,) = others
    problems = []
    if not is_codes(table.schema[name]):
        problems.append(
            f"{name} has dtype {table.schema[name]}; expected text, categories, integers, "
            f"booleans, or lists of them"
        )
    n_repeated = table.height - table["item_id"].n_unique()
    if n_repeated:
        problems.append(f"{n_repeated} rows repeat an item_id; expected each once")
    ids = canonical_ids(table["item_id"])
    if ids.dtype != like.schema["item_id"]:
        problems.append(
            f"item_id has dtype {ids.dtype} here and {like.schema['item_id']} in test, so no row "
            f"could match: cast one of them"
        )
    if problems:
        raise SchemaError("categories", problems)
    return pl.DataFrame({"item_id": ids, "category": table[name]})


def codes_of(categories: pl.DataFrame, item_ids: pl.Series) -> Codes:
    """The categories of each item, in the order of the ids; what is not in the table has none."""
    wanted = item_ids.alias("item_id").to_frame()
    found = wanted.join(categories, on="item_id", how="left", maintain_order="left")
    return Codes.of(found["category"])
