"""What ``import ranker`` costs."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import json, sys, time
start = time.perf_counter()
import ranker
seconds = time.perf_counter() - start
heavy = sorted({"torch", "ray", "pandas"} & set(sys.modules))
print(json.dumps({"seconds": seconds, "heavy": heavy}))
"""


def imported() -> dict[str, object]:
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_is_quick_and_without_torch_ray_and_pandas():
    # The best of three: the first may read files from a cold disk and compile them, and whoever
    # shares the cores only ever adds to the time. What the import itself costs is the least.
    reports = [imported() for _ in range(3)]
    assert all(report["heavy"] == [] for report in reports)
    assert min(report["seconds"] for report in reports) < 1.5


def test_every_public_name_is_there():
    import ranker

    assert all(hasattr(ranker, name) for name in ranker.__all__)
