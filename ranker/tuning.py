"""Settings of the reranker chosen on the freshest labels, within a time budget."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from features.arrays import Float64Array
from features.errors import ConfigError, MissingExtraError
from ranker.arguments import check_count, is_number, plain_number
from ranker.evaluation.intervals import PairedInterval, paired_interval
from ranker.progress import progress_bar
from ranker.rerank.lambdarank import OBJECTIVES, LambdaRank
from ranker.rerank.quality import graded_ndcg
from ranker.rerank.table import LabelledTable
from ranker.text import count

logger = logging.getLogger(__name__)

_KEYS = {"settings", "ndcg", "n_trees", "seconds", "values"}  # of a trial
_STARTUP = 10  # trials drawn at random before the sampler models what they found


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Attributes
    ----------
    best : LambdaRank
        The settings with the best NDCG on the validation labels; the given ones if none is better.
    trials : DataFrame
        One row per trial, the given settings first: trial, ndcg, n_trees, seconds, and a column
        for each setting.
    gain : PairedInterval
        NDCG of the best minus the given settings over the same users. It is the best of many, so
        that the interval is too kind to it.
    """

    best: LambdaRank
    trials: pl.DataFrame
    gain: PairedInterval

    def __str__(self) -> str:
        gain = self.gain
        ndcg = self.trials["ndcg"].to_numpy()
        return (
            f"{count(len(ndcg), 'trial')}, NDCG@{self.best.k} {ndcg.max():.4f} against "
            f"{ndcg[0]:.4f} by the given settings: {gain.difference:+.4f} "
            f"[{gain.low:+.4f}, {gain.high:+.4f}]"
        )


