"""The command that runs published protocols."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from features.errors import ConfigError
from ranker.cli.commands import say


def benchmark(
    *,
    names: list[str],
    data: str | None,
    preset: str,
    seed: int,
    json: str | None,
    list: bool,  # noqa: A002
    quiet: bool,
) -> int:
    """Run published protocols, print our figures beside those of others; 1 where one failed."""
    from ranker.benchmark import PROTOCOLS
    from ranker.benchmark.run import run_each
    from ranker.benchmark.table import format_outcome, format_overview, format_protocols

    if list:
        print(format_protocols())
        return 0
    if json is not None:
        _write_json(json, [])  # a folder that is not there is known now, not after an hour
    asked = names or [*PROTOCOLS]
    coming = run_each(asked, data=data, preset=preset, random_state=seed)
    outcomes = []
    for name in asked:
        say(f"ranker: {name} ...", quiet=quiet, file=sys.stderr)
        outcomes.append(next(coming))
        print(format_outcome(outcomes[-1]), end="\n\n", flush=True)
        if json is not None:
            _write_json(json, [one.to_dict() for one in outcomes])
    if len(outcomes) > 1:
        print(format_overview(outcomes))
    if all(outcome.status == "missing" for outcome in outcomes):
        raise ConfigError("nothing was run: no data of any protocol that was asked for")
    return int(any(outcome.status == "failed" for outcome in outcomes))


def _write_json(path: str, rows: list[dict[str, Any]]) -> None:
    import json

    from ranker.export.files import write_atomically

    content = json.dumps(rows, indent=1).encode()
    write_atomically(Path(path), lambda file: file.write(content))
