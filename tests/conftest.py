"""What several folders of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the published data sets, one each: ``$RANKER_DATA`` or beside the checkout."""
    folder = Path(os.environ.get("RANKER_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"there is no folder of data sets at {folder}; set RANKER_DATA to one")
    return folder
