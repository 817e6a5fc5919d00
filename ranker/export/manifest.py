"""What an export is of, and the JSON files that say so.

``_plan.json``
    Written before anything else: the :class:`ExportPlan` that the shards will follow.
``_shard-*.json``
    Written after each shard: its :class:`Shard` record, by which a restart recognises it.
``_manifest.json``
    Written when all shards are there: the plan, every shard, and a checksum over both.
``_SUCCESS``
    Empty, written last. Afterwards the plan and the records are deleted.

None of them holds a time or a duration: the same model and users give the same bytes. The
underscore makes Spark, Hive and Arrow pass over them when they read the folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from features.errors import ExportError
from ranker.export.files import explained, write_atomically
from ranker.export.formats import FORMATS, Format
from ranker.export.lists import COLUMNS, PROPENSITY
from ranker.export.shards import Shard, shard_file

FORMAT_VERSION = 3
PLAN_FILE = "_plan.json"
MANIFEST_FILE = "_manifest.json"
SUCCESS_FILE = "_SUCCESS"


@dataclass(frozen=True)
class ExportPlan:
    """Everything that decides what an export contains; two exports never mix.

    Attributes
    ----------
    fingerprint : str
        Of the model.
    as_of : str, int or None
        What the model knows up to; ISO 8601 where it is a time.
    k : int
        Length of the lists.
    exclude_seen : bool or None
        As passed to ``recommend``.
    policy : str or None
        Fingerprint of the policy, if there is one.
    n_users : int
        Users, each counted once.
    users_sha256 : str
        See :func:`users_digest`.
    n_shards : int
        Over how many shards the users are spread.
    format : str
        Kind of the files, a key of :data:`~ranker.export.formats.FORMATS`.
    schema : dict
        Column of the long rows to name of its dtype.
    package_version : str
        Of this package.
    format_version : int
        Of these files.
    """

    fingerprint: str
    as_of: str | int | None
    k: int
    exclude_seen: bool | None
    policy: str | None
    n_users: int
    users_sha256: str
    n_shards: int
    format: str
    schema: dict[str, str]
    package_version: str
    format_version: int = FORMAT_VERSION

    def shard_file(self, index: int) -> str:
        """File name of a shard."""
        return shard_file(index, self.n_shards, self.files.suffix)

    def record_file(self, index: int) -> str:
        """File name of a shard's record."""
        return f"_{Path(self.shard_file(index)).stem}.json"

    @property
    def files(self) -> Format:
        """What :attr:`format` stands for."""
        return FORMATS[self.format]

    def differences(self, other: ExportPlan) -> list[str]:
        """One "name: mine, not theirs" for each that differs, and what a digest means."""
        pairs = [(f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return [
            f"{name}: {mine!r}, not {theirs!r}{_MEANING.get(name, '')}"
            for name, mine, theirs in pairs
            if mine != theirs
        ]


_MEANING = {
    "fingerprint": " (the model is of other data or settings)",
    "policy": " (the policy has other steps or parameters)",
    "users_sha256": " (the users are others)",
}


@dataclass(frozen=True)
class Manifest:
    """A plan and its finished shards, in order of their index."""

    plan: ExportPlan
    shards: tuple[Shard, ...]

    @property
    def sha256(self) -> str:
        """Of the whole content: exports of the same bytes have the same one, and no others."""
        return _checksum(asdict(self))


def as_of_text(as_of: date | int | None) -> str | int | None:
    """``as_of`` as JSON can hold it."""
    return as_of.isoformat() if isinstance(as_of, date) else as_of


def users_digest(users: pl.Series) -> str:
    """SHA-256 over the dtype and the ids of ``users`` (sorted, unique), in hex.

    Each id goes in as ``length:text``, so that no two lists of ids can read the same.
    """
    digest = hashlib.sha256(str(users.dtype).encode())
    # Not `pl.format`: it panics now and then in Polars 2.1 (pola-rs/polars#25525).
    for user_id in users.cast(pl.String):
        digest.update(f"{len(user_id)}:{user_id}".encode())
    return digest.hexdigest()


def write_plan(folder: Path, plan: ExportPlan) -> None:
    """Write ``_plan.json``."""
    _write_json(folder / PLAN_FILE, asdict(plan))


def write_record(folder: Path, shard: Shard, plan: ExportPlan) -> None:
    """Write the record of a finished shard."""
    _write_json(folder / plan.record_file(shard.index), asdict(shard))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``_manifest.json``."""
    document = asdict(manifest)
    _write_json(folder / MANIFEST_FILE, {**document, "sha256": _checksum(document)})


def read_plan(folder: Path) -> ExportPlan:
    """Read ``_plan.json``; raises ExportError when it is damaged or of another version."""
    path = folder / PLAN_FILE
    return _parse_plan(path, _read_json(path))


def read_record(folder: Path, index: int, plan: ExportPlan) -> Shard | None:
    """Read the record of a shard; None where there is none or where it is damaged."""
    path = folder / plan.record_file(index)
    if not path.is_file():
        return None
    try:
        return _parse_shard(path, _read_json(path), index, plan)
    except ExportError:
        return None  # the shard is only made again


def read_manifest(folder: Path) -> Manifest:
    """Read ``_manifest.json`` and check it against its own checksum.

    Raises
    ------
    ExportError
        It is missing, damaged, or of another version.
    """
    path = folder / MANIFEST_FILE
    document = _read_json(path)
    expected = document.pop("sha256", None)
    if not isinstance(document.get("shards"), list):
        raise _damaged(path, "it lists no shards")
    plan = _parse_plan(path, document.get("plan"))
    if _checksum(document) != expected:
        raise _damaged(path, "its checksum does not match its content")
    entries = document["shards"]
    if len(entries) != plan.n_shards:
        raise _damaged(path, f"it lists {len(entries)} of {plan.n_shards} shards")
    shards = [_parse_shard(path, entry, i, plan) for i, entry in enumerate(entries)]
    return Manifest(plan, tuple(shards))


def _parse_plan(path: Path, value: object) -> ExportPlan:
    document = _checked_fields(
        path,
        value,
        {
            "fingerprint": (str,),
            "as_of": (str, int, type(None)),
            "k": (int,),
            "exclude_seen": (bool, type(None)),
            "policy": (str, type(None)),
            "n_users": (int,),
            "users_sha256": (str,),
            "n_shards": (int,),
            "format": (str,),
            "schema": (dict,),
            "package_version": (str,),
            "format_version": (int,),
        },
    )
    if tuple(document["schema"]) not in (COLUMNS, (*COLUMNS, PROPENSITY)):
        raise _damaged(path, f"its schema is {document['schema']}")
    if document["format"] not in FORMATS:
        raise _damaged(path, f"its format is {document['format']!r}")
    return ExportPlan(**document)


def _parse_shard(path: Path, value: object, index: int, plan: ExportPlan) -> Shard:
    counts = dict.fromkeys(("index", "n_users", "n_empty", "n_rows"), (int,))
    document = _checked_fields(path, value, {**counts, "file": (str,), "sha256": (str,)})
    shard = Shard(**document)
    # The name is compared, not only read: a manifest must not point out of its folder.
    if (shard.index, shard.file) != (index, plan.shard_file(index)):
        raise _damaged(path, f"shard {index} is said to be number {shard.index} in {shard.file!r}")
    return shard


def _checked_fields(
    path: Path, value: object, types: dict[str, tuple[type, ...]]
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _damaged(path, f"it holds a {type(value).__name__}, not an object")
    found_version = value.get("format_version", FORMAT_VERSION)
    if found_version != FORMAT_VERSION:
        raise ExportError(
            f"{path} has format version {found_version!r}, and this version of the package reads "
            f"{FORMAT_VERSION}: use the version that wrote it, or export to another path."
        )
    if set(value) != set(types):
        raise _damaged(path, f"the fields {sorted(set(value) ^ set(types))} are missing or unknown")
    # `type(...) in`, since True would pass for an int.
    wrong = [name for name in types if type(value[name]) not in types[name]]
    if wrong:
        raise _damaged(path, f"the fields {wrong} have the wrong type")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    with explained("read", path):
        data = path.read_bytes()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(document, dict):
        raise _damaged(path, f"it holds a {type(document).__name__}, not an object")
    return document


def _write_json(path: Path, document: dict[str, Any]) -> None:
    data = (json.dumps(document, indent=1) + "\n").encode()
    write_atomically(path, lambda file: file.write(data))


def _checksum(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(path: Path, reason: str) -> ExportError:
    return ExportError(
        f"{path} is damaged: {reason}. Delete the folder {path.parent} and export again, "
        "or export to another path."
    )
