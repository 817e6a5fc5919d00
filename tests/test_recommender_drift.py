"""The drift report of a recommender: between its label windows and what it serves."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from ranker import ConfigError, TwoStageRecommender
from tests.logs import CLOCKS, make_log
from tests.recommenders import everything, small

LOG = make_log("datetime")


@pytest.mark.parametrize("clock", CLOCKS)
def test_every_feature_is_in_the_report(clock):
    recommender = everything(clock)
    report = recommender.drift(n_users=20)
    names = recommender.describe_features()["name"]
    assert sorted(report.features["feature"]) == sorted(names)
    assert 0 <= report.auc <= 1
    assert report.features["psi"].is_finite().all()


def test_what_has_changed_since_the_fit_is_named():
    recommender = small().fit(LOG)
    before = recommender.drift(n_users=40)
    # Nobody comes for a year, then everybody once, all for the same item.
    late = (
        LOG.group_by("user_id", maintain_order=True)
        .first()
        .with_columns(pl.col("timestamp") + dt.timedelta(days=365), item_id=pl.lit("hype"))
    )
    recommender.refresh(late.select(LOG.columns))
    after = recommender.drift(n_users=40)
    assert after.auc > 0.95
    shifted, shifted_before = (
        set(one.features.filter(pl.col("psi") > 0.25)["feature"]) for one in (after, before)
    )
    assert len(shifted) > len(shifted_before) + 10
    assert "item_recency_days" in shifted
    psi = dict(after.features.select("feature", "psi").iter_rows())
    assert psi["user_tenure_days"] > 0.25
    assert "user_tenure_days" in after.worst(20)
    again = recommender.drift(n_users=40)
    assert again.features.equals(after.features)
    assert again.auc == after.auc


def test_a_loaded_model_can_tell_too(tmp_path):
    recommender = small().fit(LOG)
    recommender.save(tmp_path / "model")
    loaded = TwoStageRecommender.load(tmp_path / "model")
    assert loaded.drift(n_users=20).features.equals(recommender.drift(n_users=20).features)


def test_what_cannot_be_compared():
    with pytest.raises(ConfigError, match="no label windows to compare"):
        small().fit(LOG.head(1)).drift()
    with pytest.raises(ConfigError, match="n_users=0; expected a whole number, 1 or more"):
        small().fit(LOG.head(1)).drift(n_users=0)
