"""From the users of a shard to its file: what every engine does, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Protocol

import polars as pl

from ranker.export.files import write_atomically
from ranker.export.lists import check_schema, checked_lists
from ranker.export.manifest import ExportPlan, write_record
from ranker.export.memory import ChunkSizes
from ranker.export.shards import Shard
from ranker.lists.policy import Policy


class Recommender(Protocol):
    """What the export needs of a model; a fitted ``TwoStageRecommender`` has it."""

    @property
    def user_ids(self) -> pl.Series:
        """The known users."""

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes a list."""

    @property
    def as_of(self) -> date | int | None:
        """What the model knows up to; a datetime is a date."""

    def recommend(
        self, user_ids: pl.Series, /, *, k: int, exclude_seen: bool | None, policy: Policy = ...
    ) -> pl.DataFrame:
        """Return user_id, item_id, rank (from 1) and score; no rows for no users.

        ``policy`` is given only where the caller of the export gave one.
        """


@dataclass(frozen=True)
class Request:
    """Lists as they are asked for.

    Attributes
    ----------
    recommender : Recommender
    k : int
    exclude_seen : bool or None
    policy : Policy or None
    """

    recommender: Recommender
    k: int
    exclude_seen: bool | None
    policy: Policy | None

    def lists(self, users: pl.Series) -> pl.DataFrame:
        """What the model has for ``users``, checked and sorted by user and rank."""
        # Left out where there is none: models that know no policies can be exported too.
        rules = {} if self.policy is None else {"policy": self.policy}
        found = self.recommender.recommend(users, k=self.k, exclude_seen=self.exclude_seen, **rules)
        return checked_lists(found, users, self.k)


def make_shard(
    request: Request,
    folder: Path,
    plan: ExportPlan,
    index: int,
    users: pl.Series,
    sizes: ChunkSizes,
    done: Callable[[int], object] = lambda _: None,
) -> Shard:
    """Make the lists of a shard's users, and write its file and then its record.

    The lists are in memory once, in the layout of the file; compressed, they go straight to disk.

    Parameters
    ----------
    request : Request
        What to ask of which model.
    folder, plan : Path, ExportPlan
        Where to, and as what.
    index : int
        The shard's number.
    users : Series of shape (n_users,)
        All users of the shard, sorted.
    sizes : ChunkSizes
        How many of them to ask for at a time.
    done : callable, optional
        Told the number of users of each chunk.
    """
    counts = {"n_users": len(users), "n_empty": len(users), "n_rows": 0}

    def parts() -> Iterator[pl.DataFrame]:
        start = 0
        while start < len(users) or not start:  # no users: once, for the columns
            chunk = users.slice(start, sizes.next)
            lists = sizes.measured(len(chunk), partial(request.lists, chunk))
            check_schema(lists, plan.schema)
            counts["n_empty"] -= lists["user_id"].n_unique()
            counts["n_rows"] += lists.height
            yield plan.files.laid_out(lists)
            done(len(chunk))
            start += max(1, len(chunk))

    blocks = plan.files.blocks(parts())
    file = plan.shard_file(index)
    digest = write_atomically(folder / file, lambda open_file: plan.files.write(blocks, open_file))
    shard = Shard(index=index, file=file, sha256=digest, **counts)
    write_record(folder, shard, plan)
    return shard
