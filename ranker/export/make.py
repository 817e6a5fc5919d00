"""From the users of a shard to its file: what every engine does, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


@dataclass(frozen=True)
class Job:
    """Shards to make.

    Attributes
    ----------
    request : Request
        What to ask of which model.
    folder, plan : Path, ExportPlan
        Where to, and as what.
    chunk_size : int
        Users to ask for at a time, at most.
    max_memory : int or None
        Bytes that a process may hold.
    done : callable
        Told how many more users are done.
    """

    request: Request
    folder: Path
    plan: ExportPlan
    chunk_size: int
    max_memory: int | None
    done: Callable[[int], object]


def make_shards(
    job: Job, users_of: Mapping[int, pl.Series], sizes: ChunkSizes | None = None
) -> dict[int, Shard]:
    """Make some shards, one after another.

    Parameters
    ----------
    job : Job
    users_of : mapping of int to Series
        Number of a shard to all of its users, sorted.
    sizes : ChunkSizes, optional
        What this process has learned of its memory, where it made shards before.
    """
    sizes = sizes or ChunkSizes(job.chunk_size, job.max_memory)
    return {index: _make_shard(job, index, users, sizes) for index, users in users_of.items()}


def _make_shard(job: Job, index: int, users: pl.Series, sizes: ChunkSizes) -> Shard:
    """Write the file of a shard and then its record.

    The lists are in memory once, in the layout of the file; compressed, they go straight to disk.
    """
    plan, layout = job.plan, job.plan.files
    counts = {"n_users": len(users), "n_empty": len(users), "n_rows": 0}

    def parts() -> Iterator[pl.DataFrame]:
        start = 0
        while start < len(users) or not start:  # no users: once, for the columns
            chunk = users.slice(start, sizes.next)
            lists = sizes.measured(len(chunk), partial(job.request.lists, chunk))
            check_schema(lists, plan.schema)
            counts["n_empty"] -= lists["user_id"].n_unique()
            counts["n_rows"] += lists.height
            yield layout.laid_out(lists)
            job.done(len(chunk))
            start += max(1, len(chunk))

    blocks = layout.blocks(parts())
    file = plan.shard_file(index)
    write = partial(write_atomically, job.folder / file, partial(layout.write, blocks))
    digest = sizes.measured(0, write)
    shard = Shard(index=index, file=file, sha256=digest, **counts)
    write_record(job.folder, shard, plan)
    return shard
