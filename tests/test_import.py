"""What ``import ranker`` brings along."""

from __future__ import annotations

import json
import subprocess
import sys

# Optional extras, and libraries whose import takes longer than all of ours together.
HEAVY = [
    "adbc_driver_postgresql",
    "altair",
    "deltalake",
    "lightgbm",
    "matplotlib",
    "optuna",
    "pandas",
    "ray",
    "redis",
    "sklearn",
    "torch",
    "usearch",
]

CODE = """
import json, sys
import ranker
print(json.dumps(sorted(sys.modules)))
"""


def test_import_brings_no_extra_and_no_slow_library():
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sorted(set(HEAVY) & set(json.loads(done.stdout))) == []


def test_every_public_name_is_there():
    import ranker

    assert all(hasattr(ranker, name) for name in ranker.__all__)
