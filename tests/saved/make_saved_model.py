"""Makes the saved model that later versions have to load, and the lists that it gives.

    python tests/saved/make_saved_model.py tests/saved/format-2

A model is made anew only together with a new format, beside those of the formats before.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ranker.persistence import FORMAT_VERSION
from tests.logs import make_log
from tests.recommenders import everything

K = 5


def make(path: Path) -> None:
    """Save a model of a synthetic log of 40 users and 25 items, and a few answers of it."""
    model = everything()
    model.save(path / "model", keep=1)
    model.recommend(k=K).write_ndjson(path / "lists.ndjson")
    session = make_log("datetime").tail(9).select("user_id", "item_id", "timestamp")
    model.recommend(histories=session, k=K).write_ndjson(path / "session_lists.ndjson")
    about = {
        "format": FORMAT_VERSION,
        "as_of": model.as_of.isoformat(),
        "system": model.system_,
        "cold_system": model.cold_system_,
        "choices": model.choices_,
    }
    (path / "about.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir()  # one that is there is what has to be loaded
    make(folder)
