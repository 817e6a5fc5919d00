"""Which items of whom are to be explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from features.errors import ConfigError
from features.schema import refuse_other_frames
from ranker.id_dtype import IdDtype, as_ids


def asked_pairs(
    users: Any,
    item_ids: Any,
    recommend: Callable[[Any], pl.DataFrame],
    user_dtype: IdDtype,
    item_dtype: IdDtype,
) -> pl.DataFrame:
    """The pairs of user and item that a call is about, in canonical ids.

    Parameters
    ----------
    users : id, sequence of ids, DataFrame, LazyFrame or None
        A frame has the columns ``user_id`` and ``item_id``.
    item_ids : sequence of ids or None
        Of a single user.
    recommend : callable
        The lists of some users, for whom no items are named.
    user_dtype, item_dtype : IdDtype

    Raises
    ------
    ConfigError
        If items are named beside several users or a frame, or the frame lacks a column.
    """
    refuse_other_frames(users, "users")
    if isinstance(users, pl.DataFrame | pl.LazyFrame):
        frame = users.lazy().collect()
        missing = [name for name in ("user_id", "item_id") if name not in frame.columns]
        if missing:
            raise ConfigError(
                f"columns {missing} are missing in the frame of pairs to explain, which has "
                f"{frame.columns}; give what recommend returned"
            )
        user, item = frame["user_id"], frame["item_id"]
    else:
        is_one = users is not None and (isinstance(users, str) or not hasattr(users, "__len__"))
        if item_ids is not None and is_one:
            item = as_ids(item_ids, "item_ids")
            user = pl.Series("user_id", [users]).new_from_index(0, len(item))
            item_ids = None
        else:
            frame = recommend([users] if is_one else users)
            user, item = frame["user_id"], frame["item_id"]
    if item_ids is not None:
        raise ConfigError(
            "item_ids are those of a single user; of several, give a frame with the columns "
            "user_id and item_id in place of the users"
        )
    return pl.DataFrame(
        [user_dtype.canonical(user, "user_id"), item_dtype.canonical(item, "item_id")]
    )