def tune_reranker(
    start: LambdaRank,
    train: Sequence[LabelledTable],
    validation: LabelledTable,
    names: Sequence[str],
    *,
    path: Path,
    seconds: float,
    n_trials: int | None,
    random_state: int,
    n_threads: int,
) -> Tuning:
    """Search by tree-structured Parzen estimators (Optuna; Akiba et al., KDD 2019).

    Each trial grows trees on some labels and stops them by NDCG on others. A trial is
    written to the file as soon as it is done, a line of JSON, and a search that is started again
    with the same file goes on behind its last line.

    Parameters
    ----------
    start : LambdaRank
        The first trial; what is not searched stays as it is here.
    train : sequence of LabelledTable
    validation : LabelledTable
        What is not learned from: the freshest labels or, of random parts, those of other users.
    names : sequence of str
        Of the feature columns.
    path : Path
        The file; it is made if it is not there.
    seconds : float
        No trial is begun after so many, in this call.
    n_trials : int, optional
        At most so many, those in the file included.
    random_state, n_threads : int

    Raises
    ------
    MissingExtraError
        If Optuna is not installed.
    ConfigError
        If the file is of other labels or settings, or the budget is none.
    """
    optuna = _optuna()
    if not is_number(seconds) or not seconds > 0:
        raise ConfigError(f"seconds={seconds!r}; expected a number above 0")
    if n_trials is not None:
        check_count(n_trials=n_trials)
    journal = _Journal(path, _digest(start, train, validation, names, random_state))
    sampler = optuna.samplers.TPESampler(
        seed=(random_state + len(journal.trials)) % 2**31, n_startup_trials=_STARTUP
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = _space(optuna)
    if any((table.position > 0).any() for table in train):
        # The other objectives know no positions; the given one is what the first trial has.
        del space["objective"]
    for trial in journal.trials:
        _remember(space, optuna, study, trial["settings"], trial["ndcg"])
    begun = time.monotonic()
    with progress_bar(n_trials or 0, "tune", "trial") as bar:
        while n_trials is None or len(journal.trials) < n_trials:
            if time.monotonic() - begun >= seconds and journal.trials:
                break
            # The given settings are the first trial, be they outside of what is searched or not.
            asked = study.ask(space) if journal.trials else None
            tried = _settings_of(start) | ({} if asked is None else asked.params)
            trial_begun = time.monotonic()
            candidate = dataclasses.replace(start, **tried)
            model = candidate.fit(
                train,
                names,
                validation=validation,
                random_state=random_state,
                n_threads=n_threads,
            )
            scores = model.predict(validation.features, n_threads=n_threads)
            values = graded_ndcg(validation, scores, k=start.k, gains=start.gains)
            values = values[~np.isnan(values)]  # of the same users in each trial
            if asked is None:
                _remember(space, optuna, study, tried, float(values.mean()))
            else:
                study.tell(asked, float(values.mean()))
            journal.add(
                settings=tried,
                ndcg=float(values.mean()),
                n_trees=model.n_trees,
                seconds=round(time.monotonic() - trial_begun, 2),
                values=values,
            )
            bar.update()
    return _result(start, journal)


def _result(start: LambdaRank, journal: _Journal) -> Tuning:
    # The first of equals: the given settings stay where nothing is better.
    best = int(np.argmax([trial["ndcg"] for trial in journal.trials]))
    rows = [
        {"trial": number, **{name: trial[name] for name in ("ndcg", "n_trees", "seconds")}}
        | trial["settings"]
        for number, trial in enumerate(journal.trials)
    ]
    return Tuning(
        best=dataclasses.replace(start, **journal.trials[best]["settings"]) if best else start,
        trials=pl.DataFrame(rows),
        gain=paired_interval(journal.values(best), journal.values(0)),
    )


class _Journal:
    """Trials in a file: a first line that says of what, then a line of JSON for each."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.trials: list[dict[str, Any]] = []
        head = {"ranker": "tuning", "format": 1, "digest": digest}
        try:
            if not path.exists() or not path.stat().st_size:  # or a crash came before the line
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(head) + "\n")
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            lines = []
        except OSError as error:
            raise ConfigError(f"path={str(path)!r} cannot be read or written: {error}") from error
        rows = [_parsed(line) for line in lines]
        if not rows or rows[0] is None or rows[0].get("ranker") != "tuning":
            raise ConfigError(
                f"path={str(path)!r} is a file that tune() has not written; choose another"
            )
        if rows[0] != head:
            raise ConfigError(
                f"path={str(path)!r} has trials on other labels, settings or seed, whose results "
                f"do not compare; choose another file, or remove this one"
            )
        # A line that was cut short by a crash is no trial; what follows it begins on a new line.
        for number, row in enumerate(rows[1:], start=2):
            if row is None:
                continue
            if lacking := _KEYS - row.keys():
                raise ConfigError(
                    f"path={str(path)!r}: line {number} is no trial, it lacks "
                    f"{', '.join(sorted(lacking))}; remove the line to do the trial again"
                )
            self.trials.append(row)
        if not path.read_text().endswith("\n"):
            with path.open("a") as file:
                file.write("\n")

    def add(self, *, values: Float64Array, **trial: Any) -> None:
        """Write a trial; NDCG of single users with five digits, for the interval."""
        trial["values"] = np.round(values, 5).tolist()
        self.trials.append(trial)
        with self.path.open("a") as file:
            file.write(json.dumps(trial, default=plain_number) + "\n")

    def values(self, number: int) -> Float64Array:
        return np.array(self.trials[number]["values"])


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _space(optuna: Any) -> dict[str, Any]:
    """What is searched, and between which values."""
    whole, number = optuna.distributions.IntDistribution, optuna.distributions.FloatDistribution
    return {
        "objective": optuna.distributions.CategoricalDistribution(OBJECTIVES),
        "learning_rate": number(0.02, 0.3, log=True),
        "n_leaves": whole(4, 127, log=True),
        "min_rows_in_leaf": whole(5, 500, log=True),
        "feature_fraction": number(0.2, 1.0),
        "bagging_fraction": number(0.4, 1.0),
        "l2": number(0.1, 100.0, log=True),
    }


def _remember(
    space: dict[str, Any], optuna: Any, study: Any, settings: dict[str, Any], ndcg: float
) -> None:
    """Tell the sampler of a trial, unless its settings are none that it could have drawn."""
    settings = {name: settings[name] for name in space}
    low = {name: getattr(one, "low", None) for name, one in space.items()}
    for name, value in settings.items():
        if low[name] is not None and not low[name] <= value <= space[name].high:
            return
    study.add_trial(optuna.trial.create_trial(params=settings, distributions=space, value=ndcg))


def _settings_of(start: LambdaRank) -> dict[str, Any]:
    names = ("objective", "learning_rate", "n_leaves", "min_rows_in_leaf")
    return {
        name: getattr(start, name)
        for name in (*names, "feature_fraction", "bagging_fraction", "l2")
    }


def _digest(
    start: LambdaRank,
    train: Sequence[LabelledTable],
    validation: LabelledTable,
    names: Sequence[str],
    random_state: int,
) -> str:
    facts = [start.parameters(), list(names), random_state]
    text = json.dumps(facts, sort_keys=True, default=plain_number)
    digest = hashlib.sha256(text.encode())
    for table in (*train, validation):
        for field in dataclasses.fields(table):
            digest.update(np.ascontiguousarray(getattr(table, field.name)).tobytes())
    return digest.hexdigest()


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
