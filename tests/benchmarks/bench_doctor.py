"""Time and peak memory of ``ranker doctor`` on a synthetic log that is written in parts.

python tests/benchmarks/bench_doctor.py --rows 20_000_000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

_PART = 1_000_000
_CONFIG = """
[data]
interactions = "log/*.{ending}"
[split]
test_fraction = 0.1
"""


def write_log(folder: Path, n_rows: int, ending: str) -> None:
    """A year of 1,000,000 users and 50,000 items, with numbers as ids, in files of a million."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(n_rows // _PART):
        seconds = np.sort(rng.integers(0, 365 * 86_400, _PART))
        part = pl.DataFrame(
            {
                "user_id": (rng.random(_PART) ** 2 * 1_000_000).astype(np.int64),
                "item_id": (rng.random(_PART) ** 3 * 50_000).astype(np.int64),
                "timestamp": pl.Series(1_700_000_000 + seconds).cast(pl.Int64) * 1_000_000,
                "quantity": rng.integers(1, 9, _PART),
            }
        ).with_columns(pl.col("timestamp").cast(pl.Datetime("us")))
        file = folder / f"part-{number:03}.{ending}"
        part.write_parquet(file) if ending == "parquet" else part.write_csv(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--ending", choices=["parquet", "csv"], default="parquet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_log(folder / "log", arguments.rows, arguments.ending)
        n_bytes = sum(file.stat().st_size for file in (folder / "log").iterdir())
        (folder / "shop.toml").write_text(_CONFIG.format(ending=arguments.ending))
        start = time.perf_counter()
        code = "import sys; from ranker.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, "doctor", "--json", str(folder / "shop.toml")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    for finding in json.loads(done.stdout)["findings"]:
        print(f"{finding['level']}  {finding['table']}: {finding['text']}")
    print(f"{arguments.rows:,} rows, {n_bytes / 1e9:.2f} GB: {seconds:.1f} s, peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
