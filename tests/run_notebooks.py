"""Executes notebooks from top to bottom in fresh kernels and fails where a cell fails.

``python tests/run_notebooks.py notebooks`` checks; the files stay as they are.
``python tests/run_notebooks.py --write notebooks/01_quickstart.ipynb`` stores the new outputs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError


def find_notebooks(paths: list[Path]) -> list[Path]:
    """Return the notebooks among ``paths`` and directly in the folders among them."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.ipynb")) if path.is_dir() else [path]
    return found


def execute(path: Path, *, timeout: int, write: bool) -> str | None:
    """Execute one notebook in its own folder; return the error's text, or None."""
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
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return str(error)
    if write:
        nbformat.write(notebook, path)
    return None


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
    failed = 0
    for path in notebooks:
        start = time.perf_counter()
        error = execute(path, timeout=args.timeout, write=args.write)
        print(f"{path}: {'failed' if error else 'ok'}, {time.perf_counter() - start:.0f} s")
        if error:
            print(error, file=sys.stderr)
            failed += 1
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
