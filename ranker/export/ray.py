"""The same export by workers of a Ray cluster, each of which holds the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from features.errors import ConfigError, ExportError, MissingExtraError
from ranker.disk import temporary_folder
from ranker.export.make import Job, make_shards
from ranker.export.memory import ChunkSizes
from ranker.export.shards import Shard

# How often a worker may be lost, and a shard begun anew, until something must be wrong.
_RETRIES = 3
# Stands for the model on its way to the workers, who load it.
_ABSENT: Any = None


def make_shards_by_ray(
    job: Job, users_of: Mapping[int, pl.Series], n_workers: int | None
) -> dict[int, Shard]:
    """Make some shards by actors that each load the model once and take a shard at a time.

    The model is saved into the export's folder and loaded from there; it is never pickled. Ray
    starts a worker that is lost anew and gives it its shard again. Workers write shards and
    records as one process does: whatever becomes of the cluster, the next call, by either engine,
    goes on from what is there.

    Parameters
    ----------
    job : Job
    users_of : mapping of int to Series
        Number of a shard to all of its users, sorted.
    n_workers : int, optional
        Default: one for each machine that is alive.

    Raises
    ------
    ConfigError
        The model cannot be saved and loaded.
    ExportError
        A worker was lost time and again, or failed.
    MissingExtraError
        Without the extra ``ray``.
    """
    ray: Any  # its types know actors by their class, not by what is made of them
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    if not users_of:
        return {}
    recommender: Any = job.request.recommender
    if not (hasattr(recommender, "save") and hasattr(recommender, "load")):
        raise ConfigError(
            f"engine='ray' needs a model with save and load, and {type(recommender).__name__} has "
            "none; use engine='local'."
        )
    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        folder = job.folder.absolute()  # workers stand elsewhere
        with temporary_folder(folder, "model") as saved:
            recommender.save(saved)
            # Those that have left the cluster are listed as well.
            n_alive = sum(node["Alive"] for node in ray.nodes())
            n_workers = min(n_workers or n_alive, len(users_of))
            spread = {"scheduling_strategy": "SPREAD", "max_restarts": _RETRIES}
            actor = ray.remote(max_task_retries=_RETRIES, **spread)(_Worker)
            request = replace(job.request, recommender=_ABSENT)
            away = replace(job, request=request, folder=folder, done=_nobody)
            workers = [actor.remote(type(recommender), saved, away) for _ in range(n_workers)]
            return _collect(ray, job, workers, users_of)
    finally:
        if is_ours:
            ray.shutdown()


class _Worker:
    """What runs on the cluster: a model, and shards one by one."""

    def __init__(self, kind: Any, saved: Path, job: Job) -> None:
        recommender = kind.load(saved)
        if recommender.fingerprint != job.plan.fingerprint:
            raise ExportError("the saved model is not the one that was given")
        self._job = replace(job, request=replace(job.request, recommender=recommender))
        self._sizes = ChunkSizes(job.chunk_size, job.max_memory)  # learned once for all shards

    def make(self, index: int, users: pl.Series) -> Shard:
        return make_shards(self._job, {index: users}, self._sizes)[index]


def _collect(
    ray: Any, job: Job, workers: list[Any], users_of: Mapping[int, pl.Series]
) -> dict[int, Shard]:
    """Keep every worker busy, and gather the shards as they come."""
    made: dict[int, Shard] = {}
    todo = iter(users_of.items())
    running: dict[Any, Any] = {}

    def give(worker: Any) -> None:
        if (item := next(todo, None)) is not None:
            running[worker.make.remote(*item)] = worker

    for worker in workers:
        give(worker)
    while running:
        (finished,), _ = ray.wait(list(running), num_returns=1)
        worker = running.pop(finished)
        try:
            shard = ray.get(finished)
        except ray.exceptions.RayError as error:
            raise ExportError(
                f"a worker of Ray failed: {error}. Finished shards are kept; make the same call "
                "again once it is mended."
            ) from error
        made[shard.index] = shard
        job.done(shard.n_users)
        give(worker)
    return made


def _nobody(_: int) -> None:
    """Workers have no progress bar to move."""
