"""A report as a file, which is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from features.arrays import FrameLike
from features.errors import ConfigError
from ranker.disk import aside_of, replacing
from ranker.recommender import TwoStageRecommender
from ranker.report.collect import collect_report
from ranker.report.page import render_report
from ranker.report.svg import check_extra


def write_report(
    path: str | os.PathLike[str],
    recommender: TwoStageRecommender,
    train: FrameLike,
    test: FrameLike,
    **options: Any,
) -> Path:
    """Judge a recommender and write a page about it: one HTML file that needs no network.

    It holds ids and lists of users, and titles of items: guard it like the log.

    Parameters
    ----------
    path : str or os.PathLike
        A file, which is replaced if it is there; written aside and renamed.
    recommender, train, test, options
        See :func:`ranker.report.collect_report`.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    MissingExtraError
        Altair or vl-convert is not installed.
    ConfigError
        Nothing can be written there; else as :func:`ranker.report.collect_report`.
    """
    path = check_destination(path)
    page = render_report(collect_report(recommender, train, test, **options))
    try:
        with replacing(path) as file:
            file.write(page.encode())
    except OSError as error:
        raise _cannot(path, error) from error
    return path


def check_destination(path: str | os.PathLike[str]) -> Path:
    """Make sure, before anything takes long, that a report can be drawn and written.

    Raises
    ------
    MissingExtraError, ConfigError
        As :func:`write_report`.
    """
    check_extra()
    path = Path(path)
    if path.is_dir():
        raise ConfigError(
            f"{path} is a folder; give the report a file, as in {path / 'report.html'}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = aside_of(path)
        aside.touch()
        aside.unlink()
    except OSError as error:
        raise _cannot(path, error) from error
    return path


def _cannot(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written: {error.strerror or error}; choose a place that you may write "
        f"to, with room"
    )
