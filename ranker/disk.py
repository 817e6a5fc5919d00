"""What outlives a power cut."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def flush_folder(folder: Path) -> None:
    """Write the names in a folder to the disk: of files that were renamed, made or deleted."""
    if sys.platform == "win32":  # cannot open folders; its renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
