"""The export itself: shard by shard, restartable at any moment."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from features.errors import ConfigError, ExportError
from ranker.arguments import check_count
from ranker.disk import remove_leftovers
from ranker.distribution import package_version
from ranker.export.files import (
    explained,
    locked,
    prepare_folder,
    remove,
    sha256_of,
    write_atomically,
)
from ranker.export.formats import find_format
from ranker.export.lists import schema_names
from ranker.export.make import Job, Recommender, Request, make_shards
from ranker.export.manifest import (
    MANIFEST_FILE,
    PLAN_FILE,
    SUCCESS_FILE,
    ExportPlan,
    Manifest,
    as_of_text,
    read_manifest,
    read_plan,
    read_record,
    users_digest,
    write_manifest,
    write_plan,
)
from ranker.export.memory import parse_bytes
from ranker.export.ray import make_shards_by_ray
from ranker.export.shards import SHARD_FILES, Shard, default_n_shards, split_users
from ranker.export.users import UserIds, unique_users
from ranker.lists.policy import Policy
from ranker.progress import progress, progress_bar

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult:
    """What an export came to.

    Attributes
    ----------
    path : Path
        The folder.
    n_users : int
        Users exported, each counted once.
    n_duplicates : int
        Ids left out because the user was there already.
    n_empty : int
        Users who have no row, since the model had nothing for them.
    n_rows : int
        Rows of all shards.
    n_shards : int
        Shards of the export.
    n_resumed : int
        Those among them that an earlier run had finished, found intact.
    seconds : float
        Wall-clock time of this call.
    """

    path: Path
    n_users: int
    n_duplicates: int
    n_empty: int
    n_rows: int
    n_shards: int
    n_resumed: int
    seconds: float


def export_recommendations(
    recommender: Recommender,
    user_ids: UserIds | None,
    path: str | os.PathLike[str],
    *,
    k: int = 50,
    exclude_seen: bool | None = None,
    policy: Policy | None = None,
    format: str = "parquet",  # noqa: A002 - the name that readers of a file expect
    chunk_size: int = 4096,
    max_memory: int | str | None = None,
    n_shards: int | None = None,
    engine: str = "local",
    n_workers: int | None = None,
) -> ExportResult:
    """Write the top-k lists of many users to a folder of shards.

    A user's shard follows from a stable hash of the id. Each shard is written aside, flushed and
    renamed; the manifest comes after all shards, an empty ``_SUCCESS`` after the manifest. The
    same call made again after a crash checks the finished shards and makes the others; after a
    finished export it checks everything and returns. The same model and users give the same
    bytes, whatever the order of the users, the chunks and threads, and however often the export
    was interrupted. Files that are not the export's own are left alone.

    Parameters
    ----------
    recommender : Recommender
        A fitted model.
    user_ids : Series, sequence, frame, path, Query or None
        Ids in the model's dtype, known or not; duplicates are exported once. Of a DataFrame, a
        LazyFrame, the Parquet files that a path, glob or address names, or the answer to a
        :class:`~ranker.query.Query`, the column ``user_id`` is read.
        None stands for ``recommender.user_ids``.
    path : str or path
        A local folder; created where it is missing.
    k : int
        Length of the lists.
    exclude_seen : bool, optional
        Passed on to ``recommend``.
    policy : Policy, optional
        Passed on to ``recommend``. Its fingerprint stands in the manifest, so that an export is not
        continued under another one; propensities are exported with the lists.
    format : {"parquet", "parquet-lists", "ndjson", "arrow"}
        Parquet and Arrow IPC with one row per user and rank, or Parquet and JSON lines with one
        row per user, whose other columns are lists in order of rank.
    chunk_size : int
        Users per call of ``recommend``, at most. An interrupted export may go on with another one.
    max_memory : int or str, optional
        What the process may hold, in bytes or as ``"4GB"``: calls start small, their memory is
        measured, and chunks grow as far as it leaves room (up to ``chunk_size``). Linux only.
    n_shards : int, optional
        Number of files. By default as many as an interrupted export in ``path`` has, otherwise
        one for each half million rows. The lists of one shard are held in memory.
    engine : {"local", "ray"}
        Who makes the shards: this process, or workers of a Ray cluster (``RAY_ADDRESS``, or one on
        this machine), who load the model from ``path`` and write there, so that it has to be on a
        file system that all of them see. ``max_memory`` is then that of each worker.
    n_workers : int, optional
        Workers of Ray; by default one for each machine, since a worker uses all cores.

    Returns
    -------
    ExportResult

    Raises
    ------
    ConfigError
        A parameter is out of its range.
    SchemaError
        An id is null or of another kind than the model's, or a frame or file has no ids.
    ExportError
        ``path`` is a file, cannot be written, is in use by another export, or holds an export of
        another model, other users or other parameters; or ``max_memory`` cannot be kept; or
        workers were lost time and again.
    MissingExtraError
        ``engine="ray"`` without the extra ``ray``.
    """
    started = time.perf_counter()
    optional = {"n_shards": n_shards, "n_workers": n_workers}
    given = {name: n for name, n in optional.items() if n is not None}
    check_count(k=k, chunk_size=chunk_size, **given)
    k = int(k)  # which a plan holds as JSON
    if engine not in {"local", "ray"}:
        raise ConfigError(f"engine={engine!r}; expected 'local' or 'ray'")
    if policy is not None and not isinstance(policy, Policy):
        raise ConfigError(f"policy={policy!r}; expected ranker.lists.Policy([step, ...])")
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"path is a {type(path).__name__}; expected the name of a folder")
    find_format(format)
    users, n_duplicates = unique_users(user_ids, recommender.user_ids)
    limit = None if max_memory is None else parse_bytes(max_memory)
    request = Request(recommender, k, exclude_seen, policy)
    plan = ExportPlan(
        fingerprint=recommender.fingerprint,
        as_of=as_of_text(recommender.as_of),
        k=k,
        exclude_seen=exclude_seen,
        policy=None if policy is None else policy.fingerprint,
        n_users=len(users),
        users_sha256=users_digest(users),
        n_shards=default_n_shards(len(users), k) if n_shards is None else int(n_shards),
        format=format,
        schema=schema_names(request.lists(users.clear())),
        package_version=package_version(),
    )
    folder = prepare_folder(path)
    with locked(folder):
        plan = _agree_on_plan(folder, plan, adopt_n_shards=n_shards is None)
        with explained("clean", folder):
            remove_leftovers(folder)
        finished = _finished_shards(folder, plan)
        if len(finished) < plan.n_shards and (folder / SUCCESS_FILE).exists():
            # Readers must not take the folder for whole while a damaged shard is replaced.
            remove(folder / SUCCESS_FILE)
        missing = {
            index: some
            for index, some in enumerate(split_users(users, plan.n_shards))
            if index not in finished
        }
        with progress_bar(sum(map(len, missing.values())), "exporting", "users") as bar:
            job = Job(request, folder, plan, chunk_size, limit, bar.update)
            if engine == "ray":
                made = make_shards_by_ray(job, missing, n_workers)
            else:
                made = make_shards(job, missing)
        shards = tuple(shard for _, shard in sorted({**finished, **made}.items()))
        _finish(folder, Manifest(plan, shards))
    return ExportResult(
        path=folder,
        n_users=len(users),
        n_duplicates=n_duplicates,
        n_empty=sum(shard.n_empty for shard in shards),
        n_rows=sum(shard.n_rows for shard in shards),
        n_shards=len(shards),
        n_resumed=len(finished),
        seconds=time.perf_counter() - started,
    )


def _agree_on_plan(folder: Path, plan: ExportPlan, *, adopt_n_shards: bool) -> ExportPlan:
    """Return the plan of the export in ``folder``, or write ``plan`` there as the first."""
    if (folder / MANIFEST_FILE).is_file():
        found = read_manifest(folder).plan
    elif (folder / PLAN_FILE).is_file():
        found = read_plan(folder)
    else:
        _refuse_unknown_shards(folder)
        write_plan(folder, plan)
        return plan
    if adopt_n_shards:
        plan = replace(plan, n_shards=found.n_shards)
    if differences := found.differences(plan):
        raise ExportError(
            f"{folder} holds another export and the two must not mix; it has "
            f"{'; '.join(differences)}. Export to another path, or delete the folder first."
        )
    return plan


def _refuse_unknown_shards(folder: Path) -> None:
    """Shards that no plan explains are not ours to replace, and readers would mix them in."""
    unknown = sorted(p.name for p in folder.glob(SHARD_FILES))
    if (folder / SUCCESS_FILE).exists():
        unknown.append(SUCCESS_FILE)
    if unknown:
        raise ExportError(
            f"{folder} holds {len(unknown)} files that look like an export ({unknown[0]}, ...) but "
            f"neither {MANIFEST_FILE} nor {PLAN_FILE}: export to another path, or delete them."
        )


def _finished_shards(folder: Path, plan: ExportPlan) -> dict[int, Shard]:
    """Find the shards that are on disk just as their records say."""
    records: dict[int, Shard] = {}
    if (folder / MANIFEST_FILE).is_file():
        records = {shard.index: shard for shard in read_manifest(folder).shards}
    finished = {}
    for index in progress(range(plan.n_shards), description="checking shards", unit="shards"):
        # A record is younger than the manifest: it is of a shard that was made again.
        shard = read_record(folder, index, plan) or records.get(index)
        if shard is None:
            continue
        if sha256_of(folder / shard.file) == shard.sha256:
            finished[index] = shard
        else:
            logger.warning("%s is missing or damaged; making it again", folder / shard.file)
    return finished


def _finish(folder: Path, manifest: Manifest) -> None:
    """Manifest, then ``_SUCCESS``, then tidy up; each step may be the last one of a killed run."""
    plan = manifest.plan
    if not (folder / MANIFEST_FILE).is_file() or read_manifest(folder) != manifest:
        write_manifest(folder, manifest)
    if not (folder / SUCCESS_FILE).is_file():
        write_atomically(folder / SUCCESS_FILE, lambda _: None)
    for name in [PLAN_FILE, *(plan.record_file(index) for index in range(plan.n_shards))]:
        if (folder / name).exists():
            remove(folder / name)
