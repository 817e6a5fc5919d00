"""One protocol in a process of its own, so that its peak of memory is that of nothing else."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from features.errors import RankerError
from ranker.benchmark.judge import summary
from ranker.benchmark.outcome import Outcome
from ranker.benchmark.protocols import find_protocol
from ranker.benchmark.systems import DEEP_MF, SERVED, engine_values, rating_model_values


def measure(name: str, data: Path | None, *, preset: str, random_state: int) -> Outcome:
    """Run a protocol in this process.

    Parameters
    ----------
    name : str
        One of :data:`ranker.benchmark.PROTOCOLS`.
    data : Path, optional
        The folder that holds a folder for each data set.
    preset : str
        Of :meth:`ranker.TwoStageRecommender.preset`; models of ratings have none.
    random_state : int
        Of what the protocol draws, of the engine and of the bootstrap.

    Raises
    ------
    ConfigError, MissingExtraError
        If the data or an extra are missing, or the preset is unknown.
    """
    start = time.perf_counter()
    protocol = find_protocol(name)
    case = protocol.load(data, random_state)
    choices: list[str] = []
    if protocol.rates:
        reference, values = DEEP_MF, rating_model_values(case, random_state=random_state)
    else:
        reference = SERVED
        values, choices = engine_values(protocol, case, preset=preset, random_state=random_state)
    table = summary(values, protocol.metrics, reference=reference, random_state=random_state)
    return Outcome(
        name,
        "done",
        preset,
        random_state,
        reference=reference,
        systems=table.to_dicts(),
        n_users=values[reference]["user_id"].n_unique(),
        n_splits=len(case.splits),
        seconds=time.perf_counter() - start,
        peak_gb=peak_gb(),
        choices=choices,
    )


def peak_gb() -> float | None:
    """Most resident memory of this process so far, in 2^30 bytes; None if nobody tells."""
    status = Path("/proc/self/status")
    if status.is_file():  # what ru_maxrss says here includes the parent before the exec
        lines = status.read_text(encoding="ascii").splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(peak) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def main() -> None:
    """Run the protocol that the arguments name, and leave the outcome as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--json", type=Path, required=True)
    asked = parser.parse_args()
    try:
        outcome = measure(asked.name, asked.data, preset=asked.preset, random_state=asked.seed)
    except RankerError as error:
        outcome = Outcome(asked.name, "failed", asked.preset, asked.seed, error=str(error))
    asked.json.write_text(json.dumps(dataclasses.asdict(outcome)), encoding="utf-8")


if __name__ == "__main__":
    main()
