"""What each command does; heavy modules are imported where they are used, so help is instant."""

from __future__ import annotations

import json as json_format
import logging
import time
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

logger = logging.getLogger(__name__)


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
    say(f"wrote {path}; edit it, then run `ranker doctor {path}`", quiet=quiet)
    return 0


def doctor(*, config: str, json: bool, quiet: bool) -> int:
    """Check configuration and tables, and print what was found; 1 where something fails."""
    from ranker.cli.doctor import examine
    from ranker.text import hanging

    findings = examine(load_config(config))
    counts = dict.fromkeys(("PASS", "WARN", "FAIL"), 0)
    for finding in findings:
        counts[finding.level] += 1
        if not json and (not quiet or finding.level != "PASS"):
            print(hanging(f"{finding.level}  {finding.table}: {finding.sentence}", indent=6))
    if json:
        found = {"counts": counts, "findings": [one.to_json() for one in findings]}
        print_json({"ok": not counts["FAIL"], **found})
    return int(counts["FAIL"] > 0)


def fit(*, config: str, quiet: bool) -> int:
    """Fit on all interactions and save the model."""
    from ranker.versions import check_destination

    settings = load_config(config)
    check_destination(settings.model.path)  # before the fit, which takes minutes
    data = _load(settings)
    recommender = _fitted(settings, data, data.interactions, quiet=quiet)
    recommender.save(settings.model.path, keep=settings.model.keep)
    say(
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
    say(f"{model} is at {now}{was}; it keeps {', '.join(list_versions(model))}", quiet=quiet)
    return 0


def evaluate(*, config: str, report: str | None, quiet: bool) -> int:
    """Hold out the newest interactions, fit on the rest, and say how good the lists are."""
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
    if report is not None:
        from ranker.report import check_destination

        check_destination(report)
    data = _load(settings)
    train, test = evaluation.split_by_time(data.interactions, **settings.split.keywords)
    say(f"train {train.height:,} interactions, test {test.height:,}", quiet=quiet)
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
    funnel = recommender.funnel(test, exclude_seen=exclude_seen)
    print(format_table(funnel))
    if report is not None:
        from ranker.report import write_report

        started = time.perf_counter()
        written = write_report(
            report,
            recommender,
            train,
            test,
            items=data.items,
            k=wanted.k[0],
            exclude_seen=exclude_seen,
            name=data.name if settings.data.dataset else settings.path.stem,
            description=data.description,
            funnel=funnel,
            random_state=settings.model.random_state,
        )
        say(
            f"\nreport: {written}, {written.stat().st_size / 1e6:.2f} MB, "
            f"{time.perf_counter() - started:.0f} s",
            quiet=quiet,
        )
    return 0


def recommend(*, model: str, user: str, k: int, include_seen: bool, quiet: bool) -> int:
    """Print the list of one user."""
    import polars as pl

    from ranker.text import format_table

    if k < 1:
        raise ConfigError(f"-k {k}: expected a whole number from 1")
    recommender = load_model(Path(model))
    users = cast_ids(pl.Series("user_id", [user]), recommender.user_ids.dtype)
    if users[0] not in recommender.user_ids and not quiet:
        logger.warning("user %s is not known to the model: this is its list for new users", user)
    lists = recommender.recommend(users, k=k, exclude_seen=False if include_seen else None)
    print(format_table(lists.select("rank", "item_id", "score")))
    return 0


def _load(settings: Config) -> Dataset:
    from ranker.cli.loading import load_data

    data, notes = load_data(settings.data)
    for note in notes:
        logger.warning("%s", note)
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
        say(hanging(f"- {line}", indent=2), quiet=quiet)
    return recommender


def load_model(path: Path) -> TwoStageRecommender:
    """Load the model of a folder; raises ConfigError where there is none."""
    if not path.is_dir():
        raise ConfigError(f"{path}: there is no model; give the folder that `ranker fit` saved to")
    from ranker.recommender import TwoStageRecommender

    return TwoStageRecommender.load(path)


def cast_ids(ids: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Ids in the dtype of the model's; raises ConfigError where one cannot be."""
    cast = ids.cast(dtype, strict=False)
    lost = ids.filter(cast.is_null() & ids.is_not_null())
    if len(lost):
        raise ConfigError(
            f"user {lost[0]!r} cannot be a user of this model, whose ids are {dtype}"
            + (f"; nor can {len(lost) - 1} others" if len(lost) > 1 else "")
        )
    return cast


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object on a line: what was done, or the error; ``ok`` tells which."""
    print(json_format.dumps({"ok": "error" not in values, **values}, default=str))


def say(text: str, *, quiet: bool, file: object = None) -> None:
    """Print ``text``, unless only results are wanted."""
    if not quiet:
        print(text, file=file)  # type: ignore[call-overload]
