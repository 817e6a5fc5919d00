"""Executes notebooks from top to bottom in fresh kernels and fails where a cell fails.

``python tests/run_notebooks.py notebooks`` checks; the files stay as they are.
``python tests/run_notebooks.py --write notebooks/01_quickstart.ipynb`` stores the new outputs.

A notebook whose data are not there raises ``SystemExit("what is missing")``: it is reported as
skipped, which is no failure, and its file stays as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError


class Outcome(NamedTuple):
    """How a notebook ended: ``"ok"``, ``"skipped"`` or ``"failed"``, and what it said."""

    kind: str
    text: str = ""


def find_notebooks(paths: list[Path]) -> list[Path]:
    """Return the notebooks among ``paths`` and directly in the folders among them."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.ipynb")) if path.is_dir() else [path]
    return found


def execute(path: Path, *, timeout: int, write: bool) -> Outcome:
    """Execute one notebook in its own folder."""
    notebook = nbformat.read(path, as_version=4)
    # Always the kernel of this interpreter, whatever the author's was called.
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        if error.ename == "SystemExit":
            return Outcome("skipped", error.evalue)
        return Outcome("failed", str(error))
    except (CellTimeoutError, DeadKernelError) as error:
        return Outcome("failed", str(error))
    if write:
        # When each cell ran is of no interest, and would differ from run to run.
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        nbformat.write(notebook, path)
    return Outcome("ok")


def main(argv: list[str] | None = None) -> int:
    """Execute what the command line names; return the number of failures, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="notebooks, or folders of them")
    parser.add_argument("--timeout", type=int, default=900, help="seconds a cell may take")
    parser.add_argument("--write", action="store_true", help="store the outputs in the files")
    args = parser.parse_args(argv)

    notebooks = find_notebooks(args.paths)
    if not notebooks:
        print(f"no notebook in {', '.join(map(str, args.paths))}", file=sys.stderr)
        return 1
    if folder := os.environ.get("RANKER_DATA"):
        # Kernels run in the notebooks' folder, from which a relative path would lead elsewhere.
        os.environ["RANKER_DATA"] = str(Path(folder).resolve())
    failed = 0
    for path in notebooks:
        start = time.perf_counter()
        outcome = execute(path, timeout=args.timeout, write=args.write)
        line = f"{path}: {outcome.kind}, {time.perf_counter() - start:.0f} s"
        print(f"{line}: {outcome.text}" if outcome.kind == "skipped" else line)
        if outcome.kind == "failed":
            print(outcome.text, file=sys.stderr)
            failed += 1
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
