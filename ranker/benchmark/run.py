"""All protocols, one after the other."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ranker.benchmark.outcome import Outcome
from ranker.benchmark.protocols import PROTOCOLS, Protocol, find_protocol
from ranker.recommender import TwoStageRecommender

logger = logging.getLogger(__name__)

DATA = "RANKER_DATA"
"""The environment variable that names the folder of data."""

_PACKAGES = Path(__file__).parents[2]


def run(
    names: Sequence[str] | None = None,
    *,
    data: str | Path | None = None,
    preset: str = "balanced",
    random_state: int = 0,
) -> list[Outcome]:
    """Run protocols, each in a process of its own.

    Parameters
    ----------
    names : sequence of str, optional
        Of :data:`ranker.benchmark.PROTOCOLS`. Default: all.
    data : str or Path, optional
        The folder that holds a folder for each data set. Default: that of the environment variable
        ``RANKER_DATA``. Complete Journey needs none, but the extra ``demo``.
    preset : str
        Of :meth:`ranker.TwoStageRecommender.preset`. All data have the same settings.
    random_state : int
        Of what protocols draw, of the engine and of the bootstrap.

    Returns
    -------
    list of Outcome
        In the order of the names. Where the data are missing, or the run failed, it says so, and
        the others run all the same.

    Raises
    ------
    ConfigError
        An unknown name or preset.
    """
    return list(run_each(names, data=data, preset=preset, random_state=random_state))


def run_each(
    names: Sequence[str] | None = None,
    *,
    data: str | Path | None = None,
    preset: str = "balanced",
    random_state: int = 0,
) -> Iterator[Outcome]:
    """As :func:`run`, each outcome as soon as there is one; names are checked before the first."""
    if isinstance(names, str):
        names = [names]
    protocols = [find_protocol(name) for name in (names or PROTOCOLS)]
    TwoStageRecommender.preset(preset)  # type: ignore[arg-type]
    named = data if data is not None else os.environ.get(DATA)
    folder = None if named is None else Path(named)
    return (_outcome(one, folder, preset, random_state) for one in protocols)


def _outcome(protocol: Protocol, data: Path | None, preset: str, random_state: int) -> Outcome:
    missing = protocol.missing(data)
    if missing is not None:
        return Outcome(protocol.name, "missing", preset, random_state, error=missing)
    with tempfile.TemporaryDirectory(prefix="ranker-benchmark-") as scratch:
        found = Path(scratch) / "outcome.json"
        command = [sys.executable, "-m", "ranker.benchmark.worker", protocol.name]
        command += ["--preset", preset, "--seed", str(random_state), "--json", str(found)]
        command += [] if data is None else ["--data", str(data)]
        path = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(  # noqa: S603  our own module, with names that were checked
            command,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return Outcome(**json.loads(found.read_text(encoding="utf-8")))
    logger.error("%s failed:\n%s", protocol.name, done.stderr)
    return Outcome(
        protocol.name,
        "failed",
        preset,
        random_state,
        error=_reason(done.returncode, done.stderr),
    )


def _reason(code: int, errors: str) -> str:
    """What is known of the end of a child that did not live to tell it."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}{', mostly for want of memory' if name == 'SIGKILL' else ''}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended with {code}, without a word"
