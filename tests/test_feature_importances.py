"""What the trees split on, by feature."""

from __future__ import annotations

import polars as pl
import pytest

from features.errors import NotFittedError
from tests.logs import make_log
from tests.recommenders import small

LOG = make_log("datetime")


def test_shares_of_the_gain_of_every_feature():
    recommender = small().fit(LOG)
    found = recommender.feature_importances()
    described = recommender.describe_features()
    assert found.columns == ["name", "family", "gain"]
    assert (
        found.select("name", "family")
        .sort("name")
        .equals(described.select("name", "family").sort("name"))
    )
    assert found["gain"].sum() == pytest.approx(1.0)
    assert found["gain"].min() == 0.0
    assert found["gain"].is_sorted(descending=True)
    # A list's rows are told apart by nothing that is the same for all of them.
    of_user = found.filter(pl.col("family") == "user")["gain"].sum()
    assert of_user < found.filter(pl.col("family") == "source")["gain"].sum()


def test_without_a_second_stage_there_are_none():
    with pytest.raises(NotFittedError, match="there is no second stage"):
        small().fit(LOG.head(1)).feature_importances()
