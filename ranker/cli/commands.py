"""What each command does; heavy modules are imported where they are used, so help is instant."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from features.errors import ConfigError
from ranker.config import Config, example_config, load_config

if TYPE_CHECKING:
    import polars as pl

    from ranker.datasets import Dataset
    from ranker.recommender import TwoStageRecommender

Command: TypeAlias = Callable[..., int]


def demo(*, output: str, random_state: int, quiet: bool) -> int:  # noqa: ARG001
    """Run the main job on the default data."""
    from ranker.demo import run_demo

    run_demo(Path(output), random_state=random_state)
    return 0


def init(*, path: str, quiet: bool) -> int:
    """Write an example configuration, never over a file that is there."""
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(example_config())
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists already; name another path, as in `ranker init new.toml`"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error
    _say(f"wrote {path}; edit it, then run `ranker doctor {path}`", quiet=quiet)
    return 0


def doctor(*, config: str, as_json: bool, quiet: bool) -> int:
    """Check configuration and tables, and print what was found; 1 where something fails."""
    from ranker.cli.doctor import examine
    from ranker.text import hanging

    findings = examine(load_config(config))
    counts = dict.fromkeys(("PASS", "WARN", "FAIL"), 0)
    for finding in findings:
        counts[finding.level] += 1
        if not as_json and (not quiet or finding.level != "PASS"):
            print(hanging(f"{finding.level}  {finding.table}: {finding.sentence}", indent=6))
    if as_json:
        print(json.dumps({"counts": counts, "findings": [one.to_json() for one in findings]}))
    return int(counts["FAIL"] > 0)


def fit(*, config: str, quiet: bool) -> int:
    """Fit on all interactions and save the model."""
    settings = load_config(config)
    data = _load(settings)
    recommender = _fitted(settings, data, data.interactions, quiet=quiet)
    recommender.save(settings.model.path, keep=settings.model.keep)
    _say(
        f"saved to {settings.model.path}: {len(recommender.user_ids):,} users, as of "
        f"{recommender.as_of}, fingerprint {recommender.fingerprint[:12]}",
        quiet=quiet,
    )
    return 0


def rollback(*, model: str, to: str | None, quiet: bool) -> int:
    """Serve a former version of a saved model again."""
    from ranker.versions import current_version, list_versions, rollback

    before = current_version(model) if to is None else None
    now = rollback(model, to)
    was = "" if before is None else f", in place of {before}"
    _say(f"{model} is at {now}{was}; it keeps {', '.join(list_versions(model))}", quiet=quiet)
    return 0


def evaluate(*, config: str, quiet: bool) -> int:
    """Hold out the newest interactions, fit on the rest, and print how good the lists are."""
    from ranker import evaluation
    from ranker.evaluation.beyond import check_needs
    from ranker.text import format_table

    settings = load_config(config)
    wanted = settings.evaluate
    deepest = max(wanted.k)
    for text in wanted.metrics or ():  # before the fit, which takes minutes
        name, depth = evaluation.parse_metric(text)
        check_needs(name, frozenset({"train"}), per_user=False)
        deepest = max(deepest, depth or 0)
    data = _load(settings)
    train, test = evaluation.split_by_time(data.interactions, **settings.split.keywords)
    _say(f"train {train.height:,} interactions, test {test.height:,}", quiet=quiet)
    recommender = _fitted(settings, data, train, quiet=quiet)
    # Judged as it is served: what the lists leave out is not missed either.
    exclude_seen = settings.split.exclude_seen
    if exclude_seen is None:
        exclude_seen = not recommender.repeats_
    users = test["user_id"].unique().sort()
    lists = recommender.recommend(users, k=deepest, exclude_seen=exclude_seen)
    judged = evaluation.evaluate(
        lists,
        test,
        k=wanted.k,
        metrics=wanted.metrics,
        train=train,
        exclude_seen=exclude_seen,
    )
    print(format_table(judged))
    print()
    print(format_table(recommender.funnel(test)))
    return 0


def export(*, config: str, quiet: bool) -> int:
    """Write the lists of many users with the model that ``ranker fit`` saved."""
    from ranker.export import export_recommendations

    settings = load_config(config)
    wanted = settings.export
    if not settings.model.path.is_dir():
        raise ConfigError(
            f"there is no model at {settings.model.path}; run `ranker fit {config}` first"
        )
    recommender = _load_model(settings.model.path)
    options: dict[str, Any] = {}
    if wanted.chunk_size is not None:
        options["chunk_size"] = wanted.chunk_size
    result = export_recommendations(
        recommender,
        None if wanted.users == "all" else _read_users(wanted.users, recommender.user_ids.dtype),
        wanted.path,
        k=wanted.k,
        exclude_seen=settings.split.exclude_seen,
        **options,
    )
    _say(
        f"exported {result.n_rows:,} rows for {result.n_users:,} users to {result.path}: "
        f"{result.n_shards} shards, {result.n_resumed} of them from an earlier run, "
        f"{result.seconds:.1f} s",
        quiet=quiet,
    )
    return 0


def recommend(*, model: str, user: str, k: int, include_seen: bool, quiet: bool) -> int:
    """Print the list of one user."""
    import polars as pl

    from ranker.text import format_table

    if k < 1:
        raise ConfigError(f"-k {k}: expected a whole number from 1")
    recommender = _load_model(Path(model))
    users = _cast_ids(pl.Series("user_id", [user]), recommender.user_ids.dtype)
    if users[0] not in recommender.user_ids:
        _say(
            f"user {user} is not known to the model: this is its list for new users",
            quiet=quiet,
            file=sys.stderr,
        )
    lists = recommender.recommend(users, k=k, exclude_seen=False if include_seen else None)
    print(format_table(lists.select("rank", "item_id", "score")))
    return 0


def _load(settings: Config) -> Dataset:
    from ranker.cli.loading import load_data

    data, notes = load_data(settings.data)
    for note in notes:
        print(f"ranker: {note}", file=sys.stderr)
    return data


def _fitted(
    settings: Config, data: Dataset, train: pl.DataFrame, *, quiet: bool
) -> TwoStageRecommender:
    from ranker.recommender import TwoStageRecommender
    from ranker.text import hanging

    model = settings.model
    recommender = TwoStageRecommender.preset(
        model.preset, random_state=model.random_state, **model.keywords
    )
    recommender.fit(train, items=data.items, users=data.users)
    for line in recommender.choices_:
        _say(hanging(f"- {line}", indent=2), quiet=quiet)
    return recommender


def _load_model(path: Path) -> TwoStageRecommender:
    if not path.is_dir():
        raise ConfigError(f"{path}: there is no model; give the folder that `ranker fit` saved to")
    from ranker.recommender import TwoStageRecommender

    return TwoStageRecommender.load(path)


def _read_users(path: str, dtype: pl.DataType) -> pl.Series:
    from ranker.datasets import load_table

    table = load_table(path)
    if "user_id" not in table.columns:
        raise ConfigError(
            f"{path}: no column user_id among {table.columns}; it holds the users to export"
        )
    return _cast_ids(table["user_id"], dtype)


def _cast_ids(ids: pl.Series, dtype: pl.DataType) -> pl.Series:
    cast = ids.cast(dtype, strict=False)
    lost = ids.filter(cast.is_null() & ids.is_not_null())
    if len(lost):
        raise ConfigError(
            f"user {lost[0]!r} cannot be a user of this model, whose ids are {dtype}"
            + (f"; nor can {len(lost) - 1} others" if len(lost) > 1 else "")
        )
    return cast


def _say(text: str, *, quiet: bool, file: object = None) -> None:
    if not quiet:
        print(text, file=file)  # type: ignore[call-overload]
