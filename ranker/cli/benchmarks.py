"""The command that runs protocols of the literature, and a few of our own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import ConfigError
from ranker.cli.commands import say

if TYPE_CHECKING:
    from ranker.benchmark import Outcome


def benchmark(
    *,
    names: list[str],
    data: str | None,
    preset: str,
    seed: int,
    output: str | None,
    list: bool,  # noqa: A002
    quiet: bool,
) -> int:
    """Run protocols, print our figures beside those of others; 1 where one failed."""
    from ranker.benchmark import PROTOCOLS
    from ranker.benchmark.run import run_each
    from ranker.benchmark.table import format_outcome, format_overview, format_protocols

    if list:
        print(format_protocols())
        return 0
    asked = names or [*PROTOCOLS]
    coming = run_each(asked, data=data, preset=preset, random_state=seed)
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise ConfigError(f"--output {output} cannot be written: its folder is not there")
    outcomes = []
    for name in asked:
        say(f"ranker: {name} ...", quiet=quiet, file=sys.stderr)
        outcomes.append(next(coming))
        print(format_outcome(outcomes[-1]), end="\n\n", flush=True)
        if output is not None:
            _write(output, outcomes)
    if len(outcomes) > 1:
        print(format_overview(outcomes))
    if all(outcome.status == "missing" for outcome in outcomes):
        raise ConfigError("nothing was run: no data of any protocol that was asked for")
    return int(any(outcome.status == "failed" for outcome in outcomes))


def _write(path: str, outcomes: Sequence[Outcome]) -> None:
    text = json.dumps([one.to_dict() for one in outcomes], indent=1)
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {path} cannot be written: {error}") from error
