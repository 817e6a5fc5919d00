"""The reference says what the blocks say."""

from __future__ import annotations

from features.reference import PATH, reference
from features.stage import FeatureStage
from features.user import UserActivity


def test_the_reference_is_up_to_date():
    assert PATH.read_text() == reference(), "run: python -m features.reference"


def test_a_table_per_family():
    text = reference(FeatureStage((UserActivity(),)))
    assert text.count("\n## ") == 1
    assert "| `user_events` | count | events of the user |" in text
