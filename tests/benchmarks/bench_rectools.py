"""Lists for everybody: this engine against the two-stage model of RecTools, on one synthetic log.

``python tests/benchmarks/bench_rectools.py --rectools-python PATH`` makes the log, runs each system
in a process of its own and prints what both took. README.md beside it says how to install RecTools
and how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TITLES = {"ranker": "ranker", "rectools": "RecTools"}

# The same for both: implicit asks for one BLAS thread, and LightGBM's idle threads spin.
QUIET_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def run(python: str, script: str, *arguments: str, environment: dict[str, str]) -> None:
    """Run a script of this folder by an interpreter; what it prints is shown.

    Raises
    ------
    SystemExit
        If it fails.
    """
    command = [python, str(HERE / script), *arguments]
    done = subprocess.run(command, env=environment | QUIET_THREADS, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}; its error is above")


def measure(
    folder: Path, systems: dict[str, str], *, small: bool, seed: int, repeats: int
) -> dict[str, dict[str, Any]]:
    """Make the log and run the systems, one after the other.

    This process stays small until they are done: a child's peak of memory begins with its
    parent's.

    Parameters
    ----------
    folder : Path
    systems : dict of system to interpreter
    small : bool
    seed, repeats : int

    Returns
    -------
    dict of system to figures
        As ``two_stage_worker.measure`` has them, and ``load``: what else kept the machine busy
        before, in running processes.
    """
    ours = dict(os.environ)
    # Nothing of this environment may get into the other one.
    theirs = {name: value for name, value in ours.items() if name != "PYTHONPATH"}
    sizes = ["--small"] if small else []
    run(sys.executable, "synthetic_log.py", str(folder), f"--seed={seed}", *sizes, environment=ours)
    measured = {}
    for system, python in systems.items():
        load = os.getloadavg()[0]
        print(f"{TITLES[system]}: fit, then recommend {repeats} times ...", flush=True)
        environment = ours if system == "ranker" else theirs
        arguments = [system, str(folder), f"--repeats={repeats}"]
        run(python, "two_stage_worker.py", *arguments, environment=environment)
        figures: dict[str, Any] = json.loads((folder / f"{system}.json").read_text())
        measured[system] = figures | {"load": load}
    return measured


def judge(folder: Path, system: str, *, k: int) -> dict[str, float]:
    """NDCG and recall at ``k`` on the last days, and how long the lists are."""
    import polars as pl

    from ranker.evaluation import evaluate

    lists = pl.read_parquet(folder / f"{system}.parquet")
    test = pl.read_parquet(folder / "test.parquet")
    table = evaluate(lists, test, k=k, metrics=["ndcg", "recall"])
    figures: dict[str, float] = {}
    for metric, mean, low, high in table.select("metric", "mean", "ci_low", "ci_high").iter_rows():
        figures |= {metric: mean, f"{metric}_low": low, f"{metric}_high": high}
    lengths = lists.group_by("user_id").len()["len"].to_list()
    return figures | {"n_served": len(lengths), "shortest_list": min(lengths, default=0)}


def median_run(figures: dict[str, Any]) -> dict[str, Any]:
    """The run of median duration (of an even number the faster one in the middle)."""
    runs = sorted(figures["runs"], key=lambda one: float(one["seconds"]))
    return dict(runs[(len(runs) - 1) // 2])


def report(measured: dict[str, dict[str, Any]]) -> str:
    """Text for people; the last line has the ratios if both systems ran."""
    lines = [
        _row("", "fit", "recommend", "users/s", "peak", "before", "in it", "NDCG"),
        _row("", "s", "s", "", "MB", "MB", "MB", "95 % interval"),
    ]
    for system, figures in measured.items():
        seconds = median_run(figures)["seconds"]
        memory = [figures["peak_mb"], figures["before_mb"], figures["recommend_peak_mb"]]
        lines.append(
            _row(
                TITLES[system],
                f"{figures['fit_seconds']:.1f}",
                f"{seconds:.2f}",
                f"{figures['n_users'] / seconds:.0f}",
                *("?" if one is None else f"{one:.0f}" for one in memory),
                f"{figures['ndcg']:.4f} [{figures['ndcg_low']:.4f}, {figures['ndcg_high']:.4f}]",
            )
        )
    for system, figures in measured.items():
        lines += ["", *_stages(system, figures)]
    lines.append("")
    lines += [_circumstances(system, figures) for system, figures in measured.items()]
    if len(measured) == len(TITLES):
        speed, memory_share = ratios(measured)
        version = measured["rectools"]["versions"]["rectools"]
        lines.append(
            f"ratio: {speed:.2f} times the users/s of RecTools {version}, "
            f"{memory_share:.2f} of its peak memory"
        )
    return "\n".join(lines)


def ratios(measured: dict[str, dict[str, Any]]) -> tuple[float, float]:
    """Users/s and peak memory of ours, as parts of those of RecTools."""
    ours, theirs = measured["ranker"], measured["rectools"]
    speed = median_run(theirs)["seconds"] / median_run(ours)["seconds"]
    return speed * ours["n_users"] / theirs["n_users"], ours["peak_mb"] / theirs["peak_mb"]


def _row(title: str, *cells: str) -> str:
    *numbers, ndcg = cells
    return f"{title:10}{''.join(f'{cell:>11}' for cell in numbers)}  {ndcg}"


def _stages(system: str, figures: dict[str, Any]) -> list[str]:
    """Where the time of the median run goes; threads that run side by side are added up."""
    chosen, n_threads = median_run(figures), figures["n_threads"]
    total = n_threads * chosen["seconds"]
    stages = {**chosen["stages"], "outside": total - sum(chosen["stages"].values())}
    added_up = f", {n_threads} threads added up" if n_threads > 1 else ""
    return [
        f"{TITLES[system]}, recommend by stage{added_up}",
        *(f"  {stage:18}{took:8.2f} s{took / total:7.1%}" for stage, took in stages.items()),
    ]


def _circumstances(system: str, figures: dict[str, Any]) -> str:
    seconds = ", ".join(f"{one['seconds']:.2f}" for one in figures["runs"])
    versions = ", ".join(f"{name} {number}" for name, number in figures["versions"].items())
    return (
        f"{TITLES[system]}: {figures['n_served']} users served, lists and NDCG at {figures['k']}, "
        f"shortest list {figures['shortest_list']}, {figures['n_trees']} trees; "
        f"runs of {seconds} s, the median one with "
        f"{median_run(figures)['cpu_seconds']:.2f} s of CPU time on {figures['n_cores']} cores, "
        f"load before the fit {figures['load']:.1f}; {versions}"
    )


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rectools-python", help="interpreter of an environment with RecTools")
    parser.add_argument("--only", choices=list(TITLES), help="run one system, without a ratio")
    parser.add_argument("--small", action="store_true", help="a log that takes seconds")
    parser.add_argument("--repeats", type=int, default=3, help="times to recommend")
    parser.add_argument("--seed", type=int, default=0, help="of the log")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args(argv)
    if args.repeats < 1:
        parser.error(f"--repeats {args.repeats}; expected 1 or more")
    if args.rectools_python is None and args.only != "ranker":
        parser.error(
            "RecTools runs in an environment of its own: name its interpreter with "
            "--rectools-python, or measure ours alone with --only ranker"
        )
    systems = {"ranker": sys.executable, "rectools": args.rectools_python}
    if args.only:
        systems = {args.only: systems[args.only]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        measured = measure(folder, systems, small=args.small, seed=args.seed, repeats=args.repeats)
        measured = {
            name: figures | judge(folder, name, k=figures["k"])
            for name, figures in measured.items()
        }
    if args.json:
        args.json.write_text(json.dumps(measured, indent=1))
    print(report(measured))


if __name__ == "__main__":
    main()
