"""The reference says what the blocks say."""

from __future__ import annotations

from features.catalogue import all_blocks
from features.reference import PATH, reference
from features.stage import FeatureStage, block_name
from features.user import UserActivity


def test_the_reference_is_up_to_date():
    assert PATH.read_text() == reference(), "run: python -m features.reference"


def test_a_table_per_family():
    text = reference(FeatureStage((UserActivity(),)))
    assert text.count("\n## ") == 1
    assert "| `user_events` | yes | `UserActivity` | count | events of the user |" in text


def test_every_block_of_the_catalogue_is_there_and_those_of_the_defaults_are_marked():
    rows = [line.split(" | ") for line in reference().splitlines() if line.startswith("| `")]
    assert {row[2].strip("`") for row in rows} == {*map(block_name, all_blocks()), "Listwise"}
    marked = {row[0].strip("| `"): row[1].strip() for row in rows}
    assert marked["history_count"] == marked["SOURCE_sum_list_rank"] == "yes"
    assert marked["SOURCE_mean"] == marked["segment_COLUMN_share"] == ""
    assert set(marked.values()) == {"yes", ""}
    # A name stands for what it stands for in the defaults too.
    defaults = reference(FeatureStage())
    assert sum(row[1] == "yes" for row in rows) == defaults.count("| yes |")
    assert defaults.count("\n| `") == defaults.count("| yes |")
